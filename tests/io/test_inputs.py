"""What stands on the command line becomes files, each once, and the whole catalogue accounts for them."""

import gzip
import zipfile
from collections import Counter
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
from PIL import Image

from diascope.identity import IdentityKey
from diascope.io.catalogue import catalogue
from diascope.io.decode import decode
from diascope.io.inputs import gather
from diascope.io.manifest import ManifestRow, manifest_text
from diascope.io.private import check_accounting
from diascope.io.reader import Context, IngestSettings

KEY = IdentityKey(bytes(range(32)))


def nifti(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.arange(5 * 7 * 11, dtype=np.int16).reshape(5, 7, 11), np.diag([0.7, 0.8, 2.5, 1]))
    image.to_filename(path)
    return path


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(KEY, IngestSettings(processes=1), scratch=tmp_path / "scratch")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file of each kind that may lie about in a folder."""
    root = tmp_path / "in"
    nifti(root / "a.nii.gz")
    nrrd.write(str(root / "b.nrrd"), np.zeros((5, 7, 11), dtype=np.uint8))
    nrrd.write(str(root / "b.seg.nrrd"), np.zeros((5, 7, 11), dtype=np.uint8))
    Image.fromarray(np.zeros((9, 13), dtype=np.uint8)).save(root / "c.png")
    (root / "readme.txt").write_text("hello")
    (root / "broken.nii").write_bytes(b"nothing")
    (root / "empty").write_bytes(b"")
    with zipfile.ZipFile(root / "d.zip", "w") as archive:
        archive.write(root / "a.nii.gz", "deep/e.nii.gz")
        archive.writestr("../evil", "evil")
    (root / "bids" / "sub-01").mkdir(parents=True)
    (root / "bids" / "dataset_description.json").write_text('{"Name": "ds", "BIDSVersion": "1.10.0"}')
    nifti(root / "bids" / "sub-01" / "sub-01_T1w.nii.gz")
    nifti(root / "bids" / "sub-01" / "sub-01_FLAIR.nii.gz")
    nifti(root / "bids" / "sub-01" / "sub-01_mask.nii.gz")
    return root


def test_every_file_of_a_mixed_folder_is_in_exactly_one_row(folder: Path, context: Context) -> None:
    found = catalogue([folder], context)

    check_accounting(found.files)
    on_disk = {str(path) for path in folder.rglob("*") if path.is_file()}
    in_archive = {str(folder / "d.zip!deep/e.nii.gz"), str(folder / "d.zip!../evil")}
    assert {row.path for row in found.files} == on_disk | in_archive
    assert Counter(row.fate for row in found.files) == {
        "used": 6,  # a, b, c, e, and two of sub-01
        "skipped": 3,  # the archive itself, the mask of Slicer, the mask of BIDS
        "refused": 1,  # the way out of the archive
        "failed": 1,  # broken.nii
        "not_an_image": 3,  # text, json, empty
    }
    assert len(found.series) == 6
    assert len(found.cases()) == 5


def test_every_image_of_a_mixed_folder_can_be_decoded(folder: Path, context: Context) -> None:
    found = catalogue([folder], context)

    shapes = Counter(decode(series).space.shape for series in found.series)

    assert shapes == {(5, 7, 11): 5, (13, 9, 1): 1}


def test_overlapping_inputs_give_each_file_once(folder: Path, context: Context) -> None:
    twice = catalogue([folder, folder / "a.nii.gz", folder / "bids" / ".." / "bids"], context)

    check_accounting(twice.files)
    assert len(twice.files) == len(catalogue([folder], context).files)


def test_a_manifest_as_input_brings_its_images_and_what_it_says_of_them(folder: Path, context: Context) -> None:
    table = folder / "m.csv"
    rows = [
        ManifestRow("case 1", "p1", "a.nii.gz", groups={"sex": "F", "grade": "2"}),
        ManifestRow("case 1", "p1", "b.nrrd"),
        ManifestRow("case 2", "p2", "gone.nii"),
    ]
    table.write_text(manifest_text(rows))

    found = catalogue([table], context)

    assert len(found.series) == 2
    assert {series.case_id for series in found.series} == {KEY.case_id("case 1")}
    assert {series.facts.patient_key for series in found.series} == {KEY.patient_key("p1")}
    assert Counter((row.fate, row.code) for row in found.files) == {
        ("used", ""): 2,
        ("skipped", "manifest"): 1,
        ("failed", "missing_file"): 1,
    }


def test_a_manifest_elsewhere_starts_from_the_folder_given_beside_it(
    folder: Path, context: Context, tmp_path: Path
) -> None:
    table = tmp_path / "m.csv"
    table.write_text(manifest_text([ManifestRow("case 1", "p1", "a.nii.gz")]))

    found = gather([table, folder], context)

    assert [file.shown for file in found.files] == [str(folder / "a.nii.gz")], "the folder itself is not walked"


def test_what_a_manifest_says_wins_over_the_same_file_found_in_a_folder(folder: Path, context: Context) -> None:
    table = folder / "m.csv"
    table.write_text(manifest_text([ManifestRow("case 1", "p1", "a.nii.gz")]))

    found = {file.shown: file for file in gather([folder, table], context).files}

    origin = found[str(folder / "a.nii.gz")].origin
    assert origin is not None
    assert origin.case == "case 1"
    assert str(folder / "c.png") in found


def test_a_bids_folder_in_an_archive_is_known_as_one(folder: Path, context: Context, tmp_path: Path) -> None:
    archive = tmp_path / "ds.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for path in sorted((folder / "bids").rglob("*")):
            made.write(path, path.relative_to(folder))

    found = catalogue([archive], context)

    assert len(found.series) == 2
    assert len(found.cases()) == 1
    assert Counter(row.code for row in found.files)["mask"] == 1


def test_gzipped_files_are_what_they_are_inside(folder: Path, context: Context) -> None:
    (folder / "x.txt.gz").write_bytes(gzip.compress(b"just text"))

    rows = {Path(row.path).name: row for row in catalogue([folder], context).files}

    assert rows["x.txt.gz"].fate == "not_an_image"
    assert rows["a.nii.gz"].fate == "used"
