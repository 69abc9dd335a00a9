"""From one voxel grid to another, by the affines alone."""

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from diascope.findings import ImageFacts
from diascope.geometry import Grid
from diascope.imaging import resample
from diascope.imaging.resample import GridOfLogits, labels_on_grid, straighten
from diascope.volume import Volume
from tests.phantom_volumes import ball, oblique_grid, points_ras_mm

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def sitk_image(data: NDArray[np.float32], grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(data.T)
    affine = LPS @ grid.affine
    spacing = np.array(grid.spacing_mm)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image


def smooth_logits(grid: Grid, classes: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    points = points_ras_mm(grid)
    waves = [np.sin(points @ rng.normal(size=3) * 0.08 + rng.uniform(0, 6)) for _ in range(classes)]
    return np.stack(waves).astype(np.float32)


def test_labels_are_the_argmax_of_every_class_resampled_by_simpleitk() -> None:
    network = oblique_grid((24, 20, 18), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    source = oblique_grid((30, 26, 9), (0.9, 1.1, 3.1), (14.0, -8.0, 25.0), (1.0, -2.0, 3.0))
    logits = smooth_logits(network, 4, seed=3)
    logits[0] -= 5.0  # no background: every voxel is compared

    labels = labels_on_grid(GridOfLogits(logits, network.affine), source.shape, source.affine)

    reference = sitk_image(np.zeros(source.shape, np.float32), source)
    by_itk = [
        sitk.GetArrayFromImage(sitk.Resample(sitk_image(one, network), reference, sitk.Transform(), sitk.sitkLinear)).T
        for one in logits
    ]
    inside = sitk.GetArrayFromImage(
        sitk.Resample(
            sitk_image(np.ones(network.shape, np.float32), network), reference, sitk.Transform(), sitk.sitkLinear
        )
    ).T
    expected = np.stack(by_itk).argmax(axis=0)
    margin = np.sort(np.stack(by_itk), axis=0)
    clear = (margin[-1] - margin[-2] > 1e-4) & (inside == 1)
    assert clear.sum() > 4000
    assert (labels[clear] == expected[clear]).all()


def test_it_is_the_same_whether_cut_into_slabs_and_boxes_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    network = oblique_grid((16, 18, 20), (3.0, 3.0, 3.0))
    source = oblique_grid((31, 29, 17), (1.3, 1.5, 2.9), (5.0, 9.0, -3.0), (4.0, -9.0, 15.0))
    logits = np.zeros((2, *network.shape), np.float32)
    logits[1] = np.where(ball(network, (4.0, -10.0, 15.0), 11.0), 3.0, -3.0)
    at_once = labels_on_grid(GridOfLogits(logits, network.affine), source.shape, source.affine)

    monkeypatch.setattr(resample, "SLAB_VOXELS", 700)
    in_slabs = labels_on_grid(GridOfLogits(logits, network.affine), source.shape, source.affine)
    monkeypatch.setattr(resample, "_target_box", lambda _logits, _matrix, shape: ((0, 0, 0), shape))
    everywhere = labels_on_grid(GridOfLogits(logits, network.affine), source.shape, source.affine)

    assert at_once.any()
    assert (at_once == in_slabs).all()
    assert (at_once == everywhere).all()


def test_a_ball_comes_back_in_its_place_with_its_volume() -> None:
    network = oblique_grid((48, 50, 52), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    source = oblique_grid((90, 80, 30), (0.8, 0.9, 2.4), (11.0, -6.0, 17.0), (2.0, -3.0, 4.0))
    off_mm = np.linalg.norm(points_ras_mm(network) - np.array([9.0, -4.0, 6.0]), axis=-1)
    logits = np.stack([np.zeros(network.shape), 15.0 - off_mm]).astype(np.float32)

    labels = labels_on_grid(GridOfLogits(logits, network.affine), source.shape, source.affine)

    volume_mm3 = labels.sum() * source.voxel_mm3
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.02)
    centre = source.to_ras_mm(np.argwhere(labels).astype(np.float64)).mean(axis=0)
    assert centre == pytest.approx([9.0, -4.0, 6.0], abs=0.1)


def test_what_lies_outside_the_network_s_grid_is_background() -> None:
    network = Grid((4, 4, 4), np.diag([2.0, 2.0, 2.0, 1.0]))
    source = Grid((40, 4, 4), np.diag([1.0, 2.0, 2.0, 1.0]))
    logits = np.stack([np.zeros(network.shape), np.ones(network.shape)]).astype(np.float32)

    labels = labels_on_grid(GridOfLogits(logits, network.affine), source.shape, source.affine)

    # The last network voxel is centred at 6 mm and reaches to 7 mm.
    assert labels[:8].all()
    assert not labels[8:].any()


def test_a_network_that_draws_nothing_gives_an_empty_label_map() -> None:
    network = oblique_grid()
    logits = np.stack([np.ones(network.shape), np.zeros(network.shape)]).astype(np.float32)

    labels = labels_on_grid(GridOfLogits(logits, network.affine), (3, 4, 5), np.eye(4))

    assert labels.shape == (3, 4, 5)
    assert not labels.any()


def test_a_network_grid_of_one_slice_still_finds_its_voxels() -> None:
    logits = np.zeros((2, 6, 5, 1), np.float32)
    logits[1, 2, 3, 0] = 1.0

    labels = labels_on_grid(GridOfLogits(logits, np.eye(4)), (6, 5, 1), np.eye(4))

    assert np.argwhere(labels).tolist() == [[2, 3, 0]]


def sheared_volume() -> tuple[Volume, Grid]:
    upright = oblique_grid((40, 44, 24), (1.1, 1.3, 2.7), (7.0, 3.0, -12.0))
    affine = upright.affine.copy()
    affine[:3, 2] += affine[:3, 1] / 1.3 * 0.8  # each slice 0.8 mm further along j: a tilted gantry
    grid = Grid(upright.shape, affine)
    data = np.where(ball(grid, tuple(grid.to_ras_mm(np.array([[20.0, 22.0, 12.0]]))[0]), 9.0), 300, -1000)
    return Volume(data.astype(np.int16), grid, ImageFacts(), "img-000000000000001"), grid


def test_a_tilted_gantry_is_straightened_without_moving_or_losing_anything() -> None:
    volume, grid = sheared_volume()

    upright = straighten(volume)

    assert grid.is_sheared
    assert isinstance(upright.space, Grid)
    assert not upright.space.is_sheared
    bright = upright.data > -350
    centre = upright.space.to_ras_mm(np.argwhere(bright).astype(np.float64)).mean(axis=0)
    assert centre == pytest.approx(grid.to_ras_mm(np.array([[20.0, 22.0, 12.0]]))[0], abs=0.15)
    assert bright.sum() * upright.space.voxel_mm3 == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.05)
    corners_ijk = upright.space.to_ijk(grid.corners_ras_mm())
    assert (corners_ijk > -1e-3).all()
    assert (corners_ijk < np.array(upright.space.shape) - 1 + 1e-3).all()


def test_an_image_with_right_angles_is_left_alone() -> None:
    grid = oblique_grid()
    volume = Volume(np.zeros(grid.shape, np.int16), grid, ImageFacts(), "img-000000000000001")

    assert straighten(volume) is volume
