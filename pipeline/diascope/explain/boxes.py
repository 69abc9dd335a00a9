"""A detector's anchors: which of them a finding came from, and what it says of other images.

For MONAI's RetinaNet and its kin, without importing it. The anchor is found once, on the
image as it is, as the one whose decoded box lies on the finding; afterwards the same one
is asked about however the image is disturbed. What it says goes through one level of the
feature pyramid, so a class activation map is taken there; with `hires_cam` this is ODAM
(Zhao and Chan, ICLR 2023).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import torch
from torch import nn
from torch.nn import functional as nnf

from diascope.errors import ConfigError

Box = tuple[tuple[float, ...], tuple[float, ...]]

# A finding's box went through half precision and was clipped to the image, no more.
LEAST_OVERLAP = 0.5

_PARTS = ("network", "anchor_generator", "box_coder", "cls_key", "box_reg_key", "size_divisible")


class AnchoredDetector(Protocol):
    """What is used of MONAI's RetinaNetDetector."""

    network: nn.Module
    anchor_generator: Callable[[torch.Tensor, Sequence[torch.Tensor]], list[torch.Tensor]]
    box_coder: Any
    cls_key: str
    box_reg_key: str
    size_divisible: int | Sequence[int]
    num_anchors_per_loc: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where in a detector's answer a finding is.

    Attributes:
        index: Of the anchor, over all levels.
        grid: Cells of its level of the pyramid.
    """

    index: int
    grid: tuple[int, ...]


def has_anchors(network: nn.Module) -> TypeGuard[AnchoredDetector]:
    """Say whether a network is a detector with anchors."""
    return all(hasattr(network, part) for part in _PARTS)


def padded(detector: AnchoredDetector, images: torch.Tensor) -> torch.Tensor:
    """Fill images up at their ends as the detector does before its network.

    Args:
        detector: Says by what sizes must be divisible.
        images: (n, c, ...).
    """
    dims = images.ndim - 2
    steps = detector.size_divisible
    by = [steps] * dims if isinstance(steps, int) else list(steps)
    missing = [-size % step for size, step in zip(images.shape[2:], by, strict=True)]
    return nnf.pad(images, [part for n in reversed(missing) for part in (0, n)])


def anchor_logits(detector: AnchoredDetector, images: torch.Tensor) -> torch.Tensor:
    """Ask every anchor.

    Args:
        detector: In evaluation mode.
        images: (n, c, ...), as large as the detector wants them.

    Returns:
        (n, anchors, classes) before the sigmoid.
    """
    return _by_anchor(_heads(detector, images)[0], detector.num_anchors_per_loc)


def matched_anchor(
    detector: AnchoredDetector, image: torch.Tensor, extent_voxels: Sequence[int], box: Box, target: int
) -> Anchor:
    """Find the anchor that a box came from: of those whose box lies on it best the one that is surest.

    Args:
        detector: In evaluation mode.
        image: (1, c, ...), as large as the detector wants it.
        extent_voxels: Of the image along each axis, before it was filled up: boxes end there.
        box: Half-open, in voxels of the image.
        target: Number of its class, from 0.

    Raises:
        ConfigError: No anchor gives a box there.
    """
    with torch.no_grad():
        scores, codes = _heads(detector, image)
        anchors = detector.anchor_generator(image, scores)[0]
        logits = _by_anchor(scores, detector.num_anchors_per_loc)[0, :, target]
        boxes = detector.box_coder.decode_single(_by_anchor(codes, detector.num_anchors_per_loc)[0], anchors)
        ends = torch.tensor([*extent_voxels, *extent_voxels]).to(boxes)
        overlaps = _overlaps(boxes.clamp(min=0).minimum(ends), torch.tensor([*box[0], *box[1]]).to(boxes))
    best = float(overlaps.max())
    if best < LEAST_OVERLAP:
        raise ConfigError(
            f"no anchor gives a box near the finding: the nearest overlaps it by {best:.2f}", code="nothing_to_explain"
        )
    near = torch.nonzero(overlaps >= best - 1e-3).flatten()
    index = int(near[logits[near].argmax()])
    left = index
    for level in scores:
        cells = level.shape[2:].numel() * detector.num_anchors_per_loc
        if left < cells:
            return Anchor(index, tuple(level.shape[2:]))
        left -= cells
    raise AssertionError("an anchor beyond all levels")


def _heads(detector: AnchoredDetector, images: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    said = detector.network(images)
    if isinstance(said, tuple | list):
        half = len(said) // 2
        return list(said[:half]), list(said[half:])
    scores, codes = said[detector.cls_key], said[detector.box_reg_key]
    return (list(scores), list(codes)) if isinstance(scores, tuple | list) else ([scores], [codes])


def _by_anchor(levels: list[torch.Tensor], per_place: int) -> torch.Tensor:
    # Each (n, per_place * c, ...) -> all (n, anchors, c), in the order in which the anchors are made.
    split = [one.float().reshape(len(one), per_place, -1, *one.shape[2:]) for one in levels]
    return torch.cat([one.movedim((1, 2), (-2, -1)).flatten(1, -2) for one in split], dim=1)


def _overlaps(boxes: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    # (n, 2d) and (2d,) corners -> (n,) intersection over union.
    dims = box.shape[-1] // 2
    low, high = boxes[:, :dims].maximum(box[:dims]), boxes[:, dims:].minimum(box[dims:])
    shared = (high - low).clamp(min=0).prod(1)
    sizes = (boxes[:, dims:] - boxes[:, :dims]).prod(1) + (box[dims:] - box[:dims]).prod()
    return shared / (sizes - shared).clamp(min=1e-9)
