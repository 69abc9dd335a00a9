import logging

import nibabel as nib
import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerGradCam, LayerGradientXActivation, Occlusion
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import DenseNet
from monai.visualize import GradCAM
from torch import nn

from diascope.bundles.network import NetworkInput
from diascope.errors import ConfigError, InputError
from diascope.explain.baseline import blurred
from diascope.explain.heatmap import explain, windows_of
from diascope.explain.methods import METHODS
from diascope.explain.request import ExplainRequest
from diascope.explain.settings import MethodBudget
from tests.explain.networks import (
    SHAPES,
    BoxDetector,
    CornerClassifier,
    CornerOnly,
    CornerSegmenter,
    TinyUnet,
    classify,
    drawn,
    in_corner,
    opened,
    textured,
)

QUICK = MethodBudget(steps=16, draws=8, cells=6, supervoxels=24, samples=60)

# They mark every active place, read or not: see the test of Grad-CAM's blind spot.
BLIND_TO_PLACE = {"grad_cam", "guided_grad_cam"}

# Captum has no rules of relevance propagation in 3-D: it is refused there, which is tested below.
EVERY_METHOD = [(method, dims) for method in sorted(METHODS) for dims in (2, 3) if (method, dims) != ("lrp", 3)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("method", "dims"), EVERY_METHOD)
def test_every_method_explains_a_network_that_sees_one_corner_only_by_that_corner(
    method: str, dims: int, channels: int
) -> None:
    seen = explain(opened(CornerOnly(dims, channels)), textured(dims, channels), classify(method, budget=QUICK))

    positive = np.clip(seen.data, 0, None)
    # Supervoxels and patches reach over the corner's edge.
    least = 0.6 if method == "kernel_shap" and dims == 3 else 0.8
    assert positive[in_corner(positive, 0.5)].sum() > least * positive.sum() > 0
    assert in_corner(positive, 0.45)[np.unravel_index(positive.argmax(), positive.shape)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("method", "dims"), [one for one in EVERY_METHOD if one[0] not in BLIND_TO_PLACE])
def test_a_classifier_that_reads_one_corner_is_explained_by_that_corner(method: str, dims: int, channels: int) -> None:
    seen = explain(opened(CornerClassifier(dims, channels)), textured(dims, channels), classify(method, budget=QUICK))

    positive = np.clip(seen.data, 0, None)
    # Pieces that reach over the corner's edge take some of its weight along.
    assert positive[in_corner(positive, 0.5)].sum() > 0.8 * positive.sum()
    assert in_corner(positive, 0.45)[np.unravel_index(positive.argmax(), positive.shape)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    "method", ["grad_cam", "hires_cam", "integrated_gradients", "kernel_shap", "occlusion", "smooth_grad"]
)
def test_a_segmenter_that_reads_one_corner_is_explained_by_that_corner(method: str, dims: int, channels: int) -> None:
    image = textured(dims, channels)
    region = np.zeros(image.data.shape[1:], dtype=bool)
    region[-4:, -5:] = True  # what is drawn lies in the opposite corner
    request = ExplainRequest("segment", 1, "corner", method, region=region, budget=QUICK)

    seen = explain(opened(CornerSegmenter(dims, channels)), image, request)

    positive = np.clip(seen.data, 0, None)
    # Pieces of 3-D supervoxels reach far over the corner's edges.
    least = 0.6 if method == "kernel_shap" else 0.9
    assert positive[in_corner(positive, 0.5)].sum() > least * positive.sum()


def test_a_map_has_three_axes_and_one_slice_for_a_flat_image() -> None:
    seen = explain(opened(CornerClassifier(2, 1)), textured(2, 1), classify("occlusion", budget=QUICK))

    assert seen.data.shape == (4, 6, 1)


def test_grad_cam_marks_what_is_active_though_unread_and_hires_cam_does_not() -> None:
    network, image = opened(CornerClassifier(2, 1)), textured(2, 1)

    blind = explain(network, image, classify("grad_cam", layer="features")).data
    exact = explain(network, image, classify("hires_cam", layer="features")).data

    outside = ~in_corner(blind, 0.45)
    assert blind[outside].sum() > 0.5 * blind.sum()
    assert np.abs(exact[outside]).max() == 0


@pytest.mark.parametrize("dims", [2, 3])
def test_grad_cam_is_captums_and_the_inverse_of_monais_picture(dims: int) -> None:
    shape = {"in_channels": 1, "out_channels": 3, "init_features": 4, "growth_rate": 4, "block_config": (2, 2)}
    network = drawn(DenseNet, spatial_dims=dims, **shape)
    image = textured(dims, 1, shape=(32, 40, 24)[:dims])
    window = torch.from_numpy(image.data)[None]
    layer = "features.transition1"
    maps = [explain(opened(network), image, ExplainRequest("classify", c, "c", layer=layer)) for c in range(3)]
    target = next(c for c, seen in enumerate(maps) if seen.has_positive_evidence)

    by_hand = LayerGradCam(network, network.features.transition1).attribute(window, target=target)
    monai = GradCAM(network.requires_grad_(True), "features.transition1")
    raw = monai.compute_map(window, class_idx=target).detach()
    picture = monai(window, class_idx=target).detach()

    ours = maps[target].data.reshape(raw.shape)
    np.testing.assert_array_equal(ours, by_hand.detach().numpy())
    np.testing.assert_allclose(np.clip(ours, 0, None), raw.numpy(), atol=1e-6)
    upsampled = nn.functional.interpolate(
        raw, size=window.shape[2:], mode=("bilinear" if dims == 2 else "trilinear"), align_corners=False
    )
    inverted = 1 - (upsampled - upsampled.min()) / (upsampled.max() - upsampled.min())
    np.testing.assert_allclose(picture.numpy(), inverted.numpy(), atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_segmentation_maps_are_captums_on_the_mean_logit_of_the_region(dims: int) -> None:
    network = drawn(TinyUnet, dims, 2)
    image = textured(dims, 2, shape=(22, 28, 16)[:dims])
    region = np.zeros(image.data.shape[1:], dtype=bool)
    region[5:9, 7:20] = True
    window, where = torch.from_numpy(image.data)[None], torch.from_numpy(region)

    def mean_logit(x: torch.Tensor) -> torch.Tensor:
        return network(x)[:, 2][:, where].mean(1)

    for method, theirs in [("grad_cam", LayerGradCam), ("hires_cam", LayerGradientXActivation)]:
        request = ExplainRequest("segment", 2, "lesion", method, region=region, layer="down")
        seen = explain(opened(network), image, request)

        by_hand = theirs(mean_logit, network.down).attribute(window).sum(1).detach().numpy()
        np.testing.assert_allclose(seen.data.reshape(by_hand.shape), by_hand, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dims", [2, 3])
def test_integrated_gradients_are_captums_and_add_up(dims: int) -> None:
    network, image = opened(CornerClassifier(dims, 2)), textured(dims, 2)
    request = classify("integrated_gradients", budget=QUICK)

    seen = explain(network, image, request)

    baseline = blurred(windows_of(network, image, request)).inputs
    window = torch.from_numpy(image.data)[None]
    by_hand = IntegratedGradients(network.network).attribute(window.requires_grad_(), baseline, target=1, n_steps=16)
    np.testing.assert_allclose(seen.data.reshape(SHAPES[dims]), by_hand[0].sum(0).detach(), rtol=1e-3, atol=1e-6)
    assert seen.completeness_error is not None
    assert seen.completeness_error < 0.001


@pytest.mark.parametrize("dims", [2, 3])
def test_occlusion_is_captums_with_one_voxel_per_patch(dims: int) -> None:
    network, image = opened(CornerClassifier(dims, 2)), textured(dims, 2)
    request = classify("occlusion", budget=MethodBudget(cells=max(SHAPES[dims]) // 4))

    seen = explain(network, image, request)

    patch = (2, *[4] * dims)
    baseline = blurred(windows_of(network, image, request)).inputs
    by_hand = Occlusion(network.network).attribute(
        torch.from_numpy(image.data)[None], patch, patch, baselines=baseline, target=1, perturbations_per_eval=8
    )
    one_each = by_hand[(0, 0, *[slice(None, None, 4)] * dims)]
    np.testing.assert_allclose(seen.data.reshape(one_each.shape), one_each, atol=1e-6)


def test_the_score_of_one_box_is_explained_by_the_inside_of_the_box() -> None:
    box = ((9, 3, 2), (14, 11, 6))
    request = ExplainRequest("detect", 0, "finding-1", "integrated_gradients", box=box, budget=QUICK)

    seen = explain(opened(BoxDetector()), textured(3, 1), request)

    inside = np.zeros(seen.data.shape, dtype=bool)
    inside[8:15, 2:12, 1:7] = True
    assert np.abs(seen.data[~inside]).max() == 0
    assert np.abs(seen.data[inside]).sum() > 0


def test_a_network_that_cannot_score_a_box_is_told_what_is_missing() -> None:
    request = ExplainRequest("detect", 0, "finding-1", box=((0, 0, 0), (4, 4, 4)))

    with pytest.raises(ConfigError, match="CornerClassifier cannot score one box") as caught:
        explain(opened(CornerClassifier(3, 1)), textured(3, 1), request)
    assert "score_of" in caught.value.hint


@pytest.mark.parametrize("method", sorted(METHODS))
def test_nothing_is_left_behind_on_the_network(method: str, tmp_path: object) -> None:
    network = CornerClassifier(2, 1)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    explain(opened(network), textured(2, 1), classify(method, budget=QUICK))

    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert not module._backward_pre_hooks
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())
    torch.save(network, f"{tmp_path}/whole.pt")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("method", ["smooth_grad", "kernel_shap"])
def test_methods_that_draw_give_the_same_map_for_the_same_seed_only(method: str) -> None:
    network, image = opened(CornerClassifier(2, 1)), textured(2, 1)
    image.data[...] -= image.data.mean()  # so that noise switches the network's ReLU
    state = torch.random.get_rng_state()

    one, same, other = (explain(network, image, classify(method, budget=QUICK, seed=seed)).data for seed in (5, 5, 6))

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_map_lies_in_the_world_where_its_evidence_is() -> None:
    class Spot(nn.Module):
        """Reads one block of 4 x 4 x 4 voxels."""

        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv3d(1, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :, 8:12, 16:20, 4:8].flatten(1).mean(1)[:, None].repeat(1, 2)

    image = textured(3, 1)
    seen = explain(opened(Spot()), image, classify("occlusion", budget=MethodBudget(cells=6)))

    top = np.array(np.unravel_index(np.abs(seen.data).argmax(), seen.data.shape))
    at_ras_mm = nib.affines.apply_affine(seen.affine, top)
    wanted_ras_mm = nib.affines.apply_affine(image.affine, [9.5, 17.5, 5.5])
    np.testing.assert_allclose(at_ras_mm, wanted_ras_mm, atol=1e-9)


def test_a_map_without_evidence_for_the_target_says_so() -> None:
    network = CornerClassifier(2, 1)
    with torch.no_grad():
        network.head.weight[1] *= -1

    seen = explain(opened(network), textured(2, 1), classify("hires_cam"))

    assert not seen.has_positive_evidence
    assert seen.raw_range[0] < 0
    assert any("no place speaks for corner" in note for note in seen.notes)


def test_guided_methods_come_with_their_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        seen = explain(opened(CornerClassifier(2, 1)), textured(2, 1), classify("guided_backprop"))

    assert any("do not read this map as evidence" in note for note in seen.notes)
    assert "do not read this map as evidence" in caplog.text


def test_the_windows_run_are_counted() -> None:
    budget = MethodBudget(cells=6)
    seen = explain(opened(CornerClassifier(2, 1)), textured(2, 1), classify("occlusion", budget=budget))

    assert seen.forwards == 1 + 4 * 6 + 1  # the image, its patches, one look at the layers


@pytest.mark.parametrize(("method", "reason"), [
    ("guided_backprop", "no ReLU|none but PReLU"),
    ("deep_lift", "no rule for (InstanceNorm3d|PReLU)"),
    ("lrp", "no rule for Conv3d"),
])  # fmt: skip
def test_a_method_that_would_be_wrong_for_the_network_is_refused_with_the_reason(method: str, reason: str) -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.InstanceNorm3d(2), nn.PReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())

    with pytest.raises(ConfigError, match=reason) as caught:
        explain(opened(network), textured(3, 1), classify(method))
    assert caught.value.code == "method_unfit"


def test_deep_lift_is_refused_where_one_relu_is_used_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.active = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.active(self.second(self.active(self.first(x)))).mean((2, 3))

    with pytest.raises(ConfigError, match="active runs more than once"):
        explain(opened(Twice()), textured(2, 1), classify("deep_lift"))


def test_an_unknown_layer_names_the_near_ones() -> None:
    with pytest.raises(ConfigError, match="no layer feature") as caught:
        explain(opened(CornerClassifier(2, 1)), textured(2, 1), classify("grad_cam", layer="feature"))
    assert "did you mean features" in caught.value.hint


def test_a_layer_that_has_no_part_in_the_answer_is_refused_and_crashes_nothing() -> None:
    class WithSideBranch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.unused(x)
            return self.used(x).mean((2, 3))

    with pytest.raises(ConfigError, match="does not fit this network at the layer unused") as caught:
        explain(opened(WithSideBranch()), textured(2, 1), classify("grad_cam", layer="unused"))
    assert caught.value.code == "method_unfit"


def test_a_target_that_the_network_lacks_is_refused_with_what_it_has() -> None:
    request = ExplainRequest("classify", 7, "effusion")

    with pytest.raises(ConfigError, match=r"effusion is channel 7, but the network has 2: 0 to 1"):
        explain(opened(CornerClassifier(2, 1)), textured(2, 1), request)


def test_a_network_without_convolution_has_no_class_activation_map_but_can_be_occluded() -> None:
    network = opened(nn.Sequential(nn.Flatten(), nn.Linear(24 * 32, 2)))

    with pytest.raises(ConfigError, match="no convolution") as caught:
        explain(network, textured(2, 1), classify("grad_cam"))
    assert "occlusion" in caught.value.hint
    assert explain(network, textured(2, 1), classify("occlusion", budget=QUICK)).data.shape == (4, 6, 1)


def test_a_constant_image_is_refused() -> None:
    image = NetworkInput(np.full((1, 24, 32), 0.25, dtype=np.float32), np.eye(4))

    with pytest.raises(InputError, match="constant") as caught:
        explain(opened(CornerClassifier(2, 1)), image, classify())
    assert caught.value.code == "constant_image"


def test_gradients_that_are_no_numbers_are_refused() -> None:
    network = CornerClassifier(2, 1)
    with torch.no_grad():
        network.head.weight[1, 0] = float("nan")

    with pytest.raises(InputError, match="not finite") as caught:
        explain(opened(network), textured(2, 1), classify())
    assert caught.value.code == "nan_gradients"


def test_a_label_that_was_not_drawn_cannot_be_explained() -> None:
    with pytest.raises(ConfigError, match="tumour was not drawn"):
        ExplainRequest("segment", 1, "tumour", region=np.zeros((3, 4, 5), dtype=bool))


def test_an_unknown_method_names_the_near_ones() -> None:
    with pytest.raises(ConfigError, match="no attribution method gradcam") as caught:
        explain(opened(CornerClassifier(2, 1)), textured(2, 1), classify("gradcam"))
    assert "grad_cam" in caught.value.hint


def test_a_classifier_with_windows_is_refused() -> None:
    with pytest.raises(ConfigError, match="one number per class cannot have the windows"):
        explain(opened(CornerClassifier(3, 1), SlidingWindowInferer((8, 8, 8))), textured(3, 1), classify())
