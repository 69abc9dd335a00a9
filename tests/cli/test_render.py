"""What stands at the end of a run on the terminal."""

from diascope.cli.render import earlier_lines, kept_lines, reason_lines, reject_lines, total_line
from diascope.io.series import Catalogue, FileRecord
from diascope.run.planning.plan import Plan
from diascope.run.record import CaseRow
from diascope.run.resume import Earlier


def row(at: int, status: str, reason: str = "", code: str = "") -> CaseRow:
    return CaseRow(f"case-{at}", status, 1.0, None, "none", False, code, 1, None, reason)  # type: ignore[arg-type]


def test_each_reason_is_told_once_with_the_number_of_its_cases() -> None:
    rows = [
        row(1, "done"),
        row(2, "failed", "slices 3 and 4", "missing_slices"),
        row(3, "failed", "slices 3 and 4", "missing_slices"),
        row(4, "nothing_to_do", "brain: it shows 35 x 51 x 35 mm"),
    ]

    assert reason_lines(rows) == [
        "2 cases failed, missing_slices: slices 3 and 4",
        "1 case with nothing to do: brain: it shows 35 x 51 x 35 mm",
    ]
    assert total_line(rows, 0) == "1 of 4 cases done, 2 failed, 1 nothing to do"


def test_many_reasons_for_nothing_to_do_are_cut_short_and_counted() -> None:
    rows = [row(at, "nothing_to_do", f"reason {at}") for at in range(8)]

    assert len(reason_lines(rows)) == 6
    assert reason_lines(rows)[-1] == "3 cases with nothing to do for other reasons: see cases.csv"


def test_the_cure_of_a_refused_file_stands_below_it_once() -> None:
    files = tuple(
        FileRecord(f"scans/{at}", f"file-{at}", "refused", "missing_slices", "slices 3 and 4", cure="--set a=b")
        for at in range(3)
    )

    assert reject_lines(Plan((), (), Catalogue((), (), files, ()))) == [
        "3 files refused: missing_slices",
        "  try: --set a=b",
        "  which files: private/inputs.csv in the output folder, by the file_id of rejects.csv",
    ]


def test_a_new_folder_resumes_nothing_and_kept_results_are_told() -> None:
    empty = Plan((), (), Catalogue((), (), (), ()))

    assert earlier_lines(empty, Earlier()) == []
    assert kept_lines(0) == []
    assert earlier_lines(empty, Earlier(failed=("case-1",))) == ["tried again: 1 case that failed in an earlier run"]
    assert kept_lines(2)[0].startswith("2 cases had a good result before")
