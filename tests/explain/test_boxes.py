"""The anchor that a finding came from, and what it says, against MONAI's own detector."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.apps.detection.networks.retinanet_network import RetinaNet
from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape
from torch import nn

from diascope.bundles.detector import SliceDetector
from diascope.bundles.network import NetworkInput, OpenNetwork
from diascope.bundles.slices import EachSlice
from diascope.errors import ConfigError
from diascope.explain.heatmap import explain, located, windows_of
from diascope.explain.request import ExplainRequest
from diascope.explain.subject import subject_of
from diascope.tasks.detect import Detection, slice_boxes
from diascope.tasks.inference import run_network
from tests.explain.networks import drawn, opened


class TwoLevels(nn.Module):
    """A feature extractor of two levels, as MONAI's RetinaNet wants one."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.first = conv(1, 8, 3, stride=2, padding=1)
        self.second = conv(8, 8, 3, stride=2, padding=1)
        self.out_channels = 8

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        fine = self.first(x).relu()
        return {"0": fine, "1": self.second(fine).relu()}


def retina(dims: int) -> RetinaNetDetector:
    """MONAI's own detector; its matcher needs torchvision and is not set, which only training asks for."""
    shapes = ((6,) * dims, (4, *[8] * (dims - 1)))
    network = RetinaNet(
        spatial_dims=dims, num_classes=2, num_anchors=2, feature_extractor=TwoLevels(dims), size_divisible=4
    )
    detector = RetinaNetDetector(network, AnchorGeneratorWithAnchorShape((1, 2), shapes))
    detector.set_box_selector_parameters(score_thresh=0.0, topk_candidates_per_level=50, detections_per_img=5)
    return detector


def slices() -> tuple[OpenNetwork, NetworkInput, tuple[Detection, ...]]:
    """A detector of slices with weights drawn by chance, an image whose sides it must fill up, and its boxes."""
    network = opened(drawn(SliceDetector, 1, 2, (4, 6, 8, 8, 8), pyramid_channels=8), EachSlice())
    with torch.no_grad():
        for name, weights in network.network.named_parameters():
            if "cls_logits" in name or "bbox_reg" in name:
                weights.copy_(torch.randn(weights.shape, generator=torch.Generator().manual_seed(3)) * 0.2)
    data = np.random.default_rng(2).normal(size=(1, 44, 60, 3)).astype(np.float32)
    image = NetworkInput(data, np.diag([0.7, 0.8, 2.5, 1.0]))
    return network, image, slice_boxes(run_network(network, image))


def request(box: Detection, **more: object) -> ExplainRequest:
    return ExplainRequest(
        "detect", box.label - 1, "lesion", "hires_cam", box=(box.low_ij, box.high_ij), slice_at=box.slice_at, **more
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("dims", [2, 3])
def test_the_score_of_the_matched_anchor_is_the_score_that_monais_detector_gave_the_box(dims: int) -> None:
    detector = drawn(retina, dims).eval().requires_grad_(False)
    window = torch.randn((1, 1, 18, 22, 16)[: dims + 2], generator=torch.Generator().manual_seed(5))
    found = detector(window)[0]
    image = NetworkInput(window[0].numpy(), np.eye(4))

    assert len(found[detector.target_box_key]) == 5
    for box, label, score in zip(
        found[detector.target_box_key], found[detector.target_label_key], found[detector.pred_score_key], strict=True
    ):
        corners = (tuple(box[:dims].tolist()), tuple(box[dims:].tolist()))
        asked = located(opened(detector), image, ExplainRequest("detect", int(label), "lesion", box=corners))
        seen = windows_of(opened(detector), image, asked)
        given = subject_of(detector, asked)(seen.inputs, seen.weights)
        assert float(given.sigmoid()) == pytest.approx(float(score), abs=1e-6)


def test_a_finding_of_a_detector_of_slices_is_explained_in_its_slice_with_its_own_score() -> None:
    network, image, boxes = slices()
    box = max(boxes, key=lambda one: one.score)

    asked = located(network, image, request(box, finding_id="tiny-1"))
    seen = explain(network, image, asked)

    windows = windows_of(network, image, asked)
    score = subject_of(network.network, asked)(windows.inputs, windows.weights)
    assert float(score.sigmoid()) == pytest.approx(box.score, abs=1e-5)
    assert seen.finding_id == "tiny-1"
    assert np.flatnonzero(np.abs(seen.data).sum((0, 1))).tolist() == [box.slice_at]


def test_the_map_of_a_box_lies_near_the_box() -> None:
    network, image, boxes = slices()

    for box in boxes[::5]:
        seen = explain(network, image, located(network, image, request(box)))
        i, j = np.meshgrid(*map(np.arange, seen.data.shape[:2]), indexing="ij")
        there = np.abs(seen.data[:, :, box.slice_at])
        assert there.sum() > 0
        step = np.linalg.norm(seen.affine[:3, :3], axis=0)[:2] / [0.7, 0.8]
        centre = [float((at * there).sum() / there.sum() + 0.5) * s for at, s in zip((i, j), step, strict=True)]
        middle = [(low + high) / 2 for low, high in zip(box.low_ij, box.high_ij, strict=True)]
        # The heads look some cells of the pyramid to each side.
        assert np.abs(np.subtract(centre, middle)).max() < 4 * step.max()


def test_the_layer_is_the_level_of_the_pyramid_that_the_anchor_is_on() -> None:
    network, image, boxes = slices()

    found = [located(network, image, request(box)) for box in boxes]

    assert {one.layer for one in found} <= {f"network.feature_extractor.pyramid.layer_blocks.{n}" for n in range(3)}
    for one in found:
        assert one.anchor is not None
        assert explain(network, image, one).data.shape[:2] == tuple(
            int(np.ceil(n / (padded / cells)))
            for n, padded, cells in zip((44, 60), (48, 64), one.anchor.grid, strict=True)
        )


def test_the_same_anchor_is_asked_about_however_the_image_is_disturbed() -> None:
    network, image, boxes = slices()
    asked = located(network, image, request(boxes[0]))
    dark = replace(image, data=np.zeros_like(image.data) + np.eye(44, 60, dtype=np.float32)[None, :, :, None])

    windows = windows_of(network, dark, asked)
    (changed,) = subject_of(network.network, asked)(windows.inputs, windows.weights)

    assert float(changed.sigmoid()) != pytest.approx(boxes[0].score, abs=1e-4)
    assert asked.anchor is not None
    assert located(network, image, request(boxes[0])).anchor == asked.anchor


def test_a_box_that_no_anchor_gives_is_refused() -> None:
    network, image, _ = slices()
    nowhere = Detection(1, 0.9, 1, (0.0, 0.0), (0.2, 0.2))

    with pytest.raises(ConfigError, match="no anchor gives a box near the finding"):
        located(network, image, request(nowhere))


def test_a_slice_that_the_image_does_not_have_is_refused() -> None:
    network, image, boxes = slices()

    with pytest.raises(ConfigError, match="slice 7 of an image of 3 slices"):
        located(network, image, replace(request(boxes[0]), slice_at=7))
