"""Whether a gap is one attribute's or another's: the gap again, within strata of the other.

If women are examined on the older scanner, a bad scanner looks like a gap between
the sexes. Within each stratum of the other attribute the group is compared with the
rest of that stratum, and the differences are put together with Mantel-Haenszel's
weights (Cochran 1954); strata in which only one side is present say nothing.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from diascope.evaluation.audit.groups import Attribute
from diascope.evaluation.audit.measures import Measure

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Reading = Literal["explains", "explains in part", "does not explain", "cannot be told apart"]

# A gap that shrinks to less than half within strata, and is no longer beyond chance, is the other's.
SHRUNK = 0.5
BEYOND_CHANCE = 0.05

# Cramer's V from which on two attributes divide the patients almost alike.
ALMOST_ALIKE = 0.9


@dataclass(frozen=True, slots=True)
class Stratified:
    """A group's gap, crude and within the strata of another attribute.

    Attributes:
        attribute: Whose gap it is.
        group: Which group.
        metric: In what.
        by: The attribute that makes the strata.
        association: Cramer's V of the two, 0 (independent) to 1 (the same division).
        crude: Difference of the group from the rest.
        adjusted: The same within strata; None where no stratum has both sides.
        p_adjusted: Of the adjusted difference.
        compared: Share of the group's patients in strata that have both sides.
        reading: In words.
    """

    attribute: str
    group: str
    metric: str
    by: str
    association: float
    crude: float
    adjusted: float | None
    p_adjusted: float | None
    compared: float
    reading: Reading


def stratified(measure: Measure, one: Attribute, group: int, other: Attribute, patient: Ints) -> Stratified:
    """Compute the gap of a group within the strata of another attribute.

    Args:
        measure: What is measured.
        one: The attribute whose gap it is.
        group: The group.
        other: The attribute that makes the strata.
        patient: (rows,) whose row it is.
    """
    inside = one.code == group
    crude = _difference(measure, inside)
    total, weights, variance, matched = 0.0, 0.0, 0.0, 0
    for stratum in range(len(other.levels)):
        here = other.code == stratum
        found = _in_stratum(measure, inside, here, patient)
        if found is None:
            continue
        difference, error2, weight, members = found
        total += weight * difference
        variance += weight**2 * error2
        weights += weight
        matched += members
    association = cramers_v(one.code, other.code)
    members = int(np.unique(patient[inside & (measure.bottom > 0)]).size)
    if weights == 0:
        return Stratified(
            one.name,
            one.levels[group],
            measure.name,
            other.name,
            association,
            crude,
            None,
            None,
            0.0,
            "cannot be told apart",
        )
    adjusted = total / weights
    p = 2 * float(norm.sf(abs(adjusted) / np.sqrt(variance) * weights)) if variance > 0 else 1.0
    compared = min(matched / max(members, 1), 1.0)
    reading = _reading(crude, adjusted, p, association, compared)
    return Stratified(
        one.name, one.levels[group], measure.name, other.name, association, crude, adjusted, p, compared, reading
    )


def cramers_v(one: Ints, other: Ints) -> float:
    """Measure how alike two divisions of the same rows are: 0 independent, 1 the same."""
    table = np.zeros((int(one.max()) + 1, int(other.max()) + 1))
    np.add.at(table, (one, other), 1)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    smaller = min(table.shape) - 1
    if smaller == 0:
        return 0.0
    n = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / (n * smaller)))


def _difference(measure: Measure, inside: Bools) -> float:
    here, rest = measure.bottom[inside].sum(), measure.bottom[~inside].sum()
    return float(measure.top[inside].sum() / here - measure.top[~inside].sum() / rest)


def _in_stratum(measure: Measure, inside: Bools, here: Bools, patient: Ints) -> tuple[float, float, float, int] | None:
    sides = [here & inside & (measure.bottom > 0), here & ~inside & (measure.bottom > 0)]
    sums = [float(measure.bottom[side].sum()) for side in sides]
    people = [int(np.unique(patient[side]).size) for side in sides]
    if min(people) < 2:
        return None
    ratios = [float(measure.top[side].sum()) / n for side, n in zip(sides, sums, strict=True)]
    pooled = sum(float(measure.top[side].sum()) for side in sides) / sum(sums)
    errors = [_squared_error(measure, side, patient, pooled) for side in sides]
    weight = sums[0] * sums[1] / (sums[0] + sums[1])
    return ratios[0] - ratios[1], sum(errors), weight, people[0]


def _squared_error(measure: Measure, side: Bools, patient: Ints, ratio: float) -> float:
    _, code = np.unique(patient[side], return_inverse=True)
    residual = np.bincount(code, measure.top[side] - ratio * measure.bottom[side])
    people = len(residual)
    return float((residual**2).sum()) / float(measure.bottom[side].sum()) ** 2 * people / (people - 1)


def _reading(crude: float, adjusted: float, p: float, association: float, compared: float) -> Reading:
    if association >= ALMOST_ALIKE or compared < SHRUNK:
        return "cannot be told apart"
    has_shrunk = abs(adjusted) < SHRUNK * abs(crude)
    if has_shrunk and p > BEYOND_CHANCE:
        return "explains"
    return "explains in part" if has_shrunk else "does not explain"
