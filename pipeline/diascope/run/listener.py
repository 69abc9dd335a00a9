"""What a batch tells tracking: names here are the contract of docs/mlflow.md."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median

from diascope.io.outfolder import write_atomic
from diascope.run.batch import BatchOrder, Books, Listener
from diascope.run.record import CaseRow, RunRecord, write_record
from diascope.run.report.heatmap_figure import heatmap_figure
from diascope.run.report.page import write_report
from diascope.run.report.summary import RunSummary, summarise
from diascope.run.report.viewer_links import links_note
from diascope.run.tracking.tracker import DatasetDescription, RunDescription, Tracker, open_tracker

_DIGEST_DIGITS = 32


def listener_for(order: BatchOrder, tell: Callable[[str], None]) -> Listener:
    """Make the listener that writes the report and, where the settings want it, tracks the run."""
    tracker = open_tracker(order.out.root, order.config.tracking, tell)
    return ReportWriter(order) if tracker is None else TrackedRun(order, tracker)


class ReportWriter:
    """Writes report.html at the end of a batch."""

    def __init__(self, order: BatchOrder) -> None:
        """Listen to one batch."""
        self._order = order

    def started(self, _record: RunRecord) -> str:
        """Nothing is tracked."""
        return ""

    def case_ended(self, _row: CaseRow, _stage_seconds: Mapping[str, float]) -> None:
        """Nothing is tracked."""

    def ended(self, _record: RunRecord, books: Books) -> None:
        """Write the report."""
        self._write_report(books)

    def _write_report(self, books: Books) -> RunSummary:
        citations = {bundle.name: bundle.block.citations for bundle in self._order.plan.bundles}
        out = self._order.out
        summary = summarise(out, books.stage_seconds, citations)
        write_report(out, summary)
        if summary.heatmaps:
            write_atomic(out.heatmaps_png, heatmap_figure(summary.heatmaps))
        return summary


class TrackedRun(ReportWriter):
    """Tells a tracker how a batch goes, too."""

    def __init__(self, order: BatchOrder, tracker: Tracker) -> None:
        """Listen to one batch."""
        super().__init__(order)
        self._tracker = tracker
        self._told = 0

    def started(self, record: RunRecord) -> str:
        """Begin the tracking run, or go on with it."""
        run_id = self._tracker.start(_description(record, self._order))
        self._told = self._tracker.steps
        self._tracker.log_dataset(_dataset(self._order))
        return run_id

    def case_ended(self, row: CaseRow, stage_seconds: Mapping[str, float]) -> None:
        """Log how long a case took; a case of an earlier run was logged then."""
        if stage_seconds:
            self._told += 1
            seconds = {f"case_seconds.{stage}": value for stage, value in stage_seconds.items()}
            self._tracker.log_metrics({"case_seconds": row.seconds, **seconds}, step=self._told)

    def ended(self, record: RunRecord, books: Books) -> None:
        """Write the report, log everything about the whole, and end the tracking run."""
        out = self._order.out
        summary = self._write_report(books)
        self._tracker.log_metrics(_numbers(summary, books), step=self._tracker.attempt)
        self._tracker.log_table(out.cases_csv.name, "cases")
        for table in (out.cases_csv, out.measurements_csv, out.rejects_csv, out.run_json):
            self._tracker.log_file(table.name)
        if summary.heatmaps:
            self._tracker.log_table(out.heatmaps_csv.name, "heatmaps")
            for file in (out.heatmaps_csv, out.heatmaps_png):
                self._tracker.log_file(file.name)
        self._tracker.log_file(out.report_html.name, pictures="inside")
        for case_id in summary.previews:
            self._tracker.log_file(f"cases/{case_id}/preview.png", folder=f"previews/{case_id}", pictures="is_one")
        links = links_note(out, summary, self._order.config.tracking.viewer_url)
        result = self._tracker.finish(note=_note(summary) + links)
        if result.run_id:
            write_record(out, replace(record, tracking_run=result.run_id))


def _description(record: RunRecord, order: BatchOrder) -> RunDescription:
    bundles = {
        f"bundle.{bundle.name}.{what}": value for bundle in record.bundles for what, value in _facts(bundle).items()
    }
    versions = {f"version.{package}": version for package, version in record.versions.items()}
    same = [record.command, record.config_sha256, record.key_fingerprint, *(bundle.sha256 for bundle in record.bundles)]
    return RunDescription(
        name=record.config_name,
        same_as=hashlib.sha256("\0".join(same).encode()).hexdigest(),
        params={
            "config": record.config_name,
            "device": record.device,
            "precision": order.config.precision,
            "bundles": ", ".join(bundle.name for bundle in record.bundles),
            "cases_planned": len(order.plan.studies),
            "files_found": len(order.plan.catalogue.files),
        },
        tags={
            "diascope.version": record.diascope,
            "diascope.command": record.command,
            "config.sha256": record.config_sha256,
            "key.fingerprint": record.key_fingerprint,
            **bundles,
            **versions,
        },
        note=f"{len(order.plan.studies)} cases. The tables, previews and report.html are among the artifacts.",
    )


def _note(summary: RunSummary) -> str:
    ends = ", ".join(f"{summary.count(status)} {status.replace('_', ' ')}" for status in ("failed", "nothing_to_do"))
    return (
        f"**{summary.count('done')} of {len(summary.rows)} cases done**, {ends}, "
        f"{summary.doubtful} to look at first. The tables, previews and report.html are among the artifacts."
    )


def _facts(bundle: object) -> dict[str, str]:
    return {what: str(getattr(bundle, what)) for what in ("version", "sha256", "licence", "research_only")}


def _dataset(order: BatchOrder) -> DatasetDescription:
    found = order.plan.catalogue
    # File ids are keyed: the digest tells one data set from another, and nothing else.
    lines = "\n".join(sorted(f"{file.file_id} {file.size_bytes}" for file in found.files))
    return DatasetDescription(
        name=order.record.config_name,
        digest=hashlib.sha256(lines.encode()).hexdigest()[:_DIGEST_DIGITS],
        profile={"files": len(found.files), "images": len(found.series), "cases": len(order.plan.studies)},
    )


def _numbers(summary: RunSummary, books: Books) -> dict[str, float]:
    numbers: dict[str, float] = {
        f"cases.{status}": summary.count(status) for status in ("done", "failed", "nothing_to_do")
    }
    numbers |= {"cases.review_first": summary.doubtful, "cases.resumed": books.resumed}
    numbers |= {f"seconds.{stage}": seconds for stage, seconds in summary.stage_seconds.items()}
    for kind in ("refused", "failed", "skipped", "not_an_image"):
        numbers[f"files.{kind}"] = sum(group.files for group in summary.rejects if group.kind == kind)
    for label in summary.labels:
        if label.median is not None:
            numbers[f"{label.bundle}.{label.subject}.{label.quantity}.median"] = label.median
    for one in summary.heatmaps:
        name = f"{one.bundle}.{one.target}.heatmap.{one.method}"
        numbers |= {f"{name}.maps": one.maps, f"{name}.without_evidence": one.without_evidence}
        numbers |= {f"{name}.{trust}": count for trust, count in one.trusts.items()}
        numbers |= {f"{name}.{check}": mean for check, mean in one.means.items()}
        if one.supported is not None:
            numbers[f"{name}.supported_rate"] = one.supported
    confidences = [row.confidence for row in summary.rows if row.confidence is not None]
    if confidences:
        numbers["confidence.median"] = median(confidences)
    return numbers
