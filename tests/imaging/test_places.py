"""Where a network is to look: along the patient's axes, whatever the order of the voxels."""

import numpy as np
import pytest

from diascope.findings import ImageFacts
from diascope.geometry import Grid
from diascope.imaging.places import Part, Place, box_of_part, cut_out, merged
from diascope.volume import Mask, Volume

SHAPE = (20, 30, 24)
# i runs to the left, j to the head, k to the front: nothing is where a careless reader expects it.
AFFINE = np.array([[-2.0, 0, 0, 19.0], [0, 0, 1.5, -10.0], [0, 0.8, 0, 5.0], [0, 0, 0, 1.0]])


def block(i: slice, j: slice, k: slice) -> Mask:
    data = np.zeros(SHAPE, dtype=np.uint8)
    data[i, j, k] = 3
    return Mask(data, Grid(SHAPE, AFFINE), {3: "core"})


def place(*parts: Part, margin_mm: float = 0.0) -> Place:
    return Place("finder", "core", margin_mm, parts)


WHOLE = Part("all")


def test_the_whole_box_of_a_label_is_its_own_voxels() -> None:
    mask = block(slice(4, 12), slice(6, 16), slice(3, 9))

    assert box_of_part(mask, 3, place(WHOLE), WHOLE) == ((4, 6, 3), (12, 16, 9))


def test_the_left_half_lies_towards_the_patients_left_and_the_lower_part_towards_the_feet() -> None:
    mask = block(slice(4, 12), slice(6, 16), slice(3, 9))
    left, low, front = (
        Part("left", left_right=(0.0, 0.5)),
        Part("low", foot_head=(0.0, 0.3)),
        Part("f", (0, 1), (0.5, 1)),
    )

    # i runs to the left, so the left half are the higher i; j to the head; k to the front.
    assert box_of_part(mask, 3, place(left), left) == ((8, 6, 3), (12, 16, 9))
    assert box_of_part(mask, 3, place(low), low) == ((4, 6, 3), (12, 9, 9))
    assert box_of_part(mask, 3, place(front), front) == ((4, 6, 6), (12, 16, 9))


def test_a_margin_is_in_millimetres_on_every_side_and_ends_with_the_image() -> None:
    mask = block(slice(4, 12), slice(6, 16), slice(3, 9))

    assert box_of_part(mask, 3, place(WHOLE, margin_mm=6.0), WHOLE) == ((1, 0, 0), (15, 24, 13))


def test_an_island_elsewhere_does_not_stretch_the_box() -> None:
    mask = block(slice(4, 12), slice(6, 16), slice(3, 9))
    mask.data[18, 28, 22] = 3

    assert box_of_part(mask, 3, place(WHOLE), WHOLE) == ((4, 6, 3), (12, 16, 9))


def test_a_label_that_was_not_found_has_no_place() -> None:
    assert box_of_part(block(slice(0), slice(0), slice(0)), 3, place(WHOLE), WHOLE) is None


def test_a_cut_out_image_lies_where_it_lay() -> None:
    data = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    volume = Volume(data, Grid(SHAPE, AFFINE), ImageFacts(), "image")

    inner = cut_out(volume, ((4, 6, 3), (12, 16, 9)))

    assert isinstance(inner.space, Grid)
    assert inner.data.shape == (8, 10, 6)
    assert inner.data[1, 2, 3] == data[5, 8, 6]
    at = np.array([[1.0, 2.0, 3.0]])
    assert inner.space.to_ras_mm(at) == pytest.approx(Grid(SHAPE, AFFINE).to_ras_mm(np.array([[5.0, 8.0, 6.0]])))


def test_of_maps_laid_over_each_other_the_first_one_stays() -> None:
    names = {3: "core", 5: "shell"}
    one = block(slice(4, 8), slice(6, 16), slice(3, 9))
    other = np.zeros(SHAPE, dtype=np.uint8)
    other[6:12, 6:16, 3:9] = 5

    both = merged([Mask(one.data, one.space, names), Mask(other, one.space, names)])

    assert (both.data[4:8, 6:16, 3:9] == 3).all()
    assert (both.data[8:12, 6:16, 3:9] == 5).all()
    assert np.count_nonzero(both.data) == 8 * 10 * 6
