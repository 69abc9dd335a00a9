"""The demo cohort goes the whole way, and nothing outside private/ tells who was scanned."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from diascope.bundles.find import list_bundles
from diascope.cli.demo import _show_own_audit, _show_truth
from diascope.cli.run import run_request
from diascope.config import find_config, load_settings
from diascope.demo.cohort import make_cohort
from diascope.demo.planted import Cohort
from diascope.demo.surprises import find_surprises
from diascope.io.outfolder import OutFolder
from diascope.io.private import read_inputs
from diascope.log import start_logging
from diascope.run.key import user_key
from diascope.run.report.summary import read_cases
from diascope.run.request import make_request
from diascope.run.settings import RunConfig
from diascope.run.tracking.spool import read_spool

# A minute on a free machine; the limit is for one that is busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

NEEDED = {
    "brain_structures_segmentation",
    "flair_glioma_segmentation",
    "flair_glioma_classification",
    "flair_glioma_detection",
}


class DemoRun:
    """The demo cohort, run once for all tests of this module."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str] | None = None) -> None:
        self.folder = folder
        self.cohort: Cohort = make_cohort(folder / "cohort")
        self.out = OutFolder(folder / "out")
        self.mlflow = folder / "mlflow"
        overrides = [
            f"identity.key_file={folder / 'key'}",
            f"tracking.uri=sqlite:///{self.mlflow / 'mlflow.db'}",
            "device=cpu",
        ]
        self.config = load_settings(RunConfig, find_config("demo"), overrides)
        log = folder / "log.txt"
        with log.open("w", encoding="utf-8") as stream:
            start_logging(10, stream)
            self.failed = run_request(make_request([self.cohort.scans], self.config, "demo"), self.out.root)
        self.log = log.read_text(encoding="utf-8")

    def shared_files(self) -> Iterator[Path]:
        """Everything that may be handed on: OUT without private/, and MLflow's store."""
        for root in (self.out.root, self.mlflow):
            yield from (path for path in root.rglob("*") if path.is_file() and self.out.private not in path.parents)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    assert {bundle.name for bundle in list_bundles()} >= NEEDED
    return DemoRun(tmp_path_factory.mktemp("demo"))


def test_every_planted_fault_is_found_and_every_other_case_is_done(demo: DemoRun) -> None:
    rows = {row.case_id: row for row in read_cases(demo.out)}

    assert find_surprises(demo.cohort, user_key(demo.config.identity.key_file), rows, read_inputs(demo.out)) == ()
    assert demo.failed  # the missing slice and the torn file are failures, planted or not
    assert sum(row.status == "done" for row in rows.values()) >= 6


def test_no_name_number_uid_date_or_path_is_outside_private(demo: DemoRun) -> None:
    identifiers = [text for text in demo.cohort.identifiers if len(text) >= 4]
    assert len(identifiers) > 100
    one_of_them = re.compile(
        "|".join(re.escape(text) for text in sorted(identifiers, key=len, reverse=True)).encode(), re.IGNORECASE
    )
    files = list(demo.shared_files())
    assert len(files) > 30

    leaks = {f"{path.name}: {found.group()!r}" for path in files if (found := one_of_them.search(path.read_bytes()))}

    assert leaks == set()


def test_the_log_at_its_most_talkative_names_nobody(demo: DemoRun) -> None:
    assert "case-" in demo.log
    lines = [
        line for line in demo.log.splitlines() for text in demo.cohort.identifiers if len(text) >= 4 and text in line
    ]
    assert lines == []


def test_a_planted_identifier_would_be_found(demo: DemoRun) -> None:
    in_private = (demo.out.private / "identity.csv").read_text(encoding="utf-8")

    assert sum(text in in_private for text in demo.cohort.identifiers) > 20


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of SQLAlchemy, at MLflow's own queries
def test_everything_was_sent_to_mlflow(demo: DemoRun) -> None:
    from mlflow.tracking import MlflowClient

    assert read_spool(demo.out.tracking_jsonl).receipts
    client = MlflowClient(tracking_uri=str(demo.config.tracking.uri))
    experiment = client.get_experiment_by_name("diascope")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["cases.done"] >= 6
    assert {artifact.path for artifact in client.list_artifacts(run.info.run_id)} >= {
        "report.html",
        "cases.csv",
        "previews",
    }


def test_the_cohort_s_own_audit_says_that_five_images_can_say_nothing(
    demo: DemoRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(demo.config.tracking.uri))

    _show_truth(demo.out, demo.cohort)
    _show_own_audit(demo.out)

    said = capsys.readouterr().out
    assert "verdict: insufficient. The data do not suffice" in said
    assert "insufficient: sex, dice: " in said
    assert "are needed for a gap of 0.1" in said
    assert json.loads((demo.out.root / "audit" / "audit.json").read_text())["verdict"] == "insufficient"
    assert (demo.out.root / "audit" / "audit.html").is_file()
