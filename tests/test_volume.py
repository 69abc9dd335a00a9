"""An image in memory is what its type says, or it is refused with its numbers."""

import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from diascope.errors import GridMismatch, InputError
from diascope.findings import ImageFacts
from diascope.geometry import Grid, IndexGrid
from diascope.volume import ColourImage, Heatmap, Mask, Volume

SHAPE = (5, 7, 11)
SPACE = IndexGrid(SHAPE)
FACTS = ImageFacts(modality="CT")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.bool_])
def test_a_volume_holds_the_numbers_as_they_are(dtype: type[np.generic]) -> None:
    data = np.arange(5 * 7 * 11).reshape(SHAPE).astype(dtype)

    volume = Volume(data, SPACE, FACTS, "img-1")

    assert volume.data is data
    assert volume.data.dtype == dtype


@pytest.mark.parametrize("dtype", [np.complex64, np.dtype("U3"), np.dtype([("r", "u1"), ("g", "u1")]), object])
def test_what_is_not_a_number_is_refused(dtype: np.dtype[np.generic]) -> None:
    with pytest.raises(InputError, match="not a number diascope computes with"):
        Volume(np.zeros(SHAPE, dtype), SPACE, FACTS, "img-1")


@pytest.mark.parametrize("shape", [(7, 5, 11), (5, 7), (5, 7, 11, 1), (5, 7, 12)])
def test_data_that_do_not_fill_their_space_are_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(GridMismatch) as refused:
        Volume(np.zeros(shape, np.float32), SPACE, FACTS, "img-1")

    assert str(refused.value) == f"the array has {shape} voxels, its space (5, 7, 11)"


def test_a_heatmap_keeps_its_raw_range() -> None:
    data = np.linspace(-0.25, 3.5, 5 * 7 * 11, dtype=np.float32).reshape(SHAPE)

    assert Heatmap(data, SPACE, "glioma", "grad_cam").range == (-0.25, 3.5)


def test_a_heatmap_of_whole_numbers_was_stretched_by_somebody_and_is_refused() -> None:
    with pytest.raises(InputError, match="uint8"):
        Heatmap(np.zeros(SHAPE, np.uint8), SPACE, "glioma", "grad_cam")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [np.zeros(SHAPE, np.uint8), np.zeros((*SHAPE, 4), np.uint8), np.zeros((*SHAPE, 3), np.float32)],
)
def test_a_colour_image_is_8_bit_rgb(data: NDArray[np.uint8]) -> None:
    ColourImage(np.zeros((*SHAPE, 3), np.uint8), SPACE, FACTS, "img-1")

    with pytest.raises(InputError, match=r"must be uint8 \(5, 7, 11, 3\)"):
        ColourImage(data, SPACE, FACTS, "img-1")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_names_every_value_it_holds(dtype: type[np.unsignedinteger]) -> None:
    data = np.zeros(SHAPE, dtype)
    data[1, 2, 3], data[4, 6, 10] = 7, 200

    mask = Mask(data, SPACE, {7: "ventricles", 200: "lesion", 9: "not seen here"})

    assert mask.labels[200] == "lesion"
    with pytest.raises(InputError, match=r"without a name: \[200\]"):
        Mask(data, SPACE, {7: "ventricles"})


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.bool_, np.uint32])
def test_a_mask_is_uint8_or_uint16(dtype: type[np.generic]) -> None:
    with pytest.raises(InputError, match=r"must be uint8 or uint16, got"):
        Mask(np.zeros(SHAPE, dtype), SPACE)  # type: ignore[arg-type]


def test_an_empty_mask_needs_no_names_but_the_right_shape() -> None:
    Mask(np.zeros(SHAPE, np.uint8), SPACE)

    with pytest.raises(GridMismatch):
        Mask(np.zeros((7, 5, 11), np.uint8), SPACE)


def test_a_volume_survives_the_way_between_processes() -> None:
    affine = np.array([[0.0, 0.0, 2.5, 1.0], [-0.7, 0.0, 0.0, 2.0], [0.0, 0.8, 0.0, 3.0], [0.0, 0.0, 0.0, 1.0]])
    data = np.arange(5 * 7 * 11, dtype=np.int16).reshape(SHAPE)
    volume = Volume(data, Grid(SHAPE, affine), FACTS, "img-1", display_window=(40.0, 400.0), is_inverted=True)

    other = pickle.loads(pickle.dumps(volume))

    assert np.array_equal(other.data, data)
    assert np.array_equal(other.space.affine, affine)
    assert (other.facts, other.image_id, other.display_window, other.is_inverted) == (FACTS, "img-1", (40, 400), True)
