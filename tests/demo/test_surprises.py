from dataclasses import replace
from pathlib import Path

from diascope.demo.planted import Cohort, PlantedCase, PlantedSeries
from diascope.demo.surprises import find_surprises
from diascope.identity import IdentityKey
from diascope.io.series import FileRecord
from diascope.run.record import CaseRow

KEY = IdentityKey(bytes(range(32)))
GOOD, HOLE, NOTE = Path("/scans/good.dcm"), Path("/scans/hole.dcm"), Path("/scans/note.txt")


def planted() -> Cohort:
    cases = (
        PlantedCase("good", "1.2.3", "P1", (PlantedSeries("AX", "t1", (GOOD,), "1.2.3.1"),)),
        PlantedCase(
            "hole", "1.2.4", "P2", (PlantedSeries("AX", "t1", (HOLE,), "1.2.4.1"),),
            expected="refused", expected_code="missing_slices",
        ),
    )  # fmt: skip
    return Cohort(Path("/scans"), Path("/truth.csv"), cases, (NOTE,), ())


def rows() -> dict[str, CaseRow]:
    good = CaseRow(KEY.case_id("1.2.3"), "done", 1.0, None, "none", False, "", 1, None, "")
    hole = replace(good, case_id=KEY.case_id("1.2.4"), status="failed", code="missing_slices")
    return {row.case_id: row for row in (good, hole)}


def files() -> list[FileRecord]:
    fates = ((GOOD, "used", ""), (HOLE, "refused", "missing_slices"), (NOTE, "not_an_image", "text"))
    return [FileRecord(str(path), KEY.file_id(str(path)), fate, code) for path, fate, code in fates]  # type: ignore[arg-type]


def test_what_came_out_as_planted_is_no_surprise() -> None:
    assert find_surprises(planted(), KEY, rows(), files()) == ()


def test_a_case_that_is_not_done_is_named() -> None:
    found = rows()
    case_id = KEY.case_id("1.2.3")
    found[case_id] = replace(found[case_id], status="failed", code="disk_full")

    assert find_surprises(planted(), KEY, found, files()) == ("good is failed (disk_full), expected done",)


def test_a_fault_that_passed_unseen_is_named() -> None:
    found = rows()
    case_id = KEY.case_id("1.2.4")
    found[case_id] = replace(found[case_id], status="done", code="")

    (surprise,) = find_surprises(planted(), KEY, found, files())

    assert surprise.startswith("hole is done")


def test_a_fault_found_for_another_reason_is_named() -> None:
    found = rows()
    case_id = KEY.case_id("1.2.4")
    found[case_id] = replace(found[case_id], code="bad_affine")
    wrong_code = [replace(file, code="bad_affine") if file.fate == "refused" else file for file in files()]

    assert len(find_surprises(planted(), KEY, found, wrong_code)) == 1


def test_a_case_too_few_one_too_many_and_a_lost_file_are_named() -> None:
    found = rows()
    extra = replace(found.pop(KEY.case_id("1.2.3")), case_id="case-000000000000000")

    surprises = find_surprises(planted(), KEY, {**found, extra.case_id: extra}, files()[1:])

    assert len(surprises) == 3
    assert surprises[0] == "good has no case"


def test_a_stray_taken_for_an_image_is_named_by_its_id() -> None:
    taken = [replace(file, fate="used") if file.path == str(NOTE) else file for file in files()]

    (surprise,) = find_surprises(planted(), KEY, rows(), taken)

    assert KEY.file_id(str(NOTE)) in surprise
    assert "note" not in surprise
