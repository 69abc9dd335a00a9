"""`diascope whois` and `diascope pseudonymise`: with the right key only, and every use is recorded."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from diascope.cli.identity import identity_facts, pseudonymise, whois
from diascope.errors import ConfigError
from diascope.identity import IdentityKey, load_key
from diascope.io.outfolder import OutFolder
from diascope.io.private import write_tables
from diascope.io.series import CaseIdentity, Catalogue
from diascope.run.record import RunRecord, write_record

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(whois)
app.command()(pseudonymise)


@pytest.fixture
def key(tmp_path: Path) -> IdentityKey:
    return load_key(tmp_path / "key")


@pytest.fixture
def out(tmp_path: Path, key: IdentityKey) -> OutFolder:
    folder = OutFolder(tmp_path / "out")
    folder.create()
    identity = CaseIdentity(
        key.case_id("1.2.3"), key.patient_key("17"), "17", "Meyer^Anna", "1.2.3", study_date="2026-01-02"
    )
    write_tables(folder, Catalogue((), (), (), (identity,)))
    return folder


def run(out: OutFolder, *arguments: object, key_file: str = "key") -> Result:
    given = [*arguments, "-o", out.root, "--key-file", out.root.parent / key_file]
    return CliRunner().invoke(app, [str(one) for one in given])


def uses(out: OutFolder) -> list[dict[str, object]]:
    file = out.private / "uses.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_case_leads_to_its_patient_and_that_is_recorded(out: OutFolder, key: IdentityKey) -> None:
    result = run(out, "whois", key.case_id("1.2.3"))

    assert result.exit_code == 0
    assert "patient_name      Meyer^Anna" in result.stdout
    (use,) = uses(out)
    assert use["command"] == "whois"
    assert use["cases"] == [key.case_id("1.2.3")]
    assert "Meyer" not in json.dumps(use)


def test_json_says_the_same(out: OutFolder, key: IdentityKey) -> None:
    result = run(out, "whois", key.patient_key("17"), "--json")

    assert json.loads(result.stdout)["patient_id"] == "17"


def test_nobody_is_meant_and_the_try_is_recorded_too(out: OutFolder) -> None:
    result = run(out, "whois", "case-000000000000000")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: the only case of this folder is not meant by that\n  try: give a case_id")
    assert uses(out)[0]["found"] == 0


def test_a_study_without_a_uid_is_named_by_its_source() -> None:
    facts = identity_facts(CaseIdentity("case-1", study_uid="/scans/a.nii.gz"))

    assert facts["source"] == "/scans/a.nii.gz"
    assert "study_uid" not in facts
    assert identity_facts(CaseIdentity("case-1", study_uid="1.2.3"))["study_uid"] == "1.2.3"


def test_another_key_gets_no_answer(out: OutFolder, key: IdentityKey) -> None:
    result = run(out, "whois", key.case_id("1.2.3"), key_file="other")

    assert isinstance(result.exception, ConfigError)
    assert "another key" in str(result.exception)
    assert "Meyer" not in result.output


def test_an_answer_that_cannot_be_recorded_is_not_given(out: OutFolder, key: IdentityKey) -> None:
    (out.private / "uses.jsonl").mkdir()

    result = run(out, "whois", key.case_id("1.2.3"))

    assert result.exit_code != 0
    assert "Meyer" not in result.output


def test_a_folder_without_identities_is_told(tmp_path: Path) -> None:
    result = run(OutFolder(tmp_path / "empty"), "whois", "x")

    assert isinstance(result.exception, ConfigError)


def test_a_table_joins_by_patient_key(out: OutFolder, key: IdentityKey, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("MRN,name,outcome\n17,Meyer,alive\n99,Nobody,dead\n")

    result = run(out, "pseudonymise", tmp_path / "t.csv", "--id-column", "MRN")

    assert result.exit_code == 0
    assert result.stdout == f"patient_key,outcome\n{key.patient_key('17')},alive\n"
    assert "left out, because they may tell who it is: name" in result.stderr
    assert "on 1 line of the table: 3" in result.stderr
    assert "Nobody" not in result.output
    (use,) = uses(out)
    assert (use["command"], use["rows"], use["unmatched"]) == ("pseudonymise", 1, 1)


def test_the_table_can_be_written_to_a_file(out: OutFolder, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("MRN,outcome\n17,alive\n")

    result = run(out, "pseudonymise", tmp_path / "t.csv", "--id-column", "MRN", "--to", tmp_path / "p.csv")

    assert result.stdout == ""
    assert (tmp_path / "p.csv").read_text().startswith("patient_key,outcome\npat-")


def test_a_case_that_a_manifest_named_leads_to_its_patient_too(out: OutFolder, key: IdentityKey) -> None:
    named = CaseIdentity(key.case_id("visit 1 of 17"), key.patient_key("17"), "17", "Meyer^Anna", "1.2.3")
    write_tables(out, Catalogue((), (), (), (named,)))
    write_record(out, RunRecord(1, "0", "run", 1, "", {}, "", (), "cpu", {}, key.fingerprint))

    assert run(out, "whois", named.case_id).exit_code == 0
    assert "another key" in str(run(out, "whois", named.case_id, key_file="another").exception)
