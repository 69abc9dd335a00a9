import numpy as np
import pytest

from diascope.errors import ConfigError
from diascope.explain.request import ExplainRequest, RawMap, to_heatmap
from diascope.geometry import Grid, IndexGrid, PixelGrid


def raw() -> RawMap:
    affine = np.array([[0.0, -2.8, 0, 5], [3.2, 0, 0, -7], [0, 0, 10.0, 11], [0, 0, 0, 1]])
    data = np.zeros((5, 7, 3), dtype=np.float32)
    data[1, 2, 0], data[4, 6, 2] = 3, -1
    return RawMap(data, affine, "tumour", "grad_cam", "bottleneck", 4)


def test_on_a_grid_the_heatmap_keeps_the_maps_own_affine_and_raw_numbers() -> None:
    heat = to_heatmap(raw(), Grid((20, 28, 12), np.diag([0.8, 0.7, 2.5, 1.0])))

    assert isinstance(heat.space, Grid)
    assert heat.space.shape == (5, 7, 3)
    assert heat.space.spacing_mm == pytest.approx((3.2, 2.8, 10.0))
    assert heat.range == (-1.0, 3.0)
    assert (heat.target, heat.method) == ("tumour", "grad_cam")


def test_off_a_grid_no_millimetres_are_made_up() -> None:
    affine = np.diag([4.0, 4.0, 1.0, 1.0])
    affine[:2, 3] = 1.5
    map_in_pixels = RawMap(raw().data[:, :, :1], affine, "effusion", "grad_cam", None, 1)

    pixels = to_heatmap(map_in_pixels, PixelGrid((20, 28, 1), (0.2, 0.3), "detector")).space
    index = to_heatmap(map_in_pixels, IndexGrid((20, 28, 1))).space

    assert isinstance(pixels, PixelGrid)
    assert pixels.spacing_mm == pytest.approx((0.8, 1.2))
    assert pixels.measured_at == "detector"
    assert index == IndexGrid((5, 7, 1))
    np.testing.assert_array_equal(to_heatmap(map_in_pixels, pixels_of_image()).data, map_in_pixels.data)


def test_off_a_grid_a_map_tiles_its_image_from_edge_to_edge_wherever_it_began() -> None:
    # The network saw the middle 12 of 20 pixels along i, turned round, and every pixel along j.
    affine = np.array([[-3.0, 0, 0, 14.5], [0, 4.0, 0, 1.5], [0, 0, 1, 0], [0, 0, 0, 1]])
    data = np.zeros((4, 7, 1), dtype=np.float32)
    data[0, 2, 0] = 6

    heat = to_heatmap(RawMap(data, affine, "effusion", "grad_cam", None, 1), pixels_of_image())

    assert heat.data.shape == (7, 7, 1)
    step = 20 / 7
    peak = np.unravel_index(heat.data.argmax(), heat.data.shape)
    assert abs((peak[0] + 0.5) * step - 0.5 - 14.5) <= step / 2
    assert peak[1] == 2
    assert heat.data[0].max() == heat.data[-1].max() == 0  # outside of what was explained


def pixels_of_image() -> PixelGrid:
    return PixelGrid((20, 28, 1), (0.2, 0.3), "detector")


def test_a_detection_needs_the_box_that_is_explained() -> None:
    with pytest.raises(ConfigError, match="no box of lesion"):
        ExplainRequest("detect", 0, "lesion")
