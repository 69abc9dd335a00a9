"""Tracking as a batch uses it: with the process that sends, and servers that misbehave."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from diascope.errors import InputError
from diascope.run.tracking.result import left_text
from diascope.run.tracking.sender import send_pending
from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.spool import read_spool
from diascope.run.tracking.target import target_of
from diascope.run.tracking.tracker import (
    DatasetDescription,
    MlflowTracker,
    RunDescription,
    Tracker,
    open_tracker,
    sync,
    sync_target,
)

RUN = RunDescription("brain_mri", "hash-of-the-run", {"device": "cpu"}, {"diascope.version": "0.1.0"}, "2 cases")


def local(store: Path) -> TrackingSettings:
    return TrackingSettings(uri=f"sqlite:///{store}")


def tracker_of(root: Path, settings: TrackingSettings, told: list[str]) -> MlflowTracker:
    tracker = open_tracker(root, settings, told.append)
    assert isinstance(tracker, MlflowTracker)
    return tracker


def log_two_cases(tracker: Tracker, first: int = 1) -> None:
    for step in (first, first + 1):
        tracker.log_metrics({"case.seconds": 1.5 * step}, step)


def history(store: Path, run_id: str) -> list[tuple[int, float]]:
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(tracking_uri=f"sqlite:///{store}")
    return [(one.step, one.value) for one in client.get_metric_history(run_id, "case.seconds")]


@pytest.fixture
def deaf_server() -> Iterator[str]:
    """Accepts every connection and never says a word."""
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        one.listen(50)
        yield f"http://127.0.0.1:{one.getsockname()[1]}"


def test_a_run_arrives_and_a_resumed_one_goes_on_in_it(tmp_path: Path, store: Path) -> None:
    told: list[str] = []
    tracker = tracker_of(tmp_path, local(store), told)
    assert tracker.start(RUN) == ""
    log_two_cases(tracker)
    tracker.log_dataset(DatasetDescription("inputs", "abc", {"cases": 2}))
    first = tracker.finish()

    again = tracker_of(tmp_path, local(store), told)
    known = again.start(RUN)
    steps, attempt = again.steps, again.attempt
    log_two_cases(again, steps + 1)
    second = again.finish()

    assert (first.left, second.left, first.problem, second.problem) == (0, 0, "", "")
    assert known == first.run_id == second.run_id != ""
    assert (steps, attempt) == (2, 1)
    assert history(store, first.run_id) == [(1, 1.5), (2, 3.0), (3, 4.5), (4, 6.0)]
    assert [text.partition(" ")[2].split()[0] for text in told] == ["MLflow", "sent;", "MLflow", "sent;"]
    assert told[0].startswith(f"tracking: MLflow at sqlite:///{store}")
    assert "never sent: names" in told[0]
    assert told[2] == told[0].splitlines()[0]
    assert f"/#/experiments/{first.experiment_id}/runs/{first.run_id}?" in told[1]
    assert first.experiment_id != ""


def test_it_is_said_what_goes_where_before_anything_goes(tmp_path: Path) -> None:
    there_already: list[bool] = []
    spool = tmp_path / "tracking.jsonl"
    nobody = TrackingSettings(uri="http://127.0.0.1:9")
    tracker = open_tracker(tmp_path, nobody, lambda _: there_already.append(spool.exists()))
    assert tracker is not None

    tracker.start(RUN)
    tracker.finish()

    # Before the first entry, and once more at the end: the server is not there.
    assert there_already == [False, True]


def test_a_run_with_other_settings_in_the_same_folder_is_another_run(tmp_path: Path) -> None:
    # Nothing is sent in this test: the address is one that nobody listens at.
    settings = TrackingSettings(uri="http://127.0.0.1:9")
    for run in (RUN, RUN, RunDescription("brain_mri", "another-hash")):
        tracker = tracker_of(tmp_path, settings, [])
        tracker.start(run)
        tracker.finish()

    events = read_spool(tmp_path / "tracking.jsonl").events

    assert [event.kind for event in events] == ["run", "ended", "resumed", "ended", "run", "ended"]
    assert events[0].run == events[2].run != events[4].run


def test_a_server_that_never_answers_holds_nothing_up_and_nothing_is_lost(
    tmp_path: Path, store: Path, deaf_server: str
) -> None:
    told: list[str] = []
    tracker = tracker_of(tmp_path, TrackingSettings(uri=deaf_server), told)
    started = time.monotonic()
    tracker.start(RUN)
    log_two_cases(tracker)
    logged = time.monotonic() - started
    result = tracker.finish()
    ended = time.monotonic() - started

    assert logged < 1.0
    assert ended < 20.0
    assert (result.sent, result.left) == (0, 4)
    assert told[-1] == left_text(result)
    assert "did not answer within 3 s" in told[-1]
    assert "`diascope sync OUT`" in told[-1]
    sent = send_pending(tmp_path, target_of(local(store)))
    assert (sent.sent, sent.left) == (4, 0)
    assert history(store, sent.run_id) == [(1, 1.5), (2, 3.0)]


def test_a_sender_that_was_killed_fails_nothing_and_the_rest_is_sent_later(tmp_path: Path, store: Path) -> None:
    told: list[str] = []
    tracker = tracker_of(tmp_path, local(store), told)
    tracker.start(RUN)
    assert tracker._sender is not None
    os.kill(tracker._sender._process.pid, signal.SIGKILL)
    log_two_cases(tracker)

    result = tracker.finish()

    assert result.left == 4
    assert "ended early" in told[-1]
    sent = sync(tmp_path, local(store))
    assert (sent.left, sent.problem) == (0, "")
    assert history(store, sent.run_id) == [(1, 1.5), (2, 3.0)]


def test_a_sender_that_gets_nowhere_is_ended(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diascope.run.tracking.tracker.PATIENCE_SECONDS", 0.01)
    told: list[str] = []
    tracker = tracker_of(tmp_path, local(store), told)
    tracker.start(RUN)

    result = tracker.finish()

    assert (result.sent, result.left, result.problem) == (0, 2, "it took too long")
    assert tracker._sender is not None
    assert tracker._sender._process.poll() == -signal.SIGKILL


def test_tracking_can_be_switched_off(tmp_path: Path) -> None:
    assert open_tracker(tmp_path, TrackingSettings(enabled=False), print) is None
    assert list(tmp_path.iterdir()) == []


def test_sync_keeps_to_what_the_run_allowed_to_be_sent(tmp_path: Path) -> None:
    settings = TrackingSettings(uri="http://127.0.0.1:9", experiment="hippocampus", artifacts="none")
    tracker = tracker_of(tmp_path, settings, [])
    tracker.start(RUN)
    tracker.finish()

    as_it_was = sync_target(tmp_path, TrackingSettings(uri="http://mlflow.example"))
    on_request = sync_target(tmp_path, TrackingSettings(uri="http://mlflow.example", artifacts="all"))

    assert (as_it_was.uri, as_it_was.experiment, as_it_was.artifacts) == (
        "http://mlflow.example",
        "hippocampus",
        "none",
    )
    assert (on_request.experiment, on_request.artifacts) == ("hippocampus", "all")


def test_there_is_nothing_to_sync_in_a_folder_without_a_spool(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no tracking\.jsonl"):
        sync(tmp_path, TrackingSettings())


def test_neither_tracking_nor_its_sender_load_torch_or_monai_or_early_mlflow(repository: Path) -> None:
    code = (
        "import sys; import diascope.run.tracking, diascope.run.tracking.sender;"
        "print(sorted({'torch', 'monai', 'mlflow'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(repository / "pipeline")}

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)

    assert ended.stdout.strip() == "[]"
