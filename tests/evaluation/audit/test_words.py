"""What an audit says in words, where there is hardly anything to say."""

from dataclasses import replace

import pandas as pd

from diascope.evaluation.audit.audit import audit
from diascope.evaluation.audit.settings import AuditSettings
from diascope.evaluation.audit.words import findings, overall, subject
from tests.evaluation.audit.cohorts import cohort

PLAN = AuditSettings(groups=("sex", "age_years", "manufacturer"), rounds=20)


def few(patients: int, **facts: object) -> pd.DataFrame:
    return cohort(3, 40).sort_values("y", ascending=False).head(patients).assign(**facts)


def test_of_one_patient_it_is_said_how_many_there_were_and_not_how_many_of_a_hundred() -> None:
    found = audit(few(1, score=0.9), PLAN)

    assert subject(found).startswith("1 prediction of 1 patient at")
    sensitivity, specificity = overall(found)
    assert ": 1 of 1" in sensitivity
    assert "1 of 100" not in sensitivity.split("(")[0]
    assert "not defined" in specificity


def test_where_every_group_is_missing_no_lack_of_a_difference_is_claimed() -> None:
    found = audit(few(30, sex=None, age_years=None, manufacturer="ACME"), PLAN)

    said = findings(found)

    assert said == (
        "No groups were compared, so nothing is said about differences between them.",
        "Of sex and age_years no value is known.",
        "In manufacturer all whose value is known are alike.",
    )


def test_groups_that_are_all_too_small_are_told_as_such() -> None:
    assert findings(audit(few(12), PLAN))[-1] == "No attribute has two groups that are large enough."


def test_groups_that_were_compared_without_a_difference_are_told_so() -> None:
    found = audit(cohort(0, 600), replace_groups("sex"))

    assert findings(found) == (
        "No difference between groups is larger than chance makes it, as far as these data can tell.",
    )
    assert findings(replace(found, comparisons=()))[0].startswith("No groups were compared")


def test_an_audit_of_slices_speaks_of_slices() -> None:
    frame = cohort(2, 60).assign(slice_k=lambda made: made.index % 4, case_id=lambda made: made.index // 4)

    found = audit(frame, PLAN.model_copy(update={"unit": "slice"}))

    assert subject(found).startswith("60 slices of 60 patients at the operating point 0.5, divided by")
    assert overall(found)[0].startswith("Slices that show it and were called so: ")


def replace_groups(*groups: str) -> AuditSettings:
    return PLAN.model_copy(update={"groups": groups})
