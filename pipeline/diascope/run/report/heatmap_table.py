"""heatmaps.csv: a row per heatmap of a batch with its verdict, and the rows summed up per network, target, method."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import get_args

from diascope.evaluation.proportions import wilson
from diascope.findings import HeatmapRecord, Trust
from diascope.io.outfolder import OutFolder, write_atomic

# Names of the checks of explain/, in the order of its questions, and what a table calls them.
CHECKS: Mapping[str, str] = {
    "weights_as_locked": "weights as locked",
    "confidence_in_reference": "confidence",
    "features_in_reference": "features",
    "depends_on_weights": "similarity to fresh weights",
    "deletion_gain_over_random": "deletion gain over random",
    "insertion_gain_over_random": "insertion gain over random",
    "deletion_gain_over_centre_blob": "deletion gain over centre blob",
    "insertion_gain_over_centre_blob": "insertion gain over centre blob",
    "infidelity": "infidelity",
    "repeatability": "repeatability",
    "max_sensitivity": "max-sensitivity",
    "energy_outside_body": "energy outside the body",
    "energy_at_border": "energy at the border",
}
TRUSTS: tuple[Trust, ...] = get_args(Trust)

_ABOUT = ("case_id", "image_id", "bundle", "target", "method", "file", "trust", "has_positive_evidence")
_RANGE = ("lowest", "highest")
_BATCH = ("batch_checked", "batch_supported", "reason")
COLUMNS = (*_ABOUT, *_RANGE, *CHECKS, *_BATCH)


@dataclass(frozen=True, slots=True)
class MapRow:
    """A row of heatmaps.csv, as far as a summary needs it.

    Attributes:
        bundle: Whose answer is explained.
        target: Which.
        method: How.
        trust: The verdict.
        has_positive_evidence: Whether any place speaks for the target.
        numbers: Behind each check that was asked and answered with a number.
    """

    bundle: str
    target: str
    method: str
    trust: Trust
    has_positive_evidence: bool
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class HeatmapSummary:
    """All maps of one target of a network by one method.

    Attributes:
        bundle: Whose answers are explained.
        target: Which.
        method: How.
        maps: How many there are.
        trusts: How many got each verdict.
        without_evidence: How many have no place that speaks for the target.
        supported: Share of the checked ones that are supported; None if none was checked.
        low: Of the share's 95 % interval (Wilson).
        high: Of it.
        means: Of the number behind each check, over the maps that have it.
    """

    bundle: str
    target: str
    method: str
    maps: int
    trusts: Mapping[Trust, int]
    without_evidence: int
    supported: float | None
    low: float | None
    high: float | None
    means: Mapping[str, float]

    @property
    def checked(self) -> int:
        """Number of maps that were asked the dear questions."""
        return self.maps - self.trusts["unchecked"]


def write_heatmaps(out: OutFolder, records: Sequence[tuple[str, HeatmapRecord]]) -> None:
    """Write heatmaps.csv, with the batch's rate beside every map; no file where there is no map.

    Args:
        out: The output folder.
        records: case_id and heatmap, in the order of the rows.
    """
    if not records:
        out.heatmaps_csv.unlink(missing_ok=True)
        return
    rows = [_row(record) for _, record in records]
    rates = {(one.bundle, one.target, one.method): one for one in sum_up(rows)}
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (case_id, record), row in zip(records, rows, strict=True):
        rate = rates[row.bundle, row.target, row.method]
        writer.writerow([case_id, *_cells(record), rate.checked, rate.trusts["supported"], record.trust_reason])
    write_atomic(out.heatmaps_csv, stream.getvalue())


def read_heatmaps(out: OutFolder) -> tuple[MapRow, ...]:
    """Read heatmaps.csv; nothing where there is none."""
    if not out.heatmaps_csv.is_file():
        return ()
    with out.heatmaps_csv.open(newline="", encoding="utf-8") as stream:
        return tuple(_parsed(row) for row in csv.DictReader(stream))


def sum_up(rows: Iterable[MapRow]) -> Iterator[HeatmapSummary]:
    """Sum maps up per network, target and method, in the order in which they come up."""
    groups: dict[tuple[str, str, str], list[MapRow]] = {}
    for row in rows:
        groups.setdefault((row.bundle, row.target, row.method), []).append(row)
    for (bundle, target, method), group in groups.items():
        trusts = {trust: sum(row.trust == trust for row in group) for trust in TRUSTS}
        checked = len(group) - trusts["unchecked"]
        share = trusts["supported"] / checked if checked else None
        low, high = wilson(share, checked) if share is not None else (None, None)
        known = {name: [row.numbers[name] for row in group if name in row.numbers] for name in CHECKS}
        yield HeatmapSummary(
            bundle=bundle,
            target=target,
            method=method,
            maps=len(group),
            trusts=trusts,
            without_evidence=sum(not row.has_positive_evidence for row in group),
            supported=share,
            low=low,
            high=high,
            means={name: fmean(values) for name, values in known.items() if values},
        )


def _row(record: HeatmapRecord) -> MapRow:
    numbers = {check.name: check.value for check in record.checks if check.value is not None}
    return MapRow(record.bundle, record.target, record.method, record.trust, record.has_positive_evidence, numbers)


def _cells(record: HeatmapRecord) -> Iterator[object]:
    yield from (record.image_id, record.bundle, record.target, record.method, record.file, record.trust)
    yield json.dumps(record.has_positive_evidence)
    yield from (f"{value:.6g}" for value in record.raw_range)
    checks = {check.name: check for check in record.checks}
    for name in CHECKS:
        yield _cell(checks[name].value, checks[name].passed) if name in checks else ""


def _cell(value: float | None, passed: bool | None) -> str:
    if value is not None:
        return f"{value:.6g}"
    return "" if passed is None else json.dumps(passed)


def _parsed(row: Mapping[str, str]) -> MapRow:
    numbers = {name: float(row[name]) for name in CHECKS if row[name] not in {"", "true", "false"}}
    trust = next(known for known in TRUSTS if known == row["trust"])
    return MapRow(row["bundle"], row["target"], row["method"], trust, row["has_positive_evidence"] == "true", numbers)
