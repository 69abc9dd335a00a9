"""Planted bias is found by its name, and where there is none the audit passes."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, equalized_odds_difference
from sklearn.metrics import recall_score

from diascope.evaluation.audit.audit import audit
from diascope.evaluation.audit.report import audit_html
from diascope.evaluation.audit.result import AuditResult
from diascope.evaluation.audit.settings import AuditSettings, Gate
from tests.evaluation.audit.cohorts import cohort

LIMITS = Gate(max_gap={"sensitivity": 0.12, "specificity": 0.12})
PLAN = AuditSettings(groups=("sex", "manufacturer", "site"), gate=LIMITS, rounds=150, intersections=False)


@cache
def by_scanner() -> AuditResult:
    made = cohort(1, missed_in=("manufacturer", "OLD"), missed=0.5, women_on_old_scanner=0.85)
    return audit(made, PLAN)


def rulings(result: AuditResult) -> dict[tuple[str, str], str]:
    return {(one.attribute, one.metric): one.verdict for one in result.rulings}


def test_a_group_whose_ill_are_missed_is_found_by_its_name_and_no_other() -> None:
    found = audit(cohort(3, missed_in=("site", "east"), missed=0.5), PLAN)

    failed = [one for one in found.rulings if one.verdict == "fail"]
    assert found.verdict == "fail"
    assert [(one.attribute, one.metric) for one in failed] == [("site", "sensitivity")]
    assert failed[0].reason.startswith("east is worse by 0.")


def test_a_scanner_that_explains_a_gap_between_the_sexes_is_named() -> None:
    found = by_scanner()

    sex, scanner = (
        next(one for one in found.rulings if (one.attribute, one.metric) == (name, "sensitivity"))
        for name in ("sex", "manufacturer")
    )
    assert sex.verdict == "fail"
    assert sex.reason.endswith("; manufacturer explains it: within its groups the gap is gone")
    assert scanner.reason.startswith("OLD is worse by 0.4")
    assert "explains" not in scanner.reason.replace("chance does not explain", "")


def test_an_unbiased_cohort_passes_in_at_least_19_of_20_seeds() -> None:
    plan = PLAN.model_copy(update={"groups": ("sex", "site"), "rounds": 20})

    verdicts = [audit(cohort(seed, 3000), plan).verdict for seed in range(20)]

    assert verdicts.count("pass") >= 19


def test_a_cohort_that_is_too_small_neither_passes_nor_fails_and_says_how_many_it_takes() -> None:
    found = audit(cohort(0, 200), PLAN)

    assert found.verdict == "insufficient"
    reason = next(one.reason for one in found.rulings if (one.attribute, one.metric) == ("site", "sensitivity"))
    assert "patients, " in reason
    assert "are needed for a gap of 0.12" in reason


def test_groups_without_positives_are_insufficient_and_never_zero() -> None:
    made = cohort(0, 1000)
    made.loc[:39, "site"] = "west"
    made.loc[:39, "y"] = 0

    found = audit(made, PLAN)

    comparison = next(one for one in found.comparisons if (one.attribute, one.metric) == ("site", "sensitivity"))
    west = next(one for one in comparison.groups if one.group == "west")
    assert (west.value, west.gap, west.patients, west.is_sufficient) == (None, None, 0, False)
    assert west.patients_needed is not None
    group = next(one for one in found.groups if one.name == "west")
    assert group.metrics["sensitivity"].reason == "no positives"
    assert comparison.worst != "west"


def test_missing_values_are_a_group_and_a_few_of_them_hold_nothing_up() -> None:
    made = cohort(5)
    made.loc[::200, "site"] = None

    found = audit(made, PLAN)

    missing = next(one for one in found.groups if one.name == "missing")
    assert missing.rows == 20
    assert rulings(found)["site", "sensitivity"] == "pass"


def test_group_values_are_those_of_fairlearn_s_metric_frame() -> None:
    made = cohort(1, missed_in=("manufacturer", "OLD"), missed=0.5, women_on_old_scanner=0.85)

    frame = MetricFrame(
        metrics=recall_score, y_true=made["y"], y_pred=made["score"] >= 0.5, sensitive_features=made["manufacturer"]
    )

    found = {
        one.name: one.metrics["sensitivity"].value for one in by_scanner().groups if one.attribute == "manufacturer"
    }
    assert found == pytest.approx(frame.by_group.to_dict())
    comparison = next(
        one for one in by_scanner().comparisons if (one.attribute, one.metric) == ("manufacturer", "sensitivity")
    )
    assert comparison.range.value == pytest.approx(frame.difference())
    odds = equalized_odds_difference(made["y"], made["score"] >= 0.5, sensitive_features=made["manufacturer"])
    assert by_scanner().equalised_odds["manufacturer"] == pytest.approx(odds)


def test_at_a_common_prevalence_predictive_values_no_longer_differ_by_prevalence_alone() -> None:
    rng = np.random.default_rng(0)
    site = np.repeat(["rare", "common"], 4000)
    ill = rng.random(8000) < np.where(site == "rare", 0.1, 0.5)
    called = rng.random(8000) < np.where(ill, 0.8, 0.1)
    made = pd.DataFrame(
        {"case_id": range(8000), "y": ill.astype(int), "score": np.where(called, 0.9, 0.1), "site": site}
    )

    found = {one.name: one for one in audit(made, PLAN.model_copy(update={"groups": ("site",)})).groups}

    assert found["common"].metrics["ppv"].value - found["rare"].metrics["ppv"].value > 0.3
    assert abs(found["common"].prevalence_matched["ppv"] - found["rare"].prevalence_matched["ppv"]) < 0.05


def test_the_same_seed_gives_the_same_audit() -> None:
    made = cohort(2, 400)

    assert audit(made, PLAN) == audit(made, PLAN)


def test_a_segmentation_that_misses_lesions_of_one_group_is_found() -> None:
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b"], 600)
    missed = rng.random(600) < np.where(group == "b", 0.35, 0.02)
    dice = np.where(missed, 0.0, rng.beta(12, 2, 600))
    made = pd.DataFrame(
        {"case_id": range(600), "dice": dice, "outcome": np.where(missed, "missed", "found"), "group": group}
    )
    plan = AuditSettings(
        groups=("group",), task="segmentation", gate=Gate(max_gap={"dice": 0.1, "miss_rate": 0.1}), rounds=100
    )

    found = audit(made, plan)

    assert rulings(found) == {("group", "dice"): "fail", ("group", "miss_rate"): "fail"}
    assert next(one for one in found.comparisons if one.metric == "miss_rate").worst == "b"
    assert next(one for one in found.comparisons if one.metric == "dice").skewed_error_ratio > 2


def test_a_detector_with_more_false_marks_on_one_scanner_is_found() -> None:
    rng = np.random.default_rng(0)
    box = {"i0": 0, "j0": 0, "k0": 0, "i1": 4, "j1": 4, "k1": 4}
    away = {"i0": 50, "j0": 0, "k0": 0, "i1": 54, "j1": 4, "k1": 4}
    rows = []
    for n in range(240):
        scan = {"scan": f"s{n}", "patient": f"p{n}", "manufacturer": "GE" if n % 2 else "SIEMENS"}
        rows += [{**scan, "kind": "lesion", **box}, {**scan, "kind": "mark", **box, "score": rng.uniform(0.6, 1)}]
        rows += [{**scan, "kind": "mark", **away, "score": 0.7}] * int(rng.poisson(1.5 if n % 2 else 0.3))
    plan = AuditSettings(
        groups=("manufacturer",), task="detection", gate=Gate(max_gap={"false_positives_per_scan": 0.5}), rounds=100
    )

    found = audit(pd.DataFrame(rows), plan)

    assert found.rulings[0].verdict == "fail"
    assert found.rulings[0].reason.startswith("GE is worse by 1.")
    ge = next(one for one in found.groups if one.name == "GE")
    assert ge.metrics["sensitivity_at_8_fp"].value == 1.0


def test_intersections_are_looked_at_but_not_ruled_on() -> None:
    made = cohort(4, 3000)
    hidden = (made["sex"] == "F") & (made["site"] == "east") & (made["y"] == 1)
    made.loc[hidden, "score"] = 0.1

    found = audit(made, PLAN.model_copy(update={"intersections": True}))

    pair = next(one for one in found.comparisons if (one.attribute, one.metric) == ("sex x site", "sensitivity"))
    assert pair.is_exploratory
    assert pair.worst == "F, east"
    assert pair.p_holm is None
    assert pair.p_bh < 0.05
    assert "sex x site" not in {one.attribute for one in found.rulings}


def test_features_are_probed_for_every_attribute_and_shown() -> None:
    rng = np.random.default_rng(0)
    made = cohort(0, 400)
    features = rng.normal(size=(400, 6))
    features[:, 2] += 2.5 * (made["manufacturer"] == "OLD")
    made[[f"feature_{n}" for n in range(6)]] = features

    found = audit(made, PLAN)

    read = {one.attribute: one for one in found.probes}
    assert read["manufacturer"].auc > 0.9
    assert read["manufacturer"].p < 0.01
    assert 0.35 < read["sex"].auc < 0.65
    assert "What the network&#39;s features give away" in audit_html(found).replace("network's", "network&#39;s")
