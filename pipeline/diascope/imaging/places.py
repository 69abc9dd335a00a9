"""Where in an image another network is to look: around a label, or in a part of the label's box."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diascope.findings import BoxIJK
from diascope.geometry import Grid
from diascope.imaging.components import components
from diascope.volume import Mask, Volume

Fractions = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a label's box, along the patient's axes.

    Attributes:
        name: Such as `left`.
        left_right: From where to where, as fractions of the box; 0 is the patient's left end.
        back_front: 0 is the back.
        foot_head: 0 is towards the feet.
        label: Of this label's box; empty where it is the place's own.
    """

    name: str
    left_right: Fractions = (0.0, 1.0)
    back_front: Fractions = (0.0, 1.0)
    foot_head: Fractions = (0.0, 1.0)
    label: str = ""


WHOLE = Part("all")
"""All of a label's box, where nobody divides it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a network is to look.

    Attributes:
        bundle: The network that finds the place.
        label: Its label, of every part that names none.
        margin_mm: Added on every side of every part.
        parts: Each is looked at by itself.
    """

    bundle: str
    label: str
    margin_mm: float
    parts: tuple[Part, ...]

    def label_of(self, part: Part) -> str:
        """Say whose box a part belongs to."""
        return part.label or self.label


def box_of_part(mask: Mask, value: int, place: Place, part: Part) -> BoxIJK | None:
    """Find the voxels of a part of a label; of its largest connected piece: islands elsewhere would stretch its box.

    Args:
        mask: On a Grid.
        value: The label.
        place: Says the margin.
        part: Which part of the label's box.

    Returns:
        Half-open box; None where the label was not found.
    """
    pieces = components(mask, value)
    grid = mask.space
    if not pieces or not isinstance(grid, Grid):
        return None
    index_ijk = np.argwhere(pieces[0].voxels) + np.array(pieces[0].box_ijk[0])
    points_ras_mm = grid.to_ras_mm(index_ijk.astype(np.float64))
    half_mm = np.abs(grid.affine[:3, :3]).sum(axis=1) / 2
    low_mm, high_mm = points_ras_mm.min(axis=0) - half_mm, points_ras_mm.max(axis=0) + half_mm
    fractions = np.array([part.left_right, part.back_front, part.foot_head])
    start_mm = low_mm + fractions[:, 0] * (high_mm - low_mm) - place.margin_mm
    end_mm = low_mm + fractions[:, 1] * (high_mm - low_mm) + place.margin_mm
    return _voxels_of(start_mm, end_mm, grid)


def cut_out(volume: Volume, box_ijk: BoxIJK) -> Volume:
    """Take a box of an image; its grid knows where it was.

    Args:
        volume: On a Grid.
        box_ijk: Half-open, inside the image.
    """
    grid = volume.space
    if not isinstance(grid, Grid):
        raise TypeError("places are found on a Grid only")
    (i0, j0, k0), (i1, j1, k1) = box_ijk
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_ras_mm(np.array([[i0, j0, k0]], dtype=np.float64))[0]
    data = volume.data[i0:i1, j0:j1, k0:k1]
    inner = Grid((i1 - i0, j1 - j0, k1 - k0), affine)
    return Volume(data, inner, volume.facts, volume.image_id, volume.display_window, volume.is_inverted)


def merged(masks: Sequence[Mask]) -> Mask:
    """Lay label maps of the same voxels over each other; where two drew something the first one's stays."""
    values = masks[0].data.copy()
    for other in masks[1:]:
        np.copyto(values, other.data, where=values == 0)
    return Mask(values, masks[0].space, masks[0].labels)


def _voxels_of(start_mm: NDArray[np.float64], end_mm: NDArray[np.float64], grid: Grid) -> BoxIJK | None:
    # The patient's axes need not be the voxels': the corners say how far the box reaches among them.
    ends = np.array(np.meshgrid(*zip(start_mm, end_mm, strict=True), indexing="ij"), dtype=np.float64).reshape(3, 8).T
    reached = grid.to_ijk(ends)
    low = np.clip(np.floor(reached.min(axis=0) + 0.5), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(reached.max(axis=0) + 0.5), 0, grid.shape).astype(int)
    if (high <= low).any():
        return None
    (i0, j0, k0), (i1, j1, k1) = low.tolist(), high.tolist()
    return (i0, j0, k0), (i1, j1, k1)
