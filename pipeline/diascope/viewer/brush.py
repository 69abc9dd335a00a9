"""Which voxels a stroke of the brush covers, exactly, on the voxels of the source.

A stroke is a line through the points where the brush was. A voxel belongs to it if its
centre is within the radius of that line, in millimetres of the patient, also on oblique
and sheared grids. The page (`web/js/brush.js`) has the same rule, so that what is seen
while painting is what is saved.
"""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from diascope.geometry import Grid, PixelGrid, Space

# Rounding must not decide whether a voxel exactly at the radius belongs to it.
SLACK_MM2 = 1e-6

Coordinate = Annotated[float, Field(ge=-100_000, le=100_000)]


class Stroke(BaseModel):
    """One stroke, from pressing the button to letting go.

    Without a frame lengths are in pixels' mm, or in voxels where no spacing is known.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    op: Literal["paint", "erase"]
    label: Annotated[int, Field(ge=1, le=255)]
    """Dense value: painted, or the only one that is erased."""

    shape: Literal["ball", "disc"]
    radius_mm: Annotated[float, Field(gt=0, le=200)]
    points_ijk: Annotated[tuple[tuple[Coordinate, Coordinate, Coordinate], ...], Field(min_length=1, max_length=5000)]
    normal: Annotated[int, Field(ge=0, le=2)] = 2
    """Voxel axis that a disc stands on."""


def covered(stroke: Stroke, space: Space) -> NDArray[np.int64]:
    """Find the voxels of a stroke.

    Args:
        stroke: The stroke.
        space: Where the voxels lie.

    Returns:
        (n,) offsets into the voxels in Fortran order (i runs fastest), sorted.
    """
    points = np.array(stroke.points_ijk, dtype=np.float64)
    flat = stroke.normal if stroke.shape == "disc" else None
    plane = None
    if flat is not None:
        plane = int(np.floor(points[0, flat] + 0.5))  # as JavaScript rounds
        points[:, flat] = plane
    metric = _metric(space)
    found = [
        _capsule(points[max(at - 1, 0)], points[at], stroke.radius_mm, metric, (space.shape, flat, plane))
        for at in range(0 if len(points) == 1 else 1, len(points))
    ]
    return np.unique(np.concatenate(found))


def _metric(space: Space) -> NDArray[np.float64]:
    # Squared mm of a step in voxels.
    if isinstance(space, Grid):
        columns: NDArray[np.float64] = space.affine[:3, :3]
        return columns.T @ columns
    spacing = (*space.spacing_mm, 1.0) if isinstance(space, PixelGrid) else (1.0, 1.0, 1.0)
    return np.diag(np.square(spacing))


def _capsule(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius_mm: float,
    metric: NDArray[np.float64],
    within: tuple[tuple[int, int, int], int | None, int | None],
) -> NDArray[np.int64]:
    # Args: (3,) voxel points of the two ends, (3, 3) metric. Returns (n,) offsets.
    shape, flat, plane = within
    reach = radius_mm * np.sqrt(np.diag(np.linalg.inv(metric))) + 1e-3
    low = np.maximum(np.ceil(np.minimum(start, end) - reach), 0).astype(np.int64)
    high = np.minimum(np.floor(np.maximum(start, end) + reach), np.array(shape) - 1).astype(np.int64)
    if flat is not None and plane is not None:
        low[flat], high[flat] = max(plane, 0), min(plane, shape[flat] - 1)
    if (high < low).any():
        return np.empty(0, np.int64)
    i, j, k = np.meshgrid(*[np.arange(a, b + 1) for a, b in zip(low, high, strict=True)], indexing="ij")
    off = np.stack([i, j, k], axis=-1).reshape(-1, 3) - start
    step = end - start
    length = float(step @ metric @ step)
    along = np.clip(off @ metric @ step / length, 0, 1) if length > 0 else np.zeros(len(off))
    gap = off - along[:, None] * step
    near = np.einsum("na,ab,nb->n", gap, metric, gap, optimize=True) <= radius_mm**2 + SLACK_MM2
    offsets: NDArray[np.int64] = (i + shape[0] * (j + shape[1] * k)).ravel()[near]
    return offsets
