"""Surface distances against the published table and a search by brute force."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_surface_dice
from monai.metrics.utils import (
    create_table_neighbour_code_to_contour_length,
    create_table_neighbour_code_to_surface_area,
)
from numpy.typing import NDArray
from scipy import ndimage

from diascope.evaluation import surface
from diascope.evaluation.surface import _contour_lengths, _surface_areas, diagonal_of, surface_distances
from diascope.geometry import Grid, IndexGrid

SPACING_MM = (0.7, 0.8, 2.5)
OBLIQUE = np.array([[0.6, -0.5, 0.3, 11.0], [0.3, 0.6, -0.9, -7.0], [0.2, 0.2, 2.3, 3.0], [0.0, 0.0, 0.0, 1.0]])


def straight_grid(shape: tuple[int, int, int]) -> Grid:
    return Grid(shape, np.diag([*SPACING_MM, 1.0]))


def blobs(shape: tuple[int, ...], seed: int) -> NDArray[np.bool_]:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2)
    return noise > np.quantile(noise, 0.8)


def elements(inside: NDArray[np.bool_]) -> dict[tuple[int, ...], int]:
    """Every corner of the padded map with the code of the voxels around it, corner by corner."""
    padded = np.pad(inside, 1)
    codes = {}
    for at in np.ndindex(*(n - 1 for n in padded.shape)):
        bits = padded[tuple(slice(x, x + 2) for x in at)].ravel()
        code = int(sum(int(bit) << place for place, bit in enumerate(bits)))
        if 0 < code < (1 << len(bits)) - 1:
            codes[at] = code
    return codes


def by_brute_force(
    one: NDArray[np.bool_], other: NDArray[np.bool_], steps: NDArray[np.float64], area: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    here, there = elements(one), elements(other)
    points = np.array(list(here)) @ steps.T
    others = np.array(list(there)) @ steps.T
    distances = np.sqrt(((points[:, None] - others[None]) ** 2).sum(axis=2)).min(axis=1)
    return distances, area[list(here.values())]


def test_the_areas_of_all_256_corners_are_those_of_the_published_table() -> None:
    # MONAI counts the corners from the last voxel to the first, we from the first.
    published = create_table_neighbour_code_to_surface_area(SPACING_MM)[0].numpy()
    swapped = [int(f"{code:08b}"[::-1], 2) for code in range(256)]

    assert _surface_areas(np.diag(SPACING_MM)) == pytest.approx(published[swapped], abs=1e-5)


def test_the_lengths_of_all_16_contour_corners_are_those_of_the_published_table() -> None:
    published = create_table_neighbour_code_to_contour_length(SPACING_MM[:2])[0].numpy()
    swapped = [int(f"{code:04b}"[::-1], 2) for code in range(16)]

    assert _contour_lengths(np.diag(SPACING_MM)) == pytest.approx(published[swapped], abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("affine", [np.diag([*SPACING_MM, 1.0]), OBLIQUE], ids=["straight", "sheared"])
def test_distances_and_areas_are_those_of_a_search_by_brute_force(seed: int, affine: NDArray[np.float64]) -> None:
    shape = (7, 9, 6)
    predicted, truth = blobs(shape, seed), blobs(shape, seed + 100)
    area = _surface_areas(affine[:3, :3])

    found = surface_distances(predicted, truth, Grid(shape, affine))

    of_truth, truth_area = by_brute_force(truth, predicted, affine[:3, :3], area)
    of_predicted, predicted_area = by_brute_force(predicted, truth, affine[:3, :3], area)
    assert found.of_truth == pytest.approx(of_truth)
    assert found.truth_area == pytest.approx(truth_area)
    assert found.of_predicted == pytest.approx(of_predicted)
    assert found.predicted_area == pytest.approx(predicted_area)


@pytest.mark.parametrize("affine", [np.diag([*SPACING_MM, 1.0]), OBLIQUE], ids=["straight", "sheared"])
def test_objects_far_apart_are_measured_as_exactly_as_near_ones(affine: NDArray[np.float64]) -> None:
    rng = np.random.default_rng(8)
    predicted, truth = np.zeros((2, 12, 14, 9), dtype=bool)
    predicted[tuple(rng.integers(0, 5, (3, 6)))] = True
    truth[tuple(rng.integers(3, 9, (3, 6)))] = True

    found = surface_distances(predicted, truth, Grid((12, 14, 9), affine))

    of_truth, _ = by_brute_force(truth, predicted, affine[:3, :3], _surface_areas(affine[:3, :3]))
    assert found.of_truth == pytest.approx(of_truth)
    assert found.of_truth.max() > 6.0


def test_a_single_slice_is_measured_along_its_contour() -> None:
    predicted, truth = blobs((8, 9), 1)[:, :, None], blobs((8, 9), 2)[:, :, None]
    grid = straight_grid((8, 9, 1))

    found = surface_distances(predicted, truth, grid)

    lengths = _contour_lengths(grid.affine[:3, :3])
    of_truth, length = by_brute_force(truth[:, :, 0], predicted[:, :, 0], np.diag(SPACING_MM[:2]), lengths)
    assert found.of_truth == pytest.approx(of_truth)
    assert found.truth_area == pytest.approx(length)


def test_an_object_in_one_slice_of_many_still_has_a_surface_above_and_below() -> None:
    inside = np.zeros((4, 5, 1), dtype=bool)
    inside[1:3, 1:4] = True

    in_a_stack = surface_distances(inside, inside, straight_grid((4, 5, 9)))
    alone = surface_distances(inside, inside, straight_grid((4, 5, 1)))

    assert in_a_stack.truth_area.sum() > 2 * 6 * 0.7 * 0.8
    assert alone.truth_area.sum() < 2 * (2 * 0.7 + 3 * 0.8)


def test_a_ball_shifted_by_two_slices_lies_that_far_away_at_its_worst() -> None:
    i, j, k = np.ogrid[:41, :41, :41]
    ball = (i - 20) ** 2 + (j - 20) ** 2 + (k - 18) ** 2 <= 100
    moved = np.roll(ball, 2, axis=2)

    found = surface_distances(moved, ball, IndexGrid((41, 41, 41)))

    assert found.hausdorff(100.0) == pytest.approx(2.0)
    assert found.truth_area.sum() == pytest.approx(4 * np.pi * 100, rel=0.1)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI calls its own old argument
@pytest.mark.parametrize("tolerance_mm", [0.5, 0.8, 2.6])
@pytest.mark.parametrize("seed", range(3))
def test_surface_dice_equals_monai_s_with_surface_elements(seed: int, tolerance_mm: float) -> None:
    shape = (11, 9, 7)
    predicted, truth = blobs(shape, seed), blobs(shape, seed + 50)

    ours = surface_distances(predicted, truth, straight_grid(shape)).share_within(tolerance_mm)

    one_hot = [torch.from_numpy(np.stack([~mask, mask])[None].astype(np.float32)) for mask in (predicted, truth)]
    theirs = compute_surface_dice(*one_hot, [tolerance_mm], spacing=SPACING_MM, use_subvoxels=True)
    assert ours == pytest.approx(theirs.item(), abs=1e-6)


def test_the_hausdorff_percentile_weighs_large_elements_more() -> None:
    # Voxels of 1 x 1 x 10 mm: the side walls hold most of the area of a thin rod.
    grid = Grid((5, 5, 9), np.diag([1.0, 1.0, 10.0, 1.0]))
    truth = np.zeros((5, 5, 9), dtype=bool)
    truth[1:4, 1:4, 1:8] = True
    predicted = truth.copy()
    predicted[:, :, 7] = False

    found = surface_distances(predicted, truth, grid)

    far = found.of_truth > 5
    assert found.truth_area[far].sum() / found.truth_area.sum() > 0.05
    assert found.hausdorff(95.0) == 10.0
    assert found.hausdorff(50.0) == 0.0


def test_the_diagonal_is_that_of_the_whole_image() -> None:
    assert diagonal_of(Grid((3, 4, 1), np.diag([2.0, 2.0, 0.0001, 1.0]))) == pytest.approx(10.0)
    assert diagonal_of(IndexGrid((2, 3, 6))) == pytest.approx(7.0)


def test_the_order_in_memory_changes_nothing() -> None:
    # Oblique and sheared: an axis that is taken for another one would show.
    rng = np.random.default_rng(4)
    steps = np.array([[0.7, 0.2, 0.3, 1], [-0.1, 0.8, 0.4, 2], [0.05, -0.3, 2.5, 3], [0, 0, 0, 1.0]])
    truth = ndimage.binary_dilation(rng.random((9, 11, 7)) < 0.02, iterations=2)
    predicted = np.roll(truth, (1, -1, 1), (0, 1, 2))
    space = Grid(truth.shape, steps)

    by_rows = surface_distances(predicted, truth, space)
    by_columns = surface_distances(np.asfortranarray(predicted), np.asfortranarray(truth), space)

    for tolerance in (0.3, 0.9, 1.5, 2.6):
        assert by_columns.share_within(tolerance) == pytest.approx(by_rows.share_within(tolerance))
    assert by_columns.hausdorff(95) == pytest.approx(by_rows.hausdorff(95))
    assert by_columns.truth_area.sum() == pytest.approx(by_rows.truth_area.sum())


def test_slabs_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.random.default_rng(5).random((13, 6, 7)) < 0.3
    predicted = np.roll(truth, 2, 0)
    space = Grid(truth.shape, np.diag([0.7, 0.8, 2.5, 1.0]))
    whole = surface_distances(predicted, truth, space)
    monkeypatch.setattr(surface, "SLAB_BYTES", 3 * 7 * 8)

    cut = surface_distances(predicted, truth, space)

    np.testing.assert_array_equal(cut.of_truth, whole.of_truth)
    np.testing.assert_array_equal(cut.truth_area, whole.truth_area)
