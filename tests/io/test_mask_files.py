"""Masks among the scans: the name alone does not make one, nor do the voxels."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from diascope.io.mask_files import MOST_LABELS, is_named_mask, label_count
from diascope.io.series import Catalogue
from tests.io.reading import read

RNG = np.random.default_rng(11)
SCAN = RNG.integers(0, 1000, (5, 7, 11)).astype(np.int16)
DRAWN = (SCAN > 500).astype(np.uint8) * 2


@pytest.mark.parametrize(
    "name",
    ["p1_seg.nii.gz", "training_seg_01.nii.gz", "Tumor_Mask.nii", "brainmask.nii", "label-03.nii", "aseg.nii.gz",
     "p1-lesion.nii", "roi_2.nii.gz", "ground truth.nii", "segmentation.nii", "p1_gt.nii.gz"],
)  # fmt: skip
def test_a_name_that_says_mask_is_heard(name: str) -> None:
    assert is_named_mask(name)


@pytest.mark.parametrize(
    "name", ["flair.nii.gz", "sub-01_T1w.nii", "length.nii", "passegger.nii", "heroine.nii", "T1_masked.nii"]
)
def test_a_name_that_holds_the_letters_within_a_word_says_nothing(name: str) -> None:
    assert not is_named_mask(name)


@pytest.mark.parametrize(
    ("voxels", "count"),
    [
        (DRAWN, 2),
        (DRAWN.astype(np.float32), 2),
        (np.zeros((5, 7, 11), np.uint8), 1),
        (SCAN, None),
        (SCAN - 500, None),
        (DRAWN + 1, None),
        (DRAWN * np.float32(0.3), None),
        (np.full((5, 7, 11), np.nan, np.float32), None),
        ((np.arange(385) % (MOST_LABELS + 1)).reshape(5, 7, 11), None),
    ],
)
def test_voxels_are_labels_if_they_are_few_whole_numbers_with_a_background(
    voxels: NDArray[np.generic], count: int | None
) -> None:
    assert label_count(voxels) == count


def catalogued(folder: Path, voxels: NDArray[np.generic], name: str, *, skip_masks: bool = True) -> Catalogue:
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 2.0, 3.0, 1.0])), folder / name)
    return read(folder, skip_masks=skip_masks)


def test_a_mask_among_scans_is_skipped_with_its_reason_and_never_an_image(tmp_path: Path) -> None:
    catalogued(tmp_path, SCAN, "p1.nii.gz")

    found = catalogued(tmp_path, DRAWN, "p1_seg.nii.gz")

    (row,) = [one for one in found.files if one.fate != "used"]
    assert (row.fate, row.code) == ("skipped", "mask_by_name")
    assert row.reason == "a mask: its name says so, and its voxels hold 2 different whole numbers"
    assert "skip_masks=false" in row.cure
    assert len(found.series) == 1


def test_a_scan_with_such_a_name_is_an_image_and_so_is_a_mask_that_is_asked_for(tmp_path: Path) -> None:
    assert len(catalogued(tmp_path, SCAN, "segmented_flair.nii.gz").series) == 1

    asked = catalogued(tmp_path, DRAWN, "p1_seg.nii.gz", skip_masks=False)
    assert len(asked.series) == 2


def test_a_torn_mask_is_a_torn_file(tmp_path: Path) -> None:
    file = tmp_path / "p1_seg.nii"
    catalogued(tmp_path, DRAWN, file.name)
    file.write_bytes(file.read_bytes()[:-100])

    (row,) = read(tmp_path).files
    assert (row.fate, row.code) == ("failed", "truncated")
