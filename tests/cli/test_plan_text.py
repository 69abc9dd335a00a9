"""What a plan says to the person who has the scans, and what it leaves out for a machine."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diascope.bundles.find import BundleInfo, DiascopeBlock
from diascope.cli.plan_text import duration_text, places_of, plan_facts, plan_text, span_text, study_lines
from diascope.findings import Failure, ImageFacts
from diascope.geometry import Grid
from diascope.io.selection import Choice
from diascope.io.series import Catalogue, FileRecord, RefusedImage, Series
from diascope.run.planning.estimate import Estimate
from diascope.run.planning.plan import Plan, StudyPlan
from diascope.run.planning.speeds import Span

GRID = Grid((256, 240, 44), np.diag([0.9, 0.9, 4.0, 1.0]))


def series(image_id: str, number: int, description: str, case_id: str = "case-a") -> Series:
    facts = ImageFacts(modality="MR", plane="axial")
    named = {"series_number": str(number), "series_description": description}
    return Series(case_id, image_id, "dicom", (Path("IM1"),), facts, GRID, selection=named)


FLAIR, T2 = series("img-1", 5, "t2_flair_tra"), series("img-2", 7, "t2 tse")


def plan(tmp_path: Path) -> Plan:
    block = DiascopeBlock(task="segment", needs="grid", labels={1: "tumour"}, licence="MIT")
    bundle = BundleInfo("glioma", tmp_path, "1", "", block, "ab" * 32)
    choice = Choice("glioma", (FLAIR,), (("img-2", "inversion time is not stated"),))
    gap = RefusedImage("case-b", "img-3", 20, Failure("missing_slices", "slices 2 and 3 of 20 are 8.00 mm apart", ""))
    studies = (
        StudyPlan("case-a", (FLAIR, T2), (), (choice,)),
        StudyPlan("case-b", (), (gap,), (Choice("glioma", (), ()),)),
        StudyPlan("case-c", (replace(T2, case_id="case-c"),), (), (Choice("glioma", (), (("img-2", "no"),)),)),
    )
    rows = [
        FileRecord(f"{tmp_path}/scans/Meyer Anna/{part}", f"file-{part}", "used", case_id="case-a")
        for part in ("flair/IM1", "t2/IM1")
    ]
    rows.append(FileRecord(f"{tmp_path}/scans/b.zip!disc/IM1", "file-b", "refused", "missing_slices", case_id="case-b"))
    return Plan(studies, (bundle,), Catalogue((), (gap,), tuple(rows), ()))


EXPECTED = Estimate({"case-a": Span(80.0, 130.0, 260.0)}, ("glioma: 3 earlier cases on this device, 9 to 12 s each",))


def test_a_study_is_shown_with_the_folder_by_which_its_owner_knows_it(tmp_path: Path) -> None:
    text = "\n".join(study_lines(plan(tmp_path), EXPECTED, [tmp_path / "scans"]))

    assert f"{tmp_path}/scans/Meyer Anna  to run  80 s to 4 min  5 MB" in text
    assert "glioma: img-1  series 5  t2_flair_tra  MR  axial  256 x 240 x 44  0.9 x 0.9 x 4 mm" in text
    assert "not img-2  series 7  t2 tse" in text
    assert "inversion time is not stated" in text
    assert f"{tmp_path}/scans/b.zip!disc/IM1  refused" in text
    assert "slices 2 and 3 of 20 are 8.00 mm apart" in text
    assert "3 earlier cases on this device" in text


def test_channels_are_named_before_their_images(tmp_path: Path) -> None:
    both = StudyPlan("case-a", (FLAIR, T2), (), (Choice("two", (FLAIR, T2), (), channels=("flair", "t2")),))

    text = "\n".join(study_lines(replace(plan(tmp_path), studies=(both,)), EXPECTED, []))

    assert "two flair: img-1  series 5" in text
    assert "two t2: img-2  series 7" in text


def test_a_folder_is_spelt_as_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    places = places_of(plan(tmp_path).catalogue, [Path("scans")])

    assert places["case-a"] == "scans/Meyer Anna"
    assert places["case-b"] == "scans/b.zip!disc/IM1"


def test_the_whole_is_summed_up_with_time_and_disk(tmp_path: Path) -> None:
    text = plan_text(plan(tmp_path), EXPECTED)

    assert "3 cases: 1 to run, 1 nothing to do, 1 refused" in text
    assert "time: 80 s to 4 min, likely 2 min (estimate)" in text
    assert "disk: about 6 MB (estimate)" in text


def test_a_time_that_nobody_knows_is_not_made_up(tmp_path: Path) -> None:
    assert "time: not known" in plan_text(plan(tmp_path), Estimate({}, (), is_known=False))


def test_where_everything_is_done_nothing_is_left(tmp_path: Path) -> None:
    assert "time: nothing is left to run" in plan_text(plan(tmp_path), EXPECTED.without({"case-a"}))


def test_what_an_earlier_run_has_done_is_not_to_run(tmp_path: Path) -> None:
    text = plan_text(plan(tmp_path), EXPECTED.without({"case-a"}), done=1)

    assert "3 cases: 1 done by an earlier run, 0 to run, 1 nothing to do, 1 refused" in text


def test_a_machine_is_told_no_path_and_no_free_text(tmp_path: Path) -> None:
    facts = plan_facts(plan(tmp_path), EXPECTED)

    told = json.dumps(facts)
    assert [one["outcome"] for one in facts] == ["to run", "refused", "nothing to do"]
    assert (facts[0]["seconds"], facts[0]["seconds_range"]) == (130.0, [80.0, 260.0])
    assert facts[1]["seconds"] is None
    assert facts[0]["chosen"] == {"glioma": ["img-1"]}
    assert not [word for word in ("Meyer", "scans", "flair_tra", "t2 tse") if word in told]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (80, "80 s"), (100, "2 min"), (5000, "83 min"), (9000, "2.5 hours")]
)
def test_an_estimate_has_no_more_digits_than_it_deserves(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_files_that_give_no_image_are_named_below_their_reason(tmp_path: Path) -> None:
    bad = [
        FileRecord(f"{tmp_path}/scans/{at}", f"file-{at}", "failed", "torn", "it ends", "copy it") for at in range(12)
    ]
    text = FileRecord(f"{tmp_path}/scans/a.txt", "file-t", "not_an_image", "text", "a text file")
    found = Catalogue((), (), (*bad, text), ())

    lines = study_lines(replace(plan(tmp_path), studies=(), catalogue=found), EXPECTED, [tmp_path / "scans"])

    at = lines.index("12 files failed: torn: it ends")
    assert lines[at + 1] == "  try: copy it"
    assert lines[at + 2] == f"  {tmp_path}/scans/0"
    assert lines[at + 12 : at + 15] == ["  and 2 more", "", "1 file not an image: text: a text file"]


def test_a_range_names_its_unit_once() -> None:
    assert span_text(Span(10.0, 20.0, 40.0)) == "10 to 40 s"
    assert span_text(Span(10.0, 10.2, 10.3)) == "about 10 s"
