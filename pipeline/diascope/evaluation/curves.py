"""Areas under curves: ROC with DeLong's variance, precision and recall.

DeLong, DeLong and Clarke-Pearson (Biometrics 1988) for independent rows, Obuchowski
(Biometrics 1997) where a patient has several: the same numbers if each has one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import rankdata

from diascope.evaluation.bootstrap import FEWEST_PATIENTS, Estimate, Resampling, interval
from diascope.evaluation.proportions import Z

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ONE_CLASS = "only one class is present"


@dataclass(frozen=True, slots=True)
class Auc:
    """The area under a ROC curve and its standard error.

    Attributes:
        value: Probability that a positive scores above a negative, ties counting half.
        standard_error: Of the value, patients counted as a whole.
    """

    value: float
    standard_error: float


def delong(positive: Bools, score: Floats, code: Ints) -> Auc | None:
    """Compute the AUC with its standard error; None if there is only one class.

    Args:
        positive: (n,) the truth.
        score: (n,) any number; higher speaks for positive.
        code: (n,) whose row it is, 0..patients-1.
    """
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return None
    # Sun and Xu (IEEE SPL 2014): the structural components are differences of mid-ranks.
    ranks = rankdata(score)
    above = (ranks[positive] - rankdata(score[positive])) / n_negative
    below = 1 - (ranks[~positive] - rankdata(score[~positive])) / n_positive
    value = float(above.mean())
    patients = int(code.max()) + 1
    of_positives = _per_patient(code[positive], above - value, patients)
    of_negatives = _per_patient(code[~positive], below - value, patients)
    variance = (
        _between(of_positives, np.unique(code[positive]).size) / n_positive**2
        + _between(of_negatives, np.unique(code[~positive]).size) / n_negative**2
        + 2 * _unbiased(np.unique(code).size) * float((of_positives * of_negatives).sum()) / (n_positive * n_negative)
    )
    return Auc(value, float(np.sqrt(max(variance, 0.0))))


def auc_estimate(positive: Bools, score: Floats, code: Ints) -> Estimate:
    """Give the AUC its interval: DeLong's on the logit scale, which stays within 0..1.

    Where every positive scores above every negative the variance is 0 and says
    nothing; there the interval is that of Newcombe (Stat Med 2006, method 5).
    """
    found = delong(positive, score, code)
    if found is None:
        return Estimate(None, n=len(score), reason=ONE_CLASS)
    patients = [np.unique(code[side]).size for side in (positive, ~positive)]
    if min(patients) < FEWEST_PATIENTS:
        return Estimate(found.value, n=len(score), reason=f"{min(patients)} patients of a class are too few")
    if found.standard_error == 0 or found.value in {0.0, 1.0}:
        low, high = _newcombe(found.value, *patients)
    else:
        half = Z * found.standard_error / (found.value * (1 - found.value))
        low, high = expit(logit(found.value) - half), expit(logit(found.value) + half)
    return Estimate(found.value, float(low), float(high), len(score))


def average_precision(positive: Bools, score: Floats) -> float | None:
    """Sum precision over the steps of recall, no interpolation; None without positives.

    Equal scores are one step, as in scikit-learn.
    """
    if not positive.any():
        return None
    order, ends = _steps(score)
    return float(_precision_sum(positive[order], ends, np.ones((1, len(score))))[0])


def average_precision_estimate(positive: Bools, score: Floats, drawn: Resampling) -> Estimate:
    """Give the average precision the interval of the draws."""
    value = average_precision(positive, score)
    if value is None:
        return Estimate(None, n=len(score), reason="no positives")
    behind = np.unique(drawn.code[positive]).size
    if behind < FEWEST_PATIENTS:
        return Estimate(value, n=len(score), reason=f"{behind} positive patients are too few for an interval")
    order, ends = _steps(score)
    rounds = [_precision_sum(positive[order], ends, weights[:, order]) for weights in drawn.row_weights()]
    low, high = interval(np.concatenate(rounds))
    return Estimate(value, low, high, len(score))


def _per_patient(code: Ints, values: Floats, patients: int) -> Floats:
    return np.bincount(code, values, patients).astype(np.float64)


def _unbiased(patients: int) -> float:
    return patients / (patients - 1) if patients > 1 else 1.0


def _between(residuals: Floats, patients: int) -> float:
    return _unbiased(patients) * float((residuals**2).sum())


def _newcombe(value: float, n_positive: int, n_negative: int) -> tuple[float, float]:
    def off(at: float, side: int) -> float:
        variance = at * (1 - at) / (n_positive * n_negative)
        variance *= 1 + (n_positive - 1) * (1 - at) / (2 - at) + (n_negative - 1) * at / (1 + at)
        return value - at - side * Z * float(np.sqrt(variance))

    low = 0.0 if value == 0 else float(brentq(off, 0.0, value - 1e-12, args=(1,)))
    high = 1.0 if value == 1 else float(brentq(off, value + 1e-12, 1.0, args=(-1,)))
    return low, high


def _steps(score: Floats) -> tuple[Ints, Ints]:
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    return order, ends


def _precision_sum(positive: Bools, ends: Ints, weights: Floats) -> Floats:
    found = np.cumsum(weights * positive, axis=1)[:, ends]
    marked = np.cumsum(weights, axis=1)[:, ends]
    gained = np.diff(found, axis=1, prepend=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(marked > 0, found / marked, 0.0)
        summed: Floats = (gained * precision).sum(axis=1) / found[:, -1]
    return summed
