"""From the viewer to MLflow's page of a batch, and from there back."""

from pathlib import Path

import pytest

from diascope.run.tracking.result import SPOOL
from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.spool import Receipt, Spool, add_receipt
from diascope.run.tracking.target import target_of
from diascope.viewer.mlflow_page import MlflowPages
from diascope.viewer.outs import open_outs
from tests.phantoms import Phantoms
from tests.viewer.conftest import Serve, Viewer

SERVER = "http://user:secret@mlflow.example:5000"


def track(root: Path, uri: str, run_id: str = "abc123") -> None:
    """Leave in a folder what a batch that was sent leaves there."""
    Spool(root / SPOOL).add("run", "run-1", {"name": "x", "same_as": "y", "experiment": "e", "artifacts": "auto"})
    target = target_of(TrackingSettings(uri=uri, experiment="e"))
    add_receipt(root / SPOOL, Receipt(target.digest, "run-1", run_id, 1, "7"))


def url(phantoms: Phantoms, base: str = "") -> str | None:
    return MlflowPages(base).url(open_outs([phantoms.folder])[0])


def test_the_page_of_a_run_is_that_of_the_server_it_was_sent_to_without_the_password(
    phantoms: Phantoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    track(phantoms.folder, SERVER)

    found = url(phantoms)

    assert found is not None
    assert found.endswith("mlflow.example:5000/#/experiments/7/runs/abc123?workflowType=machine_learning")
    assert "secret" not in found
    assert url(phantoms, "https://pages.example/mlflow/") == (
        "https://pages.example/mlflow/#/experiments/7/runs/abc123?workflowType=machine_learning"
    )


def test_there_is_no_link_where_nobody_knows_the_page(phantoms: Phantoms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    assert url(phantoms) is None

    track(phantoms.folder, "sqlite:////elsewhere/mlflow.db")

    # It was sent elsewhere than this machine would send it now.
    assert url(phantoms) is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere/mlflow.db")
    assert url(phantoms) is None  # a file has no pages
    assert str(url(phantoms, "http://127.0.0.1:5000")).startswith("http://127.0.0.1:5000/#/experiments/7/runs/abc123")


def test_a_receipt_of_an_older_version_names_no_experiment(phantoms: Phantoms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    track(phantoms.folder, "http://mlflow.example")
    later = Receipt(target_of(TrackingSettings(experiment="e")).digest, "run-1", "abc123", 2)
    add_receipt(phantoms.folder / SPOOL, later)

    assert url(phantoms) == "http://mlflow.example/#/runs/abc123?workflowType=machine_learning"


def test_the_session_tells_the_page(serve: Serve, phantoms: Phantoms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    track(phantoms.folder, "http://mlflow.example:5000")

    (out,) = serve().browser().get("/api/session").json["outs"]

    assert out["mlflow_url"] == "http://mlflow.example:5000/#/experiments/7/runs/abc123?workflowType=machine_learning"


def test_a_link_that_names_no_folder_finds_its_case(viewer: Viewer) -> None:
    browser = viewer.browser()

    found = browser.get(f"/api/case/-/{viewer.case_id('head')}")

    assert (found.status, found.json["out"]) == (200, "out")
    assert browser.get("/api/case/-/case-of-nobody").code == "no_such_case"
