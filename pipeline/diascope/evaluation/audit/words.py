"""What an audit found, in words that an ethics board reads without a statistician."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from diascope.evaluation.audit.confounding import Stratified
from diascope.evaluation.audit.groups import MISSING
from diascope.evaluation.audit.result import AuditResult, Comparison, GroupGap
from diascope.evaluation.audit.reviews import WORDS, ReviewFigure
from diascope.evaluation.bootstrap import Estimate
from diascope.evaluation.drift import Moved

HEADLINE = {
    "pass": "No group is worse off than the limits allow, and the data suffice to say so.",
    "fail": "At least one group is worse off than the limits allow.",
    "insufficient": "The data do not suffice to say whether any group is worse off than the limits allow.",
}

NO_LIMITS = "No limits were set, so there is nothing to pass or fail; the differences are listed below."

FEWEST_FOR_HUNDRED = 20
"""Of fewer it is said how many there were: `0 of 100` of one patient is not what was seen."""

LIMITS_OF_AUDITS = (
    "An audit sees the labels it is given. If a group's truth was drawn or diagnosed differently, its figures are off"
    " by that, and no test can tell (Bernhardt, Jones and Glocker, Nature Medicine 2022).",
    "A difference says that something is wrong, not what. Groups differ in scanner, disease and care; where another"
    " attribute explains a difference the report says so, but only for attributes it was given.",
    "A network that is fair here need not be fair elsewhere (Yang et al., Nature Medicine 2024): audit it again where"
    " it is used.",
    "This software is not a medical device, and a passed audit is no approval.",
)


def headline(result: AuditResult) -> str:
    """Say the verdict in a sentence."""
    return HEADLINE[result.verdict] if result.rulings else NO_LIMITS


def subject(result: AuditResult) -> str:
    """Say what was looked at."""
    what = {"classification": "predictions", "segmentation": "outlines", "detection": "scans"}[result.task]
    if result.settings.get("unit") == "slice":
        what = "slices"
    what = what.removesuffix("s") if result.rows == 1 else what
    attributes = dict.fromkeys(one.attribute for one in result.comparisons if not one.is_exploratory)
    made_up = " The data are simulated." if result.is_simulated else ""
    operating = "" if result.task == "segmentation" else f" at the operating point {result.threshold:g}"
    compared = f", divided by {_listed(list(attributes))}" if attributes else ""
    return f"{result.rows:,} {what} of {people(result.patients)}{operating}{compared}.{made_up}"


def findings(result: AuditResult) -> tuple[str, ...]:
    """Say which differences are beyond chance, the widest first."""
    alpha = float(result.settings["alpha"])
    real = [one for one in _singles(result) if one.p_holm is not None and one.p_holm < alpha]
    real.sort(key=lambda one: -abs((one.of_worst() or _NOBODY).gap or 0.0))
    said = tuple(_difference(one, result) for one in real)
    if said:
        return said
    if not any(one.p_holm is not None for one in _singles(result)):
        return _nothing_compared(result)
    return ("No difference between groups is larger than chance makes it, as far as these data can tell.",)


def _nothing_compared(result: AuditResult) -> tuple[str, ...]:
    # Where nothing was tested, `no difference` would be a finding that nobody made.
    asked = [str(name) for name in result.settings["groups"]]
    known = {name: {one.name for one in result.groups if one.attribute == name} - {MISSING} for name in asked}
    unknown = [name for name in asked if not known[name]]
    alike = [name for name in asked if len(known[name]) == 1]
    lines = ["No groups were compared, so nothing is said about differences between them."]
    if unknown:
        lines.append(f"Of {_listed(unknown)} no value is known.")
    if alike:
        lines.append(f"In {_listed(alike)} all whose value is known are alike.")
    if len(unknown) + len(alike) < len(asked):
        lines.append("No attribute has two groups that are large enough.")
    return tuple(lines)


def overall(result: AuditResult) -> tuple[str, ...]:
    """Say how good the network is for everybody together, by the primary metrics."""
    return tuple(
        f"{_sentence(result.words[name])}: {amount(result.overall[name], name, result)}"
        for name in primary_metrics(result)
    )


def primary_metrics(result: AuditResult) -> tuple[str, ...]:
    """Name the metrics that are tested; every group counts the patients behind them."""
    return tuple(result.groups[0].behind)


def not_judged(result: AuditResult) -> tuple[str, ...]:
    """Say which groups are too small, and how many patients it would take."""
    return tuple(
        _too_small(one, gap, result) for one in _singles(result) for gap in one.groups if not gap.is_sufficient
    )


def needed(result: AuditResult) -> tuple[str, ...]:
    """Say the same in a line per attribute: patients there, and the most that any metric asks for."""
    lines = []
    for name in dict.fromkeys(one.attribute for one in _singles(result)):
        of_group: dict[str, list[GroupGap]] = {}
        for one in _singles(result):
            if one.attribute == name:
                for gap in one.groups:
                    if not gap.is_sufficient:
                        of_group.setdefault(gap.group, []).append(gap)
        told = [f"{group} {_there_of_needed(gaps, result)}" for group, gaps in of_group.items()]
        if told:
            lines.append(f"{name}: {', '.join(told)}.")
    return tuple(lines)


def _there_of_needed(gaps: Sequence[GroupGap], result: AuditResult) -> str:
    if result.is_published and any(gap.patients == 0 for gap in gaps):
        return "too few to be shown"
    # Of several metrics the one that asks for most; one that cannot even say how many asks for more than that.
    short = max(gaps, key=lambda gap: float("inf") if gap.patients_needed is None else gap.patients_needed)
    end = ", too few to say how many it takes" if short.patients_needed is None else f" of {short.patients_needed}"
    return f"has {short.patients}{end}"


def reviews(result: AuditResult) -> tuple[str, ...]:
    """Say what reviewers said, reads with and without the network in view apart."""
    found = result.reviews
    if found is None:
        return ()
    lines = [
        f"{_sentence(WORDS[one.metric])}, {one.read}: {_reviewed(one)}" for one in found.figures if not one.attribute
    ]
    left_out = {
        "on results that have changed since": found.stale,
        "passed over": found.skipped,
        "on cases that nobody drew": found.unsampled,
    }
    lines += [f"{n} verdicts {why} are left out." for why, n in left_out.items() if n]
    return (*lines, *(f"{_sentence(note)}." for note in found.notes))


def trend(result: AuditResult) -> tuple[str, ...]:
    """Say which figures moved beyond chance since the audit before."""
    lines = []
    for before, after in pairwise(result.trend):
        for metric, p in after.p.items():
            if p >= float(result.settings["alpha"]):
                continue
            was, now = before.overall[metric], after.overall[metric]
            lines.append(f"{metric.replace('_', ' ')}: {was} in {before.name} became {now} in {after.name}.")
        if not after.same_plan:
            lines.append(f"{after.name} had another plan: its limits and operating point may differ.")
    if result.trend and not result.trend[0].same_plan:
        lines.insert(0, f"{result.trend[0].name} had another plan: its limits and operating point may differ.")
    if result.trend and not any(" became " in line for line in lines):
        lines.append("No figure moved beyond chance from one audit to the next.")
    return tuple(lines)


def drift(moved: Sequence[Moved]) -> tuple[str, ...]:
    """Say what is no longer as in the reference batch, what moved most first."""
    if not moved:
        return ()
    lines = tuple(
        f"{one.words} ({'p' if one.psi is None else f'PSI {one.psi:.2f}, p'} {_chance(one.p_holm)})."
        for one in moved
        if one.has_moved
    )
    if lines:
        return lines
    return (f"Of {len(moved)} columns none has moved beyond chance and enough to matter.",)


def not_ruled(result: AuditResult) -> tuple[str, ...]:
    """Say the same of what the gate does not rule on: its rulings name their groups themselves."""
    ruled = {(one.attribute, one.metric) for one in result.rulings}
    return tuple(
        _too_small(one, gap, result)
        for one in _singles(result)
        for gap in one.groups
        if not gap.is_sufficient and (one.attribute, one.metric) not in ruled
    )


def amount(found: Estimate, metric: str, result: AuditResult) -> str:
    """Say a figure: shares as so many of 100, the rest as a number, with the interval."""
    if found.value is None:
        return f"not defined ({found.reason})"
    if not _is_share(metric, result):
        return str(found)
    hits = found.value * found.n
    if found.n < FEWEST_FOR_HUNDRED and abs(hits - round(hits)) < 1e-6:
        text = f"{round(hits)} of {found.n}"
        within = f"between {100 * (found.low or 0):.0f} and {100 * (found.high or 0):.0f} of 100 in the long run"
        return text if found.low is None else f"{text} ({within})"
    text = f"{100 * found.value:.0f} of 100"
    if found.low is not None and found.high is not None:
        text += f" (between {100 * found.low:.0f} and {100 * found.high:.0f})"
    return text


def people(n: int) -> str:
    """Count patients: `1 patient`, `2 patients`."""
    return f"{n:,} patient" if n == 1 else f"{n:,} patients"


def explanation(one: Stratified) -> str:
    """Say what stratifying by another attribute makes of a gap."""
    if one.adjusted is None or one.reading == "cannot be told apart":
        return f"{one.attribute} and {one.by} divide the patients so alike that the two cannot be told apart."
    inside = f"Within each group of {one.by} the difference of {one.group} is {abs(one.adjusted):.3f}"
    inside += f" instead of {abs(one.crude):.3f}"
    ends = {
        "explains": f": {one.by} explains it.",
        "explains in part": f": {one.by} explains a part of it.",
        "does not explain": f": {one.by} does not explain it.",
    }
    return inside + ends[one.reading]


def _reviewed(one: ReviewFigure) -> str:
    return str(one.value) if one.value.value is not None else f"not defined ({one.value.reason})"


def _chance(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


_NOBODY = GroupGap("", 0, None, None, None, None, None, None, None, None, is_sufficient=False)


def _singles(result: AuditResult) -> Iterator[Comparison]:
    return (one for one in result.comparisons if not one.is_exploratory)


def _difference(one: Comparison, result: AuditResult) -> str:
    worst = one.of_worst() or _NOBODY
    if worst.value is None or worst.rest is None:
        return f"{one.attribute}: the group that is worst off is too small to be shown."
    if _is_share(one.metric, result):
        here, rest = f"{100 * worst.value:.0f} of 100", f"{100 * worst.rest:.0f} of 100"
    else:
        here, rest = f"{worst.value:.3f}", f"{worst.rest:.3f}"
    chance = (
        "less than 1 time in 100" if (one.p_holm or 0) < 0.01 else f"about {100 * (one.p_holm or 0):.0f} times in 100"
    )
    text = (
        f"{one.attribute}: for {worst.group} it is {here}, for all others {rest} ({result.words[one.metric]})."
        f" Chance alone would do this {chance}."
    )
    why = [explanation(each) for each in _reasons(one, result.confounding)]
    return " ".join([text, *why])


def _reasons(one: Comparison, confounding: Sequence[Stratified]) -> list[Stratified]:
    mine = [each for each in confounding if (each.attribute, each.metric) == (one.attribute, one.metric)]
    return [each for each in mine if each.reading != "does not explain"]


def _too_small(one: Comparison, gap: GroupGap, result: AuditResult) -> str:
    if result.is_published and gap.patients == 0:
        return f"{one.attribute} {gap.group}: too few to be shown ({one.metric})."
    seen = f"{one.attribute} {gap.group}: {people(gap.patients)} for {one.metric}"
    if gap.patients_needed is None:
        return f"{seen}: too few to say how many are needed."
    together = ", and the other groups must grow alike" if gap.others_must_grow else ""
    return f"{seen}, {gap.patients_needed} are needed{together}."


def _is_share(metric: str, result: AuditResult) -> bool:
    values = [group.metrics[metric].value for group in result.groups if metric in group.metrics]
    in_range = all(value is None or 0 <= value <= 1 for value in values)
    return in_range and metric not in {"dice", "nsd", "hd95", "brier", "false_positives_per_scan", "auc"}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
