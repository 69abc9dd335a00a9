"""Learning what a network's scores are worth, from a calibration split: the makers of calibration.json.

Used by `diascope train` for a bundle of its own and by `diascope evaluate` for somebody
else's. Never learn on data whose figures are then reported.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from sklearn.isotonic import IsotonicRegression

from diascope.errors import InputError
from diascope.evaluation.calibration import SURE, apply_temperature, temperature
from diascope.evaluation.calibration_file import (
    ConfidenceCurve,
    MissRule,
    TargetCalibration,
    cooled_classes,
    set_rule,
)
from diascope.evaluation.conformal import calibrate_sets, control_misses, one_per_patient

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

# One number is fitted; with fewer patients of a class it follows a few odd cases.
FEWEST_OF_A_CLASS = 20

# Of slices there are many of each patient; still no fewer patients than for a conformal promise of 80 %.
FEWEST_WITH_SLICES = 8

# A temperature that is not known within a factor of two says little more than none.
WIDEST = 2.0

# What is promised of slices: the most that so few patients can hold with a limit.
PROMISES = (0.9, 0.8)

# A curve is fitted: fewer cases than this draw its steps where chance put them.
FEWEST_FOR_A_CURVE = 30


def learn_target(
    positive: Bools,
    score: Floats,
    patients: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    coverage: float = 0.9,
    sensitivity: float | None = None,
) -> TargetCalibration:
    """Learn temperature, operating point and conformal limit of a class that is there or not.

    Args:
        positive: (n,) the truth of the calibration split.
        score: (n,) raw, 0..1.
        patients: (n,) whose image it is.
        rng: Picks one image of each patient for the conformal limit.
        coverage: That the conformal sets promise.
        sensitivity: The operating point reaches it on the calibration split; where left
            out it maximises sensitivity + specificity (Youden).

    Raises:
        InputError: There are fewer than 20 patients of one class.
    """
    _need_patients(positive, patients)
    learnt = temperature(positive, score)
    calibrated = apply_temperature(score, learnt)
    columns = np.stack([1 - calibrated, calibrated], axis=1)
    rule = calibrate_sets(columns, positive.astype(np.int64), patients, coverage, rng)
    point, how = _operating_point(positive, calibrated, sensitivity)
    return TargetCalibration(temperature=learnt, operating_point=point, operating_rule=how, sets=set_rule(rule))


def learn_slices(
    positive: Bools, score: Floats, patients: Sequence[Hashable], rng: np.random.Generator
) -> TargetCalibration:
    """Learn temperature, operating point and conformal limit of single slices of a scan.

    Slices of a patient are alike, so patients are counted. One number is fitted to very
    many slices, and how far it depends on who they are is seen by leaving each patient out.

    Args:
        positive: (n,) whether the slice shows the class.
        score: (n,) raw, 0..1.
        patients: (n,) whose slice it is.
        rng: Picks one slice of each patient for the conformal limit.

    Raises:
        InputError: Fewer than 8 patients have slices with the class or without, or the temperature depends on
            who they are.
    """
    code = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)[1]
    people = [len(np.unique(code[side])) for side in (positive, ~positive)]
    if min(people) < FEWEST_WITH_SLICES:
        raise InputError(
            f"slices of {people[0]} patients show it, of {people[1]} not; {FEWEST_WITH_SLICES} of each are needed",
            hint="calibrate on more patients",
            code="too_few_patients",
        )
    learnt = temperature(positive, score)
    n = int(code.max()) + 1
    left_out = np.log([temperature(positive[code != one], score[code != one]) for one in range(n)])
    error = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    half = float(student.ppf(0.975, n - 1) * error)
    low, high = learnt * np.exp(-half), learnt * np.exp(half)
    if high > WIDEST * low:
        raise InputError(
            f"the temperature of {n} patients may be anything from {low:.2f} to {high:.2f}",
            hint="calibrate on more patients",
            code="too_few_patients",
        )
    calibrated = apply_temperature(score, learnt)
    columns = np.stack([1 - calibrated, calibrated], axis=1)
    promised = next((one for one in PROMISES if np.ceil((n + 1) * one - 1e-9) <= n), PROMISES[-1])
    rule = calibrate_sets(columns, positive.astype(np.int64), patients, promised, rng)
    point, how = _operating_point(positive, calibrated, None)
    return TargetCalibration(
        temperature=learnt,
        temperature_interval=(float(low), float(high)),
        operating_point=point,
        operating_rule=how,
        sets=set_rule(rule),
    )


def learn_classes(
    truth: Ints, scores: Floats, patients: Sequence[Hashable], rng: np.random.Generator, *, coverage: float = 0.9
) -> TargetCalibration:
    """Learn temperature and conformal limit of classes that exclude each other.

    Args:
        truth: (n,) the true class.
        scores: (n, classes) raw, each row adds up to 1.
        patients: (n,) whose image it is.
        rng: Picks one image of each patient for the conformal limit.
        coverage: That the conformal sets promise.

    Raises:
        InputError: There are fewer than 20 patients.
    """
    if (people := len(set(patients))) < FEWEST_OF_A_CLASS:
        raise InputError(f"{people} patients, {FEWEST_OF_A_CLASS} are needed to calibrate", code="too_few_patients")
    # The same likelihood as of one class, read off a grid: it has one valley, and two digits suffice.
    tried = np.exp(np.linspace(np.log(0.05), np.log(20.0), 600))
    of_truth = np.arange(len(truth)), truth
    loss = [-np.log(np.maximum(cooled_classes(scores, t)[of_truth], SURE)).mean() for t in tried]
    learnt = float(tried[int(np.argmin(loss))])
    rule = calibrate_sets(cooled_classes(scores, learnt), truth, patients, coverage, rng)
    return TargetCalibration(temperature=learnt, sets=set_rule(rule))


def learn_missed_volume(
    missed: Floats, thresholds: Floats, patients: Sequence[Hashable], rng: np.random.Generator, *, bound: float = 0.1
) -> MissRule:
    """Learn from which probability on a voxel is to be drawn.

    Args:
        missed: (n, t) share of each lesion-bearing image's lesion that is missed at each
            threshold: `missed_share` of `diascope.tasks.uncertainty.lesion_probabilities`.
        thresholds: (t,) ascending, below 0.5: a higher one would draw less than the network does.
        patients: (n,) whose image it is.
        rng: Picks one image of each patient.
        bound: Promised mean share.
    """
    found = control_misses(missed, thresholds, patients, bound, rng)
    return MissRule(bound=found.bound, threshold=found.threshold, cases=found.cases)


def learn_confidence(
    raw: Floats, dice: Floats, patients: Sequence[Hashable], rng: np.random.Generator
) -> ConfidenceCurve:
    """Learn what Dice a raw confidence of a segmentation stands for (isotonic regression).

    Args:
        raw: (n,) `diascope.tasks.uncertainty.segmentation_confidence` of each image.
        dice: (n,) its Dice, over all labels; 0 for what was missed or invented.
        patients: (n,) whose image it is.
        rng: Picks one image of each patient.

    Raises:
        InputError: There are fewer than 30 patients.
    """
    kept = one_per_patient(patients, rng)
    if len(kept) < FEWEST_FOR_A_CURVE:
        raise InputError(
            f"{len(kept)} patients are too few for a curve, {FEWEST_FOR_A_CURVE} are needed", code="too_few_patients"
        )
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(raw[kept], dice[kept])
    knots = np.asarray(fitted.X_thresholds_, dtype=np.float64), np.asarray(fitted.y_thresholds_, dtype=np.float64)
    return ConfidenceCurve(raw=tuple(knots[0].tolist()), seen=tuple(knots[1].tolist()), cases=len(kept))


def _need_patients(positive: Bools, patients: Sequence[Hashable]) -> None:
    people = [
        len({who for who, is_side in zip(patients, side.tolist(), strict=True) if is_side})
        for side in (positive, ~positive)
    ]
    if min(people) < FEWEST_OF_A_CLASS:
        raise InputError(
            f"{people[0]} positive and {people[1]} negative patients, {FEWEST_OF_A_CLASS} of each are needed",
            hint="calibrate on more patients",
            code="too_few_patients",
        )


def _operating_point(positive: Bools, score: Floats, sensitivity: float | None) -> tuple[float, str]:
    # A score equal to the point is positive, so the points to choose from are the scores themselves.
    points = np.unique(score)
    ill, healthy = np.sort(score[positive]), np.sort(score[~positive])
    found = 1 - np.searchsorted(ill, points, side="left") / len(ill)
    cleared = np.searchsorted(healthy, points, side="left") / len(healthy)
    if sensitivity is None:
        return float(points[int(np.argmax(found + cleared))]), "largest sensitivity + specificity"
    enough = np.flatnonzero(found >= sensitivity)
    return float(points[enough[-1]]), f"sensitivity of {sensitivity:g} on the calibration split"
