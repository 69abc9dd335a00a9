"""Connected parts of a label map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as label_parts
from skimage.measure import regionprops

from diascope.findings import BoxIJK
from diascope.volume import Mask


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One connected part.

    Attributes:
        value: Its number in the label map.
        box_ijk: ((i0, j0, k0), (i1, j1, k1)), half-open.
        voxels: (i1 - i0, j1 - j0, k1 - k0) bool, true inside the part.
        centre_ijk: Mean of its voxels' indices in the image.
    """

    value: int
    box_ijk: BoxIJK
    voxels: NDArray[np.bool_]
    centre_ijk: tuple[float, float, float]

    @property
    def size_voxels(self) -> int:
        """How many voxels it has."""
        return int(self.voxels.sum())


def components(mask: Mask, value: int, *, smallest_voxels: int = 1) -> tuple[Component, ...]:
    """Find the connected parts of one label, the largest first.

    Voxels that share a face, an edge or a corner belong together (26 neighbours): a
    vessel or lesion that runs slantwise through thick slices must not fall apart.

    Args:
        mask: The label map.
        value: Which label.
        smallest_voxels: Smaller parts are left out.
    """
    where = mask.data == value
    box = bounding_box(where)
    if box is None:
        return ()
    (i0, j0, k0), (i1, j1, k1) = box
    parts = label_parts(where[i0:i1, j0:j1, k0:k1], connectivity=3)
    found = [
        _component(region, value, (i0, j0, k0)) for region in regionprops(parts) if region.num_pixels >= smallest_voxels
    ]
    return tuple(sorted(found, key=lambda part: (-part.size_voxels, part.box_ijk)))


def slice_boxes_of(part: Component, axis: int) -> tuple[BoxIJK, ...]:
    """Find the box of a part in each slice that it reaches.

    Args:
        part: In the image.
        axis: Of the image, that the slices are stacked along.

    Returns:
        One slice thick each, half-open, in the order of the slices.
    """
    found = []
    for at in range(part.voxels.shape[axis]):
        inner = bounding_box(part.voxels.take([at], axis=axis))
        if inner is not None:
            shift = [low + (at if other == axis else 0) for other, low in enumerate(part.box_ijk[0])]
            (i0, j0, k0), (i1, j1, k1) = inner
            di, dj, dk = shift
            found.append(((i0 + di, j0 + dj, k0 + dk), (i1 + di, j1 + dj, k1 + dk)))
    return tuple(found)


def bounding_box(where: NDArray[np.bool_]) -> BoxIJK | None:
    """Find the smallest box that holds all that is true.

    Args:
        where: (i, j, k) bool.

    Returns:
        ((i0, j0, k0), (i1, j1, k1)), half-open; None if nothing is true.
    """
    lows, highs = [], []
    for axis in range(3):
        other = tuple(at for at in range(3) if at != axis)
        hits = np.flatnonzero(where.any(axis=other))
        if hits.size == 0:
            return None
        lows.append(int(hits[0]))
        highs.append(int(hits[-1]) + 1)
    return (lows[0], lows[1], lows[2]), (highs[0], highs[1], highs[2])


# regionprops has no type hints: its regions are of no named type.
def _component(region, value: int, offset_ijk: tuple[int, int, int]) -> Component:  # type: ignore[no-untyped-def]
    i0, j0, k0, i1, j1, k1 = (int(edge) for edge in region.bbox)
    at_i, at_j, at_k = offset_ijk
    centre_i, centre_j, centre_k = (float(c) + at for c, at in zip(region.centroid, offset_ijk, strict=True))
    return Component(
        value=value,
        box_ijk=((i0 + at_i, j0 + at_j, k0 + at_k), (i1 + at_i, j1 + at_j, k1 + at_k)),
        voxels=np.asarray(region.image, dtype=np.bool_),
        centre_ijk=(centre_i, centre_j, centre_k),
    )
