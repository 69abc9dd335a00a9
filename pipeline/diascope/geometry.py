"""Where an image lies: in the patient, on a detector, or nowhere known.

Inside diascope there is one frame and one array order. The frame is **RAS+ in
millimetres**, the order is **[i, j, k]** as in the file, and a voxel's centre is
at whole numbers. Files with other habits are converted in `io/` and nowhere else.
An image has exactly one of three geometries, and millimetres exist on a Grid only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from diascope.errors import GridMismatch, InputError

Shape = tuple[int, int, int]

# Towards lower and higher x, y and z of the patient, in RAS.
_LETTERS = ("LR", "PA", "IS")

# Below this an affine cannot be told from one that is flat.
SMALLEST_VOXEL_MM3 = 1e-9

_ROUNDING_MM = 0.01

# A quarter of a degree, which moves the far edge of a 360 mm image by 1.6 mm. Scanners
# write axes that are meant to be straight with errors far below, and tilts far above.
STRAIGHT_COSINE = 0.99999


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where the voxels of an image lie in the patient.

    Attributes:
        shape: Number of voxels along i, j and k.
        affine: (4, 4) float64. Takes the centre of voxel (i, j, k, 1) to
            (x, y, z, 1) in RAS mm. It may be sheared (gantry tilt).
    """

    shape: Shape
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse a shape without voxels and an affine that cannot be inverted."""
        _check_shape(self.shape)
        if self.affine.shape != (4, 4):
            raise InputError(f"an affine must be (4, 4), got {self.affine.shape}", code="bad_affine")
        if not np.isfinite(self.affine).all():
            raise InputError("the affine holds a number that is not finite", code="bad_affine")
        if not np.array_equal(self.affine[3], (0, 0, 0, 1)):
            last = ", ".join(f"{number:g}" for number in self.affine[3])
            raise InputError(f"the affine's last row must be 0, 0, 0, 1, got {last}", code="bad_affine")
        if self.voxel_mm3 < SMALLEST_VOXEL_MM3:
            raise InputError(
                f"the affine is flat: its voxels have a volume of {self.voxel_mm3:.3g} mm³",
                hint="check the pixel spacing and the slice positions of the source",
                code="bad_affine",
            )

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along i, j and k."""
        i_mm, j_mm, k_mm = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return i_mm, j_mm, k_mm

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def axcodes(self) -> str:
        """The patient directions nearest to i, j and k, such as LPS; each patient axis is taken once."""
        directions = self._directions()
        best = max(permutations(range(3)), key=lambda axes: sum(abs(directions[axes[at], at]) for at in range(3)))
        return "".join(_LETTERS[axis][int(directions[axis, at] > 0)] for at, axis in enumerate(best))

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """How far the voxels reach from left to right, from back to front and from foot to head.

        Along the axes of the voxels, each taken for the patient axis nearest to it.
        """
        reach_mm = dict(zip(self.axcodes, np.multiply(self.shape, self.spacing_mm).tolist(), strict=True))
        x_mm, y_mm, z_mm = (next(reach_mm[letter] for letter in both if letter in reach_mm) for both in _LETTERS)
        return x_mm, y_mm, z_mm

    @property
    def is_oblique(self) -> bool:
        """Whether an axis of the voxels lies off the patient's axes."""
        return bool(np.abs(self._directions()).max(axis=0).min() < STRAIGHT_COSINE)

    @property
    def is_sheared(self) -> bool:
        """Whether the axes of the voxels are not at right angles (gantry tilt)."""
        directions = self._directions()
        return bool(np.abs(directions.T @ directions - np.eye(3)).max() > np.sqrt(1 - STRAIGHT_COSINE**2))

    def to_ras_mm(self, index_ijk: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take voxel indices to patient coordinates.

        Args:
            index_ijk: (n, 3) voxel indices; a voxel's centre is at whole numbers.

        Returns:
            (n, 3) points in RAS mm.
        """
        points_ras_mm: NDArray[np.float64] = index_ijk @ self.affine[:3, :3].T + self.affine[:3, 3]
        return points_ras_mm

    def to_ijk(self, point_ras_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take patient coordinates to voxel indices.

        Args:
            point_ras_mm: (n, 3) points in RAS mm.

        Returns:
            (n, 3) voxel indices, not rounded, possibly outside the image.
        """
        inverse = np.linalg.inv(self.affine)
        found_ijk: NDArray[np.float64] = point_ras_mm @ inverse[:3, :3].T + inverse[:3, 3]
        return found_ijk

    def corners_ras_mm(self) -> NDArray[np.float64]:
        """Find the centres of the eight corner voxels.

        Returns:
            (8, 3) points in RAS mm, k running fastest.
        """
        ends = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), dtype=np.float64)
        return self.to_ras_mm(ends.reshape(3, 8).T)

    def _directions(self) -> NDArray[np.float64]:
        unit: NDArray[np.float64] = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return unit


@dataclass(frozen=True, slots=True)
class PixelGrid:
    """An image whose pixel spacing is known, but not its place in the patient.

    Attributes:
        shape: Number of pixels along i (columns) and j (rows), and of slices.
        spacing_mm: Distance of pixel centres along i and j.
        measured_at: `detector` where the spacing is the imager's (the patient is
            magnified by an unknown factor), `patient` where it was calibrated.
    """

    shape: Shape
    spacing_mm: tuple[float, float]
    measured_at: Literal["detector", "patient"]

    def __post_init__(self) -> None:
        """Refuse a spacing that is not a positive number."""
        _check_shape(self.shape)
        if not all(np.isfinite(step) and step > 0 for step in self.spacing_mm):
            raise InputError(f"pixel spacing must be positive, got {self.spacing_mm} mm", code="bad_spacing")


@dataclass(frozen=True, slots=True)
class IndexGrid:
    """An image of which only the order of the voxels is known: no spacing, no frame.

    Attributes:
        shape: Number of voxels along i, j and k.
    """

    shape: Shape

    def __post_init__(self) -> None:
        """Refuse a shape without voxels."""
        _check_shape(self.shape)


Space = Grid | PixelGrid | IndexGrid

Extent = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """What an image on a Grid must show for a network; without a Grid nothing is known and nothing is asked.

    Attributes:
        least_extent_mm: From left to right, back to front and foot to head; a whole head is
            longer than 110 mm in each.
        most_extent_mm: Likewise; a scan of the whole body is no head.
        least_voxel_mm: The shortest side of a voxel may not be shorter.
        most_voxel_mm: The longest side of a voxel may not be longer.
    """

    # For pydantic, which reads it from a bundle's metadata: a misspelt limit must not pass.
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    least_extent_mm: Extent | None = None
    most_extent_mm: Extent | None = None
    least_voxel_mm: float | None = None
    most_voxel_mm: float | None = None

    def misfit(self, space: Space) -> str:
        """Say in words with numbers why an image does not show what is needed; empty where it does."""
        if not isinstance(space, Grid):
            return ""
        extent_mm, spacing_mm = space.extent_mm, space.spacing_mm
        # An axis of nearly the least length is enough: headers are rounded.
        if self.least_extent_mm and any(np.less(extent_mm, np.subtract(self.least_extent_mm, _ROUNDING_MM))):
            return f"{_it_shows(extent_mm)}, needed are at least {_by(self.least_extent_mm)}"
        if self.most_extent_mm and any(np.greater(extent_mm, np.add(self.most_extent_mm, _ROUNDING_MM))):
            return f"{_it_shows(extent_mm)}, allowed are at most {_by(self.most_extent_mm)}"
        voxels = f"its voxels are {_by(spacing_mm, digits=2)}"
        if self.most_voxel_mm and max(spacing_mm) > self.most_voxel_mm + _ROUNDING_MM:
            return f"{voxels}, allowed are at most {self.most_voxel_mm:g} mm"
        if self.least_voxel_mm and min(spacing_mm) < self.least_voxel_mm - _ROUNDING_MM:
            return f"{voxels}, needed are at least {self.least_voxel_mm:g} mm"
        return ""


# What a network asks of an image; each of them also accepts what knows more.
Need = Literal["grid", "pixels", "index"]


def affine_of(space: Space) -> NDArray[np.float64]:
    """Give the affine of a Grid; elsewhere the one that takes an index to itself.

    For libraries that want an affine in any case. Outside a Grid it is in
    voxels, not in millimetres.

    Returns:
        (4, 4) float64.
    """
    return space.affine if isinstance(space, Grid) else np.eye(4)


def satisfies(space: Space, need: Need) -> bool:
    """Say whether an image of this geometry may be given to a network with this need."""
    if need == "grid":
        return isinstance(space, Grid)
    if need == "pixels":
        return isinstance(space, Grid | PixelGrid)
    return True


def check_same_space(one: Space, other: Space, *, tolerance_mm: float = 0.01) -> None:
    """Refuse two images whose voxels do not lie on each other.

    Args:
        one: Geometry of the first image.
        other: Geometry of the second image.
        tolerance_mm: How far corner voxels may lie apart, on Grids.

    Raises:
        GridMismatch: The kinds, shapes, spacings or places differ.
    """
    if type(one) is not type(other):
        raise GridMismatch(f"one image lies on a {type(one).__name__}, the other on a {type(other).__name__}")
    if one.shape != other.shape:
        raise GridMismatch(f"one image has {one.shape} voxels, the other {other.shape}")
    if isinstance(one, PixelGrid) and isinstance(other, PixelGrid) and one != other:
        raise GridMismatch(
            f"one image has pixels of {one.spacing_mm} mm measured at {one.measured_at}, "
            f"the other at {other.measured_at} of {other.spacing_mm} mm"
        )
    if isinstance(one, Grid) and isinstance(other, Grid):
        off_mm = float(np.linalg.norm(one.corners_ras_mm() - other.corners_ras_mm(), axis=1).max())
        if off_mm > tolerance_mm:
            raise GridMismatch(f"corner voxels lie up to {off_mm:.3f} mm apart, allowed are {tolerance_mm} mm")


def _it_shows(extent_mm: Extent) -> str:
    return f"it shows {_by(extent_mm)} (left to right, back to front, foot to head)"


def _by(sides_mm: Extent, digits: int = 0) -> str:
    return " x ".join(f"{side:.{digits}f}" for side in sides_mm) + " mm"


def _check_shape(shape: Shape) -> None:
    if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise InputError(f"an image must have three axes with at least one voxel each, got {shape}", code="bad_shape")
