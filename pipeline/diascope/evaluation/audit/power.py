"""What an audit of this size could have found, and how many patients it would take."""

from dataclasses import dataclass
from math import ceil, inf, isfinite

import numpy as np
from scipy.stats import norm

from diascope.evaluation.audit.significance import Blocks


@dataclass(frozen=True, slots=True)
class Resolution:
    """How fine an audit can look, for one group and one metric.

    Attributes:
        patients: Of the group, with a part in the metric.
        smallest_gap: Difference from the rest that would be found with the stated
            power; infinite with fewer than two patients on either side.
        standard_error: Of the difference from the rest.
    """

    patients: int
    smallest_gap: float
    standard_error: float


def resolution(blocks: Blocks, group: int, *, alpha: float, power: float, tests: int) -> Resolution:
    """Say which difference of a group from the rest would be found.

    Args:
        blocks: Patients of all judged groups.
        group: Which of them.
        alpha: Of the whole family of tests.
        power: Probability to find the difference.
        tests: Size of the family; Bonferroni's share is a safe stand-in for Holm's.
    """
    inside = blocks.group == group
    n, rest = int(inside.sum()), int((~inside).sum())
    if n < 2 or rest < 2:
        return Resolution(n, inf, inf)
    error = float(np.sqrt(_variance(blocks, inside) + _variance(blocks, ~inside)))
    return Resolution(n, _quantiles(alpha, power, tests) * error, error)


def patients_needed(blocks: Blocks, group: int, gap: float, *, alpha: float, power: float, tests: int) -> int | None:
    """Say how many patients the group would need for a gap to be found.

    The rest is taken as it is; None where even an endless group would not do,
    because the rest is too small.
    """
    inside = blocks.group == group
    rest = _variance(blocks, ~inside) if int((~inside).sum()) > 1 else inf
    residual = blocks.residual / (blocks.bottom.mean() or 1.0)
    per_patient = float(residual.var(ddof=1)) if len(residual) > 1 else inf
    room = (gap / _quantiles(alpha, power, tests)) ** 2 - rest
    if room <= 0 or not isfinite(per_patient):
        return None
    return ceil(per_patient / room)


def patients_needed_together(
    blocks: Blocks, group: int, gap: float, *, alpha: float, power: float, tests: int
) -> int | None:
    """Say how many patients the group would need if all groups grew alike; None with fewer than two in all."""
    residual = blocks.residual / (blocks.bottom.mean() or 1.0)
    if len(residual) < 2:
        return None
    share = max(int((blocks.group == group).sum()), 1) / len(residual)
    if share >= 1:
        return None
    everybody = (
        float(residual.var(ddof=1)) * (1 / share + 1 / (1 - share)) * (_quantiles(alpha, power, tests) / gap) ** 2
    )
    return ceil(share * everybody)


def _variance(blocks: Blocks, inside: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    # The spread of the whole stands in for the group's: a small group whose rows are all
    # alike has no spread of its own and would look endlessly sure.
    weights = blocks.bottom[inside]
    residual = blocks.residual / (blocks.bottom.mean() or 1.0)
    share = float((weights**2).sum() / weights.sum() ** 2)
    return float(residual.var(ddof=1)) * share


def _quantiles(alpha: float, power: float, tests: int) -> float:
    return float(norm.ppf(1 - alpha / (2 * max(tests, 1))) + norm.ppf(power))
