"""Bad cases are named before the first epoch, with what was seen."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from diascope.config import parse_settings
from diascope.errors import GridMismatch, InputError, PipelineError
from diascope.train.settings import TrainConfig
from diascope.train.training import training_data
from tests.train.training_phantoms import write_slices


def data_with(root: Path, name: str, values: np.ndarray, affine: np.ndarray | None = None) -> None:
    config = parse_settings(TrainConfig, write_slices(root))
    nib.save(nib.Nifti1Image(values, affine), root / name)
    training_data(config)


def test_a_label_outside_the_set_is_named_with_its_case_and_value(tmp_path: Path) -> None:
    values = np.zeros((32, 40, 7), dtype=np.uint8)
    values[3, 4, 5] = 9

    with pytest.raises(InputError, match=r"case case-1: its label holds \[9\], expected whole numbers from 0 to 1"):
        data_with(tmp_path, "case-1_label.nii.gz", values)


def test_image_and_label_of_different_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GridMismatch, match=r"case case-0: the image is \(32, 40, 6\), its label \(32, 40, 5\) voxels"):
        data_with(tmp_path, "case-0_label.nii.gz", np.ones((32, 40, 5), dtype=np.uint8))


def test_image_and_label_on_shifted_grids_are_refused(tmp_path: Path) -> None:
    shifted = np.diag([-1.0, 1.0, 1.0, 1.0])
    shifted[:3, 3] = (15.5, -19.5, 7.0)

    with pytest.raises(GridMismatch, match=r"case case-0: the affines of image and label differ by 9\.5 mm"):
        data_with(tmp_path, "case-0_label.nii.gz", np.ones((32, 40, 6), dtype=np.uint8), shifted)


def test_a_label_without_any_example_is_named(tmp_path: Path) -> None:
    config = parse_settings(TrainConfig, write_slices(tmp_path))
    for number in range(3):
        nib.save(
            nib.Nifti1Image(np.zeros((32, 40, 6 + number), np.uint8), None), tmp_path / f"case-{number}_label.nii.gz"
        )

    with pytest.raises(InputError, match="no training case shows ball") as refused:
        training_data(config)

    assert refused.value.code == "class_without_example"


def test_a_file_that_is_no_image_is_named_with_its_case(tmp_path: Path) -> None:
    config = parse_settings(TrainConfig, write_slices(tmp_path))
    (tmp_path / "case-2_image.nii.gz").write_bytes(b"not an image")

    with pytest.raises(PipelineError, match="case case-2: a file cannot be read"):
        training_data(config)


def test_every_neighbour_is_where_the_network_looks_for_it(tmp_path: Path) -> None:
    config = parse_settings(TrainConfig, write_slices(tmp_path))

    image = training_data(config).validation[0]["image"]

    assert image.shape == (3, 32, 32, 9)
    assert np.allclose(image[0, ..., 1:], image[1, ..., :-1])
    assert np.allclose(image[2, ..., :-1], image[1, ..., 1:])
    assert np.allclose(image[0, ..., 0], image[1, ..., 0])
    assert np.allclose(image[2, ..., -1], image[1, ..., -1])
