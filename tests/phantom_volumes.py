"""Small volumes whose answers are known by construction.

Nothing here is a cube of 1 mm voxels: shapes and spacings differ on every axis,
grids are oblique, and left can be told from right.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diascope.findings import ImageFacts, Triple
from diascope.geometry import Grid, Shape
from diascope.volume import Volume


def oblique_grid(
    shape: Shape = (5, 7, 11),
    spacing_mm: Triple = (0.7, 0.8, 2.5),
    tilt_deg: Triple = (12.0, -7.0, 20.0),
    centre_ras_mm: Triple = (3.0, -11.0, 17.0),
) -> Grid:
    """Make a grid like an oblique axial DICOM series: i runs to the left, j to the back, k up, all tilted.

    Args:
        shape: Voxels along i, j, k.
        spacing_mm: Along i, j, k.
        tilt_deg: Rotation about x, then y, then z of the patient.
        centre_ras_mm: Where the middle of the grid lies.
    """
    about_x, about_y, about_z = (math.radians(angle) for angle in tilt_deg)
    turn = _turn(2, about_z) @ _turn(1, about_y) @ _turn(0, about_x)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1.0, -1.0, 1.0]) @ np.diag(spacing_mm)
    affine[:3, 3] = np.array(centre_ras_mm) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def points_ras_mm(grid: Grid) -> NDArray[np.float64]:
    """Give the place of every voxel of a grid.

    Returns:
        (i, j, k, 3) points in RAS mm.
    """
    index_ijk = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return grid.to_ras_mm(index_ijk.reshape(-1, 3).astype(np.float64)).reshape(*grid.shape, 3)


def ball(grid: Grid, centre_ras_mm: Triple, radius_mm: float) -> NDArray[np.bool_]:
    """Mark the voxels whose centres lie in a ball; its volume is 4/3 pi r³ but for the voxels at its border.

    Returns:
        (i, j, k) bool.
    """
    off_mm = np.linalg.norm(points_ras_mm(grid) - np.array(centre_ras_mm), axis=-1)
    inside: NDArray[np.bool_] = off_mm <= radius_mm
    return inside


def ball_mm3(radius_mm: float) -> float:
    """Give the volume of a ball."""
    return 4 / 3 * math.pi * radius_mm**3


@dataclass(frozen=True)
class AsymmetricHead:
    """A head that has a left, a front and a top that cannot be mistaken.

    Attributes:
        volume: Tissue at 100 (scalp), 10 (skull), 60 (brain); markers at 200.
        brain: (i, j, k) bool.
        marker: (i, j, k) bool, the ball on the patient's left.
        marker_centre_ras_mm: x < 0: left.
        marker_radius_mm: Of that ball.
        nose_ras_mm: The small ball in front.
    """

    volume: Volume
    brain: NDArray[np.bool_]
    marker: NDArray[np.bool_]
    marker_centre_ras_mm: Triple
    marker_radius_mm: float
    nose_ras_mm: Triple


def asymmetric_head(grid: Grid | None = None, image_id: str = "img-000000000000001") -> AsymmetricHead:
    """Make an egg-shaped head with a bright ball in the left half of the brain and a nose in front."""
    grid = grid or oblique_grid((44, 52, 20), (4.1, 4.4, 8.0), (9.0, -4.0, 6.0), (2.0, -9.0, 12.0))
    points = points_ras_mm(grid)
    egg_mm = np.linalg.norm(points / np.array([70.0, 92.0, 68.0]), axis=-1) * 70.0
    data = np.zeros(grid.shape, dtype=np.float32)
    data[egg_mm < 76] = 100
    data[egg_mm < 70] = 10
    brain = egg_mm < 63
    # A texture without symmetry: brighter to the front and to the top.
    data[brain] = 60 + 0.08 * points[brain][:, 1] + 0.12 * points[brain][:, 2]
    marker_centre_ras_mm, marker_radius_mm, nose_ras_mm = (-32.0, 18.0, 14.0), 17.0, (0.0, 104.0, -14.0)
    marker = ball(grid, marker_centre_ras_mm, marker_radius_mm)
    data[marker] = 200
    data[ball(grid, nose_ras_mm, 9.0)] = 100
    facts = ImageFacts(modality="MR", body_part="HEAD", sex="F", age_years="90+", manufacturer="SIEMENS")
    volume = Volume(data, grid, facts, image_id, display_window=(100.0, 200.0))
    return AsymmetricHead(volume, brain, marker, marker_centre_ras_mm, marker_radius_mm, nose_ras_mm)


def box_ijk(mask: NDArray[np.bool_]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Find the half-open box of what is marked.

    Args:
        mask: (i, j, k) with at least one voxel set.
    """
    found = np.argwhere(mask)
    (i0, j0, k0), (i1, j1, k1) = found.min(axis=0).tolist(), (found.max(axis=0) + 1).tolist()
    return (i0, j0, k0), (i1, j1, k1)


def _turn(axis: int, radians: float) -> NDArray[np.float64]:
    one, other = [at for at in range(3) if at != axis]
    matrix = np.eye(3)
    matrix[one, one] = matrix[other, other] = math.cos(radians)
    matrix[one, other], matrix[other, one] = -math.sin(radians), math.sin(radians)
    return matrix
