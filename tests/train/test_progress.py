"""The log of a training survives kills, and the line says how long it will take."""

import io
import json
from pathlib import Path

from diascope.train.progress import EpochLog, ProgressLine, progress_text, read_log


def test_the_time_left_comes_from_the_steps_of_this_run_only() -> None:
    # 20 steps took 60 s, 100 of 300 are left: 300 s.
    assert progress_text(step=200, first=180, total_steps=300, seconds=60.0) == "step 200 of 300, 0:05:00 left"


def test_before_the_first_step_nothing_is_promised() -> None:
    assert progress_text(step=7, first=7, total_steps=300, seconds=1.0) == "step 7 of 300"


def test_a_stream_that_is_no_terminal_gets_no_line() -> None:
    stream = io.StringIO()

    ProgressLine(10, stream).show(3, 0, 0.5)

    assert stream.getvalue() == ""


def test_epochs_that_a_resumed_run_repeats_are_replaced_and_time_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    first = EpochLog(log, 0)
    for epoch in (1, 2, 3):
        first(epoch, {"loss": float(epoch), "seconds": 10.0 * epoch})

    resumed = EpochLog(log, 2)
    resumed(3, {"loss": 9.0, "seconds": 99.0})

    assert resumed.seconds_before == 20.0
    assert [(line["epoch"], line["loss"]) for line in read_log(log)] == [(1, 1.0), (2, 2.0), (3, 9.0)]


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"epoch": 1, "loss": 1.0}) + '\n{"epoch": 2, "lo')

    assert read_log(log) == [{"epoch": 1, "loss": 1.0}]
