"""The map of an ensemble is the mean of its members' raw maps, and is questioned as such."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from diascope.bundles.network import OpenNetwork
from diascope.errors import ConfigError
from diascope.explain.checks import check, verdict
from diascope.explain.heatmap import Explained, explain, explain_mean
from diascope.explain.randomisation import reinitialised
from diascope.explain.reference import weights_digest
from diascope.explain.settings import CheckSettings
from diascope.imaging.upsampling import map_on_grid
from tests.explain.networks import CornerClassifier, classify, opened, spotted

FEW = CheckSettings(reinitialisations=2, random_maps=3, centre_blobs=2, cells=6, steps=2, removals=4, noisy_images=1)


def fold(seed: int) -> OpenNetwork:
    """A member of another training: other weights."""
    one = opened(CornerClassifier(2, 1))
    return replace(one, network=reinitialised(one.network, seed))


def pooling(stride: int) -> nn.Module:
    """A classifier whose only map has a cell for so many voxels along each axis."""
    conv = nn.Conv2d(1, 3, 3, stride=stride, padding=1)
    return reinitialised(nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)), 5)


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "integrated_gradients", "occlusion"])
def test_the_map_of_an_ensemble_is_the_mean_of_the_members_raw_maps(method: str) -> None:
    members, image, request = [fold(1), fold(2), fold(3)], spotted(2, 1), classify(method)

    for one in members:
        explain(one, image, request)  # the layer is looked for once
    each = [explain(one, image, request) for one in members]

    together = explain_mean(members, image, request)

    np.testing.assert_allclose(together.data, np.mean([one.data for one in each], axis=0), rtol=1e-5, atol=1e-7)
    assert not np.allclose(together.data, each[0].data)
    assert together.forwards == sum(one.forwards for one in each)
    assert "the mean of the raw maps of 3 networks, on the first one's grid" in together.notes


def test_occluding_the_mean_score_gives_the_mean_of_the_maps() -> None:
    members, image, request = (fold(1), fold(2)), spotted(2, 1), classify("occlusion")
    raw = explain_mean(members, image, request)
    of_both = Explained(members[0], image, request, raw, others=members[1:]).subject()

    with torch.inference_mode():
        window, one = torch.from_numpy(image.data)[None], torch.ones(1)
        said = [float(member.network(window)[0, request.target]) for member in members]
        assert float(of_both(window, one)) == pytest.approx(np.mean(said), rel=1e-5)


def test_a_map_on_another_grid_is_brought_onto_the_first_members() -> None:
    fine, other = (opened(pooling(stride)) for stride in (1, 2))
    image, request = spotted(2, 1), classify("hires_cam")

    together = explain_mean([fine, other], image, request)

    first, second = explain(fine, image, request), explain(other, image, request)
    assert second.data.shape != first.data.shape == together.data.shape
    i, j, k = first.data.shape
    on_first = map_on_grid(second.data, second.affine, (i, j, k), first.affine)
    np.testing.assert_allclose(together.data, (first.data + on_first) / 2, rtol=1e-5, atol=1e-7)


def test_a_single_network_is_explained_as_ever_and_a_wrong_layer_is_still_refused() -> None:
    one, image = opened(CornerClassifier(2, 1)), spotted(2, 1)

    alone = explain_mean([one], image, classify("hires_cam"))

    np.testing.assert_array_equal(alone.data, explain(one, image, classify("hires_cam")).data)
    assert alone.notes == ()
    with pytest.raises(ConfigError, match="no layer nowhere"):
        explain_mean([one, fold(1)], image, replace(classify("grad_cam"), layer="nowhere"))


def test_every_member_must_have_its_locked_weights_and_is_drawn_anew() -> None:
    members, image, request = (opened(CornerClassifier(2, 1)), fold(1)), spotted(2, 1), classify("occlusion")
    of_both = Explained(members[0], image, request, explain_mean(members, image, request), others=members[1:])
    digests = [weights_digest(one.network.state_dict()) for one in members]

    right = {one.name: one for one in check(of_both, FEW, digests)}
    wrong = check(of_both, FEW.model_copy(update={"enabled": False}), [digests[0], digests[0]])

    assert right["weights_as_locked"].passed
    assert right["repeatability"].value == 1.0
    assert verdict(wrong) == ("unsupported", "the weights are not the locked ones")
