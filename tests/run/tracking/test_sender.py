"""What arrives in MLflow, in a real store; and that nothing arrives twice."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from diascope.run.tracking.sender import close_interrupted, send_pending
from diascope.run.tracking.spool import Spool, read_spool
from diascope.run.tracking.target import Target

RUN = "0123456789abcdef0123456789abcdef"


def target_of(store: Path, artifacts: str = "auto") -> Target:
    return Target(f"sqlite:///{store}", "diascope", artifacts)  # type: ignore[arg-type]


def client_of(store: Path) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{store}")


def the_run(store: Path) -> Any:
    client = client_of(store)
    (found,) = client.search_runs([client.get_experiment_by_name("diascope").experiment_id])
    return found


def artifact_folder(store: Path) -> Path:
    return Path(the_run(store).info.artifact_uri.removeprefix("file://"))


def files_of(store: Path) -> list[str]:
    root = artifact_folder(store)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder whose spool holds an event of every kind."""
    root = tmp_path / "out"
    (root / "cases" / "case-1").mkdir(parents=True)
    (root / "cases" / "case-1" / "preview.png").write_bytes(b"png")
    (root / "report.html").write_text('<p>report <img class="preview" src="data:image/jpeg;base64,xx"></p>')
    (root / "cases.csv").write_text("case_id,status\ncase-1,done\ncase-2,failed\n")
    spool = Spool(root / "tracking.jsonl", clock=lambda: 1_700_000_000.0)
    body = {"name": "brain_mri", "same_as": "x", "note": "**2 cases**"}
    spool.add("run", RUN, {**body, "params": {"device": "cpu"}, "tags": {"diascope.version": "0.1.0"}})
    for step in (1, 2, 3):
        spool.add("metrics", RUN, {"values": {"case.seconds": 0.5 * step, "case.confidence": 0.9}, "step": step})
    profile = {"cases": 2}
    spool.add("dataset", RUN, {"name": "inputs", "digest": "abc", "profile": profile, "context": "inference"})
    spool.add("table", RUN, {"file": "cases.csv", "name": "cases.json"})
    spool.add("file", RUN, {"file": "cases/case-1/preview.png", "folder": "previews", "pictures": "is_one"})
    spool.add("file", RUN, {"file": "report.html", "folder": "", "pictures": "inside"})
    spool.add("tags", RUN, {"bundle.b.sha256": "ff"})
    spool.add("ended", RUN, {"status": "FINISHED", "note": "**2 cases**, 1 failed"})
    return root


def test_everything_arrives(out: Path, store: Path) -> None:
    result = send_pending(out, target_of(store))

    assert (result.sent, result.left, result.problem) == (10, 0, "")
    run = the_run(store)
    assert run.info.run_id == result.run_id
    assert (run.info.run_name, run.info.status, run.info.start_time) == ("brain_mri", "FINISHED", 1_700_000_000_000)
    assert run.data.params == {"device": "cpu"}
    assert run.data.metrics == {"case.seconds": 1.5, "case.confidence": 0.9}
    assert run.data.tags["bundle.b.sha256"] == "ff"
    assert run.data.tags["mlflow.note.content"] == "**2 cases**, 1 failed"
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("inputs", "abc")
    assert files_of(store) == ["cases.json", "previews/preview.png", "report.html"]


def test_the_experiment_opens_on_training_runs_and_keeps_its_files_beside_the_store(out: Path, store: Path) -> None:
    send_pending(out, target_of(store))

    experiment = client_of(store).get_experiment_by_name("diascope")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment.artifact_location == f"file://{store.parent}/artifacts/diascope"


def test_the_table_of_cases_is_one_that_mlflow_shows(out: Path, store: Path) -> None:
    send_pending(out, target_of(store))

    # The form of MLflow's log_table, which its pages show as a table.
    table = json.loads((artifact_folder(store) / "cases.json").read_text())
    assert table == {"columns": ["case_id", "status"], "data": [["case-1", "done"], ["case-2", "failed"]]}
    assert json.loads(the_run(store).data.tags["mlflow.loggedArtifacts"]) == [{"path": "cases.json", "type": "table"}]


def test_sending_again_sends_nothing(out: Path, store: Path) -> None:
    first = send_pending(out, target_of(store))

    second = send_pending(out, target_of(store))

    assert (second.sent, second.left, second.run_id) == (0, 0, first.run_id)


def test_nothing_is_doubled_where_the_receipts_were_lost(out: Path, store: Path) -> None:
    spool = out / "tracking.jsonl"
    unsent = spool.read_bytes()
    first = send_pending(out, target_of(store))
    spool.write_bytes(unsent)
    (artifact_folder(store) / "report.html").unlink()

    second = send_pending(out, target_of(store))

    assert (second.left, second.run_id) == (0, first.run_id)
    assert "report.html" not in files_of(store)
    history = client_of(store).get_metric_history(first.run_id, "case.seconds")
    assert [(one.step, one.value) for one in history] == [(1, 0.5), (2, 1.0), (3, 1.5)]


def test_nothing_is_doubled_where_the_server_did_not_note_how_far_it_came(out: Path, store: Path) -> None:
    spool = out / "tracking.jsonl"
    unsent = spool.read_bytes()
    first = send_pending(out, target_of(store))
    client_of(store).delete_tag(first.run_id, "diascope.sent_seq")
    spool.write_bytes(unsent)

    second = send_pending(out, target_of(store))

    assert (second.sent, second.left, second.run_id, second.problem) == (10, 0, first.run_id, "")
    history = client_of(store).get_metric_history(first.run_id, "case.seconds")
    assert [(one.step, one.value) for one in history] == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert len(the_run(store).inputs.dataset_inputs) == 1


def test_a_resumed_run_goes_on_in_the_same_run(out: Path, store: Path) -> None:
    first = send_pending(out, target_of(store))
    spool = Spool(out / "tracking.jsonl", clock=lambda: 1_700_000_100.0)
    spool.add("resumed", RUN, {"count": 1})
    spool.add("metrics", RUN, {"values": {"case.seconds": 9.0}, "step": 4})

    running = send_pending(out, target_of(store))

    assert running.run_id == first.run_id
    assert the_run(store).info.status == "RUNNING"
    spool.add("ended", RUN, {"status": "FINISHED", "note": ""})
    send_pending(out, target_of(store))
    run = the_run(store)
    assert (run.info.status, run.info.end_time) == ("FINISHED", 1_700_000_100_000)
    assert run.data.tags["diascope.resumed"] == "1"
    assert run.data.tags["mlflow.note.content"] == "**2 cases**, 1 failed"
    assert len(client_of(store).get_metric_history(first.run_id, "case.seconds")) == 4


def test_a_run_whose_batch_was_killed_is_marked_until_it_is_resumed(out: Path, store: Path) -> None:
    spool = out / "tracking.jsonl"
    *begun, _ended = spool.read_text().splitlines(keepends=True)
    spool.write_text("".join(begun))
    send_pending(out, target_of(store))
    assert the_run(store).info.status == "RUNNING"

    close_interrupted(out, target_of(store))

    assert the_run(store).info.status == "KILLED"
    again = Spool(spool)
    again.add("resumed", RUN, {"count": 1})
    again.add("ended", RUN, {"status": "FINISHED", "note": ""})
    send_pending(out, target_of(store))
    close_interrupted(out, target_of(store))
    assert the_run(store).info.status == "FINISHED"


def test_another_destination_gets_everything(out: Path, store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "mlflow.db"
    other.parent.mkdir()
    shutil.copy(store, other)
    send_pending(out, target_of(store))

    result = send_pending(out, target_of(other))

    assert (result.sent, result.left) == (10, 0)
    assert the_run(other).data.metrics["case.seconds"] == 1.5


def test_no_file_at_all_is_sent_where_none_is_wanted(out: Path, store: Path) -> None:
    result = send_pending(out, target_of(store, artifacts="none"))

    assert (result.left, result.problem) == (0, "")
    assert files_of(store) == []
    assert the_run(store).data.metrics["case.seconds"] == 1.5


def test_where_files_leave_the_machine_pictures_stay(tmp_path: Path, store: Path) -> None:
    # An experiment that keeps its files somewhere else; any attempt to send a file there fails.
    client_of(store).create_experiment("diascope", artifact_location="mlflow-test-elsewhere:/bucket")
    (tmp_path / "preview.png").write_bytes(b"png")
    spool = Spool(tmp_path / "tracking.jsonl")
    spool.add("run", RUN, {"name": "brain_mri"})
    spool.add("file", RUN, {"file": "preview.png", "folder": "", "pictures": "is_one"})

    kept = send_pending(tmp_path, target_of(store))
    spool.add("file", RUN, {"file": "preview.png", "folder": "", "pictures": "none"})
    tried = send_pending(tmp_path, target_of(store))

    assert (kept.left, kept.kept_back, kept.problem) == (0, 1, "")
    assert "mlflow-test-elsewhere" in tried.problem


def test_what_mlflow_refuses_is_told_and_waits(out: Path, store: Path) -> None:
    experiment = client_of(store).create_experiment("diascope", artifact_location=f"file://{store.parent}/files")
    client_of(store).delete_experiment(experiment)

    result = send_pending(out, target_of(store))

    assert "MLflow refused" in result.problem
    assert result.left == 10
    client_of(store).restore_experiment(experiment)
    assert send_pending(out, target_of(store)).left == 0


def test_a_file_that_is_gone_does_not_hold_up_the_rest(out: Path, store: Path) -> None:
    (out / "report.html").unlink()

    assert send_pending(out, target_of(store)).left == 0
    assert files_of(store) == ["cases.json", "previews/preview.png"]


def test_a_thousand_metrics_and_more_go_in_few_calls(tmp_path: Path, store: Path) -> None:
    spool = Spool(tmp_path / "tracking.jsonl", clock=lambda: 1_700_000_000.0)
    spool.add("run", RUN, {"name": "many", "params": {f"p{n}": n for n in range(150)}})
    for step in range(1200):
        spool.add("metrics", RUN, {"values": {"case.seconds": step, "case.confidence": 0.5}, "step": step})
    spool.add("metrics", RUN, {"values": {}, "step": 1200})

    result = send_pending(tmp_path, target_of(store))

    assert (result.left, result.problem) == (0, "")
    assert len(client_of(store).get_metric_history(result.run_id, "case.seconds")) == 1200
    assert len(the_run(store).data.params) == 150
    assert len(read_spool(spool.path).receipts) < 6


def test_an_entry_without_numbers_swallows_none_of_its_neighbours(tmp_path: Path, store: Path) -> None:
    spool = Spool(tmp_path / "tracking.jsonl")
    spool.add("run", RUN, {"name": "brain_mri"})
    send_pending(tmp_path, target_of(store))
    spool.add("metrics", RUN, {"values": {}, "step": 0})
    spool.add("tags", RUN, {"config.sha256": "ff"})

    assert send_pending(tmp_path, target_of(store)).left == 0
    assert the_run(store).data.tags["config.sha256"] == "ff"


def test_what_can_never_be_delivered_is_left_out_told_and_kept(tmp_path: Path, store: Path) -> None:
    (tmp_path / "cases.csv").write_text("case_id\ncase-1\n")
    spool = Spool(tmp_path / "tracking.jsonl")
    spool.add("run", RUN, {"name": "x", "same_as": "y"})
    spool.add("table", RUN, {"file": "cases.csv", "name": "of/another/folder.json"})
    spool.add("metrics", RUN, {"values": {"good": 1.0}, "step": 1})
    spool.add("metrics", RUN, {"values": {"a name of 100 %": 2.0}, "step": 2})
    spool.add("metrics", RUN, {"values": {"good": 3.0}, "step": 3})
    spool.add("ended", RUN, {"status": "FINISHED"})

    result = send_pending(tmp_path, target_of(store))

    assert (result.left, result.problem, result.skipped) == (0, "", 2)
    assert result.why_skipped.startswith("table of/another/folder.json: FileNotFoundError")
    run = the_run(store)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"good": 3.0})
    content = read_spool(tmp_path / "tracking.jsonl")
    assert [one.seq for one in content.skipped] == [2, 4]
    assert len(content.events) == 6
    assert send_pending(tmp_path, target_of(store)).skipped == 0


def test_a_run_that_was_deleted_over_there_makes_nothing_undeliverable(out: Path, store: Path) -> None:
    send_pending(out, target_of(store))
    client_of(store).delete_run(the_run(store).info.run_id)
    Spool(out / "tracking.jsonl").add("tags", RUN, {"later": "1"})

    result = send_pending(out, target_of(store))

    assert (result.left, result.skipped) == (1, 0)
    assert "deleted" in result.problem


def test_two_senders_do_not_send_at_the_same_time(out: Path, store: Path) -> None:
    import fcntl

    with (out / "tracking.jsonl").open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        result = send_pending(out, target_of(store))

    assert (result.sent, result.problem) == (0, "another process is sending")
    assert send_pending(out, target_of(store)).left == 0


def test_the_spool_says_nothing_of_where_it_was_sent(out: Path, store: Path) -> None:
    send_pending(out, target_of(store))

    text = (out / "tracking.jsonl").read_text()
    assert str(store.parent) not in text
    assert "sqlite" not in text
