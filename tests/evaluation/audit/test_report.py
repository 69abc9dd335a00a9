"""audit.html: self-contained, in plain words first, and nothing from a table runs as code."""

import re
from dataclasses import replace
from functools import cache

import pytest

from diascope.evaluation.audit.audit import audit
from diascope.evaluation.audit.publish import published
from diascope.evaluation.audit.report import audit_html
from diascope.evaluation.audit.result import AuditResult, Registration
from diascope.evaluation.audit.settings import AuditSettings, Gate
from tests.evaluation.audit.cohorts import cohort


@cache
def result() -> AuditResult:
    made = cohort(1, 1200, missed_in=("manufacturer", "OLD"), missed=0.6)
    made.loc[:3, "site"] = "<script>alert(1)</script>"
    plan = AuditSettings(
        groups=("sex", "manufacturer", "site"), gate=Gate(max_gap={"sensitivity": 0.15}), rounds=20, is_simulated=True
    )
    return audit(made, plan)


@cache
def page() -> str:
    return audit_html(result())


def test_nothing_comes_from_outside_and_nothing_runs() -> None:
    html = page()

    assert not re.search(r"(src|href)=[\"'](?!#)", html.replace("xlink:href", ""))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "@import" not in html


def test_page_one_says_verdict_worst_group_and_what_could_not_be_judged() -> None:
    first = page().split("<h2>2. The gate")[0]

    assert "At least one group is worse off than the limits allow." in first
    assert "manufacturer: for OLD it is" in first
    assert "Chance alone would do this less than 1 time in 100" in first
    assert "are needed." in first
    assert "Simulated data" in first
    assert "The groups and limits may have been chosen after looking at the results" in first


def test_a_registered_plan_and_its_changes_are_told() -> None:
    fixed = replace(result(), registration=Registration("2026-03-04T12:00:00+00:00", "ab" * 32, ()))
    changed = replace(result(), registration=Registration("2026-03-04", "ab", ("threshold: 0.5 became 0.4",)))

    assert "registered 2026-03-04T12:00:00+00:00, unchanged" in audit_html(fixed)
    assert "threshold: 0.5 became 0.4" in audit_html(changed)


def test_there_is_a_forest_plot_per_metric_and_a_calibration_per_attribute() -> None:
    html = page()

    assert html.count("<svg") == 2 + 3
    assert 'aria-label="sensitivity of every group with its interval"' in html


def test_an_attribute_of_many_groups_is_told_in_tables_that_fit_on_a_sheet() -> None:
    made = cohort(1, 600)
    made["site"] = [f"hospital {n % 15:02d}" for n in range(len(made))]

    html = audit_html(audit(made, AuditSettings(groups=("site",), rounds=20)))

    tables = [table for table in re.findall(r"<table>.*?</table>", html, re.DOTALL) if "<th>everybody</th>" in table]
    assert [table.count("patients</span>") for table in tables] == [7, 7, 1]
    assert "part 3 of 3" in html
    for n in range(15):
        assert sum(f"<th>hospital {n:02d}<" in table for table in tables) == 1


def test_a_print_names_the_sections_it_has_nothing_for() -> None:
    assert "7 (reviewers), 8 (earlier audits), 9 (a reference batch)" in page()
    assert "5 (curves by group)" not in page()


def test_the_same_audit_gives_the_same_bytes() -> None:
    assert audit_html(result()) == page()


def test_a_published_report_shows_no_small_group_s_figures() -> None:
    html = audit_html(published(result()))

    assert "For publication" in html
    assert "too few to be shown" in html


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_a_report_without_limits_says_that_none_were_set(task: str) -> None:
    made = cohort(0, 300)
    made["dice"] = made["score"]
    primary = ("dice",) if task == "segmentation" else ()
    plan = AuditSettings.model_validate({"groups": ["sex"], "task": task, "rounds": 10, "primary": primary})

    html = audit_html(audit(made, plan))

    assert "No limits were set" in html
    assert html.count("<svg") == (1 if task == "segmentation" else 3)


def test_a_table_in_which_all_are_alike_still_gives_a_report() -> None:
    made = cohort(0, 60)
    made["sex"] = "F"

    html = audit_html(audit(made, AuditSettings(groups=("sex",), rounds=10)))

    assert "sex: all rows are F, there is nothing to compare" in html
    assert "Ill people who were called ill" in html
