"""Boxes around the lesions of slices: the loss of a detector, and how its training is watched.

Training images come from `SliceSource`, masks along with them; boxes are taken from the
masks when they have been turned and bent, so that they stay tight.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from monai.inferers import Inferer
from skimage.measure import label as label_parts
from skimage.measure import regionprops
from torch import Tensor, nn

from diascope.bundles.detector import SliceDetector
from diascope.errors import ConfigError
from diascope.evaluation.detection import Lesion, Mark, Scan, match
from diascope.evaluation.froc import froc_curve, sensitivity_at
from diascope.tasks.detect import slice_boxes
from diascope.train.learner import Training
from diascope.train.seen import seeing_evaluator
from diascope.train.source_settings import BoxSettings
from diascope.train.sources import Sample
from diascope.train.validation import Watch

# A training is watched by the sensitivity, slice by slice, at this rate of false boxes.
WATCHED_FALSE_PER_SLICE = 0.25

# A box in a slice finds a lesion from this overlap on.
SLICE_IOU = 0.3


class BoxLoss(nn.Module):
    """MONAI's loss of a RetinaNet, told the truth by masks."""

    def __init__(self, detector: nn.Module, settings: BoxSettings) -> None:
        """Keep the detector, whose anchors are compared with the boxes.

        Raises:
            ConfigError: The network is no detector.
        """
        super().__init__()
        if not isinstance(detector, SliceDetector):
            raise ConfigError(
                f"a source of boxes needs a detector, not {type(detector).__name__}", hint="network.name: SliceDetector"
            )
        self.smallest_pixels = settings.smallest_pixels
        # In a tuple: the network's weights must not become the loss's own.
        self._watched = (detector,)

    def forward(self, raw: Tensor, mask: Tensor) -> Tensor:
        """Compare what the detector says of its anchors with the boxes of the masks.

        Args:
            raw: (b, anchors, classes + 4).
            mask: (b, 1, i, j) label maps.
        """
        targets = [box_targets(one[0], self.smallest_pixels) for one in mask]
        return self._watched[0].loss(
            raw, [{key: value.to(raw.device) for key, value in one.items()} for one in targets]
        )


def box_targets(mask: Tensor, smallest_pixels: int) -> dict[str, Tensor]:
    """Put boxes around the connected parts of a slice's labels.

    Args:
        mask: (i, j) label map.
        smallest_pixels: Smaller parts have no box.

    Returns:
        `boxes` (n, 4) float32: i0, j0, i1, j1, half-open; `labels` (n,) from 0.
    """
    numbers = mask.cpu().numpy().astype(np.int64)
    parts = label_parts(numbers, background=0, connectivity=2)
    regions = [region for region in regionprops(parts) if region.num_pixels >= smallest_pixels]
    boxes = np.array([region.bbox for region in regions], dtype=np.float32).reshape(-1, 4)
    labels = [int(numbers[tuple(region.coords[0])]) - 1 for region in regions]
    return {"boxes": torch.from_numpy(boxes), "labels": torch.tensor(labels, dtype=torch.int64)}


def watch_boxes(training: Training, samples: Sequence[Sample], settings: BoxSettings, inferer: Inferer) -> Watch:
    """Watch boxes slice by slice: sensitivity at few false ones; every process of a team scores all.

    Args:
        training: What is to be training.
        samples: Whole volumes with their masks.
        settings: Which parts have a box.
        inferer: Runs the slices of a volume.
    """
    evaluator, seen = seeing_evaluator(training, samples, inferer)

    def measures() -> Mapping[str, float]:
        scans = [
            scan
            for case, output, mask in zip(seen.cases, seen.outputs, seen.labels, strict=True)
            for scan in slice_scans(case, output, mask[0], settings.smallest_pixels)
        ]
        curve = froc_curve([match(scan, min_iou=SLICE_IOU) for scan in scans])
        return {"sensitivity": sensitivity_at(curve, WATCHED_FALSE_PER_SLICE)}

    return Watch(evaluator, measures, "sensitivity")


def slice_scans(case: str, output: Tensor, mask: Tensor, smallest_pixels: int) -> tuple[Scan, ...]:
    """Hold a detector's boxes against those of a mask, each slice by itself.

    Args:
        case: Whose slices they are.
        output: (6, boxes, 1, k) of the detector.
        mask: (i, j, k) label map on the same grid.
        smallest_pixels: Smaller parts are no lesion.
    """
    marks: dict[int, list[Mark]] = {}
    for box in slice_boxes(output.numpy()):
        marks.setdefault(box.slice_at, []).append(Mark((*box.low_ij, 0.0), (*box.high_ij, 1.0), box.score))
    scans = []
    for at in range(mask.shape[-1]):
        boxes = box_targets(mask[..., at], smallest_pixels)["boxes"].tolist()
        lesions = tuple(Lesion((i0, j0, 0.0), (i1, j1, 1.0)) for i0, j0, i1, j1 in boxes)
        scans.append(Scan(f"{case}/{at}", case, lesions, tuple(marks.get(at, ()))))
    return tuple(scans)
