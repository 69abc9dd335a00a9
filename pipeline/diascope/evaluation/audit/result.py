"""What an audit says, as frozen dataclasses: the source of json, tables, report and tracking."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diascope.evaluation.audit.confounding import Stratified
from diascope.evaluation.audit.reviews import ReviewSummary
from diascope.evaluation.audit.trend import TrendPoint
from diascope.evaluation.bootstrap import Estimate
from diascope.evaluation.drift import Moved
from diascope.evaluation.probe import Probe

FORMAT = 1
"""Version of audit.json."""

Verdict = Literal["pass", "fail", "insufficient"]
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Group:
    """One group of one attribute.

    Attributes:
        attribute: Column, or `one x other`.
        name: Value, band, `missing` or `conflicting`.
        rows: How many.
        patients: Of how many patients.
        behind: Patients behind each primary metric (those with a positive for
            sensitivity).
        metrics: Every metric of the group, with its interval.
        is_sufficient: Whether enough patients are behind each primary metric.
        prevalence_matched: Metrics that depend on the prevalence, again at the
            prevalence of the whole.
        calibration: Of a classification: mean score, share of positives and rows of
            each bin that holds enough rows.
    """

    attribute: str
    name: str
    rows: int
    patients: int
    behind: Counts
    metrics: Mapping[str, Estimate]
    is_sufficient: Mapping[str, bool]
    prevalence_matched: Mapping[str, float]
    calibration: tuple[tuple[float, float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class GroupGap:
    """How far one group lies from all the others together.

    Attributes:
        group: Its name.
        patients: Behind the metric.
        value: Of the group; None where it is not defined.
        rest: Of all the others together.
        gap: How much worse than the rest; negative where it is better.
        gap_low: Lower end of the interval.
        gap_high: Upper end.
        p: Permutation, corrected for the groups of the attribute.
        smallest_gap: That would have been found with the stated power.
        patients_needed: For the gate's threshold (or for `smallest_group`); None
            where nothing is known of the spread.
        is_sufficient: Whether it was judged.
        others_must_grow: The others are too few as well: `patients_needed` is for a
            table in which all groups grow alike.
    """

    group: str
    patients: int
    value: float | None
    rest: float | None
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    p: float | None
    smallest_gap: float | None
    patients_needed: int | None
    is_sufficient: bool
    others_must_grow: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """One attribute and one primary metric.

    Attributes:
        attribute: The division.
        metric: What is compared.
        groups: Each against the rest.
        p: Permutation, of the attribute as a whole; None if fewer than two groups could be judged.
        p_holm: Corrected over all attributes and primary metrics.
        p_bh: False discovery rate: exploratory.
        range: Largest minus smallest value among judged groups.
        worst: Name of the judged group that is worst against the rest; empty if none is.
        skewed_error_ratio: Largest over smallest error (1 - value) among judged groups;
            None where it is not defined.
        is_exploratory: Intersections: tested, but not in the family and not in the gate.
    """

    attribute: str
    metric: str
    groups: tuple[GroupGap, ...]
    p: float | None
    p_holm: float | None
    p_bh: float | None
    range: Estimate
    worst: str
    skewed_error_ratio: float | None
    is_exploratory: bool

    def of_worst(self) -> GroupGap | None:
        """The worst group's gap."""
        return next((one for one in self.groups if one.group == self.worst), None)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the gate says of one attribute and one metric.

    Attributes:
        attribute: The division; `overall` for the whole table.
        metric: What was asked.
        rule: The threshold in words.
        verdict: Of this rule.
        reason: In words, with the group's name.
    """

    attribute: str
    metric: str
    rule: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Registration:
    """Whether the plan was written down before the truth was read.

    Attributes:
        registered: When, ISO 8601 in UTC; empty if it never was.
        sha256: Of the plan that was registered.
        changes: Settings that are no longer what was registered.
    """

    registered: str
    sha256: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Everything an audit has to say.

    Attributes:
        title: Heading.
        task: Of the network.
        rows: Predictions.
        patients: Whose they are.
        threshold: The operating point.
        overall: Every metric over all rows.
        words: Of each metric, in plain words.
        higher_is_better: Of each metric.
        groups: Every group of every attribute.
        comparisons: Every attribute with every primary metric.
        equalised_odds: Largest difference of true or false positive rates between
            judged groups, by attribute.
        confounding: Gaps again within strata of the other attributes.
        probes: How much the network's features give away of each attribute; empty if the
            table holds none.
        rulings: The gate's.
        verdict: Fail if anything fails, else insufficient if anything is, else pass.
        registration: Of the plan.
        notes: What a reader should know.
        settings: As plain values.
        settings_sha256: Their hash.
        table_sha256: Of the table that was audited; empty if it came from memory.
        reviews: What reviewers said; None if nobody was asked.
        trend: Earlier audits and this one; empty if none was named.
        drift: What moved against a reference batch; empty if none was named.
        is_simulated: The table is made up.
        is_published: Small cells are suppressed.
        format: Version of audit.json.
    """

    title: str
    task: str
    rows: int
    patients: int
    threshold: float
    overall: Mapping[str, Estimate]
    words: Mapping[str, str]
    higher_is_better: Mapping[str, bool]
    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...]
    equalised_odds: Mapping[str, float]
    confounding: tuple[Stratified, ...]
    probes: tuple[Probe, ...]
    rulings: tuple[Ruling, ...]
    verdict: Verdict
    registration: Registration
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    settings_sha256: str
    table_sha256: str = ""
    reviews: ReviewSummary | None = None
    trend: tuple[TrendPoint, ...] = ()
    drift: tuple[Moved, ...] = ()
    is_simulated: bool = False
    is_published: bool = False
    format: int = FORMAT
