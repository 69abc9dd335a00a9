"""A finished run in numbers."""

from dataclasses import fields
from pathlib import Path

import pytest

from diascope.errors import InputError
from diascope.findings import CaseReport, Finding, ImageRecord, Measurement, Prediction, Segmentation
from diascope.io.private import IDENTITY_COLUMNS, INPUT_COLUMNS, REJECT_COLUMNS
from diascope.run.ledger import LedgerRow
from diascope.run.record import CaseRow, RunRecord
from diascope.run.report.summary import summarise
from tests.run.finished import BRAIN, GLIOMA, case_id, write_finished_run


def test_cases_are_counted_by_how_they_ended(tmp_path: Path) -> None:
    summary = summarise(write_finished_run(tmp_path))

    assert [summary.count(status) for status in ("done", "failed", "nothing_to_do")] == [3, 1, 1]
    assert summary.doubtful == 1


def test_failures_and_rejects_are_grouped_with_their_cures(tmp_path: Path) -> None:
    summary = summarise(write_finished_run(tmp_path))

    (failure,) = summary.failures
    assert (failure.code, failure.cases, failure.cure) == ("no_geometry", 1, "give a header")
    assert [(group.kind, group.code, group.files) for group in summary.rejects] == [
        ("refused", "incomplete_series", 2),
        ("failed", "unreadable", 1),
        ("not_an_image", "text", 1),
    ]
    assert summary.rejects[0].cure == "send the series again"


def test_each_label_has_its_spread_over_the_cases(tmp_path: Path) -> None:
    summary = summarise(write_finished_run(tmp_path))

    by_name = {(row.bundle, row.subject, row.quantity): row for row in summary.labels}
    white = by_name[BRAIN.name, "white_matter", "volume"]
    assert (white.count, white.zeros, white.missing, white.unit) == (3, 0, 0, "mm3")
    assert (white.smallest, white.median, white.largest, white.mean) == (401_000, 402_000, 403_000, 402_000)
    assert (white.lower, white.upper) == (401_500, 402_500)
    tumour = by_name[GLIOMA.name, "tumour", "volume"]
    assert (tumour.count, tumour.zeros) == (3, 1)
    intensity = by_name[GLIOMA.name, "tumour", "mean_intensity"]
    assert (intensity.count, intensity.missing, intensity.median) == (2, 1, 70.0)


def test_doubtful_cases_come_with_their_reasons_and_first_among_the_previews(tmp_path: Path) -> None:
    summary = summarise(write_finished_run(tmp_path))

    (doubt,) = summary.doubts
    assert (doubt.case_id, doubt.reasons) == (case_id(1), ("flair_glioma_segmentation drew nothing",))
    assert summary.previews == (case_id(1), case_id(2), case_id(3))


def test_at_most_two_hundred_previews_are_shown_doubtful_ones_first_and_always_the_same(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path, done=230, doubtful=(229, 230))

    first, second = summarise(out).previews, summarise(out).previews

    assert len(set(first)) == 200
    assert first == second
    assert first[:2] == (case_id(229), case_id(230))
    assert list(first[2:]) == sorted(first[2:])


def test_doubtful_cases_leave_room_for_what_is_usual(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path, done=230, doubtful=range(1, 151))

    previews = summarise(out).previews

    assert len(previews) == 200
    assert previews[:100] == tuple(case_id(number) for number in range(1, 101))
    assert set(previews[100:]) & {case_id(number) for number in range(151, 231)}


def test_a_run_without_any_case_is_summed_up_too(tmp_path: Path) -> None:
    out = write_finished_run(tmp_path, done=0)
    out.measurements_csv.unlink()

    summary = summarise(out)

    assert (summary.labels, summary.previews, summary.doubts) == ((), (), ())


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    from diascope.io.outfolder import OutFolder

    with pytest.raises(InputError, match="holds no run"):
        summarise(OutFolder(tmp_path))


def test_every_column_and_every_key_is_in_the_manual(repository: Path) -> None:
    manual = (repository / "docs" / "output.md").read_text()
    classes = (RunRecord, CaseRow, Measurement, CaseReport, ImageRecord, Segmentation, Finding, LedgerRow, Prediction)
    names = {field.name for one in classes for field in fields(one)} | {
        *INPUT_COLUMNS,
        *IDENTITY_COLUMNS,
        *REJECT_COLUMNS,
    }
    # End points are told in words; the bundle and image of a finding are those of the segmentation.
    in_words = {"longest_ends_ras_mm", "perpendicular_ends_ras_mm"}

    missing = {name for name in names - in_words if f"`{name}`" not in manual}

    assert missing == set()
