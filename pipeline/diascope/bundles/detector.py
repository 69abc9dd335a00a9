"""MONAI's RetinaNet without torchvision: a small backbone, its own feature pyramid, and boxes as one tensor.

MONAI's `resnet_fpn_feature_extractor`, its regular matcher and its balanced sampler need
torchvision, which diascope does not install. What is used here is MONAI's own: the
pyramid, the ATSS matcher (Zhang et al., CVPR 2020) and the sampler of hard negatives.
A bundle's config may name `SliceDetector` (see `network.OURS`).
"""

from collections.abc import Sequence

import torch
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.apps.detection.networks.retinanet_network import RetinaNet
from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork
from torch import Tensor, nn

from diascope.bundles.slices import UNetEncoder

# The pyramid's levels are the three deepest of the encoder; anchors grow with their voxels.
PYRAMID_SCALES = (1, 2, 4)

BOXES_PER_SLICE = 8

# Of an answer: score, label, then the box as i0, j0, i1, j1.
ROWS = 6

# Anchors that are looked at per image in training, and the part of them that lies on a lesion.
SAMPLED_ANCHORS = 64
POSITIVE_FRACTION = 0.3
CANDIDATES_PER_LEVEL = 4

# Lesions of one slice do not overlap, but boxes around neighbours do a little.
NMS_OVERLAP = 0.3
LOWEST_SCORE = 0.02


class PyramidEncoder(nn.Module):
    """The deeper levels of a U-Net's encoder, with MONAI's feature pyramid on them."""

    def __init__(self, in_channels: int, filters: Sequence[int], out_channels: int, levels: int) -> None:
        """Build it.

        Args:
            in_channels: Of the image.
            filters: Channels of each level of the encoder.
            out_channels: Of each level of the pyramid.
            levels: How many of the encoder's levels, counted from the deepest.
        """
        super().__init__()
        self.encoder = UNetEncoder(2, in_channels, filters)
        self.pyramid = FeaturePyramidNetwork(2, list(filters[-levels:]), out_channels)
        self.out_channels = out_channels
        self.levels = levels

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Give the pyramid's features, the finest first.

        Args:
            image: (b, channels, i, j).
        """
        deepest = self.encoder(image)[-self.levels :]
        seen: dict[str, Tensor] = self.pyramid({str(at): level for at, level in enumerate(deepest)})
        return seen


class SliceDetector(RetinaNetDetector):  # type: ignore[misc]  # MONAI is not typed
    """Finds boxes in slices.

    It gives (b, 6, boxes): score, label (from 1), i0, j0, i1, j1 in voxels of its input,
    half-open; rows of score 0 fill up what is not needed. In training it gives the numbers
    of its heads, which `loss` compares with the truth.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        filters: Sequence[int],
        pyramid_channels: int = 48,
        anchor_shapes: Sequence[Sequence[int]] = ((10, 10), (7, 14), (14, 7)),
    ) -> None:
        """Build it.

        Args:
            in_channels: Of the image.
            num_classes: Kinds of lesions; background is none of them.
            filters: Channels of each level of the encoder.
            pyramid_channels: Of the pyramid and the heads; a multiple of 8.
            anchor_shapes: (i, j) voxels of the anchors on the finest level.
        """
        features = PyramidEncoder(in_channels, filters, pyramid_channels, len(PYRAMID_SCALES))
        network = RetinaNet(
            spatial_dims=2,
            num_classes=num_classes,
            num_anchors=len(anchor_shapes),
            feature_extractor=features,
            size_divisible=2 ** (len(filters) - 1),
        )
        super().__init__(network, AnchorGeneratorWithAnchorShape(PYRAMID_SCALES, anchor_shapes))
        self.places_per_level: list[int] = []
        self.set_atss_matcher(num_candidates=CANDIDATES_PER_LEVEL, center_in_gt=False)
        self.set_hard_negative_sampler(SAMPLED_ANCHORS, POSITIVE_FRACTION)
        self.set_box_selector_parameters(
            score_thresh=LOWEST_SCORE,
            topk_candidates_per_level=200,
            nms_thresh=NMS_OVERLAP,
            detections_per_img=BOXES_PER_SLICE,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Find boxes; in training, say of every anchor what is there.

        Args:
            images: (b, channels, i, j).

        Returns:
            (b, 6, boxes); in training what `raw` gives.
        """
        if self.training:
            return self.raw(images)
        return torch.stack([self._as_rows(one) for one in super().forward(images)])

    def raw(self, images: Tensor) -> Tensor:
        """Give the numbers of the heads for every anchor, and keep the anchors in `anchors`.

        Args:
            images: (b, channels, i, j), of a size that the encoder can halve.

        Returns:
            (b, anchors, classes + 4): logits, then the corrections to the anchor's box.
        """
        heads = self.network(images)
        self.generate_anchors(images, heads)
        self.places_per_level = [level.shape[2:].numel() for level in heads[self.cls_key]]
        return torch.cat([self._reshape_maps(heads[self.cls_key]), self._reshape_maps(heads[self.box_reg_key])], -1)

    def loss(self, raw: Tensor, targets: list[dict[str, Tensor]]) -> Tensor:
        """Compare what `raw` gave last with the truth, as MONAI does.

        Args:
            raw: (b, anchors, classes + 4).
            targets: Per image `boxes` (n, 4) and `labels` (n,) from 0.
        """
        heads = {self.cls_key: raw[..., : self.num_classes], self.box_reg_key: raw[..., self.num_classes :]}
        losses = self.compute_loss(heads, targets, self.anchors, self.places_per_level)
        total: Tensor = losses[self.cls_key] + losses[self.box_reg_key]
        return total

    def compute_anchor_matched_idxs(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]], num_anchor_locs_per_level: Sequence[int]
    ) -> list[Tensor]:
        """Match anchors and lesions by ATSS; MONAI's own asks first whether the matcher is torchvision's.

        Args:
            anchors: (n, 4) per image.
            targets: Per image `boxes` (n, 4) and `labels` (n,) from 0.
            num_anchor_locs_per_level: Places with anchors on each level.

        Returns:
            Per image (n,): index of the lesion of each anchor, negative where there is none.
        """
        matched = []
        for places, target in zip(anchors, targets, strict=True):
            boxes = target[self.target_box_key].to(places.device)
            if len(boxes) == 0:
                matched.append(torch.full((len(places),), -1, dtype=torch.int64, device=places.device))
                continue
            _, indices = self.proposal_matcher(boxes, places, num_anchor_locs_per_level, self.num_anchors_per_loc)
            matched.append(indices)
        return matched

    def _reshape_maps(self, result_maps: list[Tensor]) -> Tensor:
        # In half precision a box's edge would be off by half a voxel.
        reshaped: Tensor = super()._reshape_maps([one.float() for one in result_maps])
        return reshaped

    def _as_rows(self, found: dict[str, Tensor]) -> Tensor:
        rows = torch.zeros((ROWS, BOXES_PER_SLICE), device=found[self.target_box_key].device)
        count = min(len(found[self.target_box_key]), BOXES_PER_SLICE)
        rows[0, :count] = found[self.pred_score_key][:count].float()
        rows[1, :count] = found[self.target_label_key][:count].float() + 1
        rows[2:, :count] = found[self.target_box_key][:count].float().T
        return rows
