"""`diascope audit` on the command line."""

import json
from pathlib import Path

import pytest
import typer
import yaml
from click.testing import Result
from typer.testing import CliRunner

from diascope.cli.audit import audit
from tests.evaluation.audit.cohorts import cohort


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(audit)
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    gate = {"max_gap": {"sensitivity": 0.15}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({"groups": ["sex", "manufacturer"], "gate": gate, "rounds": 20}))
    return tmp_path / "plan.yaml"


def table(tmp_path: Path, **bias: object) -> Path:
    cohort(1, 2500, **bias).to_csv(tmp_path / "predictions.csv", index=False)  # type: ignore[arg-type]
    return tmp_path / "predictions.csv"


def test_anybody_s_csv_is_audited_and_a_failed_gate_exits_with_3(tmp_path: Path, plan: Path) -> None:
    done = run(str(table(tmp_path, missed_in=("manufacturer", "OLD"), missed=0.6)), "-c", str(plan))

    assert done.exit_code == 3
    assert "verdict: fail. At least one group is worse off" in done.stdout
    assert "fail: manufacturer, sensitivity: OLD is worse by 0." in done.stdout
    assert (tmp_path / "audit" / "audit.html").is_file()


def test_a_passed_gate_exits_with_0_and_json_is_audit_json(tmp_path: Path, plan: Path) -> None:
    done = run(str(table(tmp_path)), "-c", str(plan), "-o", str(tmp_path / "out"), "--json")

    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads((tmp_path / "out" / "audit.json").read_text())


def test_too_few_patients_do_not_pass(tmp_path: Path, plan: Path) -> None:
    source = table(tmp_path)
    source.write_text("\n".join(source.read_text().splitlines()[:150]) + "\n")

    done = run(str(source), "-c", str(plan))

    assert done.exit_code == 3
    assert "verdict: insufficient" in done.stdout


def test_a_plan_is_registered_without_reading_the_table_and_changes_are_told(tmp_path: Path, plan: Path) -> None:
    (tmp_path / "predictions.csv").write_text("not read")
    registered = run(str(tmp_path / "predictions.csv"), "-c", str(plan), "--register")
    source = table(tmp_path)

    run(str(source), "-c", str(plan), "--set", "threshold=0.4")

    assert registered.exit_code == 0
    assert "registered 20" in registered.stdout
    result = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert result["registration"]["changes"] == ["threshold: 0.5 became 0.4"]
