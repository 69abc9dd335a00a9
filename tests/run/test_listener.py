"""What a batch tells its tracker: the names of docs/mlflow.md, and no other."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from diascope.findings import Check, HeatmapRecord
from diascope.io.outfolder import OutFolder
from diascope.io.series import Catalogue
from diascope.run.batch import BatchOrder, Books
from diascope.run.listener import ReportWriter, TrackedRun, listener_for
from diascope.run.planning.plan import Plan
from diascope.run.record import read_record
from diascope.run.report.heatmap_figure import heatmap_figure
from diascope.run.report.heatmap_table import read_heatmaps, sum_up, write_heatmaps
from diascope.run.report.summary import read_cases
from diascope.run.settings import RunConfig
from diascope.run.tracking.result import SendResult
from diascope.run.tracking.tracker import DatasetDescription, Ending, Pictures, RunDescription
from tests.run.finished import RECORD, case_id, write_finished_run


class Remembering:
    """A tracker that remembers, as if a run of two steps had been resumed once."""

    attempt = 1
    steps = 2

    def __init__(self) -> None:
        self.described: RunDescription | None = None
        self.metrics: list[tuple[str, int]] = []
        self.files: list[tuple[str, str, str]] = []
        self.note = ""

    def start(self, run: RunDescription) -> str:
        self.described = run
        return ""

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        self.metrics += [(name, step) for name in values]

    def log_tags(self, tags: Mapping[str, str]) -> None:
        raise AssertionError("no tag is known late")

    def log_dataset(self, dataset: DatasetDescription) -> None:
        assert len(dataset.digest) <= 36

    def log_file(self, file: str, folder: str = "", pictures: Pictures = "none") -> None:
        self.files.append((file, folder, pictures))

    def log_table(self, file: str, name: str) -> None:
        self.files.append((file, name, "table"))

    def finish(self, status: Ending = "FINISHED", note: str = "") -> SendResult:
        self.note = note
        return SendResult(9, 0, run_id="0123")


def order_of(out: OutFolder, **settings: object) -> BatchOrder:
    config = RunConfig.model_validate({"bundles": [{"name": "brain_structures_segmentation"}], **settings})
    return BatchOrder(Plan((), (), Catalogue((), (), (), ())), config, out, "cpu", RECORD)


@pytest.fixture
def told(tmp_path: Path) -> Remembering:
    """What a tracker hears of a whole batch."""
    out, tracker = write_finished_run(tmp_path), Remembering()
    listener = TrackedRun(order_of(out), tracker)
    listener.started(RECORD)
    for row in read_cases(out):
        listener.case_ended(row, {"read": 1.0, "infer": 2.0} if row.status == "done" else {})
    listener.ended(RECORD, Books(stage_seconds={"read": 3.0, "infer": 6.0}))
    return tracker


def names_in(manual: str, heading: str) -> list[re.Pattern[str]]:
    """The names of a table, `<...>` standing for a name."""
    section = manual.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert names
    return [
        re.compile(re.sub(r"<\w+>", r"[\\w-]+", re.escape(name).replace(r"\<", "<").replace(r"\>", ">")))
        for name in names
    ]


def unknown(names: list[str], manual: str, heading: str) -> list[str]:
    patterns = names_in(manual, heading)
    return [name for name in names if not any(pattern.fullmatch(name) for pattern in patterns)]


def test_every_name_that_is_sent_is_in_the_manual(told: Remembering, repository: Path) -> None:
    manual = (repository / "docs" / "mlflow.md").read_text()

    assert told.described is not None
    assert unknown(list(told.described.params), manual, "Parameters") == []
    assert unknown([name for name, _ in told.metrics], manual, "Metrics") == []
    assert unknown(list(told.described.tags), manual, "Tags") == []
    assert unknown(["no.such.metric"], manual, "Metrics") == ["no.such.metric"]


def test_a_resumed_run_counts_its_cases_on_and_its_sums_by_resumption(told: Remembering) -> None:
    steps = [step for name, step in told.metrics if name == "case_seconds"]

    assert steps == [3, 4, 5]
    assert {step for name, step in told.metrics if name.startswith(("cases.", "seconds.", "files."))} == {1}


def test_pictures_are_marked_as_such_and_keep_their_names(told: Remembering) -> None:
    pictures = [(file, folder) for file, folder, kind in told.files if kind == "is_one"]

    assert pictures == [(f"cases/{case_id(n)}/preview.png", f"previews/{case_id(n)}") for n in (1, 2, 3)]
    assert ("report.html", "", "inside") in told.files
    assert [file for file, _, kind in told.files if kind == "none"] == [
        "cases.csv",
        "measurements.csv",
        "rejects.csv",
        "run.json",
    ]


def test_the_description_says_how_the_cases_ended(told: Remembering) -> None:
    assert told.note.startswith("**3 of 5 cases done**, 1 failed, 1 nothing to do, 1 to look at first.")


def test_the_run_over_there_is_noted_in_run_json(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path)

    TrackedRun(order_of(out), Remembering()).ended(RECORD, Books())

    record = read_record(out)
    assert record == replace(RECORD, tracking_run="0123")
    assert out.report_html.is_file()


def test_without_tracking_the_report_is_written_all_the_same(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path)
    listener = listener_for(order_of(out, tracking={"enabled": False}), lambda _: None)

    listener.started(RECORD)
    listener.ended(RECORD, Books())

    assert type(listener) is ReportWriter
    assert "brain_mri: 5 cases" in out.report_html.read_text()
    assert not out.tracking_jsonl.exists()


def test_heatmaps_are_sent_as_numbers_a_table_and_a_figure_without_pixels(tmp_path: Path, repository: Path) -> None:
    out, tracker = write_finished_run(tmp_path), Remembering()
    checks = (Check("depends_on_weights", True, 0.2, "like"), Check("deletion_gain_over_random", True, 0.4, "gain"))
    records = [
        HeatmapRecord("glioma", "img", "tumour", "hires_cam", "f", (0.0, 1.0), True, trust, "why", asked)
        for trust, asked in (("supported", checks), ("doubtful", checks), ("unchecked", ()))
    ]
    write_heatmaps(out, [(case_id(n), one) for n, one in enumerate(records, start=1)])

    TrackedRun(order_of(out), tracker).ended(RECORD, Books())

    names = {name for name, _ in tracker.metrics if ".heatmap." in name}
    assert {f"glioma.tumour.heatmap.hires_cam.{name}" for name in ("maps", "unchecked", "supported_rate")} <= names
    assert "glioma.tumour.heatmap.hires_cam.depends_on_weights" in names
    assert unknown(sorted(names), (repository / "docs" / "mlflow.md").read_text(), "Metrics") == []
    assert ("heatmaps.csv", "heatmaps", "table") in tracker.files
    assert ("heatmaps.png", "", "none") in tracker.files
    assert (out.root / "heatmaps.png").read_bytes().startswith(b"\x89PNG")


def test_the_figure_of_the_same_maps_has_the_same_bytes(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path)
    record = HeatmapRecord("glioma", "img", "tumour", "hires_cam", "f", (0.0, 1.0), True, "unchecked", "why")
    write_heatmaps(out, [(case_id(1), record)])

    summaries = list(sum_up(read_heatmaps(out)))

    assert heatmap_figure(summaries) == heatmap_figure(summaries)
