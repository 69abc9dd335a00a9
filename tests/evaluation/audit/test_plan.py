"""A registered plan: written once, compared later, never overwritten."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from diascope.errors import InputError
from diascope.evaluation.audit.plan import read_registration, register
from diascope.evaluation.audit.settings import AuditSettings, Gate

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
PLAN = AuditSettings(groups=("sex",), gate=Gate(max_gap={"sensitivity": 0.1}))


def test_without_a_plan_it_is_said(tmp_path: Path) -> None:
    assert read_registration(PLAN, tmp_path).registered == ""


def test_a_plan_is_written_with_hash_and_time_and_found_unchanged(tmp_path: Path) -> None:
    register(PLAN, tmp_path / "audit", NOON)

    found = read_registration(PLAN, tmp_path / "audit")

    assert found.registered == "2026-03-04T12:00:00+00:00"
    assert len(found.sha256) == 64
    assert found.changes == ()


def test_later_changes_are_listed_by_key_with_both_values(tmp_path: Path) -> None:
    register(PLAN, tmp_path, NOON)
    later = AuditSettings(groups=("sex",), gate=Gate(max_gap={"sensitivity": 0.2}), threshold=0.4)

    found = read_registration(later, tmp_path)

    assert found.changes == ("gate.max_gap.sensitivity: 0.1 became 0.2", "threshold: 0.5 became 0.4")


def test_registering_twice_keeps_the_first_time_and_another_plan_is_refused(tmp_path: Path) -> None:
    register(PLAN, tmp_path, NOON)

    again = register(PLAN, tmp_path, NOON.replace(hour=13))

    assert again.registered == "2026-03-04T12:00:00+00:00"
    with pytest.raises(InputError, match="another plan was registered here at 2026-03-04T12:00:00"):
        register(PLAN.model_copy(update={"threshold": 0.1}), tmp_path, NOON)


def test_an_edited_plan_is_told_by_its_hash(tmp_path: Path) -> None:
    register(PLAN, tmp_path, NOON)
    loose = PLAN.model_copy(update={"threshold": 0.9})
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["plan"] = loose.model_dump(mode="json")
    (tmp_path / "plan.json").write_text(json.dumps(plan))

    assert read_registration(loose, tmp_path).changes == ("the file of the plan was edited: its hash does not fit",)


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")

    with pytest.raises(InputError, match="registered plan cannot be read: KeyError"):
        read_registration(PLAN, tmp_path)
