import numpy as np
import pytest
import torch
from monai.inferers import Inferer, SimpleInferer, SliceInferer, SlidingWindowInferer

from diascope.bundles.network import NetworkInput
from diascope.errors import ConfigError
from diascope.explain.heatmap import explain, windows_of
from diascope.explain.request import ExplainRequest
from diascope.explain.subject import subject_of
from diascope.explain.windows import Windows, covered, split, stitch
from diascope.tasks.inference import run_network
from tests.explain.networks import TinyUnet, drawn, opened, textured

INFERERS = {
    "whole": (3, SimpleInferer()),
    "blended": (3, SlidingWindowInferer((8, 12, 8), overlap=0.5, mode="gaussian")),
    "even": (3, SlidingWindowInferer((8, 8, 8), overlap=0.25)),
    "padded": (3, SlidingWindowInferer((20, 16, 12), overlap=0.25, padding_mode="reflect")),
    "slices": (2, SliceInferer(roi_size=(14, 20), spatial_dim=2)),
    "slices of windows": (2, SliceInferer(roi_size=(8, 12), spatial_dim=2, overlap=0.5)),
    "other slices": (2, SliceInferer(roi_size=(20, 10), spatial_dim=0)),
}


@pytest.mark.parametrize("name", sorted(INFERERS))
def test_the_scores_of_the_windows_add_up_to_the_mean_logit_of_the_inferers_output(name: str) -> None:
    dims, inferer = INFERERS[name]
    network = opened(drawn(TinyUnet, dims, 2), inferer)
    image = textured(3, 2, shape=(14, 20, 10))
    region = np.zeros((14, 20, 10), dtype=bool)
    region[2:7, 11:18, 3:6] = True
    request = ExplainRequest("segment", 2, "lesion", region=region)

    windows = windows_of(network, image, request)
    with torch.no_grad():
        total = subject_of(network.network, request)(windows.inputs, windows.weights).sum()

    wanted = run_network(network, image)[2][region].mean()
    assert float(total) == pytest.approx(float(wanted), abs=1e-5)


def test_only_slices_that_see_the_region_are_run() -> None:
    network = opened(drawn(TinyUnet, 2, 2), SliceInferer(roi_size=(14, 20), spatial_dim=2))
    region = np.zeros((14, 20, 10), dtype=bool)
    region[3, 4, 5:8] = True

    image = textured(3, 2, shape=(14, 20, 10))
    seen = explain(network, image, ExplainRequest("segment", 1, "lesion", region=region, layer="down"))

    assert seen.data.shape == (7, 10, 10)
    assert np.flatnonzero(np.abs(seen.data).sum((0, 1))).tolist() == [5, 6, 7]
    assert seen.forwards <= 3 + 1


def test_maps_of_side_by_side_windows_come_back_raw_and_in_place() -> None:
    image = np.random.default_rng(0).normal(size=(1, 12, 8, 8)).astype(np.float32)
    windows = split(SlidingWindowInferer((6, 4, 8), overlap=0), image, np.ones((12, 8, 8), dtype=bool))

    whole, to_image = stitch(windows.inputs[:, 0].numpy(), windows)

    assert len(windows) == 4
    np.testing.assert_array_equal(whole, image[0])
    np.testing.assert_array_equal(to_image, np.eye(4))


def test_a_window_that_starts_between_the_maps_voxels_is_interpolated_linearly() -> None:
    starts = np.array([[0, 0, 0], [3, 0, 0]])
    inputs = torch.zeros(2, 1, 8, 4, 4)
    windows = Windows(inputs, torch.zeros(2, 8, 4, 4), starts, None, (11, 4, 4))
    # The window's four cells of two voxels have centres 0.5, 2.5, 4.5, 6.5 of the window.
    at = np.array([0.5, 2.5, 4.5, 6.5])
    maps = np.stack([np.zeros((4, 2, 2)), np.broadcast_to((at + 3)[:, None, None], (4, 2, 2))]).astype(np.float32)

    whole, to_image = stitch(maps, windows)

    # A ramp over the image stays a ramp: cell m of the whole has its centre at 2m + 0.5.
    assert whole.shape == (6, 2, 2)
    np.testing.assert_allclose(whole[2:5, 0, 0], [4.5, 6.5, 8.5])
    assert whole[0, 0, 0] == 0
    assert to_image[0, 0] == 2
    assert to_image[0, 3] == 0.5


def test_a_map_knows_which_of_its_voxels_were_explained() -> None:
    windows = Windows(torch.zeros(1, 1, 8, 6), torch.zeros(1, 8, 6), np.array([[4, 0, 2]]), 2, (16, 6, 5))
    _, to_image = stitch(np.zeros((1, 4, 3), dtype=np.float32), windows)

    seen = covered(windows, (8, 3, 5), to_image)

    assert np.argwhere(seen).min(0).tolist() == [2, 0, 2]
    assert np.argwhere(seen).max(0).tolist() == [5, 2, 2]


def test_an_inferer_that_nobody_knows_is_refused() -> None:
    class Other(Inferer):
        def __call__(self, *args: object, **kwargs: object) -> None:
            raise NotImplementedError

    with pytest.raises(ConfigError, match="windows of a Other cannot be explained"):
        split(Other(), np.zeros((1, 4, 4, 4), dtype=np.float32), None)


def test_a_region_of_another_size_is_refused() -> None:
    network = opened(drawn(TinyUnet, 3, 1))
    image = NetworkInput(np.random.default_rng(0).normal(size=(1, 8, 8, 8)).astype(np.float32), np.eye(4))
    request = ExplainRequest("segment", 1, "lesion", region=np.ones((8, 8, 7), dtype=bool))

    with pytest.raises(ConfigError, match=r"region has \(8, 8, 7\) voxels"):
        explain(network, image, request)
