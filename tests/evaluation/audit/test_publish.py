"""What leaves the house: no small cell, and nothing to subtract it from."""

import re
from functools import cache

from diascope.evaluation.audit.audit import audit
from diascope.evaluation.audit.publish import SUPPRESSED, published
from diascope.evaluation.audit.result import AuditResult
from diascope.evaluation.audit.settings import AuditSettings, Gate
from diascope.evaluation.audit.write import audit_json
from tests.evaluation.audit.cohorts import cohort


@cache
def result() -> AuditResult:
    made = cohort(0, 600)
    made.loc[:2, "site"] = "tiny clinic"
    plan = AuditSettings(groups=("sex", "site"), gate=Gate(max_gap={"sensitivity": 0.2}), rounds=20)
    return audit(made, plan)


def test_a_small_group_and_the_next_smallest_lose_their_numbers_and_the_others_keep_them() -> None:
    found = {one.name: one for one in published(result()).groups if one.attribute == "site"}

    hidden = [name for name, one in found.items() if one.rows == 0]
    assert hidden == ["east", "tiny clinic"]
    assert found["tiny clinic"].metrics["sensitivity"].reason == SUPPRESSED
    assert found["north"].rows > 200


def test_the_hidden_numbers_cannot_be_had_by_subtraction() -> None:
    before, after = result(), published(result())

    shown = sum(one.rows for one in after.groups if one.attribute == "site")
    tiny = next(one for one in before.groups if one.name == "tiny clinic")
    # What is left over belongs to two groups.
    assert before.rows - shown > tiny.rows
    for comparison in after.comparisons:
        assert all(gap.rest is None for gap in comparison.groups if comparison.attribute == "site")


def test_pairs_with_a_small_cell_are_left_out_whole_and_it_is_told() -> None:
    after = published(result())

    assert "sex x site" not in {one.attribute for one in (*after.groups, *after.comparisons)}
    assert after.notes[-1].startswith("1 pairs of attributes are left out")


def test_no_reason_names_the_number_of_a_small_group() -> None:
    text = audit_json(published(result()))

    assert re.search(r"tiny clinic: \d", audit_json(result()))
    assert not re.search(r"tiny clinic: \d", text)


def test_without_small_cells_nothing_is_taken_out() -> None:
    plan = AuditSettings(groups=("sex",), rounds=10)
    whole = audit(cohort(0, 400), plan)

    assert published(whole).groups == whole.groups
