"""A manifest says which files there are, whose they are, and what has changed since."""

import dataclasses
import hashlib
from collections import defaultdict
from pathlib import Path

import pytest

from diascope.errors import ConfigError, InputError
from diascope.io.manifest import (
    Differences,
    ManifestRow,
    differences,
    is_manifest,
    listed_inputs,
    manifest_text,
    read_rows,
    relative_to,
    with_digests,
    with_split,
)
from diascope.io.splits import SplitSettings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(10):
        for part in ("images", "labels"):
            path = tmp_path / "data" / part / f"c{number}.nii"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{part} {number}".encode())
    return tmp_path / "data"


def rows(count: int = 10) -> tuple[ManifestRow, ...]:
    """Two cases for each patient."""
    return tuple(
        ManifestRow(f"c{n}", f"p{n // 2}", f"images/c{n}.nii", f"labels/c{n}.nii", groups={"sex": "FM"[n // 2 % 2]})
        for n in range(count)
    )


def images(root: Path) -> list[Path]:
    return sorted(root.rglob("*.nii"))


def test_a_manifest_comes_back_as_it_was_written(root: Path) -> None:
    made = with_split(with_digests(rows(), root), SplitSettings())
    path = root / "m.csv"
    path.write_text(manifest_text(made))

    assert read_rows(path) == made


def test_digests_and_sizes_are_those_of_the_bytes(root: Path) -> None:
    first = with_digests(rows(), root)[0]

    assert first.image_sha256 == hashlib.sha256(b"images 0").hexdigest()
    assert first.label_sha256 == hashlib.sha256(b"labels 0").hexdigest()
    assert first.size_bytes == 8


def test_all_files_of_a_patient_are_in_one_part() -> None:
    many = tuple(dataclasses.replace(row, patient=row.patient) for row in rows(200))

    parts = defaultdict(set)
    for row in with_split(many, SplitSettings(stratify=("sex",))):
        parts[row.patient].add(row.split)

    assert len(parts) == 100
    assert all(len(found) == 1 for found in parts.values())
    assert sum(found == {"test"} for found in parts.values()) == 20


def test_the_text_does_not_depend_on_the_order_of_the_rows(root: Path) -> None:
    made = with_digests(rows(), root)

    assert manifest_text(made) == manifest_text(made[::-1])


def test_a_column_nobody_has_cannot_be_stratified_by() -> None:
    with pytest.raises(ConfigError, match="no file has a value for site"):
        with_split(rows(), SplitSettings(stratify=("site",)))


def test_what_changed_vanished_or_came_is_named(root: Path) -> None:
    made = with_digests(rows(), root)
    (root / "images" / "c3.nii").write_bytes(b"other")
    (root / "labels" / "c4.nii").unlink()
    (root / "images" / "new.nii").write_bytes(b"new")

    found = differences(made, root, images(root))

    assert found == Differences(("images/c3.nii",), ("labels/c4.nii",), ("images/new.nii",))
    assert not differences(with_digests(rows(4), root), root, images(root)[:4] + images(root / "labels")[:4])


def test_a_file_that_cannot_be_read_is_counted(root: Path) -> None:
    (root / "images" / "c3.nii").unlink()

    with pytest.raises(InputError, match="1 of 20 files cannot be read"):
        with_digests(rows(), root)


def test_a_file_outside_the_data_root_is_refused(root: Path) -> None:
    assert relative_to(root / "x" / ".." / "images" / "c0.nii", root) == "images/c0.nii"
    with pytest.raises(ConfigError, match="not below the data root"):
        relative_to(root / ".." / "x.nii", root)


def test_a_manifest_as_input_lists_its_images_with_what_it_says_of_them(root: Path) -> None:
    made = (*rows(2), ManifestRow("c9", "p9", "images/gone.nii"), ManifestRow("c8", "p8", "", "labels/c8.nii"))
    named = tuple(dataclasses.replace(row, groups={**row.groups, "patient_name": "Meyer"}) for row in made)
    path = root / "m.csv"
    path.write_text(manifest_text(with_split(named, SplitSettings(train=0, calibration=0, test=1))))

    listed = listed_inputs(path)

    assert is_manifest(path)
    assert [file.path for file in listed.files] == [root / "images" / "c0.nii", root / "images" / "c1.nii"]
    origin = listed.files[0].origin
    assert origin is not None
    assert (origin.case, origin.patient) == ("c0", "p0")
    assert origin.facts == (("sex", "F"), ("split", "test"))
    assert [failure.code for _, failure in listed.missing] == ["missing_file"]


def test_a_manifest_somewhere_else_needs_its_data_root(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(manifest_text(rows(2)))

    assert len(listed_inputs(path).missing) == 2
    assert len(listed_inputs(path, root).files) == 2


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "case,finding\n1,2\n", 'case,"image\n'])
def test_another_table_is_no_manifest(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)

    assert not is_manifest(path)


@pytest.mark.data
@pytest.mark.parametrize("name", ["lgg_flair", "brain_label_maps", "hippocampus", "chest_xray", "dicom"])
def test_the_manifests_that_are_shipped_are_true(repository: Path, shared_data: Path, name: str) -> None:
    made = read_rows(repository / "data_manifests" / f"{name}.csv")

    assert made
    assert {row.split for row in made} <= {"train", "calibration", "test"}
    assert not differences(made, shared_data, ())
    assert all(
        len({row.split for row in made if row.patient == patient}) == 1 for patient in {row.patient for row in made}
    )
