"""The table of all cases follows what a run writes, and survives what is half-written."""

import csv
import json
from pathlib import Path

from diascope.io.outfolder import folder_in_the_making
from diascope.viewer.index import CaseIndex
from diascope.viewer.offline import gathered
from diascope.viewer.outs import open_outs
from tests.phantoms import Phantoms
from tests.viewer.conftest import Serve


def index_of(phantoms: Phantoms) -> CaseIndex:
    return CaseIndex.opened(open_outs([phantoms.folder]), 0.1, 0)


def rows(index: CaseIndex) -> dict[str, dict[str, object]]:
    return {row["case_id"]: dict(row) for row in index.query("SELECT * FROM cases")}


def mark_odd_in_batch(phantoms: Phantoms, role: str) -> None:
    """Flag a case as a run does it at its end: in cases.csv, and not in its report."""
    file = phantoms.folder / "cases.csv"
    with file.open(newline="", encoding="utf-8") as stream:
        listed = list(csv.DictReader(stream))
    for row in listed:
        if row["case_id"] == phantoms.reports[role].case_id:
            row.update(review_first="true", out_of_distribution="1.4", compared_with="batch")
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(listed[0]))
        table.writeheader()
        table.writerows(listed)


def do_again(phantoms: Phantoms, role: str) -> None:
    """Do a case again, with another confidence."""
    text = (phantoms.case_folder(role) / "case.json").read_text()
    with folder_in_the_making(phantoms.case_folder(role)) as folder:
        (folder / "case.json").write_text(text.replace('"confidence": 0.97', '"confidence": 0.96'))


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


def test_a_case_appears_when_its_folder_takes_its_name(phantoms: Phantoms) -> None:
    index = index_of(phantoms)
    report = json.loads((phantoms.case_folder("radiograph") / "case.json").read_text())
    case_id = "case-000000000000001"

    with folder_in_the_making(phantoms.folder / "cases" / case_id) as folder:
        (folder / "case.json").write_text(json.dumps({**report, "case_id": case_id}))
        index.refresh(force=True)
        assert case_id not in rows(index)
    index.refresh(force=True)

    assert rows(index)[case_id]["status"] == "done"


def test_a_case_without_a_whole_report_is_listed_as_one_that_failed(phantoms: Phantoms) -> None:
    (phantoms.folder / "cases" / "case-000000000000001").mkdir()
    (phantoms.folder / "cases" / "case-000000000000002").mkdir()
    (phantoms.folder / "cases" / "case-000000000000002" / "case.json").write_text('{"case_id": ')

    found = rows(index_of(phantoms))

    for case in ("case-000000000000001", "case-000000000000002"):
        assert (found[case]["status"], found[case]["error_code"]) == ("failed", "bad_report")


def test_a_case_that_is_done_again_is_read_again(phantoms: Phantoms) -> None:
    index = index_of(phantoms)
    index.fill()
    head = phantoms.reports["head"].case_id
    before = rows(index)[head]
    text = (phantoms.case_folder("head") / "case.json").read_text()

    with folder_in_the_making(phantoms.case_folder("head")) as folder:
        (folder / "case.json").write_text(
            text.replace('"MR"', '"CT"').replace('"confidence": 0.97', '"confidence": 0.12')
        )
    index.refresh(force=True)
    index.fill()

    after = rows(index)[head]
    assert after["digest"] != before["digest"]
    assert after["modality"] == "CT"
    # cases.csv still tells of the earlier result: a run writes it at its end.
    assert (after["confidence"], after["seconds"]) == (0.12, 1.25)


def test_a_damaged_table_hides_nothing_that_has_a_report(phantoms: Phantoms, tmp_path: Path) -> None:
    (phantoms.folder / "cases.csv").write_bytes(b"case_id,status\n\xff\xfe\x00,,\n")

    assert len(rows(index_of(phantoms))) >= 7


def test_a_case_that_is_odd_beside_its_batch_stays_doubtful_when_its_report_is_read(phantoms: Phantoms) -> None:
    mark_odd_in_batch(phantoms, "head")
    head = phantoms.reports["head"].case_id
    index = CaseIndex.opened(open_outs([phantoms.folder]), 0.0, 0)

    index.fill()
    index.read_now("out", head)

    assert rows(index)[head]["review_first"] == 1
    place = index.place_of("out", head)
    assert place is not None
    assert (place.is_sample, place.probability) == (False, 1.0)
    assert place.at < 1


def test_the_page_says_why_a_case_is_odd_that_only_its_batch_knows_of(serve: Serve, phantoms: Phantoms) -> None:
    mark_odd_in_batch(phantoms, "head")
    viewer = serve()
    browser = viewer.browser()
    reason = "unlike the other cases of this batch (1.4 times the border of what is usual)"

    case = browser.get(viewer.address("head")).json
    (row,) = browser.get(f"/api/worklist?q={viewer.case_id('head')}").json["rows"]
    content = gathered(open_outs([phantoms.folder]), [viewer.case_id("head")], {}, 100.0)
    blinded = serve(blinded=True)
    hidden = blinded.browser("Reader Two")

    assert (case["review_first"], case["review_reasons"]) == (True, [reason])
    assert row["review_reasons"] == [reason]
    (exported,) = content["cases"].values()
    assert (exported["review_first"], exported["review_reasons"]) == (True, [reason])
    assert content["worklist"]["rows"][0]["review_reasons"] == [reason]
    assert "unlike" not in hidden.get(blinded.address("head")).body.decode()
    assert "unlike" not in hidden.get("/api/worklist").body.decode()
    do_again(phantoms, "head")
    assert browser.get(viewer.address("head")).json["review_reasons"] == []


def test_what_was_odd_is_told_of_the_result_it_was_said_of_until_the_table_is_written_anew(phantoms: Phantoms) -> None:
    mark_odd_in_batch(phantoms, "head")
    head = phantoms.reports["head"].case_id
    index = index_of(phantoms)
    index.fill()

    do_again(phantoms, "head")
    index.refresh(force=True)
    index.fill()
    meanwhile = rows(index)[head]["review_first"]
    mark_odd_in_batch(phantoms, "head")
    index.refresh(force=True)
    index.read_now("out", head)

    assert meanwhile == 0
    assert rows(index)[head]["review_first"] == 1
