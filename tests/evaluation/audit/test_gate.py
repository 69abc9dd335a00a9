"""The verdict: fail, insufficient and pass, each for its own reason."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from diascope.evaluation.audit.gate import rulings_of, verdict_of
from diascope.evaluation.audit.result import Comparison, Group, GroupGap, Ruling
from diascope.evaluation.audit.settings import AuditSettings, Gate
from diascope.evaluation.bootstrap import Estimate

PLAN = AuditSettings(groups=("sex",), gate=Gate(max_gap={"sensitivity": 0.1}))
GOOD = GroupGap("F", 300, 0.8, 0.82, 0.02, -0.05, 0.08, 0.6, 0.09, 250, is_sufficient=True)
OTHER = replace(GOOD, group="M", gap=-0.02)


def comparison(*groups: GroupGap, p_holm: float = 0.6) -> Comparison:
    return Comparison(
        "sex", "sensitivity", groups, p_holm, p_holm, p_holm, Estimate(0.02), "F", None, is_exploratory=False
    )


def group(name: str, found: Estimate, rows: int = 300, *, enough: bool = True) -> Group:
    return Group("sex", name, rows, rows, {"sensitivity": rows}, {"sensitivity": found}, {"sensitivity": enough}, {})


def ruled(*groups: GroupGap, p_holm: float = 0.6, rows: dict[str, int] | None = None) -> Ruling:
    members = [group(one.group, Estimate(0.8, 0.75, 0.85), (rows or {}).get(one.group, 300)) for one in groups]
    (ruling,) = rulings_of([comparison(*groups, p_holm=p_holm)], members, (), PLAN)
    return ruling


def test_small_gaps_with_enough_power_pass() -> None:
    assert ruled(GOOD, OTHER).verdict == "pass"


def test_a_wide_gap_beyond_chance_fails_with_the_group_s_name() -> None:
    found = ruled(replace(GOOD, gap=0.2, p=0.001), OTHER, p_holm=0.004)

    assert found.verdict == "fail"
    assert found.reason == "F is worse by 0.200, which chance does not explain (p 0.0040)"


def test_a_real_gap_within_the_limit_passes() -> None:
    assert ruled(replace(GOOD, gap=0.06, p=0.001), OTHER, p_holm=0.004).verdict == "pass"


def test_a_wide_gap_that_may_be_chance_is_insufficient() -> None:
    found = ruled(replace(GOOD, gap=0.12, p=0.2), OTHER)

    assert (found.verdict, found.reason) == ("insufficient", "F is worse by 0.120, but chance would do that too")


def test_a_group_too_small_for_the_limit_is_insufficient_with_the_number_it_takes() -> None:
    found = ruled(replace(GOOD, smallest_gap=0.3, patients=30, patients_needed=280), OTHER)

    assert (found.verdict, found.reason) == ("insufficient", "F: 30 patients, 280 are needed for a gap of 0.1")


def test_a_failing_group_is_not_excused_by_another_that_is_too_small() -> None:
    tiny = replace(OTHER, gap=None, p=None, is_sufficient=False, patients=2)

    assert ruled(replace(GOOD, gap=0.2, p=0.001), tiny, p_holm=0.004).verdict == "fail"


@pytest.mark.parametrize(("rows", "verdict"), [(10, "pass"), (60, "insufficient")])
def test_missing_values_hold_a_verdict_up_only_if_they_are_many(rows: int, verdict: str) -> None:
    missing = replace(OTHER, group="missing", gap=None, p=None, is_sufficient=False, patients=rows)

    assert ruled(GOOD, OTHER, missing, rows={"missing": rows}).verdict == verdict


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Estimate(0.9, 0.85, 0.95), "pass"),
        (Estimate(0.82, 0.75, 0.88), "insufficient"),
        (Estimate(0.7, 0.65, 0.75), "fail"),
        (Estimate(0.9, reason="2 patients are too few for an interval"), "insufficient"),
        (Estimate(None, reason="no positives"), "insufficient"),
    ],
)
def test_the_least_that_every_group_must_reach_is_judged_by_its_interval(found: Estimate, verdict: str) -> None:
    plan = AuditSettings(groups=("sex",), gate=Gate(min_value={"sensitivity": 0.8}))

    (ruling,) = rulings_of([comparison(GOOD)], [group("F", found)], (), plan)

    assert ruling.verdict == verdict


def test_for_errors_the_limit_is_a_ceiling() -> None:
    plan = AuditSettings(groups=("sex",), task="segmentation", gate=Gate(min_value={"miss_rate": 0.2}))
    one = replace(comparison(GOOD), metric="miss_rate")
    high = Group(
        "sex", "F", 300, 300, {"miss_rate": 300}, {"miss_rate": Estimate(0.4, 0.3, 0.5)}, {"miss_rate": True}, {}
    )

    (ruling,) = rulings_of([one], [high], (), plan)

    assert (ruling.verdict, ruling.rule) == ("fail", "every group at most 0.2")


def test_the_worst_ruling_is_the_verdict_and_no_ruling_is_no_pass() -> None:
    ruling = Ruling("sex", "sensitivity", "", "pass", "")

    assert verdict_of([ruling]) == "pass"
    assert verdict_of([ruling, replace(ruling, verdict="insufficient")]) == "insufficient"
    assert verdict_of([replace(ruling, verdict="insufficient"), replace(ruling, verdict="fail")]) == "fail"
    assert verdict_of([]) == "insufficient"


def test_a_limit_for_what_is_not_tested_is_refused() -> None:
    with pytest.raises(ValidationError, match="threshold for auc, which is not primary"):
        AuditSettings(groups=("sex",), gate=Gate(max_gap={"auc": 0.1}))
    with pytest.raises(ValidationError, match="which are not among the groups"):
        AuditSettings(groups=("sex",), gate=Gate(groups=("site",)))
