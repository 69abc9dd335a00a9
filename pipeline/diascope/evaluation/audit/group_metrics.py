"""Every metric of one group, and those that depend on the prevalence at a common one."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from diascope.evaluation.audit.measures import Measure
from diascope.evaluation.audit.table import AuditTable
from diascope.evaluation.bootstrap import Estimate, resample
from diascope.evaluation.calibration import ece_estimate, reliability, slope_and_intercept
from diascope.evaluation.curves import auc_estimate, average_precision_estimate
from diascope.evaluation.froc import summarise_detection
from diascope.evaluation.proportions import average_estimate, share_estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Curves of each group are drawn anew so often: their intervals are for the eye.
CURVE_ROUNDS = 200

# Tenths are what an eye can follow; a point of fewer rows says nothing, and might say who.
CALIBRATION_BINS = 10
FEWEST_IN_BIN = 10


def ratio_metrics(measures: tuple[Measure, ...], rows: Ints, patient: Ints) -> dict[str, Estimate]:
    """Compute the metrics that are one sum over another.

    Args:
        measures: Over the whole table.
        rows: (n,) rows of the group.
        patient: (rows of the table,) whose row it is.
    """
    _, code = np.unique(patient[rows], return_inverse=True)
    found = {}
    for one in measures:
        top, bottom = one.top[rows], one.bottom[rows]
        found[one.name] = (
            share_estimate(top, bottom, code, nothing=one.nothing)
            if one.kind == "share"
            else average_estimate(top, bottom, code, nothing=one.nothing, most=one.most)
        )
    return found


def curve_metrics(table: AuditTable, rows: Ints, rng: np.random.Generator, rounds: int) -> dict[str, Estimate]:
    """Compute the metrics that need the whole curve: discrimination and calibration, or FROC.

    Args:
        table: The whole table.
        rows: (n,) rows of the group.
        rng: Where chance comes from.
        rounds: Draws of patients; more than `CURVE_ROUNDS` are not made.
    """
    rounds = min(rounds, CURVE_ROUNDS)
    if table.scans is not None:
        scans = [table.scans.scans[at] for at in rows.tolist()]
        read = summarise_detection(scans, table.scans.rules, rng, rounds).metrics
        return {
            name: value
            for name, value in read.items()
            if name.startswith("sensitivity_at") or name in {"cpm", "average_precision"}
        }
    if table.positive is None or table.score is None:
        return {}
    positive, score = table.positive[rows], table.score[rows]
    _, code = np.unique(table.patient[rows], return_inverse=True)
    drawn = resample(code.tolist(), rng, rounds)
    slope, intercept = slope_and_intercept(positive, score, code)
    return {
        "auc": auc_estimate(positive, score, code),
        "average_precision": average_precision_estimate(positive, score, drawn),
        "ece": ece_estimate(positive, score, drawn),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }


def prevalence_matched(table: AuditTable, rows: Ints, threshold: float) -> Mapping[str, float]:
    """Compute what depends on the prevalence as if the group had the prevalence of the whole.

    A group with fewer ill has a lower predictive value from the same network;
    Glocker et al. (eBioMedicine 2023) resample for that, we weigh, which is the same
    without noise. Sensitivity and specificity do not change.
    """
    if table.positive is None or table.score is None:
        return {}
    positive, score = table.positive[rows], table.score[rows]
    if positive.all() or not positive.any():
        return {}
    aim, here = float(table.positive.mean()), float(positive.mean())
    weight = np.where(positive, aim / here, (1 - aim) / (1 - here))
    called = score >= threshold
    found = {
        "selection_rate": float(np.average(called, weights=weight)),
        "brier": float(np.average((score - positive) ** 2, weights=weight)),
    }
    if called.any():
        found["ppv"] = float(np.average(positive[called], weights=weight[called]))
    if not called.all():
        found["npv"] = float(np.average(~positive[~called], weights=weight[~called]))
    return found


def calibration_points(table: AuditTable, rows: Ints) -> tuple[tuple[float, float, int], ...]:
    """Give what a calibration plot shows: mean score, share of positives, rows."""
    if table.positive is None or table.score is None:
        return ()
    found = reliability(table.positive[rows], table.score[rows], CALIBRATION_BINS)
    points = zip(found.mean_score.tolist(), found.share_positive.tolist(), found.n.tolist(), strict=True)
    return tuple((promised, came, n) for promised, came, n in points if n >= FEWEST_IN_BIN)
