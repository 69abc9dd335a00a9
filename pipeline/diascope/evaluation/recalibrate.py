"""A score that means what it says: what is learnt of somebody else's bundle, checked on other patients.

Half of the patients calibrate, the other half check what that is worth; then all of
them calibrate what is kept. Without both classes among enough patients there is no
calibration, and the score stays raw.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.evaluation.bootstrap import Estimate, mean_estimate, resample
from diascope.evaluation.calibration import apply_temperature, brier_estimate, ece_estimate
from diascope.evaluation.calibration_file import ConfidenceCurve, MissRule, TargetCalibration
from diascope.evaluation.calibration_learning import (
    FEWEST_FOR_A_CURVE,
    FEWEST_OF_A_CLASS,
    learn_confidence,
    learn_missed_volume,
    learn_target,
)
from diascope.evaluation.conformal import EVERYBODY, coverage_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What was learnt from a calibration split.

    Attributes:
        patients: It rests on.
        learnt: Temperature, operating point and conformal limit, from all patients; None
            if there were too few.
        before: Brier and ECE of the raw score, on the patients that checked.
        after: The same of the calibrated score, on the same patients.
        coverage: Share of the checking patients whose true class was in the set.
        reason: Why nothing was learnt; else empty.
    """

    patients: int
    learnt: TargetCalibration | None
    before: Mapping[str, Estimate]
    after: Mapping[str, Estimate]
    coverage: Estimate | None
    reason: str = ""


def recalibrate(
    positive: Bools, score: Floats, patients: Sequence[Hashable], coverage: float, rng: np.random.Generator
) -> Recalibration:
    """Calibrate a binary score.

    Args:
        positive: (n,) the truth.
        score: (n,) in 0..1, raw.
        patients: (n,) whose case it is.
        coverage: That the conformal sets promise.
        rng: Deals the patients into halves.
    """
    code = pd.factorize(np.asarray(patients, dtype=object))[0].astype(np.int64)
    people = [len(np.unique(code[side])) for side in (positive, ~positive)]
    total = len(np.unique(code))
    if min(people) < 2 * FEWEST_OF_A_CLASS:
        reason = f"{people[0]} positive and {people[1]} negative patients, {2 * FEWEST_OF_A_CLASS} of each are needed"
        return Recalibration(total, None, {}, {}, None, reason)
    fits = _half(code, positive, rng)
    checks = ~fits
    tried = learn_target(positive[fits], score[fits], code[fits].tolist(), rng, coverage=coverage)
    calibrated = apply_temperature(score, tried.temperature)[checks]
    of_truth = np.where(positive[checks], calibrated, 1 - calibrated)
    is_in = np.array([tried.sets is None or tried.sets.is_open(value) for value in of_truth.tolist()])
    return Recalibration(
        total,
        learn_target(positive, score, code.tolist(), rng, coverage=coverage),
        _worth(positive[checks], score[checks], code[checks], rng),
        _worth(positive[checks], calibrated, code[checks], rng),
        coverage_of(is_in, code[checks].tolist())[EVERYBODY],
    )


@dataclass(frozen=True, slots=True)
class OutlineRecalibration:
    """What was learnt of the confidence of a segmentation.

    Attributes:
        patients: It rests on.
        learnt: From raw confidence to the Dice that such cases had; None if there were too few patients.
        before: Mean distance of raw confidence and Dice, on the patients that checked.
        after: The same of what the curve says, on the same patients.
        reason: Why nothing was learnt; else empty.
    """

    patients: int
    learnt: ConfidenceCurve | None
    before: Estimate | None
    after: Estimate | None
    reason: str = ""


def recalibrate_outlines(
    raw: Floats, dice: Floats, patients: Sequence[Hashable], rng: np.random.Generator
) -> OutlineRecalibration:
    """Learn what a raw confidence of outlines is worth, on half of the patients, and check it on the others.

    Args:
        raw: (n,) confidence of each image, 0..1.
        dice: (n,) over its labels.
        patients: (n,) whose image it is.
        rng: Deals the patients into halves.
    """
    code = pd.factorize(np.asarray(patients, dtype=object))[0].astype(np.int64)
    total = len(np.unique(code))
    if total < 2 * FEWEST_FOR_A_CURVE:
        reason = f"{total} patients, {2 * FEWEST_FOR_A_CURVE} are needed"
        return OutlineRecalibration(total, None, None, None, reason)
    fits = _half(code, np.ones(len(code), dtype=bool), rng)
    tried = learn_confidence(raw[fits], dice[fits], code[fits].tolist(), rng)
    checks = ~fits
    drawn = resample(code[checks].tolist(), rng, 500)
    said = np.array([tried.calibrated(value) for value in raw[checks].tolist()])
    return OutlineRecalibration(
        total,
        learn_confidence(raw, dice, code.tolist(), rng),
        mean_estimate(np.abs(raw[checks] - dice[checks]), drawn, nothing="no rows"),
        mean_estimate(np.abs(said - dice[checks]), drawn, nothing="no rows"),
    )


@dataclass(frozen=True, slots=True)
class MissRecalibration:
    """What was learnt of the volume of a label that is missed.

    Attributes:
        patients: It rests on.
        learnt: From which probability on voxels are to be drawn, from all patients; None if there were too few.
        before: Mean missed share of what was drawn, on the patients that checked.
        after: The same of what would have been drawn from the threshold that the others gave.
        reason: Why nothing was learnt; else empty.
    """

    patients: int
    learnt: MissRule | None
    before: Estimate | None
    after: Estimate | None
    reason: str = ""


def recalibrate_misses(
    missed: Floats,
    thresholds: Floats,
    drawn_share: Floats,
    patients: Sequence[Hashable],
    bound: float,
    rng: np.random.Generator,
) -> MissRecalibration:
    """Learn from which probability on voxels are to be drawn, on half of the patients, and check it on the others.

    Args:
        missed: (n, t) share of each image's structure below each threshold.
        thresholds: (t,) ascending, below 0.5.
        drawn_share: (n,) share that was missed by what was drawn.
        patients: (n,) whose image it is.
        bound: Promised mean share.
        rng: Deals the patients into halves.
    """
    code = pd.factorize(np.asarray(patients, dtype=object))[0].astype(np.int64)
    total = len(np.unique(code))
    # With n patients, none of whom misses anything, the share that can be promised is 1 / (n + 1).
    fewest = 2 * (int(np.ceil(1 / bound - 1e-9)) - 1)
    if total < fewest:
        reason = f"{total} patients, {fewest} are needed to promise {bound:g}"
        return MissRecalibration(total, None, None, None, reason)
    fits = _half(code, np.ones(len(code), dtype=bool), rng)
    tried = learn_missed_volume(missed[fits], thresholds, code[fits].tolist(), rng, bound=bound)
    learnt = learn_missed_volume(missed, thresholds, code.tolist(), rng, bound=bound)
    if tried.threshold is None or learnt.threshold is None:
        reason = f"no threshold holds the missed volume below {bound:g} with {total} patients"
        return MissRecalibration(total, None, None, None, reason)
    drawn = resample(code[~fits].tolist(), rng, 500)
    at = int(np.argmin(np.abs(thresholds - tried.threshold)))
    return MissRecalibration(
        total,
        learnt,
        mean_estimate(drawn_share[~fits], drawn, nothing="no rows"),
        mean_estimate(missed[~fits, at], drawn, nothing="no rows"),
    )


def _half(code: NDArray[np.int64], positive: Bools, rng: np.random.Generator) -> Bools:
    # Dealt by whether a patient was ever positive: both halves then hold both classes.
    ever = np.bincount(code, positive) > 0
    fits = np.zeros(len(ever), dtype=bool)
    for side in (ever, ~ever):
        members = rng.permutation(np.flatnonzero(side))
        fits[members[: (len(members) + 1) // 2]] = True
    return fits[code]


def _worth(positive: Bools, score: Floats, code: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Estimate]:
    drawn = resample(code.tolist(), rng, 500)
    return {"brier": brier_estimate(positive, score, drawn), "ece": ece_estimate(positive, score, drawn)}
