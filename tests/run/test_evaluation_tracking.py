"""Audits go into the run of their batch."""

from pathlib import Path

from diascope.evaluation.audit.audit import audit
from diascope.evaluation.audit.result import AuditResult
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.audit.write import write_audit
from diascope.findings import BundleStamp
from diascope.run.evaluation_tracking import AuditPlan, audit_extra, track_audit
from diascope.run.tracking.additions import Extra, add_to_batch, log_extra
from diascope.run.tracking.result import SendResult
from diascope.run.tracking.settings import TrackingSettings
from diascope.run.tracking.spool import read_spool
from diascope.run.tracking.tracker import DatasetDescription, TaggedModel
from tests.evaluation.audit.cohorts import cohort


class Remembering:
    """A tracker that remembers what it was told."""

    attempt, steps = 2, 7

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def start(self, run: object) -> str:
        return ""

    def log_metrics(self, values: dict[str, float], step: int = 0) -> None:
        self.told.append(("metrics", values, step))

    def log_tags(self, tags: dict[str, str]) -> None:
        self.told.append(("tags", tags))

    def log_dataset(self, dataset: object) -> None:
        self.told.append(("dataset", dataset))

    def log_file(self, file: str, folder: str = "", pictures: str = "none") -> None:
        self.told.append(("file", file, folder, pictures))

    def log_table(self, file: str, name: str) -> None:
        self.told.append(("table", file, name))

    def log_model(self, model: object) -> None:
        self.told.append(("model", model))

    def tag_model(self, model: object) -> None:
        self.told.append(("model_tags", model))

    def finish(self, status: str = "FINISHED", note: str = "") -> SendResult:
        self.told.append(("finish", status))
        return SendResult(0, 0)


def test_figures_tags_files_and_tables_are_added_and_the_run_ends_as_it_had_ended() -> None:
    tracker = Remembering()
    extra = Extra({"audit.dice": 0.8}, {"audit.verdict": "pass"}, "audit", ["audit/audit.html"], ["audit/gaps.csv"])

    log_extra(tracker, extra, "FAILED")

    assert tracker.told == [
        ("metrics", {"audit.dice": 0.8}, 2),
        ("tags", {"audit.verdict": "pass"}),
        ("file", "audit/audit.html", "audit", "none"),
        ("table", "audit/gaps.csv", "audit_gaps"),
        ("finish", "FAILED"),
    ]


def test_a_batch_that_was_not_tracked_is_left_alone(tmp_path: Path) -> None:
    assert add_to_batch(tmp_path, Extra({"audit.dice": 0.8}), lambda text: None) is None
    assert list(tmp_path.iterdir()) == []


def audited(folder: Path, **settings: object) -> AuditResult:
    plan = AuditSettings.model_validate({"groups": ["sex"], "rounds": 5, **settings})
    result = audit(cohort(0, 400).assign(bundle="net"), plan, table_sha256="ab" * 32)
    write_audit(result, folder)
    return result


def test_an_audit_brings_figures_tables_its_dataset_and_the_networks_it_is_about(tmp_path: Path) -> None:
    stamps = [BundleStamp(name, "1.2.0", f"{name}-digest", "MIT", False) for name in ("net", "other")]
    tracker = Remembering()

    extra = audit_extra(audited(tmp_path / "audit", where={"bundle": "net"}), tmp_path / "audit", "audit/", stamps)
    log_extra(tracker, extra, "FINISHED")

    told = {kind: [rest for one, *rest in tracker.told if one == kind] for kind, *_ in tracker.told}
    files = {file for file, *_ in told["file"]}
    assert files >= {"audit/audit.html", "audit/audit.json", "audit/model_card.md", "audit/forest_sensitivity.svg"}
    assert all((tmp_path / file).is_file() for file in files)
    assert ["audit/groups.csv", "audit_groups"] in told["table"]
    (dataset,), (model,) = told["dataset"][0], told["model_tags"][0]
    assert dataset == DatasetDescription("audited predictions", "ab" * 18, {"rows": 400, "patients": 400}, "audit")
    assert isinstance(model, TaggedModel)
    assert (model.name, model.sha256, model.tags["audit.verdict"]) == ("net", "net-digest", "insufficient")
    assert len(told["model_tags"]) == 1


def test_the_audit_of_a_table_is_a_run_of_its_own_and_none_where_nobody_wants_it(tmp_path: Path) -> None:
    result = audited(tmp_path / "audit")
    # Nobody listens there: what was to be sent waits in the file.
    settings = TrackingSettings(uri="http://127.0.0.1:9")
    track_audit(tmp_path / "t.csv", tmp_path / "audit", result, settings, lambda text: None)
    track_audit(tmp_path / "t.csv", tmp_path / "off", result, TrackingSettings(enabled=False), lambda text: None)

    events = read_spool(tmp_path / "audit" / "tracking.jsonl").events
    assert events[0].body["name"] == "Bias audit"
    assert {"metrics", "tags", "dataset", "file", "table", "ended"} <= {event.kind for event in events}
    assert not (tmp_path / "off").exists()


def test_where_an_audit_is_tracked_and_what_came_before_change_no_plan() -> None:
    plain = AuditPlan(groups=("sex",))
    other = AuditPlan(groups=("sex",), tracking=TrackingSettings(enabled=False), earlier={"spring": "../spring"})

    assert plain.audit == other.audit == AuditSettings(groups=("sex",))
