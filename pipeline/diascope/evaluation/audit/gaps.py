"""Every attribute against every primary metric: each group against all the others together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from diascope.evaluation.audit.groups import Attribute
from diascope.evaluation.audit.measures import Measure
from diascope.evaluation.audit.power import patients_needed, patients_needed_together, resolution
from diascope.evaluation.audit.result import Comparison, GroupGap
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.audit.significance import (
    Blocks,
    Deviation,
    blocks_of,
    deviation,
)
from diascope.evaluation.bootstrap import ROUNDS_AT_ONCE, Estimate, Resampling, interval
from diascope.evaluation.many_tests import benjamini_hochberg, holm
from diascope.evaluation.proportions import Z

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The smallest p value of n deals is 1 / (n + 1): a twentieth of what the first step of Holm asks.
DEALS_PER_TEST = 20

# Intersections are many and exploratory: fewer deals tell enough.
EXPLORATORY_ROUNDS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Comparing:
    """What all comparisons share.

    Attributes:
        settings: Of the audit.
        drawn: The draws of patients.
        rng: Where chance comes from.
        tests: Size of the family, for the power.
    """

    settings: AuditSettings
    drawn: Resampling
    rng: np.random.Generator
    tests: int


def compare_all(
    attributes: Sequence[Attribute], measures: Sequence[Measure], comparing: Comparing, *, exploratory: bool
) -> tuple[Comparison, ...]:
    """Compare the groups of every attribute in every measure, and correct for all the tests together."""
    found = [
        _compare(attribute, measure, comparing, exploratory=exploratory)
        for attribute in attributes
        if len(attribute.levels) > 1
        for measure in measures
    ]
    tested = [at for at, one in enumerate(found) if one.p is not None]
    p = [found[at].p or 0.0 for at in tested]
    for at, by_holm, by_bh in zip(tested, holm(p), benjamini_hochberg(p), strict=True):
        found[at] = replace(found[at], p_holm=None if exploratory else by_holm, p_bh=by_bh)
    return tuple(found)


def patients_behind(attribute: Attribute, measure: Measure, patient: Ints) -> Ints:
    """Count the patients with a part in a measure, by group."""
    every = blocks_of(measure, attribute.code, patient, range(len(attribute.levels)))
    return np.bincount(every.group, minlength=len(attribute.levels))


def _compare(attribute: Attribute, measure: Measure, comparing: Comparing, *, exploratory: bool) -> Comparison:
    settings = comparing.settings
    levels = range(len(attribute.levels))
    every = blocks_of(measure, attribute.code, comparing.drawn.code, levels)
    behind = np.bincount(every.group, minlength=len(attribute.levels))
    judged = [at for at in levels if behind[at] >= settings.smallest_group]
    groups = [_alone(attribute, measure, every, at, comparing) for at in levels]
    if len(judged) < 2:
        undefined = Estimate(None, reason="fewer than two groups are large enough")
        return Comparison(
            attribute.name, measure.name, tuple(groups), None, None, None, undefined, "", None, exploratory
        )
    # With fewer deals than this no p value could survive Holm's correction, however wide the gap.
    deals = max(settings.rounds, ceil(DEALS_PER_TEST * comparing.tests / settings.alpha))
    rounds = EXPLORATORY_ROUNDS if exploratory else deals
    among = blocks_of(measure, attribute.code, comparing.drawn.code, judged)
    tested = deviation(among, comparing.rng, rounds)
    spread = None if exploratory else _drawn_sums(attribute, measure, comparing.drawn)[:, :, judged]
    for place, at in enumerate(judged):
        groups[at] = _against_rest(groups[at], measure, among, place, (tested, spread))
    values = [groups[at].value for at in judged]
    adverse = -tested.z if measure.higher_is_better else tested.z
    worst = judged[int(np.argmax(adverse))]
    return Comparison(
        attribute.name,
        measure.name,
        tuple(groups),
        tested.p,
        None,
        None,
        _range([v for v in values if v is not None], spread, int(behind[judged].sum())),
        attribute.levels[worst],
        _skewed_error_ratio([v for v in values if v is not None], measure),
        exploratory,
    )


def _alone(attribute: Attribute, measure: Measure, every: Blocks, at: int, comparing: Comparing) -> GroupGap:
    settings = comparing.settings
    inside = every.group == at
    below, below_rest = float(every.bottom[inside].sum()), float(every.bottom[~inside].sum())
    seen = resolution(every, at, alpha=settings.alpha, power=settings.power, tests=comparing.tests)
    needed, together = _needed(every, at, settings.gate.max_gap.get(measure.name), comparing)
    return GroupGap(
        group=attribute.levels[at],
        patients=int(inside.sum()),
        value=float(every.top[inside].sum()) / below if below else None,
        rest=float(every.top[~inside].sum()) / below_rest if below_rest else None,
        gap=None,
        gap_low=None,
        gap_high=None,
        p=None,
        smallest_gap=seen.smallest_gap if isfinite(seen.smallest_gap) else None,
        patients_needed=needed,
        others_must_grow=together,
        is_sufficient=False,
    )


def _needed(every: Blocks, at: int, limit: float | None, comparing: Comparing) -> tuple[int | None, bool]:
    settings = comparing.settings
    if limit is None or every.bottom.size < 2:
        return settings.smallest_group, False
    alone = patients_needed(every, at, limit, alpha=settings.alpha, power=settings.power, tests=comparing.tests)
    if alone is not None:
        return max(alone, settings.smallest_group), False
    together = patients_needed_together(
        every, at, limit, alpha=settings.alpha, power=settings.power, tests=comparing.tests
    )
    return None if together is None else max(together, settings.smallest_group), True


def _against_rest(
    group: GroupGap, measure: Measure, among: Blocks, place: int, found: tuple[Deviation, Floats | None]
) -> GroupGap:
    tested, spread = found
    inside = among.group == place
    value = float(among.top[inside].sum() / among.bottom[inside].sum())
    rest = float(among.top[~inside].sum() / among.bottom[~inside].sum())
    sign = -1.0 if measure.higher_is_better else 1.0
    gap = sign * (value - rest)
    if spread is None:
        error = resolution(among, place, alpha=0.05, power=0.8, tests=1).standard_error
        low, high = (gap - Z * error, gap + Z * error) if isfinite(error) else (None, None)
    else:
        top, bottom = spread
        total_top, total_bottom = top.sum(axis=1), bottom.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            rounds = top[:, place] / bottom[:, place]
            others = (total_top - top[:, place]) / (total_bottom - bottom[:, place])
        low, high = interval(sign * (rounds - others))
    return replace(
        group,
        value=value,
        rest=rest,
        gap=gap,
        gap_low=low,
        gap_high=high,
        p=float(tested.p_group[place]),
        is_sufficient=True,
    )


def _drawn_sums(attribute: Attribute, measure: Measure, drawn: Resampling) -> Floats:
    # (2, rounds, groups): what is above and below the line in each draw.
    shape = (len(attribute.levels), drawn.patients)
    sides = [
        csr_array((values[kept], (attribute.code[kept], drawn.code[kept])), shape=shape)
        for values in (measure.top, measure.bottom)
        for kept in [np.flatnonzero(values)]
    ]
    sums = np.empty((2, len(drawn.weights), shape[0]))
    for start in range(0, len(drawn.weights), ROUNDS_AT_ONCE):
        rounds = slice(start, start + ROUNDS_AT_ONCE)
        weights = np.ascontiguousarray(drawn.weights[rounds].T, dtype=np.float64)
        for side, table in enumerate(sides):
            sums[side, rounds] = (table @ weights).T
    return sums


def _range(values: Sequence[float], spread: Floats | None, n: int) -> Estimate:
    widest = max(values) - min(values)
    if spread is None:
        return Estimate(widest, n=n, reason="intersections have no interval")
    with np.errstate(divide="ignore", invalid="ignore"):
        rounds = spread[0] / spread[1]
    low, high = interval(rounds.max(axis=1) - rounds.min(axis=1))
    return Estimate(widest, low, high, n)


def _skewed_error_ratio(values: Sequence[float], measure: Measure) -> float | None:
    # Puyol-Anton et al. (2021): the largest error over the smallest. Only where 1 is perfect.
    if not measure.higher_is_better:
        return None
    errors = [1 - value for value in values]
    return max(errors) / min(errors) if min(errors) > 0 else None
