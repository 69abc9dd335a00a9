"""The audit itself: from a table and a plan to everything it has to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.config import settings_hash
from diascope.evaluation.audit.confounding import Stratified, stratified
from diascope.evaluation.audit.gaps import Comparing, compare_all, patients_behind
from diascope.evaluation.audit.gate import review_ruling, rulings_of, verdict_of
from diascope.evaluation.audit.group_metrics import calibration_points, curve_metrics, prevalence_matched, ratio_metrics
from diascope.evaluation.audit.groups import CONFLICTING, MISSING, Attribute
from diascope.evaluation.audit.measures import Measure, pick
from diascope.evaluation.audit.result import AuditResult, Comparison, Group, Registration
from diascope.evaluation.audit.reviews import groups_of_cases, summarise_reviews
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.audit.table import AuditTable, prepare
from diascope.evaluation.audit.trend import TrendPoint, WorstGroup, with_changes
from diascope.evaluation.audit.words import primary_metrics
from diascope.evaluation.bootstrap import resample
from diascope.evaluation.drift import Moved
from diascope.evaluation.probe import Probe, probe

Ints = NDArray[np.int64]

UNREGISTERED = Registration("", "", ())


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What an audit looks at beside its table.

    Attributes:
        reviews: Reviewers' verdicts, as `read_reviews` gives them.
        doubtful: Cases that readers are to see first, where they are known.
        earlier: Earlier audits, oldest first.
        moved: What moved against a reference batch.
    """

    reviews: pd.DataFrame | None = None
    doubtful: frozenset[str] | None = None
    earlier: tuple[TrendPoint, ...] = ()
    moved: tuple[Moved, ...] = ()


NOTHING_FURTHER = Evidence()

# What the report says of metrics that are no ratio of sums.
CURVE_WORDS = {
    "auc": "how often an ill person scores above a healthy one",
    "average_precision": "precision, averaged over all thresholds",
    "ece": "distance of promised and seen probability",
    "calibration_slope": "1 is calibrated; below 1 the score is too sure",
    "calibration_intercept": "0 is calibrated; above 0 the scores are too low",
    "cpm": "sensitivity, averaged over 1/8 to 8 false marks per scan",
}
LOWER_IS_BETTER = {"ece"}

# The same metrics of single slices are no people.
SLICE_WORDS = {
    "sensitivity": "slices that show it and were called so",
    "specificity": "slices that do not show it and were called so",
    "ppv": "slices called positive that show it",
    "npv": "slices called negative that do not show it",
    "selection_rate": "slices that were called positive",
    "prevalence": "slices that show it",
    "auc": "how often a slice that shows it scores above one that does not",
}


def audit(
    frame: pd.DataFrame,
    settings: AuditSettings,
    *,
    clinical: pd.DataFrame | None = None,
    registration: Registration = UNREGISTERED,
    table_sha256: str = "",
    evidence: Evidence = NOTHING_FURTHER,
) -> AuditResult:
    """Audit anybody's predictions.

    Args:
        frame: One row per prediction; see docs/audit.md for the columns.
        settings: The plan.
        clinical: A table to join, if the plan names one.
        registration: Whether the plan was written down before.
        table_sha256: Of the file the table came from.
        evidence: What is looked at beside the table.

    Raises:
        InputError: The table does not hold what the plan asks for.
    """
    table = prepare(frame, settings, clinical)
    rng = np.random.default_rng(settings.seed)
    primary = pick(table.measures, settings.primary_metrics())
    drawn = resample(table.patient.tolist(), rng, settings.rounds)
    divided = sum(len(one.levels) > 1 for one in table.attributes)
    comparing = Comparing(settings, drawn, rng, tests=max(divided * len(primary), 1))
    singles = compare_all(table.attributes, primary, comparing, exploratory=False)
    pairs = compare_all(table.intersections, primary, comparing, exploratory=True)
    groups = (
        *(group for one in table.attributes for group in _groups(table, one, primary, settings, rng)),
        *(group for one in table.intersections for group in _groups(table, one, primary, settings, None)),
    )
    confounding = _confounding(table, singles, primary, settings)
    reviews = None
    if evidence.reviews is not None:
        reviews = summarise_reviews(evidence.reviews, groups_of_cases(table.cases, table.attributes), evidence.doubtful)
    rulings = rulings_of(singles, groups, confounding, settings)
    if reviews is not None and settings.gate.reviews_accepted is not None:
        rulings += (review_ruling(reviews, settings.gate.reviews_accepted, settings.smallest_group),)
    everyone = np.arange(table.rows)
    overall = {
        **ratio_metrics(table.measures, everyone, table.patient),
        **curve_metrics(table, everyone, rng, settings.rounds),
    }
    found = AuditResult(
        title=settings.title,
        task=settings.task,
        rows=table.rows,
        patients=table.patients,
        threshold=settings.threshold,
        overall=overall,
        words=_words(table, settings),
        higher_is_better={
            **{name: name not in LOWER_IS_BETTER for name in overall},
            **{one.name: one.higher_is_better for one in table.measures},
        },
        groups=groups,
        comparisons=(*singles, *pairs),
        equalised_odds=_equalised_odds(singles) if settings.task == "classification" else {},
        confounding=confounding,
        probes=_probes(table, rng),
        rulings=rulings,
        verdict=verdict_of(rulings),
        registration=registration,
        notes=table.notes,
        settings=settings.model_dump(mode="json"),
        settings_sha256=settings_hash(settings),
        table_sha256=table_sha256,
        reviews=reviews,
        drift=evidence.moved,
        is_simulated=settings.is_simulated,
    )
    return replace(found, trend=_trend(evidence.earlier, found)) if evidence.earlier else found


def _trend(earlier: Sequence[TrendPoint], found: AuditResult) -> tuple[TrendPoint, ...]:
    tested = primary_metrics(found)
    worst = tuple(
        WorstGroup(one.attribute, one.metric, gap.group, gap.value, gap.gap)
        for one in found.comparisons
        if not one.is_exploratory and (gap := one.of_worst()) is not None and gap.value is not None
    )
    overall = {name: value for name, value in found.overall.items() if name in tested}
    now = TrendPoint("this audit", found.verdict, found.patients, same_plan=True, overall=overall, worst=worst, p={})
    return with_changes([*earlier, now])


def _words(table: AuditTable, settings: AuditSettings) -> dict[str, str]:
    of_slices = SLICE_WORDS if settings.task == "classification" and settings.unit == "slice" else {}
    return {**CURVE_WORDS, **{one.name: one.words for one in table.measures}, **of_slices}


def _groups(
    table: AuditTable,
    attribute: Attribute,
    primary: Sequence[Measure],
    settings: AuditSettings,
    rng: np.random.Generator | None,
) -> list[Group]:
    # Without rng: an intersection, of which only the primary metrics are told.
    behind = {one.name: patients_behind(attribute, one, table.patient) for one in primary}
    order = np.argsort(attribute.code, kind="stable")
    ends = np.cumsum(np.bincount(attribute.code, minlength=len(attribute.levels)))
    found = []
    for at, rows in enumerate(np.split(order, ends[:-1])):
        metrics = ratio_metrics(tuple(primary) if rng is None else table.measures, rows, table.patient)
        matched: Mapping[str, float] = {}
        if rng is not None:
            metrics |= curve_metrics(table, rows, rng, settings.rounds)
            matched = prevalence_matched(table, rows, settings.threshold)
        counts = {name: int(n[at]) for name, n in behind.items()}
        found.append(
            Group(
                attribute.name,
                attribute.levels[at],
                rows=len(rows),
                patients=int(np.unique(table.patient[rows]).size),
                behind=counts,
                metrics=metrics,
                is_sufficient={name: n >= settings.smallest_group for name, n in counts.items()},
                prevalence_matched=matched,
                calibration=() if rng is None else calibration_points(table, rows),
            )
        )
    return found


def _equalised_odds(singles: Sequence[Comparison]) -> dict[str, float]:
    # As fairlearn's equalized_odds_difference, but over judged groups only: fairlearn calls both
    # rates of a group without positives 0, and its gap then says nothing.
    found = {}
    for name in dict.fromkeys(one.attribute for one in singles):
        values = {
            one.metric: {gap.group: gap.value for gap in one.groups if gap.is_sufficient and gap.value is not None}
            for one in singles
            if one.attribute == name and one.metric in {"sensitivity", "specificity"}
        }
        judged = set.intersection(*(set(by_group) for by_group in values.values())) if len(values) == 2 else set()
        if len(judged) > 1:
            ranges = [[by_group[group] for group in judged] for by_group in values.values()]
            found[name] = max(max(one) - min(one) for one in ranges)
    return found


def _probes(table: AuditTable, rng: np.random.Generator) -> tuple[Probe, ...]:
    if table.features is None:
        return ()
    found = []
    for one in table.attributes:
        values = [None if one.levels[at] in {MISSING, CONFLICTING} else one.levels[at] for at in one.code.tolist()]
        found.append(probe(table.features, values, table.patient.tolist(), rng, attribute=one.name))
    return tuple(found)


def _confounding(
    table: AuditTable, singles: Sequence[Comparison], primary: Sequence[Measure], settings: AuditSettings
) -> tuple[Stratified, ...]:
    by_name = {one.name: one for one in table.attributes}
    measures = {one.name: one for one in primary}
    found = []
    for comparison in singles:
        if comparison.p_holm is None or comparison.p_holm >= settings.alpha:
            continue
        one = by_name[comparison.attribute]
        group = one.levels.index(comparison.worst)
        found += [
            stratified(measures[comparison.metric], one, group, other, table.patient)
            for other in table.attributes
            if other.name != one.name and len(other.levels) > 1
        ]
    return tuple(found)
