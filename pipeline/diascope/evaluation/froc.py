"""Sensitivity against false positives per scan: FROC, its score, and precision.

Between two operating points the curve is a straight line, and beyond its last one it
stays where it is, as in LUNA16. Points are taken where the score changes, so marks of
equal score enter together, and a perfect detector whose marks are all equally sure
has the score 1.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diascope.evaluation.bootstrap import (
    FEWEST_PATIENTS,
    ROUNDS,
    Estimate,
    Resampling,
    interval,
    mean_estimate,
    resample,
)
from diascope.evaluation.detection import MIN_IOU, MOST_MARKS, MatchRule, Scan, ScanHits, check_scans, match
from diascope.evaluation.proportions import share_estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FP_PER_SCAN = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Where LUNA16 reads the curve; the mean of these seven is the CPM."""


@dataclass(frozen=True, slots=True, eq=False)
class FrocCurve:
    """The operating points of a detector, from the strictest on.

    Attributes:
        threshold: (n,) marks of this score or more are shown.
        fp_per_scan: (n,) false positives per scan, scans without lesions included.
        sensitivity: (n,) share of the lesions that are found.
    """

    threshold: Floats
    fp_per_scan: Floats
    sensitivity: Floats


@dataclass(frozen=True, slots=True, eq=False)
class DetectionSummary:
    """How well lesions are found.

    Attributes:
        scans: How many.
        patients: Of how many patients.
        scans_without_lesions: Scans in which nothing is to be found.
        lesions: How many there are.
        threshold: The operating point of `sensitivity` and `false_positives_per_scan`.
        metrics: By name, as in docs/metrics.md.
        by_size: Name of the size class to its metrics; empty if no edges were given.
        curve: The whole curve; None if there are no lesions.
    """

    scans: int
    patients: int
    scans_without_lesions: int
    lesions: int
    threshold: float
    metrics: Mapping[str, Estimate]
    by_size: Mapping[str, Mapping[str, Estimate]]
    curve: FrocCurve | None


@dataclass(frozen=True, slots=True)
class DetectionRules:
    """What counts as found, and where the detector works.

    Attributes:
        rule: When a mark hits a lesion; see `detection.match`.
        min_iou: For the rule `iou`.
        threshold: Operating point: marks of this score or more are shown.
        size_edges: Limits between size classes, in the unit of the lesions' size.
        most_marks: How many marks of a scan count; None for all.
    """

    rule: MatchRule = "iou"
    min_iou: float = MIN_IOU
    threshold: float = 0.5
    size_edges: tuple[float, ...] = ()
    most_marks: int | None = MOST_MARKS


def summarise_detection(
    scans: Sequence[Scan], rules: DetectionRules, rng: np.random.Generator, rounds: int = ROUNDS
) -> DetectionSummary:
    """Compute every detection metric with its interval, patients drawn as a whole.

    Args:
        scans: All that were read, also those without lesions or marks.
        rules: What counts as found.
        rng: Where chance comes from.
        rounds: How many draws of patients.
    """
    check_scans(scans)
    hits = [match(scan, rules.rule, min_iou=rules.min_iou, most_marks=rules.most_marks) for scan in scans]
    drawn = resample([scan.patient for scan in scans], rng, rounds)
    events = _Events.of(hits)
    everything = np.ones(int(events.is_lesion.sum()) + events.missed.size, dtype=bool)
    lesions = np.array([len(hit.lesion_scores) for hit in hits])
    metrics = {
        **_at_operating_point(hits, drawn, rules.threshold),
        **_curve_metrics(events, drawn, everything),
    }
    return DetectionSummary(
        scans=len(scans),
        patients=drawn.patients,
        scans_without_lesions=int((lesions == 0).sum()),
        lesions=int(lesions.sum()),
        threshold=rules.threshold,
        metrics=metrics,
        by_size=_by_size(events, drawn, rules.size_edges),
        curve=froc_curve(hits) if lesions.sum() else None,
    )


def froc_curve(hits: Sequence[ScanHits]) -> FrocCurve:
    """Give the operating points; there must be at least one lesion."""
    events = _Events.of(hits)
    ends = events.ends()
    found, false = (np.cumsum(side)[ends] for side in (events.is_lesion, ~events.is_lesion))
    lesions = events.is_lesion.sum() + events.missed.size
    return FrocCurve(events.score[ends], false / len(hits), found / lesions)


def sensitivity_at(curve: FrocCurve, fp_per_scan: float) -> float:
    """Read the curve at a number of false positives per scan (above 0)."""
    return float(np.interp(fp_per_scan, np.append(0.0, curve.fp_per_scan), np.append(0.0, curve.sensitivity)))


@dataclass(frozen=True, slots=True, eq=False)
class _Events:
    # Found lesions and false marks, surest first; missed lesions apart.
    score: Floats
    is_lesion: Bools
    scan: Ints
    size: Floats
    missed: Ints
    missed_size: Floats

    @classmethod
    def of(cls, hits: Sequence[ScanHits]) -> "_Events":
        lesion, false = (
            np.concatenate([np.empty(0), *(getattr(hit, side) for hit in hits)])
            for side in ("lesion_scores", "false_scores")
        )
        sizes = np.concatenate([np.empty(0), *(hit.lesion_sizes for hit in hits)])
        of_lesion = np.repeat(np.arange(len(hits)), [len(hit.lesion_scores) for hit in hits])
        of_false = np.repeat(np.arange(len(hits)), [len(hit.false_scores) for hit in hits])
        seen = np.isfinite(lesion)
        score = np.concatenate([lesion[seen], false])
        order = np.argsort(-score, kind="stable")
        return cls(
            score[order],
            np.concatenate([np.ones(int(seen.sum()), dtype=bool), np.zeros(len(false), dtype=bool)])[order],
            np.concatenate([of_lesion[seen], of_false])[order],
            np.concatenate([sizes[seen], np.full(len(false), np.nan)])[order],
            of_lesion[~seen],
            sizes[~seen],
        )

    def ends(self) -> Ints:
        # The last event of each score: equal scores are one operating point.
        if self.score.size == 0:
            return np.empty(0, dtype=np.int64)
        return np.append(np.flatnonzero(np.diff(self.score)), self.score.size - 1)


def _at_operating_point(hits: Sequence[ScanHits], drawn: Resampling, threshold: float) -> dict[str, Estimate]:
    found = np.array([(hit.lesion_scores >= threshold).sum() for hit in hits], dtype=np.float64)
    lesions = np.array([len(hit.lesion_scores) for hit in hits], dtype=np.float64)
    false = np.array([(hit.false_scores >= threshold).sum() for hit in hits], dtype=np.float64)
    healthy = np.where(lesions == 0, false, np.nan)
    return {
        "sensitivity": share_estimate(found, lesions, drawn.code, nothing="no lesions"),
        "false_positives_per_scan": mean_estimate(false, drawn, nothing="no scans"),
        "false_positives_per_scan_without_lesions": mean_estimate(healthy, drawn, nothing="every scan has lesions"),
    }


def _by_size(events: _Events, drawn: Resampling, edges: tuple[float, ...]) -> dict[str, Mapping[str, Estimate]]:
    # False positives have no true size: each class is read at the same false positives per scan.
    if not edges:
        return {}
    sizes = np.concatenate([events.size[events.is_lesion], events.missed_size])
    limits = [-np.inf, *sorted(edges), np.inf]
    found: dict[str, Mapping[str, Estimate]] = {}
    for low, high in itertools.pairwise(limits):
        found[_class_name(low, high)] = _curve_metrics(events, drawn, (sizes >= low) & (sizes < high))
    if np.isnan(sizes).any():
        found["size unknown"] = _curve_metrics(events, drawn, np.isnan(sizes))
    return found


def _class_name(low: float, high: float) -> str:
    if np.isinf(low):
        return f"below {high:g}"
    return f"{low:g} and over" if np.isinf(high) else f"{low:g} to {high:g}"


def _curve_metrics(events: _Events, drawn: Resampling, judged: Bools) -> dict[str, Estimate]:
    # judged: one per lesion, found ones first in the order of the events, then the missed.
    names = [*(f"sensitivity_at_{rate:g}_fp" for rate in FP_PER_SCAN), "cpm", "average_precision"]
    n = int(judged.sum())
    if n == 0:
        return {name: Estimate(None, n=0, reason="no lesions") for name in names}
    n_found = int(events.is_lesion.sum())
    counts = np.zeros(events.score.size)
    counts[events.is_lesion] = judged[:n_found]
    missed = events.missed[judged[n_found:]]
    value = _read(events, counts, missed, np.ones((1, drawn.code.size)))[0]
    of_lesions = np.concatenate([events.scan[counts > 0], missed])
    behind = np.unique(drawn.code[of_lesions]).size
    if behind < FEWEST_PATIENTS:
        reason = f"{behind} patients with lesions are too few for an interval"
        return {name: Estimate(float(v), n=n, reason=reason) for name, v in zip(names, value, strict=True)}
    rounds = np.concatenate([_read(events, counts, missed, weights) for weights in drawn.row_weights()])
    return {
        name: Estimate(float(v), *interval(rounds[:, at]), n=n)
        for at, (name, v) in enumerate(zip(names, value, strict=True))
    }


def _read(events: _Events, counts: Floats, missed: Ints, weights: Floats) -> Floats:
    """Read the curve at the rates for weighted scans.

    Args:
        events: Found lesions and false marks, surest first.
        counts: (events,) 1 for a lesion that is judged here, else 0.
        missed: (m,) the scan of each judged lesion that nothing hit.
        weights: (rounds, scans).

    Returns:
        (rounds, 9): the sensitivities, their mean, and the average precision.
    """
    ends = events.ends()
    of_event = weights[:, events.scan]
    found = np.cumsum(of_event * counts, axis=1)
    lesions = (found[:, -1] if found.shape[1] else 0) + weights[:, missed].sum(axis=1)
    found = found[:, ends]
    false = np.cumsum(of_event * ~events.is_lesion, axis=1)[:, ends]
    start = np.zeros((len(weights), 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = np.hstack([start, found / lesions[:, None]])
        fp_per_scan = np.hstack([start, false / weights.sum(axis=1, keepdims=True)])
        at_rates = [np.interp(FP_PER_SCAN, x, y) for x, y in zip(fp_per_scan, sensitivity, strict=True)]
        precision = np.where(found + false > 0, found / (found + false), 0.0)
        area = (np.diff(sensitivity, axis=1) * precision).sum(axis=1)
    read = np.array(at_rates)
    return np.column_stack([read, read.mean(axis=1), area])
