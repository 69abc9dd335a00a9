from pathlib import Path

import pytest

from diascope.errors import InputError
from diascope.evaluation.audit.audit import Evidence, audit
from diascope.evaluation.audit.report import audit_html
from diascope.evaluation.audit.result import AuditResult
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.audit.sources import evidence_for
from diascope.evaluation.audit.trend import TrendPoint, with_changes
from diascope.evaluation.audit.words import trend
from diascope.evaluation.audit.write import write_audit
from diascope.evaluation.bootstrap import Estimate
from tests.evaluation.audit.cohorts import cohort

PLAN = AuditSettings(groups=("sex", "manufacturer"), rounds=20)


def audited(
    folder: Path, seed: int, missed: float = 0.0, patients: int = 2000, earlier: dict[str, str] | None = None
) -> AuditResult:
    folder.mkdir(parents=True)  # paths of the plan are relative to it
    made = cohort(seed, patients, missed_in=("manufacturer", "OLD") if missed else None, missed=missed)
    result = audit(made, PLAN, evidence=evidence_for(folder, PLAN, folder, earlier))
    write_audit(result, folder)
    return result


def test_a_scanner_that_got_worse_shows_and_an_unchanged_batch_does_not(tmp_path: Path) -> None:
    audited(tmp_path / "spring", 0)
    audited(tmp_path / "summer" / "audit", 1, earlier={})
    same = audited(tmp_path / "autumn", 2, earlier={"spring": "../spring", "summer": "../summer"})
    worse = audited(tmp_path / "winter", 3, 0.5, earlier={"spring": "../spring/audit.json", "autumn": "../autumn"})

    assert [point.name for point in same.trend] == ["spring", "summer", "this audit"]
    assert min(p for point in same.trend for p in point.p.values()) > 0.01
    assert "No figure moved beyond chance" in trend(same)[-1]
    last = worse.trend[-1]
    assert last.p["sensitivity"] < 1e-6
    assert last.p["specificity"] > 0.01
    assert [(one.group, one.gap > 0.3) for one in last.worst if one.metric == "sensitivity"][-1] == ("OLD", True)
    said = " ".join(trend(worse))
    assert "in autumn became" in said
    assert "sensitivity:" in said
    assert "specificity:" not in said
    html = audit_html(worse)
    assert "8. Since earlier audits" in html
    assert "manufacturer: OLD" in html
    assert "trend_sensitivity.svg" in {path.name for path in (tmp_path / "winter").iterdir()}
    assert (tmp_path / "winter" / "trend.csv").read_text().count("this audit") == 2


def test_another_plan_is_named_because_its_figures_are_not_the_same(tmp_path: Path) -> None:
    audited(tmp_path / "spring", 0, patients=500)
    plan = PLAN.model_copy(update={"threshold": 0.9})

    found = audit(cohort(1, 500), plan, evidence=evidence_for(tmp_path, plan, tmp_path, {"spring": "spring"}))

    assert not found.trend[0].same_plan
    assert "spring had another plan" in trend(found)[0]


def test_the_plan_of_a_trend_is_the_same_whatever_came_before(tmp_path: Path) -> None:
    audited(tmp_path / "spring", 0, patients=500)
    audited(tmp_path / "summer", 1, patients=500, earlier={"spring": "../spring"})
    autumn = audited(tmp_path / "autumn", 2, patients=500, earlier={"spring": "../spring", "summer": "../summer"})

    assert [point.same_plan for point in autumn.trend] == [True, True, True]


def point(name: str, value: float | None, low: float | None, high: float | None) -> TrendPoint:
    return TrendPoint(name, "pass", 10, True, {"dice": Estimate(value, low, high, 10)}, (), {})


def test_a_change_is_judged_by_both_intervals() -> None:
    # Half widths of 0.0392 are standard errors of 0.02: a step of 0.0554 is 1.96 of sqrt(2) of them.
    before, after = point("a", 0.8, 0.7608, 0.8392), point("b", 0.8 - 0.05544, 0.70536, 0.78376)

    assert with_changes([before, after])[1].p["dice"] == pytest.approx(0.05, abs=0.001)
    assert with_changes([before])[0].p == {}


def test_a_figure_without_an_interval_has_no_change() -> None:
    assert with_changes([point("a", 0.8, None, None), point("b", 0.7, 0.6, 0.8)])[1].p == {}


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_an_earlier_audit_that_is_none_is_named_as_the_plan_calls_it(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "old").mkdir()
    if content is not None:
        (tmp_path / "old" / "audit.json").write_text(content)

    with pytest.raises(InputError, match=r"earlier\.spring") as caught:
        evidence_for(tmp_path, PLAN, tmp_path, {"spring": "old"})
    assert caught.value.code == "no_audit"


def test_an_audit_without_earlier_ones_has_no_trend() -> None:
    assert audit(cohort(0, 300), PLAN, evidence=Evidence()).trend == ()
