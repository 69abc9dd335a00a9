from pathlib import Path

from diascope.demo.planted import Cohort, PlantedCase, PlantedSeries, Truth, read_cohort, write_cohort


def test_a_cohort_that_was_kept_comes_back_whole(tmp_path: Path) -> None:
    truth = Truth(tmp_path / "truth.nii.gz", "left", 1234.5, (-31.0, 26.5, 24.25))
    series = PlantedSeries("AX FLAIR", "flair", (tmp_path / "b.dcm", tmp_path / "a.dcm"), "1.2.3.1", truth=truth)
    case = PlantedCase("lesion", "1.2.3", "SB-1", (series,), ("1.2.3", "1.2.3.1"), (tmp_path / "SR1",))
    cohort = Cohort(tmp_path, tmp_path / "truth.csv", (case,), (tmp_path / "viewer.exe",), ("BRÜCKNER", "SB-1"))

    write_cohort(tmp_path / "cohort.json", cohort)

    assert read_cohort(tmp_path / "cohort.json") == cohort
    # By position of the slices in the series, by name in the list of all.
    assert case.files == (tmp_path / "b.dcm", tmp_path / "a.dcm", tmp_path / "SR1")
    assert cohort.files == tuple(sorted([*case.files, tmp_path / "viewer.exe"]))
