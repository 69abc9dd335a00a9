"""What may leave the house: small cells are taken out, and with them what would reveal them.

Statistical offices publish no cell of fewer than five people. Taking out one cell of a
table with a total leaves it to subtraction, so the next smallest goes too; of a pair of
attributes the whole table goes, because its margins are published elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from diascope.evaluation.audit.result import AuditResult, Comparison, Group, GroupGap
from diascope.evaluation.audit.reviews import ReviewSummary
from diascope.evaluation.bootstrap import Estimate

SMALLEST_CELL = 5

SUPPRESSED = f"fewer than {SMALLEST_CELL} patients, or it would reveal a group that has"


def published(result: AuditResult) -> AuditResult:
    """Take out every group in which a cell is small, and as many others as it takes to hide it."""
    hidden = {name: _hidden(groups) for name, groups in _by_attribute(result.groups).items()}
    pairs = {one.attribute for one in result.comparisons if one.is_exploratory}
    gone = {name for name in pairs if hidden.get(name)}
    groups = tuple(
        _without_numbers(one) if one.name in hidden[one.attribute] else one
        for one in result.groups
        if one.attribute not in gone
    )
    comparisons = tuple(
        _without_groups(one, hidden.get(one.attribute, frozenset()))
        for one in result.comparisons
        if one.attribute not in gone
    )
    told = [f"{len(gone)} pairs of attributes are left out: they hold cells of fewer than {SMALLEST_CELL} patients"]
    return replace(
        result,
        groups=groups,
        comparisons=comparisons,
        confounding=tuple(one for one in result.confounding if one.group not in hidden.get(one.attribute, frozenset())),
        rulings=tuple(
            replace(one, reason="left out: it names a small group")
            if _names_one(one.reason, hidden.get(one.attribute, frozenset()))
            else one
            for one in result.rulings
        ),
        reviews=_without_small_reviews(result.reviews),
        trend=tuple(replace(one, worst=()) for one in result.trend),
        drift=(),
        notes=(*result.notes, *(told if gone else [])),
        is_published=True,
    )


def _by_attribute(groups: Sequence[Group]) -> Mapping[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for one in groups:
        found.setdefault(one.attribute, []).append(one)
    return found


def _hidden(groups: Sequence[Group]) -> frozenset[str]:
    small = {one.name for one in groups if _smallest_cell(one) < SMALLEST_CELL}
    if len(small) == 1 and len(groups) > 1:
        others = sorted((one for one in groups if one.name not in small), key=lambda one: one.patients)
        small.add(others[0].name)
    return frozenset(small)


def _smallest_cell(group: Group) -> int:
    # Ill and healthy alike: four ill of a hundred are a small cell, and none is one too.
    cells = [group.patients, *group.behind.values()]
    return min(cells)


def _without_numbers(group: Group) -> Group:
    nothing = Estimate(None, reason=SUPPRESSED)
    return replace(
        group,
        rows=0,
        patients=0,
        behind=dict.fromkeys(group.behind, 0),
        metrics=dict.fromkeys(group.metrics, nothing),
        is_sufficient=dict.fromkeys(group.is_sufficient, False),
        prevalence_matched={},
        calibration=(),
    )


def _without_groups(comparison: Comparison, hidden: frozenset[str]) -> Comparison:
    if not hidden:
        return comparison
    groups = tuple(_without_gap(one) if one.group in hidden else replace(one, rest=None) for one in comparison.groups)
    worst = "" if comparison.worst in hidden else comparison.worst
    return replace(comparison, groups=groups, worst=worst)


def _without_gap(gap: GroupGap) -> GroupGap:
    return GroupGap(gap.group, 0, None, None, None, None, None, None, None, None, is_sufficient=False)


def _without_small_reviews(reviews: ReviewSummary | None) -> ReviewSummary | None:
    # Figures of a group of readers' cases name its size by their interval: only those of everybody stay.
    if reviews is None:
        return None
    return replace(reviews, figures=tuple(one for one in reviews.figures if not one.attribute))


def _names_one(reason: str, hidden: frozenset[str]) -> bool:
    return any(name in reason for name in hidden)
