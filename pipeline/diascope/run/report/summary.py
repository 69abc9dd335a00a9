"""A finished run in numbers, read from its output folder: what report and tracking tell.

Everything comes from outside private/, so nothing in here can hold an identifier.
"""

import csv
import random
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from diascope.errors import InputError
from diascope.findings import read_report
from diascope.io.outfolder import OutFolder
from diascope.run.record import CaseRow, RunRecord, read_record
from diascope.run.report.heatmap_table import HeatmapSummary, read_heatmaps, sum_up
from diascope.run.report.odd_in_batch import odd_in_batch

# More than this nobody looks through on one page; the viewer shows them all.
MOST_PREVIEWS = 200
MOST_DOUBTS = 200

# Of the previews, how many may be of doubtful cases: the others show what is usual.
DOUBTFUL_PART = 0.5


@dataclass(frozen=True, slots=True)
class RejectGroup:
    """Files that are in no case, for one reason.

    Attributes:
        kind: `refused`, `failed`, `skipped` or `not_an_image`.
        code: Of the reason.
        files: How many.
        reason: Of the first of them, in words.
        cure: Of the first of them.
    """

    kind: str
    code: str
    files: int
    reason: str
    cure: str


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Cases that failed for one reason.

    Attributes:
        code: Of the failure.
        cases: How many.
        reason: Of the first of them, in words.
        cure: Of the first of them.
    """

    code: str
    cases: int
    reason: str
    cure: str


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """One quantity of one label over all cases.

    Attributes:
        bundle: Who drew it.
        subject: The label.
        quantity: Such as `volume`.
        unit: Of the numbers.
        count: How many numbers there are.
        zeros: How many of them are 0: for a volume, how often the label was not found.
        missing: How often the quantity is not defined.
        mean: Of the numbers; None if there are none, like all below.
        median: Half are smaller.
        lower: A quarter is smaller.
        upper: Three quarters are smaller.
        smallest: Of all.
        largest: Of all.
    """

    bundle: str
    subject: str
    quantity: str
    unit: str
    count: int
    zeros: int
    missing: int
    mean: float | None
    median: float | None
    lower: float | None
    upper: float | None
    smallest: float | None
    largest: float | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """A case that somebody should look at early.

    Attributes:
        case_id: The case.
        confidence: Of its least certain network.
        reasons: Why, in words.
    """

    case_id: str
    confidence: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A finished run.

    Attributes:
        record: What run.json says.
        rows: What cases.csv says, by case_id.
        failures: Why cases failed, the most frequent first.
        rejects: Why files are in no case; refused and failed ones first.
        labels: Every quantity of every label.
        doubts: Cases to look at first, at most `MOST_DOUBTS`.
        previews: Cases whose previews are shown: doubtful ones, then a sample.
        stage_seconds: Time of each stage, all cases together.
        citations: What each bundle asks to cite, by name.
        heatmaps: Of each target that was explained, by method.
    """

    record: RunRecord
    rows: tuple[CaseRow, ...]
    failures: tuple[FailureGroup, ...]
    rejects: tuple[RejectGroup, ...]
    labels: tuple[LabelSummary, ...]
    doubts: tuple[Doubt, ...]
    previews: tuple[str, ...]
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    citations: Mapping[str, Sequence[str]] = field(default_factory=dict)
    heatmaps: tuple[HeatmapSummary, ...] = ()

    def count(self, status: str) -> int:
        """Count the cases that ended like this."""
        return sum(row.status == status for row in self.rows)

    @property
    def other_settings(self) -> dict[str, int]:
        """Count the cases with results that were not made with the settings of the record, by first digits."""
        made = Counter(row.settings for row in self.rows if row.status == "done" and row.settings)
        return {digits: n for digits, n in sorted(made.items()) if not self.record.config_sha256.startswith(digits)}

    @property
    def doubtful(self) -> int:
        """Number of cases to look at first."""
        return sum(row.review_first for row in self.rows)


def summarise(
    out: OutFolder,
    stage_seconds: Mapping[str, float] | None = None,
    citations: Mapping[str, Sequence[str]] | None = None,
) -> RunSummary:
    """Read a finished run.

    Args:
        out: Its folder.
        stage_seconds: Time of each stage; not kept in the folder.
        citations: What each bundle asks to cite, by name.

    Raises:
        InputError: The folder holds no run.
    """
    record = read_record(out)
    if record is None:
        raise InputError("this folder holds no run", hint="give the folder that `diascope run -o` wrote")
    rows = tuple(_rows(out))
    return RunSummary(
        record=record,
        rows=rows,
        failures=tuple(_failures(out, rows)),
        rejects=tuple(_rejects(out)),
        labels=tuple(_labels(out)),
        doubts=tuple(_doubts(out, rows)),
        previews=tuple(_sample(out, rows)),
        stage_seconds=dict(stage_seconds or {}),
        citations=dict(citations or {}),
        heatmaps=tuple(sum_up(read_heatmaps(out))),
    )


def read_cases(out: OutFolder) -> tuple[CaseRow, ...]:
    """Read cases.csv; nothing if there is none yet."""
    return tuple(_rows(out))


def _rows(out: OutFolder) -> Iterator[CaseRow]:
    for values in _table(out, out.cases_csv.name):
        yield _ROW.validate_python(
            {
                name: None if name in {"confidence", "findings", "out_of_distribution"} and text == "" else text
                for name, text in values.items()
            }
        )


def _failures(out: OutFolder, rows: Sequence[CaseRow]) -> Iterator[FailureGroup]:
    failed = [row for row in rows if row.status == "failed"]
    first = {row.code: row for row in reversed(failed)}
    for code, cases in sorted(Counter(row.code for row in failed).items(), key=lambda item: (-item[1], item[0])):
        report = out.case(first[code].case_id) / "case.json"
        failure = read_report(report).failure if report.is_file() else None
        yield FailureGroup(code, cases, first[code].reason, failure.cure if failure else "")


def _rejects(out: OutFolder) -> Iterator[RejectGroup]:
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for row in _table(out, out.rejects_csv.name):
        group = row["kind"], row["code"]
        counts[group] += 1
        first.setdefault(group, (row["reason"], row["cure"]))
    order = ("refused", "failed", "skipped", "not_an_image")
    for kind, code in sorted(counts, key=lambda group: (order.index(group[0]), -counts[group], group[1])):
        yield RejectGroup(kind, code, counts[kind, code], *first[kind, code])


def _labels(out: OutFolder) -> Iterator[LabelSummary]:
    numbers: dict[tuple[str, str, str, str], array[float]] = {}
    missing: Counter[tuple[str, str, str, str]] = Counter()
    for row in _table(out, out.measurements_csv.name):
        name = row["bundle"], row["subject"], row["quantity"], row["unit"]
        kept = numbers.setdefault(name, array("d"))
        if row["value"] == "":
            missing[name] += 1
        else:
            kept.append(float(row["value"]))
    for name, kept in numbers.items():
        values = np.array(kept, dtype=np.float64)
        yield LabelSummary(*name, len(values), int((values == 0).sum()), missing[name], *_spread(values))


def _spread(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    # (n,) numbers -> mean, median, quartiles, smallest, largest.
    if not values.size:
        return (None,) * 6
    lower, median, upper = np.percentile(values, (25, 50, 75)).tolist()
    return float(values.mean()), median, lower, upper, float(values.min()), float(values.max())


def _doubts(out: OutFolder, rows: Sequence[CaseRow]) -> Iterator[Doubt]:
    doubtful = sorted((row for row in rows if row.review_first), key=lambda row: (row.confidence or 0.0, row.case_id))
    for row in doubtful[:MOST_DOUBTS]:
        report = out.case(row.case_id) / "case.json"
        reasons = read_report(report).review_reasons if report.is_file() else ()
        odd = odd_in_batch(row.compared_with, row.out_of_distribution)
        yield Doubt(row.case_id, row.confidence, (*reasons, *odd))


def _sample(out: OutFolder, rows: Sequence[CaseRow]) -> Iterator[str]:
    drawn = [row for row in rows if row.status == "done" and (out.case(row.case_id) / "preview.png").is_file()]
    doubtful = [row.case_id for row in drawn if row.review_first][: int(MOST_PREVIEWS * DOUBTFUL_PART)]
    others = [row.case_id for row in drawn if row.case_id not in set(doubtful)]
    yield from doubtful
    # The same seed everywhere: the same run shows the same cases.
    rng = random.Random(0)  # noqa: S311 - a sample for a page, no secret
    yield from sorted(rng.sample(others, min(len(others), MOST_PREVIEWS - len(doubtful))))


def _table(out: OutFolder, name: str) -> Iterator[dict[str, str]]:
    path = out.root / name
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as stream:
            yield from csv.DictReader(stream)


_ROW: TypeAdapter[CaseRow] = TypeAdapter(CaseRow)
