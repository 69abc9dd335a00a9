"""A run over many cases: the driver, which alone writes ledger, tables, tracking and report."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from diascope import __version__
from diascope.errors import InputError
from diascope.findings import CaseReport, Failure, HeatmapRecord, Measurement, read_report
from diascope.io.outfolder import OutFolder, folder_in_the_making
from diascope.io.private import fates_after, write_tables
from diascope.run.case import CaseJob
from diascope.run.features import with_batch_distances
from diascope.run.heatmaps import heatmap_order
from diascope.run.image_record import record_images
from diascope.run.ledger import Ledger, LedgerRow, State
from diascope.run.local import CaseOutcome, run_cases
from diascope.run.planning.plan import Plan, StudyPlan
from diascope.run.record import (
    CaseRow,
    RunRecord,
    row_of,
    time_stamp,
    write_cases,
    write_measurements,
    write_record,
)
from diascope.run.report.heatmap_table import write_heatmaps
from diascope.run.resume import Earlier, results_digest, standing_report, task_keys
from diascope.run.settings import RunConfig, results_hash
from diascope.run.within import places_of


class Listener(Protocol):
    """Who is told how a batch goes: tracking. It may not fail."""

    def started(self, record: RunRecord) -> str:
        """Hear that the batch begins; give the id of the tracking run, or an empty text."""

    def case_ended(self, row: CaseRow, stage_seconds: Mapping[str, float]) -> None:
        """Hear how a case ended."""

    def ended(self, record: RunRecord, books: "Books") -> None:
        """Hear that the batch is over, its tables and report written."""


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """What a batch needs to know.

    Attributes:
        plan: What is to be done.
        config: The settings.
        out: Where to.
        device: As torch spells it.
        record: For run.json.
        checked: Cases whose heatmaps are asked the dear questions.
        earlier: What is done already.
    """

    plan: Plan
    config: RunConfig
    out: OutFolder
    device: str
    record: RunRecord
    checked: frozenset[str] = frozenset()
    earlier: Earlier = field(default_factory=Earlier)

    def job(self, study: StudyPlan) -> CaseJob:
        """Say what is to be done with one study."""
        return CaseJob(
            case_id=study.case_id,
            series=study.series,
            refused=study.refused,
            choices=study.choices,
            bundles=self.plan.bundles,
            out=self.out,
            device=self.device,
            precision=self.config.precision,
            config_sha256=results_hash(self.config),
            store_images=self.config.store_images,
            heatmaps=heatmap_order(self.config.explain, self.plan.bundles, is_checked=study.case_id in self.checked),
            uncertainty=self.config.uncertainty,
            places=places_of(self.config.bundles, self.plan.bundles),
        )


@dataclass(slots=True)
class Books:
    """What the driver keeps of a batch while it runs.

    Attributes:
        rows: By case_id.
        measurements: By case_id.
        heatmaps: By case_id.
        stage_seconds: Time of each stage, all cases together.
        case_stages: Time of each stage of the cases that this run did, by case_id.
        sha256: Digest of each input file that was read, by path. Private.
        resumed: How many cases were done by an earlier run.
        kept: How many good results of an earlier run moved to history/, since this one has none.
    """

    rows: dict[str, CaseRow] = field(default_factory=dict)
    measurements: dict[str, tuple[Measurement, ...]] = field(default_factory=dict)
    heatmaps: dict[str, tuple[HeatmapRecord, ...]] = field(default_factory=dict)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    case_stages: dict[str, Mapping[str, float]] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    resumed: int = 0
    kept: int = 0

    def enter(self, report: CaseReport, seconds: float) -> CaseRow:
        """Take a report in; give its row of cases.csv."""
        row = row_of(report, seconds)
        self.rows[report.case_id] = row
        self.measurements[report.case_id] = report.measurements or ()
        self.heatmaps[report.case_id] = report.heatmaps or ()
        return row


def run_batch(order: BatchOrder, listener: Listener, books: Books) -> Iterator[CaseRow]:
    """Run every study of a plan that is not done yet, and write everything that is about the whole.

    Args:
        order: What to do.
        listener: Who is told.
        books: Empty; filled as the batch goes.

    Yields:
        The row of each case as soon as it has ended, those of an earlier run first.

    Raises:
        OutputError: The disk is full; what was done stays, and the same command goes on.
    """
    record = replace(order.record, started=time_stamp())
    record = replace(record, tracking_run=listener.started(record))
    write_record(order.out, record)
    try:
        yield from _cases(order, listener, books)
    except BaseException:  # also Ctrl-C: what is done is told, and the run is not called finished
        _write_tables(order, record, books)
        raise
    record = replace(record, finished=time_stamp())
    _write_tables(order, record, books)
    listener.ended(record, books)


def _cases(order: BatchOrder, listener: Listener, books: Books) -> Iterator[CaseRow]:
    with Ledger(order.out.ledger) as ledger:
        for study in (*order.plan.refused, *order.plan.nothing_to_do):
            failure = None if study.series else study.refused[0].failure
            row = books.enter(_write_bare(order.job(study), failure, books), 0.0)
            listener.case_ended(row, {})
            yield row
        jobs = []
        for study in order.plan.to_run:
            if report := order.earlier.reports.get(study.case_id):
                books.resumed += 1
                yield books.enter(report, max(row.seconds for row in ledger.rows(study.case_id).values()))
            else:
                jobs.append(order.job(study))
        for outcome in run_cases(jobs):
            row = _settle(order, ledger, books, outcome)
            listener.case_ended(row, outcome.stage_seconds)
            yield row


def _settle(order: BatchOrder, ledger: Ledger, books: Books, outcome: CaseOutcome) -> CaseRow:
    job = outcome.job
    report = outcome.report or _write_bare(job, outcome.failure, books)
    state: State = "done" if outcome.report else "failed"
    digest = results_digest(order.out.case(job.case_id), report)
    code = report.failure.code if report.failure else ""
    ledger.put(
        LedgerRow(job.case_id, task, state, key, digest, code, outcome.seconds) for task, key in task_keys(job).items()
    )
    for stage, seconds in outcome.stage_seconds.items():
        books.stage_seconds[stage] = books.stage_seconds.get(stage, 0.0) + seconds
    books.case_stages[job.case_id] = outcome.stage_seconds
    books.sha256 |= {str(path): digest for path, digest in outcome.sha256.items()}
    return books.enter(report, outcome.seconds)


def _write_bare(job: CaseJob, failure: Failure | None, books: Books) -> CaseReport:
    """Write the report of a case without results: it failed, or there was nothing to do.

    A good result of an earlier run is not lost by it: it moves to history/.
    """
    report = CaseReport(
        case_id=job.case_id,
        status="failed" if failure else "nothing_to_do",
        images=record_images(job, {}),
        failure=failure,
        config_sha256=job.config_sha256,
        diascope_version=__version__,
    )
    standing = standing_report(job.out, job.case_id)
    keep = standing is not None and standing.status == "done"
    with folder_in_the_making(job.out.case(job.case_id), keep_earlier=keep) as folder:
        (folder / "case.json").write_text(report.to_json(), encoding="utf-8")
    books.kept += keep
    return report


def _write_tables(order: BatchOrder, record: RunRecord, books: Books) -> None:
    found = order.plan.catalogue
    choices = [choice for study in order.plan.studies for choice in study.choices]
    files = [replace(row, sha256=books.sha256.get(row.path, row.sha256)) for row in fates_after(found, choices)]
    write_tables(order.out, found, files)
    others = _of_earlier_runs(order, books)
    write_cases(order.out, with_batch_distances(order.out, [*books.rows.values(), *others.rows.values()]))
    measured = books.measurements | others.measurements
    write_measurements(order.out, ((case_id, number) for case_id in sorted(measured) for number in measured[case_id]))
    maps = books.heatmaps | others.heatmaps
    write_heatmaps(order.out, [(case_id, one) for case_id in sorted(maps) for one in maps[case_id]])
    write_record(order.out, record)


def _of_earlier_runs(order: BatchOrder, books: Books) -> Books:
    """Take in the cases of the folder that this run did not reach, or was not given."""
    others = Books()
    with Ledger(order.out.ledger) as ledger:
        for file in sorted(order.out.cases.glob("[!.]*/case.json")):
            if file.parent.name not in books.rows:
                with contextlib.suppress(InputError):  # of another format: it stays, untold
                    seconds = max((row.seconds for row in ledger.rows(file.parent.name).values()), default=0.0)
                    others.enter(read_report(file), seconds)
    return others
