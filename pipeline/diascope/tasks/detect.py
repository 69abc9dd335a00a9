"""Where are lesions? Boxes in slices, joined into findings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo
from diascope.findings import Finding
from diascope.geometry import Space, affine_of
from diascope.imaging.components import Component, bounding_box, slice_boxes_of
from diascope.imaging.measurements import place_finding
from diascope.imaging.resample import GridOfLogits

# Of two boxes in a slice of which this part of the smaller lies in the larger, the smaller is a part of the lesion.
# On the calibration scans of flair_glioma_detection such boxes were every second false finding with a high score.
NESTED = 0.7

# Boxes of neighbouring slices that overlap by at least this much (intersection over union) are one lesion.
JOIN_OVERLAP = 0.2

# So many slices may lack a box within a lesion: a weak slice in the middle must not make two of it.
JOIN_GAP_SLICES = 1


@dataclass(frozen=True, slots=True)
class Detection:
    """One box in one slice, on the grid of the network's input.

    Attributes:
        label: Number of its label, from 1.
        score: 0..1.
        slice_at: Slice of the network's grid.
        low_ij: Edges (i0, j0); the centre of the first voxel is at 0.5, as MONAI counts.
        high_ij: Edges (i1, j1).
    """

    label: int
    score: float
    slice_at: int
    low_ij: tuple[float, float]
    high_ij: tuple[float, float]

    @property
    def area(self) -> float:
        """In voxels of the slice."""
        return (self.high_ij[0] - self.low_ij[0]) * (self.high_ij[1] - self.low_ij[1])


def slice_boxes(output: NDArray[np.float32]) -> tuple[Detection, ...]:
    """List the boxes of a detector's output, slice by slice, highest score first.

    Args:
        output: (6, boxes, 1, slices): score, label, i0, j0, i1, j1; a score of 0 fills up.
    """
    found = []
    for at in range(output.shape[-1]):
        for score, label, i0, j0, i1, j1 in output[:, :, 0, at].T.tolist():
            if score > 0 and i1 > i0 and j1 > j0:
                found.append(Detection(round(label), score, at, (i0, j0), (i1, j1)))
    return tuple(sorted(found, key=lambda one: (one.slice_at, -one.score)))


def candidate_scores(seen: GridOfLogits) -> tuple[float, ...]:
    """List the scores of everything that a detector proposed, also below the score from which it reports."""
    return tuple(one.score for one in slice_boxes(seen.logits))


def detect(seen: GridOfLogits, space: Space, bundle: BundleInfo, image_id: str) -> tuple[Finding, ...]:
    """Join the boxes of a network's slices into findings on the source's voxels.

    A box tells two diameters and no outline: a finding is measured as the stack of the
    ellipses that its boxes hold. Millimetres on a Grid only.

    Args:
        seen: (6, boxes, 1, slices) on the network's grid, see `slice_boxes`.
        space: Of the source image.
        bundle: Names the labels, and says from which score on a finding is reported.
        image_id: Of the image.

    Returns:
        The highest score first, numbered within this output.
    """
    names = {label.value: label.name for label in bundle.labels}
    found = []
    for name, lesion in lesions_of(seen.logits, bundle).items():
        part = _as_part(lesion, seen, space)
        if part is not None:
            label, boxes = names[lesion[0].label], slice_boxes_of(part, _slice_axis(seen, space))
            finding = Finding(name, bundle.name, image_id, label, score_of(lesion), part.box_ijk, slice_boxes_ijk=boxes)
            found.append(place_finding(finding, part, space))
    return tuple(found)


def lesions_of(output: NDArray[np.float32], bundle: BundleInfo) -> dict[str, tuple[Detection, ...]]:
    """Join the boxes of a detector's output into the lesions that are reported.

    Args:
        output: (6, boxes, 1, slices), see `slice_boxes`.
        bundle: Names the labels, and says from which score on a finding is reported.

    Returns:
        By id, counted within this output (a case counts through, see `run.answers`), the highest score first.
    """
    known = {label.value for label in bundle.labels}
    lesions = join_slices(without_nested(one for one in slice_boxes(output) if one.label in known))
    strong = sorted((one for one in lesions if score_of(one) >= bundle.block.min_score), key=score_of, reverse=True)
    return {f"{bundle.name}-{number}": lesion for number, lesion in enumerate(strong, start=1)}


def without_nested(boxes: Iterable[Detection]) -> tuple[Detection, ...]:
    """Leave out boxes that lie in a larger one of their label and slice; that one takes the higher of their scores."""
    kept: list[Detection] = []
    for box in sorted(boxes, key=lambda one: (one.slice_at, one.label, -one.area)):
        around = (at for at, one in enumerate(kept) if one.slice_at == box.slice_at and one.label == box.label)
        host = next((at for at in around if shared_area(kept[at], box) >= NESTED * box.area), None)
        if host is None:
            kept.append(box)
        else:
            kept[host] = replace(kept[host], score=max(kept[host].score, box.score))
    return tuple(kept)


def join_slices(boxes: Iterable[Detection]) -> tuple[tuple[Detection, ...], ...]:
    """Join boxes of the same label that overlap in neighbouring slices: each group is one lesion.

    Every box goes to the lesion whose last box it overlaps most; the strongest boxes choose first.
    """
    chains: list[list[Detection]] = []
    for box in sorted(boxes, key=lambda one: (one.slice_at, -one.score)):
        near = [
            (overlap, at)
            for at, chain in enumerate(chains)
            if chain[-1].label == box.label
            and 0 < box.slice_at - chain[-1].slice_at <= 1 + JOIN_GAP_SLICES
            and (overlap := overlap_of(chain[-1], box)) >= JOIN_OVERLAP
        ]
        if near:
            chains[max(near)[1]].append(box)
        else:
            chains.append([box])
    return tuple(tuple(chain) for chain in chains)


def overlap_of(one: Detection, other: Detection) -> float:
    """Intersection over union of two boxes in the plane of the slices."""
    shared = shared_area(one, other)
    return shared / (one.area + other.area - shared)


def shared_area(one: Detection, other: Detection) -> float:
    """Area that two boxes share, in voxels of the slice."""
    shared = 1.0
    for axis in (0, 1):
        low, high = max(one.low_ij[axis], other.low_ij[axis]), min(one.high_ij[axis], other.high_ij[axis])
        shared *= max(0.0, high - low)
    return shared


def score_of(lesion: Sequence[Detection]) -> float:
    """Give a lesion the score of its highest slice: a mean would punish it for its thin ends."""
    return max(one.score for one in lesion)


def _as_part(lesion: Sequence[Detection], seen: GridOfLogits, space: Space) -> Component | None:
    """Find the source voxels in the ellipses of a lesion's boxes; None where none is in the image."""
    boxes = _without_gaps(lesion)
    to_source = np.linalg.inv(affine_of(space)) @ seen.affine
    corners = np.array(
        [
            (i - 0.5, j - 0.5, one.slice_at + k)
            for one in boxes
            for i in (one.low_ij[0], one.high_ij[0])
            for j in (one.low_ij[1], one.high_ij[1])
            for k in (-0.5, 0.5)
        ]
    )
    reached = corners @ to_source[:3, :3].T + to_source[:3, 3]
    low = np.clip(np.floor(reached.min(axis=0)).astype(int), 0, space.shape)
    high = np.clip(np.ceil(reached.max(axis=0)).astype(int) + 1, 0, space.shape)
    if (high <= low).any():
        return None
    index_ijk = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    to_network = np.linalg.inv(to_source)
    where = _in_ellipses(index_ijk @ to_network[:3, :3].T + to_network[:3, 3], boxes)
    inner = bounding_box(where)
    if inner is None:
        return None
    (i0, j0, k0), (i1, j1, k1) = inner
    voxels = where[i0:i1, j0:j1, k0:k1]
    centre_i, centre_j, centre_k = (np.argwhere(where).mean(axis=0) + low).tolist()
    box = (int(i0 + low[0]), int(j0 + low[1]), int(k0 + low[2])), (int(i1 + low[0]), int(j1 + low[1]), int(k1 + low[2]))
    return Component(lesion[0].label, box, voxels, (centre_i, centre_j, centre_k))


def _slice_axis(seen: GridOfLogits, space: Space) -> int:
    """Say which axis of the source the network's slices are stacked along."""
    through = np.linalg.inv(affine_of(space))[:3, :3] @ seen.affine[:3, 2]
    return int(np.abs(through).argmax())


def _without_gaps(lesion: Sequence[Detection]) -> tuple[Detection, ...]:
    # A slice without a box lies between two that have one: its box is half-way between theirs.
    filled = [lesion[0]]
    for after in lesion[1:]:
        before = filled[-1]
        for at in range(before.slice_at + 1, after.slice_at):
            part = (at - before.slice_at) / (after.slice_at - before.slice_at)
            low, high = (
                (one[0] + part * (other[0] - one[0]), one[1] + part * (other[1] - one[1]))
                for one, other in ((before.low_ij, after.low_ij), (before.high_ij, after.high_ij))
            )
            filled.append(Detection(before.label, min(before.score, after.score), at, low, high))
        filled.append(after)
    return tuple(filled)


def _in_ellipses(index_ijk: NDArray[np.float64], boxes: Sequence[Detection]) -> NDArray[np.bool_]:
    """Say which points lie in the ellipse of the box of their slice.

    Args:
        index_ijk: (..., 3) indices on the network's grid; a voxel's centre is at whole numbers.
        boxes: One per slice.
    """
    slice_at = np.rint(index_ijk[..., 2]).astype(int)
    inside = np.zeros(slice_at.shape, dtype=np.bool_)
    for one in boxes:
        low, high = np.array(one.low_ij) - 0.5, np.array(one.high_ij) - 0.5
        from_centre = (index_ijk[..., :2] - (low + high) / 2) / ((high - low) / 2)
        inside |= (slice_at == one.slice_at) & ((from_centre**2).sum(axis=-1) <= 1)
    return inside
