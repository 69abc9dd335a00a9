"""The table of all cases follows what a run writes, and survives what is half-written."""

import json
from pathlib import Path

from diascope.viewer.index import CaseIndex
from diascope.viewer.outs import open_outs
from tests.phantoms import Phantoms


def index_of(phantoms: Phantoms) -> CaseIndex:
    return CaseIndex(open_outs([phantoms.folder]), 0.1, 0)


def rows(index: CaseIndex) -> dict[str, dict[str, object]]:
    return {row["case_id"]: dict(row) for row in index.query("SELECT * FROM cases")}


def test_the_table_is_there_before_any_report_was_read_and_filled_behind(phantoms: Phantoms) -> None:
    index = index_of(phantoms)
    head = phantoms.reports["head"].case_id

    before = rows(index)[head]
    left = index.fill()
    after = rows(index)[head]

    assert (before["status"], before["confidence"], before["modality"]) == ("done", 0.97, "")
    assert left == 0
    assert (after["modality"], after["sex"], after["age_years"]) == ("MR", "F", "90+")
    assert json.loads(str(after["labels"])) == ["glioma"]
    assert len(str(after["digest"])) == 64


def test_without_cases_csv_the_reports_speak(phantoms: Phantoms) -> None:
    with_table = rows(index_of(phantoms))
    (phantoms.folder / "cases.csv").unlink()

    without = rows(index_of(phantoms))

    for case, row in with_table.items():
        for column in ("status", "confidence", "review_first", "n_findings", "error_code"):
            assert without[case][column] == row[column], (case, column)


def test_a_case_that_is_still_being_written_is_listed_when_it_is_there(phantoms: Phantoms) -> None:
    index = index_of(phantoms)
    half = phantoms.folder / "cases" / ".case-000000000000001.abcd.part"
    half.mkdir()
    index.refresh(force=True)
    assert len(rows(index)) == 7

    whole = half.rename(half.with_name("case-000000000000001"))
    index.refresh(force=True)
    assert rows(index)[whole.name]["error_code"] == "bad_report"

    report = json.loads((phantoms.case_folder("radiograph") / "case.json").read_text())
    (whole / "case.json").write_text(json.dumps({**report, "case_id": whole.name}))
    index.refresh(force=True)
    assert rows(index)[whole.name]["status"] == "done"


def test_a_case_that_is_done_again_is_read_again(phantoms: Phantoms) -> None:
    index = index_of(phantoms)
    index.fill()
    head = phantoms.reports["head"].case_id
    before = rows(index)[head]["digest"]
    file = phantoms.case_folder("head") / "case.json"
    text = file.read_text().replace('"MR"', '"CT"').replace('"confidence": 0.97', '"confidence": 0.12')
    file.unlink()
    file.write_text(text)

    index.refresh(force=True)
    index.fill()

    assert rows(index)[head]["digest"] != before
    assert rows(index)[head]["modality"] == "CT"
    # cases.csv still tells of the earlier result: a run writes it at its end.
    assert rows(index)[head]["confidence"] == 0.12
    assert rows(index)[head]["seconds"] == 1.25


def test_a_damaged_table_hides_nothing_that_has_a_report(phantoms: Phantoms, tmp_path: Path) -> None:
    (phantoms.folder / "cases.csv").write_bytes(b"case_id,status\n\xff\xfe\x00,,\n")

    assert len(rows(index_of(phantoms))) >= 7
