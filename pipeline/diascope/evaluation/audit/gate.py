"""The gate: thresholds that were set before, and a verdict that is honest about power."""

from collections.abc import Sequence
from dataclasses import replace

from diascope.evaluation.audit.confounding import Stratified
from diascope.evaluation.audit.groups import MISSING
from diascope.evaluation.audit.result import Comparison, Group, GroupGap, Ruling, Verdict
from diascope.evaluation.audit.reviews import HIDDEN, IN_VIEW, ReviewSummary
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.audit.words import people

# Rows without a value may be too few to be judged; while they are fewer than this they hold nothing up.
FEW_MISSING = 0.05


def rulings_of(
    comparisons: Sequence[Comparison],
    groups: Sequence[Group],
    confounding: Sequence[Stratified],
    settings: AuditSettings,
) -> tuple[Ruling, ...]:
    """Rule on every threshold of the gate, attribute by attribute.

    Args:
        comparisons: Of single attributes; intersections are not ruled on.
        groups: Of the same attributes.
        confounding: Gaps again within strata: a ruling that fails names what explains it.
        settings: Of the audit.
    """
    gated = settings.gate.groups or settings.groups
    rulings = []
    for one in comparisons:
        if one.is_exploratory or one.attribute not in gated:
            continue
        of_attribute = [group for group in groups if group.attribute == one.attribute]
        if (limit := settings.gate.max_gap.get(one.metric)) is not None:
            ruling = _gap_ruling(one, of_attribute, limit, settings.alpha)
            rulings.append(_with_explanation(ruling, confounding) if ruling.verdict == "fail" else ruling)
        if (least := settings.gate.min_value.get(one.metric)) is not None:
            rulings.append(_value_ruling(one, of_attribute, least, settings))
    return tuple(rulings)


def review_ruling(reviews: ReviewSummary, least: float, smallest_group: int) -> Ruling:
    """Rule on what reviewers accepted: reads without the network in view count first.

    Args:
        reviews: What they said.
        least: The least share of accepted results.
        smallest_group: Patients that a random sample must hold.
    """
    rule = f"reviewers accept at least {least:g}"

    def ruling(verdict: Verdict, reason: str) -> Ruling:
        return Ruling("reviews", "accepted", rule, verdict, reason)

    enough = [read for read in (HIDDEN, IN_VIEW) if reviews.random_patients.get(read, 0) >= smallest_group]
    if not enough:
        seen = max(reviews.random_patients.values(), default=0)
        return ruling(
            "insufficient",
            f"{people(seen)} of a random sample were read, {smallest_group} are needed: doubtful cases, or cases that"
            " somebody picked, do not speak for all",
        )
    found = reviews.figure("accepted", enough[0])
    if found is None or found.low is None or found.high is None:
        return ruling("insufficient", "there is no interval")
    drawn = "; they saw the network's answer first, which draws readers to agree" if enough[0] == IN_VIEW else ""
    if found.high < least:
        return ruling("fail", f"{enough[0]}: {found}{drawn}")
    if found.low < least:
        return ruling("insufficient", f"{enough[0]}: {found}, the interval reaches over the limit{drawn}")
    return ruling("pass", f"{enough[0]}: {found}{drawn}")


def verdict_of(rulings: Sequence[Ruling]) -> Verdict:
    """Fail if anything fails, else insufficient if anything is or nothing was asked, else pass."""
    given = {ruling.verdict for ruling in rulings}
    if "fail" in given:
        return "fail"
    return "insufficient" if "insufficient" in given or not given else "pass"


def _with_explanation(ruling: Ruling, confounding: Sequence[Stratified]) -> Ruling:
    # The group is worse off all the same: what explains a gap does not lift the verdict.
    by = [
        one.by
        for one in confounding
        if (one.attribute, one.metric) == (ruling.attribute, ruling.metric) and one.reading == "explains"
    ]
    if not by:
        return ruling
    return replace(ruling, reason=f"{ruling.reason}; {' and '.join(by)} explains it: within its groups the gap is gone")


def _gap_ruling(one: Comparison, groups: Sequence[Group], limit: float, alpha: float) -> Ruling:
    rule = f"no group worse than the others together by more than {limit:g}"

    def ruling(verdict: Verdict, reason: str) -> Ruling:
        return Ruling(one.attribute, one.metric, rule, verdict, reason)

    is_real = one.p_holm is not None and one.p_holm < alpha
    wide = [gap for gap in one.groups if gap.gap is not None and gap.gap > limit]
    for gap in wide:
        if is_real and gap.p is not None and gap.p < alpha:
            return ruling(
                "fail", f"{gap.group} is worse by {gap.gap:.3f}, which chance does not explain (p {one.p_holm:.4f})"
            )
    if weak := [gap for gap in one.groups if _is_too_weak(gap, limit, groups)]:
        return ruling("insufficient", "; ".join(_why_weak(gap, limit) for gap in weak))
    if wide:
        return ruling("insufficient", f"{wide[0].group} is worse by {wide[0].gap:.3f}, but chance would do that too")
    worst = one.of_worst()
    seen = f"the worst, {worst.group}, by {worst.gap:.3f}" if worst and worst.gap is not None else "none is judged"
    return ruling("pass", f"{seen}; a gap of {limit:g} would have been found")


def _is_too_weak(gap: GroupGap, limit: float, groups: Sequence[Group]) -> bool:
    if gap.group == MISSING:
        rows = {group.name: group.rows for group in groups}
        if rows.get(MISSING, 0) < FEW_MISSING * sum(rows.values()):
            return False
    return not gap.is_sufficient or gap.smallest_gap is None or gap.smallest_gap > limit


def _why_weak(gap: GroupGap, limit: float) -> str:
    if gap.patients_needed is None:
        return f"{gap.group}: {people(gap.patients)}, too few to say how many are needed"
    together = ", the others growing alike" if gap.others_must_grow else ""
    return f"{gap.group}: {people(gap.patients)}, {gap.patients_needed} are needed for a gap of {limit:g}{together}"


def _value_ruling(one: Comparison, groups: Sequence[Group], least: float, settings: AuditSettings) -> Ruling:
    is_ceiling = _is_ceiling(one.metric)
    rule = f"every group {'at most' if is_ceiling else 'at least'} {least:g}"
    unsure = []
    for group in groups:
        found = group.metrics[one.metric]
        if (
            not group.is_sufficient.get(one.metric, False)
            or found.value is None
            or found.low is None
            or found.high is None
        ):
            few = group.name == MISSING and group.rows < FEW_MISSING * sum(other.rows for other in groups)
            if not few:
                unsure.append(
                    f"{group.name}: {group.behind[one.metric]} patients, {settings.smallest_group} are needed"
                )
            continue
        if (found.low > least) if is_ceiling else (found.high < least):
            return Ruling(one.attribute, one.metric, rule, "fail", f"{group.name}: {found}")
        if (found.high > least) if is_ceiling else (found.low < least):
            unsure.append(f"{group.name}: {found}, the interval reaches over the limit")
    if unsure:
        return Ruling(one.attribute, one.metric, rule, "insufficient", "; ".join(unsure))
    return Ruling(one.attribute, one.metric, rule, "pass", "all intervals are on the right side")


def _is_ceiling(metric: str) -> bool:
    return metric in {
        "miss_rate",
        "lesion_miss_rate",
        "false_alarm_rate",
        "missed_share",
        "hd95",
        "brier",
        "false_positives_per_scan",
    }
