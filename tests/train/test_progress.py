"""The log of a training survives kills, and the bar says how long it will take."""

import io
import json
import re
import time
from pathlib import Path

from rich.console import Console

from diascope.train.progress import EpochLog, ProgressBar, read_log


def test_a_terminal_shows_step_loss_and_the_time_left() -> None:
    stream = io.StringIO()
    with ProgressBar(400, 100, Console(file=stream, force_terminal=True, width=100)) as bar:
        for step in range(101, 121):
            bar.show(step, 0.125)
            time.sleep(0.01)

    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert "120/400" in shown
    assert "loss 0.125" in shown
    # 280 steps of 10 ms and a little more: seconds, not minutes and not nothing.
    assert re.findall(r"left 0:00:(\d\d)", shown)[-1] in {f"{seconds:02d}" for seconds in range(2, 31)}


def test_a_stream_that_is_no_terminal_gets_no_bar() -> None:
    stream = io.StringIO()

    with ProgressBar(10, 0, Console(file=stream)) as bar:
        bar.show(3, 0.5)

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
