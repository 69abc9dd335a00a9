"""Connected parts of a label map."""

import numpy as np

from diascope.geometry import IndexGrid
from diascope.imaging.components import bounding_box, components
from diascope.volume import Mask

SHAPE = (5, 7, 11)


def mask(data: np.ndarray) -> Mask:
    return Mask(data, IndexGrid(data.shape), {1: "lesion", 2: "liver", 3: "vessel"})


def test_parts_come_largest_first_with_their_boxes() -> None:
    data = np.zeros(SHAPE, np.uint8)
    data[0, 0, 0] = 1
    data[2:4, 3:6, 5:9] = 1
    data[2:4, 3:6, 4] = 2

    found = components(mask(data), 1)

    assert [part.size_voxels for part in found] == [24, 1]
    assert found[0].box_ijk == ((2, 3, 5), (4, 6, 9))
    assert found[0].centre_ijk == (2.5, 4.0, 6.5)
    assert found[0].voxels.shape == (2, 3, 4)
    assert found[1].box_ijk == ((0, 0, 0), (1, 1, 1))


def test_voxels_that_share_a_corner_belong_together() -> None:
    data = np.zeros(SHAPE, np.uint8)
    data[1, 1, 1] = data[2, 2, 2] = data[3, 3, 3] = 3

    found = components(mask(data), 3)

    assert len(found) == 1
    assert found[0].voxels.sum() == 3


def test_small_parts_can_be_left_out() -> None:
    data = np.zeros(SHAPE, np.uint8)
    data[0, 0, :3] = 1
    data[4, 6, 10] = 1

    assert [part.size_voxels for part in components(mask(data), 1, smallest_voxels=2)] == [3]


def test_a_label_that_was_not_found_has_no_parts() -> None:
    assert components(mask(np.zeros(SHAPE, np.uint8)), 2) == ()


def test_the_bounding_box_is_half_open() -> None:
    inside = np.zeros(SHAPE, bool)
    inside[1, 2, 3] = inside[4, 3, 9] = True

    assert bounding_box(inside) == ((1, 2, 3), (5, 4, 10))
    assert bounding_box(np.zeros(SHAPE, bool)) is None
