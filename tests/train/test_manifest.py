"""Manifests: every defect is named before anything is trained."""

import csv
from pathlib import Path

import pytest

from diascope.errors import ConfigError, InputError
from diascope.train.manifest import cases_of, check_digests, read_manifest
from tests.train.training_phantoms import write_slices


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_slices(tmp_path)
    return tmp_path


def change(root: Path, case: str, column: str, value: str) -> None:
    with (root / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        if row["case"] == case:
            row[column] = value
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_sound_manifest_gives_its_cases_with_split_and_groups(root: Path) -> None:
    cases = read_manifest(root / "manifest.csv", root)

    assert [case.split for case in cases] == ["train", "train", "train", "calibration", "test"]
    assert cases[0].groups == {"site": "A"}
    assert [case.case for case in cases_of(cases, "test")] == ["case-4"]


def test_a_missing_file_is_named_with_its_case(root: Path) -> None:
    (root / "case-1_label.nii.gz").unlink()

    with pytest.raises(InputError, match="case case-1: its label file is missing"):
        read_manifest(root / "manifest.csv", root)


def test_a_patient_on_both_sides_is_refused(root: Path) -> None:
    change(root, "case-4", "patient", "case-0")

    with pytest.raises(ConfigError, match="case case-4: its patient is in the splits train and test"):
        read_manifest(root / "manifest.csv", root)


def test_an_unknown_split_is_refused_with_those_there_are(root: Path) -> None:
    change(root, "case-2", "split", "validation")

    with pytest.raises(ConfigError, match="case case-2: split is 'validation', expected one of train, calibration"):
        read_manifest(root / "manifest.csv", root)


def test_a_case_named_twice_is_refused(root: Path) -> None:
    change(root, "case-2", "case", "case-1")

    with pytest.raises(ConfigError, match="names case case-1 twice"):
        read_manifest(root / "manifest.csv", root)


def test_an_empty_split_is_refused(root: Path) -> None:
    change(root, "case-3", "split", "train")
    cases = read_manifest(root / "manifest.csv", root)

    with pytest.raises(ConfigError, match="the split calibration is empty: none of 5 cases"):
        cases_of(cases, "calibration")


def test_a_manifest_without_a_column_is_refused(root: Path) -> None:
    text = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(text.replace("split", "fold", 1))

    with pytest.raises(ConfigError, match=r"manifest\.csv has no column split"):
        read_manifest(root / "manifest.csv", root)


def test_a_changed_file_is_named_by_its_digest(root: Path) -> None:
    cases = read_manifest(root / "manifest.csv", root)
    check_digests(cases)
    image = root / "case-3_image.nii.gz"
    image.write_bytes(image.read_bytes() + b"\0")

    with pytest.raises(InputError, match="case case-3: its image file has digest"):
        check_digests(cases)


@pytest.mark.data
@pytest.mark.parametrize("name", ["lgg_flair", "brain_label_maps"])
def test_the_shipped_manifests_name_the_files_that_are_there(name: str, repository: Path, shared_data: Path) -> None:
    cases = read_manifest(repository / "data_manifests" / f"{name}.csv", shared_data)

    assert cases
    check_digests(cases[:3])
