"""What is wrong with a training's data is named before its first epoch, with the case and a cure."""

import csv
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from diascope.config import parse_settings
from diascope.errors import PipelineError
from diascope.train.settings import TrainConfig
from diascope.train.training import train_network
from tests.train.training_phantoms import write_slices


def without_a_file(root: Path) -> None:
    (root / "case-1_image.nii.gz").unlink()


def with_a_label_outside_the_set(root: Path) -> None:
    label = np.zeros((32, 40, 8), dtype=np.uint8)
    label[4:9, 5:9, 2:4] = 7
    nib.save(nib.Nifti1Image(label, None), root / "case-2_label.nii.gz")


def with_a_mask_of_another_shape(root: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((32, 39, 7), dtype=np.uint8), None), root / "case-1_label.nii.gz")


def with_a_mask_on_another_grid(root: Path) -> None:
    for kind, shift_mm in (("image", 0.0), ("label", 2.5)):
        stored = nib.load(root / f"case-1_{kind}.nii.gz")
        affine = np.diag([0.7, 0.8, 2.5, 1.0])
        affine[1, 3] = shift_mm
        nib.save(nib.Nifti1Image(np.asarray(stored.dataobj), affine), root / f"case-1_{kind}.nii.gz")


def with_an_empty_split(root: Path) -> None:
    rewrite(root, lambda row: {**row, "split": "train" if row["split"] == "calibration" else row["split"]})


def without_an_example(root: Path) -> None:
    for number in range(3):
        shape = nib.load(root / f"case-{number}_label.nii.gz").shape
        nib.save(nib.Nifti1Image(np.zeros(shape, dtype=np.uint8), None), root / f"case-{number}_label.nii.gz")


def with_a_patient_on_both_sides(root: Path) -> None:
    rewrite(root, lambda row: {**row, "patient": "case-0" if row["case"] == "case-3" else row["patient"]})


def with_a_file_cut_short(root: Path) -> None:
    path = root / "case-0_image.nii.gz"
    path.write_bytes(path.read_bytes()[:200])


def rewrite(root: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    with (root / "manifest.csv").open(newline="") as stream:
        rows = [change(row) for row in csv.DictReader(stream)]
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("spoil", "message", "code"),
    [
        (without_a_file, r"case case-1: its image file is missing", "missing_file"),
        (with_a_label_outside_the_set, r"case case-2: its label holds \[7\], expected whole num", "label_outside_set"),
        (with_a_mask_of_another_shape, r"case case-1: the image is \(32, 40, 7\), its", "grid_mismatch"),
        (with_a_mask_on_another_grid, r"case case-1: the affines of image and label differ by 2\.5", "grid_mismatch"),
        (with_an_empty_split, r"the split calibration is empty: none of 5 cases", "config"),
        (without_an_example, r"no training case shows ball", "class_without_example"),
        (with_a_patient_on_both_sides, r"case case-3: its patient is in the splits train and c", "config"),
        (with_a_file_cut_short, r"case case-0: ", "unreadable"),
    ],
)  # fmt: skip
def test_it_is_named_before_the_first_epoch(
    spoil: Callable[[Path], None], message: str, code: str, tmp_path: Path
) -> None:
    config = parse_settings(TrainConfig, write_slices(tmp_path))
    spoil(tmp_path)

    with pytest.raises(PipelineError, match=message) as refused:
        train_network(config, tmp_path / "out")

    assert refused.value.code == code
    assert str(tmp_path) not in str(refused.value)
    assert not (tmp_path / "out" / "log.jsonl").exists()
    assert not list((tmp_path / "out" / "checkpoints").glob("*"))
