"""What readers said goes to the batch's MLflow run, and never costs anybody a verdict."""

import threading
from pathlib import Path

import pytest

from diascope.run.tracking.additions import Extra
from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.spool import read_spool
from diascope.run.tracking.target import target_of
from diascope.run.tracking.tracker import SPOOL, MlflowTracker, RunDescription
from diascope.viewer import mirror as module
from diascope.viewer.mirror import Mirror, case_tags, review_metrics, review_tags
from diascope.viewer.outs import ServedOut, open_outs
from diascope.viewer.review_export import Tables, tables_of
from tests.viewer.conftest import Viewer
from tests.viewer.test_record import judge


def tables(viewer: Viewer) -> tuple[ServedOut, Tables]:
    shelf = viewer.desk.record.shelves["out"]
    out = viewer.desk.index.outs["out"]
    return out, tables_of(out, shelf.reviews, shelf.key)


def test_the_sums_are_those_of_the_record(viewer: Viewer) -> None:
    one, two = viewer.browser("Reader One"), viewer.browser("Reader Two")
    glioma = [{"finding_id": "flair_glioma_detection-1", "verdict": "true"}]
    for browser in (one, two):
        judge(browser, viewer.address("head"), findings=glioma)
    judge(one, viewer.address("followup"), verdict="reject", urgent=True)
    judge(two, viewer.address("followup"), verdict="accept")
    judge(one, viewer.address("radiograph"), verdict="skip")

    found = review_metrics(tables(viewer)[1].verdicts)

    assert {name.removeprefix("review."): value for name, value in found.items() if name != "review.alpha"} == {
        "cases": 2, "readers": 2, "accepted": 3, "rejected": 1, "needs_edit": 0, "skipped": 1, "stale": 0, "urgent": 1,
        "findings_true": 2, "findings_false": 0, "findings_wrong_extent": 0, "missed": 0,
    }  # fmt: skip
    # Two cases, agreed on one: observed 1/2, expected 6/12 of the pairs of 3 accept and 1 reject.
    assert found["review.alpha"] == pytest.approx(0.0)
    assert review_tags(tables(viewer)[1].verdicts)["review.status"] == "given"
    assert review_tags([]) == {"review.status": "none"}


def test_verdicts_are_sent_together_when_readers_pause(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.2)
    sent: list[Extra] = []
    came = threading.Event()

    def send(_: ServedOut, extra: Extra) -> None:
        sent.append(extra)
        came.set()

    judge(viewer.browser(), viewer.address("head"))
    mirror = Mirror(lambda _: tables(viewer), send)
    for _ in range(5):
        mirror.touch("out")
    assert came.wait(20)
    mirror.close()

    assert len(sent) == 1
    assert sent[0].metrics["review.accepted"] == 1


def test_what_is_left_is_sent_when_the_server_ends(viewer: Viewer) -> None:
    sent: list[Extra] = []
    mirror = Mirror(lambda _: tables(viewer), lambda _, extra: sent.append(extra))

    mirror.touch("out")
    mirror.close()

    assert len(sent) == 1


def test_a_mirror_that_breaks_costs_nothing(viewer: Viewer, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: ServedOut, __: Extra) -> None:
        raise OSError("the server is on fire")

    mirror = Mirror(lambda _: tables(viewer), broken)
    mirror.touch("out")
    mirror.close()

    assert "verdicts are saved, but were not sent" in caplog.text


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*noload.*", "ignore::DeprecationWarning:mlflow")  # MLflow's own, on import
def test_the_numbers_arrive_in_the_run_of_the_batch(viewer: Viewer, tmp_path: Path) -> None:
    import mlflow

    root = viewer.phantoms.folder
    uri = f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"
    (root / "mlflow").mkdir()
    tracker = MlflowTracker(root, target_of(TrackingSettings(uri=uri)), lambda _: None)
    tracker.start(RunDescription("phantom", "same"))
    tracker.finish("FINISHED")
    judge(viewer.browser(), viewer.address("head"), urgent=True)

    rows = tables(viewer)[1].verdicts
    module._to_mlflow(open_outs([root])[0], Extra(review_metrics(rows), review_tags(rows)))

    mlflow.set_tracking_uri(uri)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.data.metrics["review.accepted"] == 1
    assert run.data.metrics["review.urgent"] == 1
    assert run.data.tags["review.status"] == "given"
    assert run.info.status == "FINISHED"
    assert read_spool(root / SPOOL).last_run() is not None


def test_every_case_has_a_tag_with_what_readers_decided_and_none_once_it_is_taken_back(viewer: Viewer) -> None:
    sent: list[Extra] = []
    came = threading.Semaphore(0)

    def send(_: ServedOut, extra: Extra) -> None:
        sent.append(extra)
        came.release()

    one, two = viewer.browser("Reader One"), viewer.browser("Reader Two")
    head, followup = (f"review.case.{viewer.case_id(role)}" for role in ("head", "followup"))
    judge(one, viewer.address("head"))
    judge(one, viewer.address("followup"))
    judge(two, viewer.address("followup"), verdict="reject")
    mirror = Mirror(lambda _: tables(viewer), send)
    mirror.touch("out")
    mirror.close()
    one.post(f"{viewer.address('head')}/undo", {"key": "k" * 32})
    mirror._send_one("out")

    cases = [{key: value for key, value in extra.tags.items() if key.startswith("review.case.")} for extra in sent]
    assert cases == [{head: "accept", followup: "accept, reject"}, {head: "none", followup: "accept, reject"}]


def test_only_the_newest_cases_are_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TAGGED", 2)
    rows = [
        {"case_id": f"case-{at}", "read": "with_ai", "is_stale": at == 2, "verdict": "accept", "when": f"2026-01-0{at}"}
        for at in (1, 2, 3)
    ]

    assert case_tags(rows) == {"review.case.case-3": "accept", "review.case.case-2": "stale"}
