"""The files of an audit, and what tracking is told."""

import csv
import json
import re
from functools import cache
from pathlib import Path

import pytest

from diascope.evaluation.audit.audit import audit
from diascope.evaluation.audit.result import AuditResult
from diascope.evaluation.audit.settings import AuditSettings, Gate
from diascope.evaluation.audit.write import audit_json, audit_scalars, audit_tags, model_card, write_audit
from tests.evaluation.audit.cohorts import cohort


@cache
def result() -> AuditResult:
    plan = AuditSettings(groups=("sex", "manufacturer"), gate=Gate(max_gap={"sensitivity": 0.15}), rounds=20)
    return audit(cohort(1, 1500, missed_in=("manufacturer", "OLD"), missed=0.6), plan, table_sha256="ab" * 32)


def test_json_and_tables_hold_every_group_and_gap(tmp_path: Path) -> None:
    write_audit(result(), tmp_path / "audit")

    read = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert (read["verdict"], read["format"], len(read["groups"])) == ("fail", 1, len(result().groups))
    with (tmp_path / "audit" / "gaps.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    worst = next(row for row in rows if row["attribute"] == "manufacturer" and row["is_worst"] == "True")
    assert (worst["group"], worst["metric"]) == ("OLD", "sensitivity")
    assert float(worst["gap"]) > 0.4
    names = {path.name for path in (tmp_path / "audit").iterdir()}
    assert names == {
        "audit.json",
        "audit.html",
        "groups.csv",
        "gaps.csv",
        "gate.csv",
        "confounders.csv",
        "model_card.md",
        "forest_sensitivity.svg",
        "forest_specificity.svg",
        "calibration_sex.svg",
        "calibration_manufacturer.svg",
    }
    figure = (tmp_path / "audit" / "forest_sensitivity.svg").read_text()
    assert figure.startswith('<svg width="')
    assert "OLD" in figure


def test_the_same_audit_gives_the_same_bytes() -> None:
    assert audit_json(result()) == audit_json(result())


def test_tracking_gets_headline_worst_group_and_gap() -> None:
    found = audit_scalars(result())

    assert found["audit.sensitivity.manufacturer.worst"] < 0.5
    assert found["audit.sensitivity.manufacturer.gap"] > 0.4
    assert found["audit.sensitivity"] == pytest.approx(result().overall["sensitivity"].value)
    assert all(isinstance(value, float) for value in found.values())
    assert audit_tags(result())["audit.verdict"] == "fail"


def test_the_model_card_names_the_group_in_words() -> None:
    text = model_card(result())

    assert text.startswith("## Performance by group\n\n**fail**")
    assert "manufacturer: for OLD it is" in text
    assert "not registered beforehand" in text
    assert "| group | patients | sensitivity | specificity |" in text
    (old,) = (line for line in text.splitlines() if line.startswith("| manufacturer OLD |"))
    worst = next(group for group in result().groups if (group.attribute, group.name) == ("manufacturer", "OLD"))
    figures = [str(worst.metrics[name]) for name in ("sensitivity", "specificity")]
    assert old == f"| manufacturer OLD | {worst.patients} | {' | '.join(figures)} |"


def test_the_model_card_says_of_small_groups_how_many_there_are_and_how_many_it_takes() -> None:
    plan = AuditSettings(groups=("sex",), rounds=20, gate=Gate(max_gap={"sensitivity": 0.1}))
    text = model_card(audit(cohort(1, 30), plan))

    assert "Too few patients to judge (there, of so many that are needed):" in text
    assert re.search(r"^- sex: F has \d+ of \d+, M has \d+ of \d+\.$", text, re.MULTILINE)
    assert text.count("\n- sex") == 1
