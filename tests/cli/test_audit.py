"""`diascope audit` on the command line."""

import json
from pathlib import Path

import pytest
import typer
import yaml
from click.testing import Result
from typer.testing import CliRunner

from diascope.cli.audit import audit
from diascope.errors import ConfigError
from tests.evaluation.audit.cohorts import cohort
from tests.evaluation.batches import write_batch


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(audit)
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    gate = {"max_gap": {"sensitivity": 0.15}}
    plan = {"groups": ["sex", "manufacturer"], "gate": gate, "rounds": 20, "tracking": {"enabled": False}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
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


def test_two_output_folders_are_compared_without_a_plan(tmp_path: Path) -> None:
    write_batch(tmp_path / "spring", 0, 30)
    write_batch(tmp_path / "autumn", 1, 30, shifted=True)

    done = run(str(tmp_path / "autumn"), "--against", str(tmp_path / "spring"))

    assert done.exit_code == 0
    assert "manufacturer: NEW was 0 % and is" in done.stdout
    moved = json.loads((tmp_path / "autumn" / "audit" / "drift.json").read_text())["moved"]
    assert moved[0]["has_moved"]
    assert (tmp_path / "autumn" / "audit" / "drift.csv").read_text().startswith("name,kind,psi")


def test_what_moved_stands_in_the_audit_of_a_batch_too(tmp_path: Path, plan: Path) -> None:
    write_batch(tmp_path / "spring", 0, 30)
    write_batch(tmp_path / "autumn", 1, 30, shifted=True)
    (tmp_path / "autumn" / "evaluation").mkdir()
    cohort(1, 300).to_csv(tmp_path / "autumn" / "evaluation" / "classification.csv", index=False)

    done = run(str(tmp_path / "autumn"), "-c", str(plan), "--against", str(tmp_path / "spring"))

    assert "against the reference batch:" in done.stdout
    page = (tmp_path / "autumn" / "audit" / "audit.html").read_text()
    assert "9. Is this batch like the reference?" in page
    assert "manufacturer: NEW was 0 % and is" in page


def test_an_audit_without_plan_and_reference_says_what_it_needs(tmp_path: Path) -> None:
    done = run(str(table(tmp_path)))

    assert isinstance(done.exception, ConfigError)
    assert "an audit needs a plan" in str(done.exception)


def test_earlier_audits_of_the_plan_are_read_and_do_not_change_its_hash(tmp_path: Path, plan: Path) -> None:
    source = table(tmp_path)
    run(str(source), "-c", str(plan), "-o", str(tmp_path / "first"))
    plan.write_text(plan.read_text() + "earlier: {spring: first}\n")

    done = run(str(source), "-c", str(plan), "-o", str(tmp_path / "second"))

    assert "since earlier audits:" in done.stdout
    first, second = (json.loads((tmp_path / name / "audit.json").read_text()) for name in ("first", "second"))
    assert first["settings_sha256"] == second["settings_sha256"]
    assert [point["name"] for point in second["trend"]] == ["spring", "this audit"]
