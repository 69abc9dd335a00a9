"""Label maps whose voxels are an image's, in another order or only a part of them."""

import itertools

import numpy as np
import pytest

from diascope.errors import GridMismatch
from diascope.geometry import Grid, IndexGrid
from diascope.io.labels.placing import place_on
from diascope.volume import Mask

OBLIQUE = np.array([[0.6, -0.5, 0.3, 11.0], [0.3, 0.6, -0.9, -7.0], [0.2, 0.2, 2.3, 3.0], [0.0, 0.0, 0.0, 1.0]])
IMAGE = Grid((5, 7, 11), OBLIQUE)


def marked() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, IMAGE.shape).astype(np.uint8)


def mask(data: np.ndarray, grid: Grid) -> Mask:
    return Mask(np.ascontiguousarray(data), grid, {1: "one", 2: "two"})


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product([1, -1], repeat=3)))
def test_any_order_and_direction_of_the_axes_comes_back_to_the_image_s(
    order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    data = marked()
    turn = np.eye(4)
    for to, (came_from, sign) in enumerate(zip(order, flips, strict=True)):
        turn[:, to] = 0.0
        turn[came_from, to] = sign
        if sign < 0:
            turn[came_from, 3] = IMAGE.shape[came_from] - 1
    turned = data.transpose(order)[tuple(slice(None, None, sign) for sign in flips)]

    placed = place_on(mask(turned, Grid(turned.shape, OBLIQUE @ turn)), IMAGE)

    assert np.array_equal(placed.data, data)
    assert placed.space is IMAGE


def test_a_map_of_some_slices_only_is_padded_with_background() -> None:
    data = marked()
    shift = np.eye(4)
    shift[2, 3] = 4

    placed = place_on(mask(data[:, :, 4:7], Grid((5, 7, 3), OBLIQUE @ shift)), IMAGE)

    assert np.array_equal(placed.data[:, :, 4:7], data[:, :, 4:7])
    assert not placed.data[:, :, :4].any()
    assert not placed.data[:, :, 7:].any()


def test_a_map_between_the_voxels_is_refused_with_the_distance() -> None:
    shift = np.eye(4)
    shift[0, 3] = 0.4

    with pytest.raises(GridMismatch, match=r"0\.40 voxels apart"):
        place_on(mask(marked(), Grid(IMAGE.shape, OBLIQUE @ shift)), IMAGE)


def test_a_map_with_larger_voxels_is_refused() -> None:
    with pytest.raises(GridMismatch, match=r"4\.98 mm, the image"):
        place_on(mask(marked(), Grid(IMAGE.shape, OBLIQUE @ np.diag([1.0, 1.0, 2.0, 1.0]))), IMAGE)


def test_a_map_that_reaches_out_of_the_image_is_refused() -> None:
    shift = np.eye(4)
    shift[1, 3] = 1

    with pytest.raises(GridMismatch, match=r"\(5, 7, 11\)"):
        place_on(mask(marked(), Grid(IMAGE.shape, OBLIQUE @ shift)), IMAGE)


def test_without_a_frame_only_the_same_number_of_voxels_will_do() -> None:
    same = Mask(marked(), IndexGrid(IMAGE.shape), {1: "one", 2: "two"})

    assert place_on(same, IndexGrid(IMAGE.shape)) is same
    with pytest.raises(GridMismatch, match="IndexGrid"):
        place_on(same, IMAGE)
    with pytest.raises(GridMismatch, match=r"\(5, 7, 12\)"):
        place_on(same, IndexGrid((5, 7, 12)))
