"""Whether a score of 0.8 means 80 of 100: how far off, and how to mend it.

The expected calibration error depends on where its bins end (with scores on the
edges the common libraries give three different numbers). Here there are 15 bins of
equal width on the probability of the positive class, closed below and open above,
the last closed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from diascope.errors import InputError
from diascope.evaluation.bootstrap import FEWEST_PATIENTS, Estimate, Resampling, interval, mean_estimate
from diascope.evaluation.proportions import Z

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BINS = 15

# logit(0) and logit(1) are infinite; a float32 sigmoid cannot tell more from 0 and 1.
SURE = 1e-7

# Beyond this the slope of a logistic fit grows without end: the classes are separated.
STEEPEST = 200.0


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """What is behind a calibration plot, per bin.

    Attributes:
        n: (bins,) rows.
        mean_score: (bins,) what was promised; NaN in an empty bin.
        share_positive: (bins,) what came; NaN in an empty bin.
    """

    n: Ints
    mean_score: Floats
    share_positive: Floats


def brier_estimate(positive: Bools, score: Floats, drawn: Resampling) -> Estimate:
    """Average the squared distance of score and truth."""
    return mean_estimate((score - positive) ** 2, drawn, nothing="no rows")


def bin_of(score: Floats, bins: int = BINS) -> Ints:
    """Say in which bin each score lies: [a, b), the last one closed.

    Args:
        score: (n,) in 0..1.
        bins: How many of equal width.
    """
    # Compared with the edges themselves: 0.2 * 15 is below 3 in floating point.
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    return np.searchsorted(edges, score, side="right")


def reliability(positive: Bools, score: Floats, bins: int = BINS) -> Reliability:
    """Count and average per bin."""
    at = bin_of(score, bins)
    n = np.bincount(at, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(n, np.bincount(at, score, bins) / n, np.bincount(at, positive, bins) / n)


def ece(positive: Bools, score: Floats, bins: int = BINS) -> float:
    """Average the distance of promised and seen share over the bins, by their rows."""
    off = np.bincount(bin_of(score, bins), score - positive, bins)
    return float(np.abs(off).sum() / len(score))


def ece_estimate(positive: Bools, score: Floats, drawn: Resampling) -> Estimate:
    """Give the ECE the interval of the draws."""
    if len(score) == 0:
        return Estimate(None, n=0, reason="no rows")
    value = ece(positive, score)
    if drawn.patients < FEWEST_PATIENTS:
        return Estimate(value, n=len(score), reason=f"{drawn.patients} patients are too few for an interval")
    off = np.zeros((len(score), BINS))
    off[np.arange(len(score)), bin_of(score)] = score - positive
    rows = drawn.sums(np.ones(len(score)))
    low, high = interval(np.abs(drawn.sums(off)).sum(axis=1) / rows)
    return Estimate(value, low, high, len(score))


def slope_and_intercept(positive: Bools, score: Floats, code: Ints) -> tuple[Estimate, Estimate]:
    """Fit the truth on the logit of the score: slope 1 and intercept 0 are calibrated.

    A slope below 1 is a score that is too sure of itself. The intercept is
    calibration in the large: fitted alone, with the slope held at 1 (Van Calster
    et al., BMC Med 2019). Their standard errors take a patient's rows together.

    Args:
        positive: (n,) the truth.
        score: (n,) in 0..1.
        code: (n,) whose row it is, 0..patients-1.
    """
    n = len(score)
    if positive.all() or not positive.any():
        nothing = Estimate(None, n=n, reason="only one class is present")
        return nothing, nothing
    x = logit(np.clip(score, SURE, 1 - SURE))
    shift = _fit(np.ones((n, 1)), positive, x, code)
    intercept = _with_interval(shift, 0, n)
    if np.ptp(x) == 0:
        return Estimate(None, n=n, reason="all scores are equal"), intercept
    line = _fit(np.stack([x, np.ones(n)], axis=1), positive, np.zeros(n), code)
    return _with_interval(line, 0, n), intercept


def temperature(positive: Bools, score: Floats) -> float:
    """Find the number that, dividing the logits, makes the scores likeliest.

    Guo et al. (ICML 2017). Above 1 the score was too sure. Fit it on a calibration
    split, never on the data that are then reported.

    Args:
        positive: (n,) the truth of the calibration split.
        score: (n,) in 0..1.

    Raises:
        InputError: There is only one class: nothing to fit.
    """
    if len(score) == 0 or positive.all() or not positive.any():
        raise InputError(
            f"a temperature needs both classes, got {int(positive.sum())} positives of {len(score)}",
            hint="calibrate on more cases",
            code="one_class",
        )
    x = logit(np.clip(score, SURE, 1 - SURE))
    sign = np.where(positive, 1.0, -1.0)
    best = minimize_scalar(
        lambda log_t: np.logaddexp(0, -sign * x / np.exp(log_t)).mean(),
        bounds=(np.log(0.01), np.log(100.0)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(best.x))


def apply_temperature(score: Floats, value: float) -> Floats:
    """Divide the logits of scores by a temperature; the order of the scores stays."""
    scaled: Floats = expit(logit(np.clip(score, SURE, 1 - SURE)) / value)
    return scaled


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    coefficients: Floats
    covariance: Floats
    patients: int
    converged: bool


def _fit(design: Floats, positive: Bools, offset: Floats, code: Ints) -> _Fit:
    # Newton's method with halved steps: two parameters need no library.
    beta = np.zeros(design.shape[1])
    loss = _loss(design, positive, offset, beta)
    converged = False
    for _ in range(100):
        p = expit(design @ beta + offset)
        gradient = design.T @ (positive - p)
        curvature = design.T @ (design * (p * (1 - p))[:, None])
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        beta, loss, moved = _shorten(design, positive, offset, (beta, loss, step))
        if np.abs(moved).max() < 1e-9:
            converged = bool(np.abs(beta[0]) < STEEPEST)
            break
    p = expit(design @ beta + offset)
    bread = np.linalg.pinv(design.T @ (design * (p * (1 - p))[:, None]))
    rows = design * (positive - p)[:, None]
    patients = int(np.unique(code).size)
    meat = np.stack([np.bincount(code, column) for column in rows.T], axis=1)
    correction = patients / max(patients - 1, 1)
    return _Fit(beta, bread @ (meat.T @ meat) @ bread * correction, patients, converged)


def _shorten(
    design: Floats, positive: Bools, offset: Floats, state: tuple[Floats, float, Floats]
) -> tuple[Floats, float, Floats]:
    beta, loss, step = state
    for _ in range(30):
        tried = _loss(design, positive, offset, beta + step)
        if tried <= loss:
            return beta + step, tried, step
        step = step / 2
    return beta, loss, np.zeros_like(step)


def _loss(design: Floats, positive: Bools, offset: Floats, beta: Floats) -> float:
    sign = np.where(positive, -1.0, 1.0)
    return float(np.logaddexp(0, sign * (design @ beta + offset)).sum())


def _with_interval(fit: _Fit, at: int, n: int) -> Estimate:
    if not fit.converged:
        return Estimate(None, n=n, reason="the scores separate the classes: no finite fit")
    value = float(fit.coefficients[at])
    if fit.patients < FEWEST_PATIENTS:
        return Estimate(value, n=n, reason=f"{fit.patients} patients are too few for an interval")
    half = Z * float(np.sqrt(fit.covariance[at, at]))
    return Estimate(value, value - half, value + half, n)
