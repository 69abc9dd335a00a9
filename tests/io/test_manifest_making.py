"""The rows of a manifest come from headers or from a pattern of names, without what tells who it is."""

from pathlib import Path

import pytest

from diascope.errors import ConfigError
from diascope.findings import ImageFacts
from diascope.identity import IdentityKey
from diascope.io.manifest import ManifestRow
from diascope.io.manifest_making import Facts, ManifestSettings, read_facts, rows_by_pattern, rows_of_catalogue
from diascope.io.series import Catalogue, FileRecord, Series

KEY = IdentityKey(bytes(range(32)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("s1/flair.nii.gz", "s1/tumour.nii.gz", "s2/flair.nii.gz", "s2/readme.txt", "deep/er/s3/flair.nii.gz"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "cases.csv").write_text(
        "case,sex,patient,birth_date,finding\ns1,F,p1,1980-01-01,glioma\ns2,M,p2,,none\n"
    )
    return tmp_path / "data"


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_pattern_names_case_image_and_truth(root: Path) -> None:
    settings = ManifestSettings(
        image="{case}/flair.nii.gz", label="{case}/tumour.nii.gz", table=root.parent / "cases.csv", keep=("birth_date",)
    )

    rows = rows_by_pattern(root, files(root), settings, read_facts(settings))

    assert rows == (
        ManifestRow(
            "s1",
            "p1",
            "s1/flair.nii.gz",
            "s1/tumour.nii.gz",
            groups={"sex": "F", "birth_date": "1980-01-01", "finding": "glioma"},
        ),
        ManifestRow("s2", "p2", "s2/flair.nii.gz", "", groups={"sex": "M", "birth_date": "", "finding": "none"}),
    )


def test_any_depth_of_folders_is_two_stars(root: Path) -> None:
    rows = rows_by_pattern(root, files(root), ManifestSettings(image="**/{case}/*.nii.gz"), Facts({}))

    assert [(row.case, row.image) for row in rows] == [("s3", "deep/er/s3/flair.nii.gz")]


def test_a_pattern_of_labels_alone_is_for_synthesis(root: Path) -> None:
    (row,) = rows_by_pattern(root, files(root), ManifestSettings(label="{case}/tumour.nii.gz"), Facts({}))

    assert (row.case, row.image, row.label) == ("s1", "", "s1/tumour.nii.gz")


def test_a_pattern_that_fits_nothing_is_told(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"none of 5 files fits \{case\}/t1\.nii"):
        rows_by_pattern(root, files(root), ManifestSettings(image="{case}/t1.nii"), Facts({}))


def test_columns_that_tell_who_it_is_are_left_out_and_named(root: Path) -> None:
    facts = read_facts(ManifestSettings(table=root.parent / "cases.csv"))

    assert facts.dropped == ("birth_date",)
    assert facts.by_key["s1"] == {"sex": "F", "patient": "p1", "finding": "glioma"}


def test_other_columns_can_be_left_out_and_old_ages_do_not_stand_out(root: Path) -> None:
    (root.parent / "cases.csv").write_text("case,age_years,location\ns1,94,here\ns2,42.5,there\n")

    facts = read_facts(ManifestSettings(table=root.parent / "cases.csv", drop=("location",)))

    assert facts.dropped == ("location",)
    assert facts.by_key == {"s1": {"age_years": "90+"}, "s2": {"age_years": "42"}}


def test_a_case_with_two_rows_of_facts_is_refused(root: Path) -> None:
    (root.parent / "cases.csv").write_text("case,sex\ns1,F\ns1,M\n")

    with pytest.raises(ConfigError, match="two rows for one case"):
        read_facts(ManifestSettings(table=root.parent / "cases.csv"))


def test_headers_say_whose_an_image_is_and_which_group(root: Path) -> None:
    case, patient = KEY.case_id("1.2.3"), KEY.patient_key("17")
    facts = ImageFacts(
        modality="MR", sex="F", age_years="42", field_strength_t=1.5, contrast=False, patient_key=patient
    )
    path = root / "s1" / "flair.nii.gz"
    found = Catalogue(
        series=(Series(case, "img-1", "dicom", (path,), facts),),
        refused=(),
        files=(
            FileRecord(str(path), "file-1", "used", case_id=case, image_id="img-1"),
            FileRecord(str(root / "s2" / "readme.txt"), "file-2", "not_an_image", "text"),
        ),
        identities=(),
    )

    (row,) = rows_of_catalogue(found, root, Facts({patient: {"outcome": "alive"}}))

    assert (row.case, row.patient, row.image) == (case, patient, "s1/flair.nii.gz")
    assert row.groups == {
        "modality": "MR",
        "sex": "F",
        "age_years": "42",
        "field_strength_t": "1.5",
        "contrast": "no",
        "outcome": "alive",
    }
