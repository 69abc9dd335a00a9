"""The json files of BIDS and dcm2niix: what they say of an image, and which of them speak of it."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from diascope.io.series import Catalogue, Series
from diascope.io.sidecars import Sidecars, is_sidecar_name
from tests.io.reading import fates, read

SCANNER = {
    "MagneticFieldStrength": 3, "Manufacturer": "Siemens Healthineers", "ManufacturersModelName": "Prisma",
    "EchoTime": 0.0035, "RepetitionTime": 2.3, "InversionTime": 0.9, "FlipAngle": 8, "SliceThickness": 1.2,
    "ImageType": ["ORIGINAL", "PRIMARY", "M"], "InstitutionName": "Hospital de La Mancha", "BodyPartExamined": "brain",
}  # fmt: skip
IDENTITY = {
    "PatientName": "Quixote",
    "PatientID": "MRN-1605",
    "AcquisitionDateTime": "2021-03-14",
    "DeviceSerialNumber": "4711",
}


def dataset(root: Path) -> Path:
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "ds", "BIDSVersion": "1.10.0"}))
    return root


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(np.arange(385, dtype=np.int16).reshape(5, 7, 11), np.diag([0.7, 0.8, 2.5, 1])).to_filename(path)
    return path


def says(path: Path, **content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def only(found: Catalogue) -> Series:
    (series,) = found.series
    return series


def test_facts_are_taken_in_the_units_of_dicom_and_nothing_that_tells_who_it_is(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds")
    image(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    says(root / "sub-01" / "anat" / "sub-01_T1w.json", **SCANNER, **IDENTITY, SeriesDescription="Dr Panza's MPRAGE")

    series = only(read(root))

    facts = series.facts
    assert (facts.field_strength_t, facts.manufacturer, facts.scanner_model) == (3.0, "SIEMENS", "Prisma")
    assert (facts.echo_time_ms, facts.repetition_time_ms, facts.inversion_time_ms) == (3.5, 2300.0, 900.0)
    assert (facts.flip_angle_deg, facts.slice_thickness_mm, facts.body_part) == (8.0, 1.2, "BRAIN")
    assert facts.image_type == ("ORIGINAL", "PRIMARY", "M")
    assert facts.site_key is not None
    assert facts.site_key.startswith("site-")
    told = str(facts) + str(series.notes)
    assert not [word for word in ("Quixote", "1605", "2021", "4711", "Mancha", "Panza") if word in told]
    assert series.selection["series_description"] == "Dr Panza's MPRAGE"


def test_a_lower_file_overrules_a_higher_one_and_the_rest_is_inherited(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds")
    for name in ("sub-01/ses-1/anat/sub-01_ses-1_T1w", "sub-02/anat/sub-02_T1w"):
        image(root / f"{name}.nii.gz")
    says(root / "T1w.json", MagneticFieldStrength=1.5, Manufacturer="GE", EchoTime=0.003)
    says(root / "sub-01" / "sub-01_T1w.json", MagneticFieldStrength=3)
    says(root / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_T1w.json", EchoTime=0.004)

    one, other = sorted(read(root).series, key=lambda series: series.files[0].name)

    assert (one.facts.field_strength_t, one.facts.manufacturer, one.facts.echo_time_ms) == (3.0, "GE", 4.0)
    assert (other.facts.field_strength_t, other.facts.manufacturer, other.facts.echo_time_ms) == (1.5, "GE", 3.0)


def test_a_file_of_another_suffix_or_another_entity_does_not_speak_of_an_image(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds")
    bold = image(root / "sub-01" / "func" / "sub-01_task-rest_bold.nii.gz")
    says(root / "task-rest_bold.json", EchoTime=0.03)
    says(root / "task-rest_sbref.json", EchoTime=0.01)
    says(root / "task-nback_bold.json", EchoTime=0.02)
    says(root / "participants.json", MagneticFieldStrength=7)

    told = Sidecars().in_dataset(root, bold)

    assert told.facts == {"echo_time_ms": "30"}


def test_each_sidecar_has_a_row_and_a_broken_one_fails_by_itself(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds")
    image(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    says(root / "T1w.json", EchoTime=0.003)
    (root / "sub-01" / "anat" / "sub-01_T1w.json").write_text('{"EchoTime": ')

    found = read(root)

    assert fates(found)["skipped", "sidecar"] == 1
    assert fates(found)["failed", "bad_sidecar"] == 1
    assert only(found).facts.echo_time_ms == 3.0


@pytest.mark.parametrize("value", ["three", [3, 3], None, True, float("inf"), {"a": 1}])
def test_what_is_no_number_becomes_none(tmp_path: Path, value: object) -> None:
    path = says(tmp_path / "x.json", MagneticFieldStrength=value, FlipAngle=9)

    told = Sidecars().read(path)

    assert told is not None
    assert told.facts == {"flip_angle_deg": "9"}


def test_the_json_file_of_dcm2niix_speaks_of_the_image_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    image(tmp_path / "in" / "brain.nii.gz")
    image(tmp_path / "in" / "other.nii.gz")
    says(tmp_path / "in" / "brain.json", **SCANNER, **IDENTITY)

    named = {series.files[0].name: series for series in read(tmp_path / "in").series}

    assert named["brain.nii.gz"].facts.field_strength_t == 3.0
    assert named["other.nii.gz"].facts.field_strength_t is None
    assert named["brain.nii.gz"].case_id != named["other.nii.gz"].case_id


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sub-01_T1w.json", True), ("T1w.json", True), ("dataset_description.json", False), ("participants.json", False),
     ("sub-01_T1w.nii.gz", False)],
)  # fmt: skip
def test_sidecars_are_known_by_their_names(name: str, expected: bool) -> None:
    assert is_sidecar_name(name) is expected


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".NII.GZ"])
def test_a_dot_in_a_name_is_part_of_it_and_only_the_ending_is_taken_off(tmp_path: Path, ending: str) -> None:
    (tmp_path / "in").mkdir()
    here = image(tmp_path / "in" / "brain_1.5T.nii.gz")
    here = here.rename(here.with_name(f"brain_1.5T{ending}"))
    says(tmp_path / "in" / "brain_1.json", MagneticFieldStrength=7)

    assert Sidecars().beside(here) is None  # that file speaks of another image

    says(tmp_path / "in" / "brain_1.5T.json", MagneticFieldStrength=1.5)

    told = Sidecars().beside(here)
    assert told is not None
    assert told.facts == {"field_strength_t": "1.5"}


def test_in_a_dataset_too_a_suffix_goes_to_the_end_of_the_name(tmp_path: Path) -> None:
    root = dataset(tmp_path / "ds")
    here = image(root / "sub-01" / "anat" / "sub-01_T1w.v2.nii.gz")
    says(root / "sub-01" / "anat" / "sub-01_T1w.json", MagneticFieldStrength=7, FlipAngle=9)
    says(root / "sub-01" / "anat" / "sub-01_T1w.v2.JSON", MagneticFieldStrength=1.5)

    assert Sidecars().in_dataset(root, here).facts == {"field_strength_t": "1.5"}
