"""How well a label map fits the truth: overlap, surface, volume, and what was missed.

Nothing is ever dropped. A structure that is there and was not found at all has Dice
and NSD 0 and the image's diagonal as its distance; one that was invented likewise;
one that is rightly absent has no Dice, and is counted as absent. Definitions and
reasons are in docs/metrics.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diascope.errors import InputError
from diascope.evaluation.parts import connected_parts
from diascope.evaluation.surface import diagonal_of, surface_distances
from diascope.geometry import Grid, Space, check_same_space
from diascope.volume import Mask

Bools = NDArray[np.bool_]
Box = tuple[slice, slice, slice]

# What two readers of one image commonly differ by; a study should state its own.
DEFAULT_TOLERANCE_MM = 2.0
DEFAULT_TOLERANCE_VOXELS = 1.0

Outcome = Literal["found", "missed", "false_alarm", "absent"]


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How one label of one image fits the truth.

    Attributes:
        label: Its name.
        outcome: `found` (the two share a voxel), `missed` (it is there, and no voxel
            of it was found), `false_alarm` (it is not there, and was drawn), `absent`.
        dice: 0 if missed or false alarm; None if absent.
        nsd: Surface Dice at `tolerance`; 0 if missed without a mark or false alarm.
        hd95: 95th percentile of the surface distances, the image's diagonal where
            one of the two is empty; None if absent.
        distance_unit: `mm` on a Grid, else `voxel`.
        tolerance: Of the NSD, in `distance_unit`.
        truth_volume: In `volume_unit`.
        predicted_volume: In `volume_unit`.
        volume_unit: `mm3` on a Grid, else `voxel`.
        lesions: Connected parts of the truth (26 neighbours, 8 in a single slice).
        lesions_missed: Those of which no voxel was found.
        false_lesions: Connected parts of the prediction that touch no truth.
        lesion_volumes: Volume of each part of the truth, in `volume_unit`.
        lesion_found: Whether each part was hit, in the same order.
        missed_share: Of the truth's volume, what was not drawn; None where it is empty.
    """

    label: str
    outcome: Outcome
    dice: float | None
    nsd: float | None
    hd95: float | None
    distance_unit: Literal["mm", "voxel"]
    tolerance: float
    truth_volume: float
    predicted_volume: float
    volume_unit: Literal["mm3", "voxel"]
    lesions: int
    lesions_missed: int
    false_lesions: int
    lesion_volumes: tuple[float, ...] = ()
    lesion_found: tuple[bool, ...] = ()
    missed_share: float | None = None

    @property
    def volume_error(self) -> float:
        """Predicted minus true volume, in `volume_unit`."""
        return self.predicted_volume - self.truth_volume

    @property
    def relative_volume_error(self) -> float | None:
        """Volume error over the true volume; None where there is nothing to find."""
        return self.volume_error / self.truth_volume if self.truth_volume else None


def compare_masks(
    predicted: Mask,
    truth: Mask,
    *,
    same_label: Mapping[str, str] | None = None,
    tolerance: float | Mapping[str, float] | None = None,
) -> tuple[LabelScore, ...]:
    """Compare two label maps, label by label.

    Args:
        predicted: What the network drew.
        truth: What is there, on the same voxels.
        same_label: Which label of the truth answers which label of the prediction;
            several of the prediction may answer one of the truth, and are then
            taken together. By default equal names. Labels of the truth that are
            not named are not judged.
        tolerance: For the NSD, in mm on a Grid, else in voxels; one, or per truth label.

    Raises:
        GridMismatch: The two do not lie on the same voxels.
        InputError: They have no label in common.
    """
    check_same_space(predicted.space, truth.space)
    pairs = _label_pairs(predicted.labels, truth.labels, same_label)
    boxes = _boxes(predicted), _boxes(truth)
    scores = []
    for name, (from_predicted, from_truth) in pairs.items():
        box = _hull([boxes[0].get(v) for v in from_predicted] + [boxes[1].get(v) for v in from_truth])
        limit = tolerance.get(name) if isinstance(tolerance, Mapping) else tolerance
        drawn, there = _where(predicted.data[box], from_predicted), _where(truth.data[box], from_truth)
        scores.append(_score(drawn, there, truth.space, name, limit))
    return tuple(scores)


def compare_objects(
    predicted: Bools, truth: Bools, space: Space, *, label: str = "object", tolerance: float | None = None
) -> LabelScore:
    """Compare two binary maps.

    Args:
        predicted: (i, j, k) what the network drew.
        truth: (i, j, k) what is there.
        space: Where both lie.
        label: Name for the result.
        tolerance: For the NSD, in mm on a Grid, else in voxels.
    """
    if predicted.shape != truth.shape or truth.shape != space.shape:
        raise InputError(f"maps of {predicted.shape} and {truth.shape} voxels on an image of {space.shape}")
    box = _hull([_box_of(predicted), _box_of(truth)])
    return _score(predicted[box], truth[box], space, label, tolerance)


def dice(predicted: Bools, truth: Bools) -> float | None:
    """Twice the shared voxels over the sum of both; None where both are empty."""
    total = int(np.count_nonzero(predicted)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(predicted & truth)) / total if total else None


def _score(predicted: Bools, truth: Bools, space: Space, label: str, tolerance: float | None) -> LabelScore:
    # The maps are cropped to the objects already; the space is that of the whole image.
    on_grid = isinstance(space, Grid)
    voxel = space.voxel_mm3 if isinstance(space, Grid) else 1.0
    limit = tolerance if tolerance is not None else (DEFAULT_TOLERANCE_MM if on_grid else DEFAULT_TOLERANCE_VOXELS)
    n_truth, n_predicted = int(np.count_nonzero(truth)), int(np.count_nonzero(predicted))
    shared = int(np.count_nonzero(predicted & truth))
    outcome = _outcome(n_predicted, n_truth, shared=shared > 0)
    nsd, hd95 = _surface_scores(predicted, truth, space, limit) if n_truth or n_predicted else (None, None)
    sizes, hit, false_lesions = _lesions(predicted, truth)
    return LabelScore(
        label=label,
        outcome=outcome,
        dice=2 * shared / (n_truth + n_predicted) if n_truth or n_predicted else None,
        nsd=nsd,
        hd95=hd95,
        distance_unit="mm" if on_grid else "voxel",
        tolerance=limit,
        truth_volume=n_truth * voxel,
        predicted_volume=n_predicted * voxel,
        volume_unit="mm3" if on_grid else "voxel",
        lesions=len(sizes),
        lesions_missed=len(sizes) - sum(hit),
        false_lesions=false_lesions,
        lesion_volumes=tuple(size * voxel for size in sizes),
        lesion_found=hit,
        missed_share=1 - shared / n_truth if n_truth else None,
    )


def _outcome(n_predicted: int, n_truth: int, *, shared: bool) -> Outcome:
    if n_truth == 0:
        return "false_alarm" if n_predicted else "absent"
    return "found" if shared else "missed"


def _surface_scores(predicted: Bools, truth: Bools, space: Space, tolerance: float) -> tuple[float, float]:
    if not (predicted.any() and truth.any()):
        # Metrics Reloaded (Nat Methods 2024): give the worst value, do not drop the case.
        return 0.0, diagonal_of(space)
    found = surface_distances(predicted, truth, space)
    return found.share_within(tolerance), found.hausdorff(95.0)


def _lesions(predicted: Bools, truth: Bools) -> tuple[tuple[int, ...], tuple[bool, ...], int]:
    there, drawn = connected_parts(truth, predicted), connected_parts(predicted, truth)
    return tuple(there.sizes.tolist()), tuple(there.is_hit.tolist()), int((~drawn.is_hit).sum())


def _label_pairs(
    predicted: Mapping[int, str], truth: Mapping[int, str], same_label: Mapping[str, str] | None
) -> dict[str, tuple[list[int], list[int]]]:
    answers = dict(same_label) if same_label else {name: name for name in predicted.values()}
    pairs: dict[str, tuple[list[int], list[int]]] = {}
    for name in dict.fromkeys(truth.values()):
        from_predicted = [value for value, drawn in predicted.items() if answers.get(drawn) == name]
        if from_predicted:
            pairs[name] = (from_predicted, [value for value, there in truth.items() if there == name])
    if not pairs:
        raise InputError(
            f"no label in common: predicted are {sorted(predicted.values())}, true are {sorted(truth.values())}",
            hint="say in the config which label of the prediction means which of the truth",
            code="no_common_label",
        )
    return pairs


def _where(data: NDArray[np.unsignedinteger], values: list[int]) -> Bools:
    inside: Bools = data == values[0]
    for value in values[1:]:
        inside |= data == value
    return inside


def _boxes(mask: Mask) -> dict[int, Box]:
    found = ndimage.find_objects(mask.data)
    return {at + 1: box for at, box in enumerate(found) if box is not None}


def _box_of(inside: Bools) -> Box | None:
    sides = []
    for axis in range(3):
        along = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        if along.size == 0:
            return None
        sides.append(slice(int(along[0]), int(along[-1]) + 1))
    return sides[0], sides[1], sides[2]


def _hull(boxes: list[Box | None]) -> Box:
    known = [box for box in boxes if box is not None]
    if not known:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    i, j, k = (slice(min(b[axis].start for b in known), max(b[axis].stop for b in known)) for axis in range(3))
    return i, j, k
