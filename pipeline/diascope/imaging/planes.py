"""Which slices of an image are shown, and which way round.

Pictures follow the radiological convention: one looks at the patient from the feet
or from the front, so that the patient's right is on the left of the picture. A
sagittal slice looks to the left of the picture. Off a Grid nothing is known of the
patient: the rows and columns are shown as they lie in the file, without letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from diascope.findings import BoxIJK, Finding
from diascope.geometry import Grid, PixelGrid, Space
from diascope.volume import Mask

Scalar = TypeVar("Scalar", bound=np.generic)

PlaneName = Literal["axial", "coronal", "sagittal", "slice"]

# Thicker slices than this, against the pixels in them, are stair-steps when seen from the side.
THICKEST_FOR_THREE_PLANES = 2.5

# A slab thinner than this part of its width shows next to nothing from the side.
THINNEST_FOR_THREE_PLANES = 0.25

_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}

# Patient directions that run down and to the right of the picture.
_DOWN_AND_RIGHT: dict[PlaneName, tuple[str, str]] = {
    "axial": ("P", "L"),
    "coronal": ("I", "L"),
    "sagittal": ("I", "P"),
}


@dataclass(frozen=True, slots=True)
class Plane:
    """A way to cut slices from an array, and to lay them on a page.

    Attributes:
        name: `slice` where the patient's directions are not known.
        through_axis: Axis of the array that is looked along.
        row_axis: Axis that runs down the picture.
        column_axis: Axis that runs to the right.
        is_row_flipped: Row indices grow upwards in the picture.
        is_column_flipped: Column indices grow to the left.
        row_mm: Height of a pixel; 1 where it is not known.
        column_mm: Width of a pixel; 1 where it is not known.
        letters: Patient directions at the left, right, top and bottom of the
            picture; empty where they are not known.
    """

    name: PlaneName
    through_axis: int
    row_axis: int
    column_axis: int
    is_row_flipped: bool
    is_column_flipped: bool
    row_mm: float
    column_mm: float
    letters: tuple[str, str, str, str]

    def cut(self, data: NDArray[Scalar], at: int) -> NDArray[Scalar]:
        """Take a slice as it is shown.

        Args:
            data: (i, j, k) numbers.
            at: Index along `through_axis`.

        Returns:
            (rows, columns), a view.
        """
        picture = slice_of(data, self.through_axis, at)
        if self.row_axis > self.column_axis:
            picture = picture.T
        return picture[:: -1 if self.is_row_flipped else 1, :: -1 if self.is_column_flipped else 1]

    def box_in_picture(self, box_ijk: BoxIJK, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Take a box to the rows and columns of the slices.

        Args:
            box_ijk: Half-open.
            shape: Of the array.

        Returns:
            Edges top, left, bottom, right in pixels; the last two are outside.
        """
        low, high = box_ijk
        top, bottom = low[self.row_axis], high[self.row_axis]
        left, right = low[self.column_axis], high[self.column_axis]
        if self.is_row_flipped:
            top, bottom = shape[self.row_axis] - bottom, shape[self.row_axis] - top
        if self.is_column_flipped:
            left, right = shape[self.column_axis] - right, shape[self.column_axis] - left
        return top, left, bottom, right


def slice_of(data: NDArray[Scalar], axis: int, at: int) -> NDArray[Scalar]:
    """Take one slice.

    Args:
        data: (i, j, k) numbers.
        axis: Which axis is looked along.
        at: Index along it.

    Returns:
        (rows, columns), a view in the order of the other two axes. (`take` would first
        copy an image that lies in Fortran order, as those from NIfTI files do.)
    """
    index: list[slice | int] = [slice(None)] * 3
    index[axis] = at
    return data[tuple(index)]


def values_present(data: NDArray[np.unsignedinteger]) -> set[int]:
    """List the label values that occur.

    Args:
        data: (i, j, k) label values. They are counted slice by slice: `bincount` of all
            at once would take eight bytes a voxel.
    """
    axis = int(np.argmax(data.strides))
    found: set[int] = set()
    for at in range(data.shape[axis]):
        found.update(np.flatnonzero(np.bincount(slice_of(data, axis, at).ravel())).tolist())
    return found


def planes_of(space: Space) -> tuple[Plane, ...]:
    """Choose how an image is shown: in three planes, or in that of its slices.

    Three planes where they are worth it: a Grid with right angles, slices not much
    thicker than their pixels, and not a thin slab.
    """
    planes = patient_planes(space)
    if not isinstance(space, Grid):
        return planes
    spacing_mm = np.array(space.spacing_mm)
    extent_mm = spacing_mm * space.shape
    is_thick = spacing_mm.max() > THICKEST_FOR_THREE_PLANES * spacing_mm.min()
    is_slab = extent_mm.min() < THINNEST_FOR_THREE_PLANES * extent_mm.max()
    if not (is_thick or is_slab or space.is_sheared):
        return planes
    # A tilted gantry shears every plane but that of the slices, which are along k.
    through = 2 if space.is_sheared else int(spacing_mm.argmax() if is_thick else extent_mm.argmin())
    return tuple(plane for plane in planes if plane.through_axis == through)


def patient_planes(space: Space) -> tuple[Plane, ...]:
    """Give all three planes of an image on a Grid, else that of its slices."""
    if not isinstance(space, Grid):
        return (_plane_as_stored(space),)
    names: tuple[PlaneName, ...] = ("axial", "coronal", "sagittal")
    return tuple(_patient_plane(space, name) for name in names)


def best_slice(plane: Plane, shape: tuple[int, ...], masks: Sequence[Mask], findings: Sequence[Finding] = ()) -> int:
    """Find the slice that shows most.

    Each label counts by its area as a part of its largest area in any slice, so that
    a small structure counts as much as a large one; each mask counts the same, so
    that a lesion counts as much as all structures of the brain together.

    Args:
        plane: Which way the slices lie.
        shape: Of the image.
        masks: Label maps on the image.
        findings: Things found in the image.

    Returns:
        Index along `plane.through_axis`; the middle one where there is nothing to show.
    """
    length = shape[plane.through_axis]
    score = np.zeros(length)
    for mask in masks:
        areas = _areas(mask, plane.through_axis)
        largest = areas.max(axis=0)
        if seen := int((largest > 0).sum()):
            score += (areas[:, largest > 0] / largest[largest > 0]).sum(axis=1) / seen
    for finding in findings:
        low, high = finding.box_ijk[0][plane.through_axis], finding.box_ijk[1][plane.through_axis]
        off_centre = (np.arange(length) - (low + high - 1) / 2) / max((high - low) / 2, 0.5)
        score += np.clip(1 - off_centre**2, 0, None) / len(findings)
    if not score.any():
        return length // 2
    # Sums in another order differ in the last digits: what is equal must stay equal on every machine.
    return int(np.round(score, 9).argmax())


def _plane_as_stored(space: Space) -> Plane:
    column_mm, row_mm = space.spacing_mm if isinstance(space, PixelGrid) else (1.0, 1.0)
    return Plane("slice", 2, 1, 0, False, False, row_mm, column_mm, ("", "", "", ""))


def _patient_plane(grid: Grid, name: PlaneName) -> Plane:
    down, right = _DOWN_AND_RIGHT[name]
    row_axis, is_row_flipped = _axis_towards(grid.axcodes, down)
    column_axis, is_column_flipped = _axis_towards(grid.axcodes, right)
    return Plane(
        name=name,
        through_axis=3 - row_axis - column_axis,
        row_axis=row_axis,
        column_axis=column_axis,
        is_row_flipped=is_row_flipped,
        is_column_flipped=is_column_flipped,
        row_mm=grid.spacing_mm[row_axis],
        column_mm=grid.spacing_mm[column_axis],
        letters=(_OPPOSITE[right], right, _OPPOSITE[down], down),
    )


def _axis_towards(axcodes: str, letter: str) -> tuple[int, bool]:
    if letter in axcodes:
        return axcodes.index(letter), False
    return axcodes.index(_OPPOSITE[letter]), True


def _areas(mask: Mask, axis: int) -> NDArray[np.int64]:
    # (slices, labels): how many voxels of each label lie in each slice; background left out.
    length = max(mask.labels, default=0) + 1
    counts = [
        np.bincount(slice_of(mask.data, axis, at).ravel(), minlength=length) for at in range(mask.data.shape[axis])
    ]
    return np.stack(counts)[:, 1:]
