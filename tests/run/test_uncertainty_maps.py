"""Maps of how unsure each voxel is: from a run to the file, on the source's voxels."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from diascope.bundles.find import read_bundle
from diascope.findings import ImageFacts
from diascope.geometry import affine_of
from diascope.imaging.resample import GridOfLogits, steps_on_grid
from diascope.io.write_nifti import write_steps
from diascope.run.uncertainty_maps import Unsure, uncertainty_maps
from diascope.tasks.uncertainty import Averaged
from diascope.tasks.uncertainty_settings import UncertaintySettings
from diascope.volume import Volume
from tests.phantoms import oblique_grid
from tests.tiny_bundle import write_tiny_bundle

GRID = oblique_grid((9, 11, 7), (0.9, 1.1, 3.0))
VOLUME = Volume(np.zeros(GRID.shape, np.int16), GRID, ImageFacts(), "img-1")


def unsure(tmp_path: Path, logits: NDArray[np.float64], each: NDArray[np.float32] | None = None) -> Unsure:
    bundle = read_bundle(write_tiny_bundle(tmp_path / "models"))
    seen = GridOfLogits(logits.astype(np.float32), affine_of(GRID))
    averaged = Averaged(seen.logits, 1 if each is None else 3, entropy_of_each=each)
    return Unsure(bundle, VOLUME, seen, averaged, f"{bundle.name}.seg.nii.gz")


def test_nothing_is_made_where_nothing_is_asked_for(tmp_path: Path) -> None:
    assert uncertainty_maps([unsure(tmp_path, np.zeros((2, *GRID.shape)))], UncertaintySettings()) == ({}, None)


def test_the_file_gives_the_numbers_back_on_the_source_s_voxels(tmp_path: Path) -> None:
    margin = np.random.default_rng(0).normal(0, 2, GRID.shape)
    logits = np.stack([np.zeros(GRID.shape), margin])

    maps, records = uncertainty_maps([unsure(tmp_path, logits)], UncertaintySettings(map="entropy"))
    ((file, steps),) = maps.items()
    write_steps(tmp_path / "map.nii.gz", steps)

    stored = nib.load(tmp_path / "map.nii.gz")
    share = 1 / (1 + np.exp(-margin))
    expected = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    np.testing.assert_allclose(stored.get_fdata(), expected, atol=expected.max() / 255)
    np.testing.assert_allclose(stored.affine, GRID.affine, atol=1e-5)
    assert stored.get_data_dtype() == np.uint8
    assert records is not None
    (record,) = records
    assert (record.kind, record.unit, record.limit, record.answers, record.asked_again) == ("entropy", "bit", 1, 1, ())
    assert record.file == file == f"{record.bundle}.uncertainty.entropy.nii.gz"
    assert record.highest == pytest.approx(expected.max(), abs=1e-5)


def test_a_disagreement_names_what_disagreed_and_takes_each_answer_s_own_doubt_off(tmp_path: Path) -> None:
    # All answers flip a coin everywhere, but in one voxel two sure ones contradict each other.
    each = np.ones(GRID.shape, np.float32)
    each[2, 3, 4] = 0
    one = unsure(tmp_path, np.zeros((2, *GRID.shape)), each)

    maps, records = uncertainty_maps([one], UncertaintySettings(map="disagreement", mirrors=("i",), dropout_draws=2))

    ((_, steps),) = maps.items()
    assert np.argwhere(steps.data).tolist() == [[2, 3, 4]]
    assert records is not None
    assert (records[0].answers, records[0].asked_again, records[0].highest) == (3, ("mirrors", "dropout"), 1.0)


def test_of_parts_of_an_image_the_least_sure_counts(tmp_path: Path) -> None:
    sure, torn = np.zeros((2, *GRID.shape)), np.zeros((2, *GRID.shape))
    sure[1] = 3.0
    torn[1] = 30.0
    torn[1, 5] = 0.0
    settings = UncertaintySettings(map="least_confidence")

    maps, records = uncertainty_maps([unsure(tmp_path / "a", sure), unsure(tmp_path / "b", torn)], settings)

    ((_, steps),) = maps.items()
    numbers = steps.data * steps.top / 255
    assert numbers[5].min() == pytest.approx(0.5, abs=0.002)
    assert numbers[0].max() == pytest.approx(1 - 1 / (1 + np.exp(-3.0)), abs=0.004)
    assert records is not None
    assert [(one.highest, one.unit) for one in records] == [(0.5, "1")]


def test_steps_are_those_of_scipy_between_the_voxels_and_nothing_outside() -> None:
    numbers = np.random.default_rng(2).random((6, 7, 5)).astype(np.float32)
    own = np.diag([2.0, 2.0, 3.0, 1.0])
    target = np.diag([0.7, 0.9, 1.3, 1.0])
    target[:3, 3] = (-3.0, 1.0, 0.5)

    found = steps_on_grid((numbers, own), (25, 16, 9), target, 1.0)

    index = np.moveaxis(np.indices((25, 16, 9)), 0, -1) @ target[:3, :3].T + target[:3, 3]
    at = index / np.array([2.0, 2.0, 3.0])
    expected = 255 * ndimage.map_coordinates(numbers, np.moveaxis(at, -1, 0), order=1, mode="nearest")
    inside = ((at >= -0.5) & (at <= np.array(numbers.shape) - 0.5)).all(-1)
    assert 100 < inside.sum() < inside.size
    np.testing.assert_allclose(found, np.where(inside, expected, 0), atol=0.51)
