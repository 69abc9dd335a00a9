"""Chance or not: permutation of group labels among patients, corrected for many tests.

For one attribute and one metric the question is: would groups of these sizes differ
that much if the labels were dealt out at random? Labels are dealt to patients (to
patient and group, where a patient was seen in two), and the largest standardised
difference of a group from the whole is compared with the largest one of each deal
(maxT, Westfall and Young 1993). That names the group and needs no normal
distribution. Across attributes and metrics Holm's correction holds the family; the
Benjamini-Hochberg values are exploratory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diascope.evaluation.audit.measures import Measure

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Up to so many different residuals their counts are dealt instead of the blocks.
FEW_VALUES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Rows of one patient in one group, added up: what is exchanged.

    Attributes:
        group: (blocks,) which of the judged groups, 0..groups-1.
        top: (blocks,) of the measure.
        bottom: (blocks,) of the measure, above 0.
        groups: How many groups are judged.
    """

    group: Ints
    top: Floats
    bottom: Floats
    groups: int

    @property
    def residual(self) -> Floats:
        """What each block has above its share of the whole."""
        overall = float(self.top.sum() / self.bottom.sum())
        residual: Floats = self.top - overall * self.bottom
        return residual


def blocks_of(measure: Measure, code: Ints, patient: Ints, judged: Sequence[int]) -> Blocks:
    """Add up the rows of each patient in each judged group; blocks without a part in the measure are left out.

    Args:
        measure: What is measured.
        code: (rows,) group of each row.
        patient: (rows,) whose row it is.
        judged: The groups to compare.
    """
    place = np.full(int(code.max(initial=0)) + 1, -1, dtype=np.int64)
    place[list(judged)] = np.arange(len(judged))
    group = place[code]
    kept = (group >= 0) & (measure.bottom > 0)
    both, at = np.unique(patient[kept] * len(judged) + group[kept], return_inverse=True)
    top = np.bincount(at, measure.top[kept], len(both))
    bottom = np.bincount(at, measure.bottom[kept], len(both))
    return Blocks(both % max(len(judged), 1), top.astype(np.float64), bottom.astype(np.float64), len(judged))


@dataclass(frozen=True, slots=True, eq=False)
class Deviation:
    """How far each group lies from the whole, and whether chance does that.

    Attributes:
        z: (groups,) standardised difference; negative where the metric is lower.
        p_group: (groups,) corrected for the groups of this attribute.
        p: Of the attribute as a whole.
    """

    z: Floats
    p_group: Floats
    p: float


def deviation(blocks: Blocks, rng: np.random.Generator, rounds: int) -> Deviation:
    """Test whether groups differ, by dealing the labels out again."""
    sizes = np.bincount(blocks.group, minlength=blocks.groups)
    residual = blocks.residual
    sums = np.bincount(blocks.group, residual, blocks.groups).astype(np.float64)
    seen = _standardised(sums, sizes, residual)
    if not np.isfinite(seen).all() or np.ptp(residual) == 0:
        return Deviation(np.zeros(blocks.groups), np.ones(blocks.groups), 1.0)
    largest = _dealt(residual, sizes, rounds, rng)
    # The deal that was seen is one of the possible ones (Phipson and Smyth 2010). Sums of
    # the same numbers in another order differ in the last digit.
    beyond = (largest[None, :] >= np.abs(seen)[:, None] - 1e-9).sum(axis=1)
    p_group = (beyond + 1) / (rounds + 1)
    return Deviation(seen, p_group, float(p_group.min()))


def _standardised(sums: Floats, sizes: Ints, residual: Floats) -> Floats:
    # Of a sum of n numbers drawn from N without replacement.
    total = int(sizes.sum())
    variance = sizes * (1 - sizes / total) * residual.var(ddof=1) if total > 1 else np.zeros(len(sizes))
    with np.errstate(divide="ignore", invalid="ignore"):
        standardised: Floats = (sums - sizes * residual.mean()) / np.sqrt(variance)
    return standardised


def _dealt(residual: Floats, sizes: Ints, rounds: int, rng: np.random.Generator) -> Floats:
    values, count = np.unique(residual, return_counts=True)
    if len(values) == 2:
        # Every block is a hit or not: how many hits each group is dealt is hypergeometric.
        hits = rng.multivariate_hypergeometric(sizes, int(count[1]), size=rounds, method="marginals")
        sums = hits * values[1] + (sizes - hits) * values[0]
    elif len(values) <= FEW_VALUES:
        sums = np.stack([_hand(values, count, sizes, rng) for _ in range(rounds)])
    else:
        ends = np.cumsum(sizes) - 1
        dealt = (np.cumsum(rng.permutation(residual))[ends] for _ in range(rounds))
        sums = np.stack([np.diff(reached, prepend=0.0) for reached in dealt])
    largest: Floats = np.abs(_standardised(sums.astype(np.float64), sizes, residual)).max(axis=1)
    return largest


def _hand(values: Floats, count: Ints, sizes: Ints, rng: np.random.Generator) -> Floats:
    # Few different values: dealing their counts is the same as dealing the blocks, and fast.
    left, sums = count.copy(), np.empty(len(sizes))
    for group, size in enumerate(sizes[:-1].tolist()):
        dealt = rng.multivariate_hypergeometric(left, size, method="marginals")
        sums[group] = dealt @ values
        left -= dealt
    sums[-1] = left @ values
    return sums
