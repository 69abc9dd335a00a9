"""Audits go into the run of their batch."""

from pathlib import Path

from diascope.run.evaluation_tracking import Extra, add_to_batch, log_extra
from diascope.run.tracking_result import SendResult


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
