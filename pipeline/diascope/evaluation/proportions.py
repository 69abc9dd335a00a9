"""Intervals of a share (sensitivity, miss rate) that hold for few cases and for 0 and 1.

A bootstrap of 20 hits in 20 says 1.00 to 1.00. Wilson's interval says 0.84 to 1.00
(Brown, Cai and DasGupta, Stat Sci 2001). Rows of one patient are worth less than as
many patients: n is divided by the design effect, the ratio of the variance between
patients to the binomial one (Korn and Graubard 1998; Saha et al., Stat Med 2016).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from diascope.evaluation.bootstrap import FEWEST_PATIENTS, LEVEL, Estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Z = float(norm.ppf(0.5 + LEVEL / 2))


def share_estimate(hits: Floats, trials: Floats, code: Ints, *, nothing: str) -> Estimate:
    """Divide hits by trials, with Wilson's interval for patients.

    Args:
        hits: (rows,) how many of the trials were hits.
        trials: (rows,) how many there were.
        code: (rows,) whose they are, 0..patients-1.
        nothing: Why, if there was no trial.
    """
    total = float(trials.sum())
    if total == 0:
        return Estimate(None, n=0, reason=nothing)
    share = float(hits.sum()) / total
    low, high = wilson(share, effective_trials(hits, trials, code))
    return Estimate(share, low, high, round(total))


def wilson(share: float, trials: float) -> tuple[float, float]:
    """Give Wilson's interval of a share at `LEVEL`; `trials` need not be whole."""
    centre = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * np.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    # The formula gives exactly 0 and 1 at the ends, floating point almost.
    low = 0.0 if share == 0 else float(centre - half)
    high = 1.0 if share == 1 else float(centre + half)
    return max(0.0, low), min(1.0, high)


def effective_trials(hits: Floats, trials: Floats, code: Ints) -> float:
    """Count trials as if all were of different patients.

    Between one per patient and all of them. Where the share is 0 or 1 the rows
    cannot tell how alike a patient's are; then patients are counted.
    """
    per_patient = np.bincount(code, trials)
    asked = per_patient > 0
    total, patients = float(trials.sum()), int(asked.sum())
    share = float(hits.sum()) / total
    if patients == total or share in {0.0, 1.0} or patients < 2:
        return float(patients)
    residual = np.bincount(code, hits)[asked] - share * per_patient[asked]
    between = patients / (patients - 1) * float((residual**2).sum()) / total**2
    binomial = share * (1 - share) / total
    return float(np.clip(total * binomial / between, min(patients, total), total)) if between > 0 else float(patients)


def average_estimate(top: Floats, bottom: Floats, code: Ints, *, nothing: str, most: float = float("inf")) -> Estimate:
    """Divide two sums, with the interval of a ratio whose rows come in patients (Student's t).

    For averages of what is never negative, over many groups, where a bootstrap of each
    would take too long.

    Args:
        top: (rows,) what is summed above the line.
        bottom: (rows,) what is summed below it.
        code: (rows,) whose they are, 0..patients-1.
        nothing: Why, if the sum below is 0.
        most: What a row can reach at most: the interval does not go beyond.
    """
    total = float(bottom.sum())
    n = int(np.count_nonzero(bottom))
    if total == 0:
        return Estimate(None, n=0, reason=nothing)
    value = float(top.sum()) / total
    asked = np.bincount(code, bottom) > 0
    patients = int(asked.sum())
    if patients < FEWEST_PATIENTS:
        return Estimate(value, n=n, reason=f"{patients} patients are too few for an interval")
    residual = np.bincount(code, top - value * bottom)[asked]
    error = float(np.sqrt((residual**2).sum() * patients / (patients - 1))) / total
    half = float(t.ppf(0.5 + LEVEL / 2, patients - 1)) * error
    return Estimate(value, max(value - half, 0.0), min(value + half, most), n)
