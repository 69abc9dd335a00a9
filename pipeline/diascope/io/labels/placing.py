"""A label map whose voxels are an image's, in another order or only a part of them."""

import numpy as np

from diascope.errors import GridMismatch
from diascope.geometry import Grid, Space, check_same_space
from diascope.volume import Mask

# The corners of both lattices may lie apart by this share of a voxel.
OFF_VOXEL = 0.05


def place_on(mask: Mask, onto: Space) -> Mask:
    """Reorder and pad a label map so that it fills the voxels of an image.

    A DICOM SEG stores only the slices with something in them, and its axes in its own
    order. Nothing is resampled: every voxel must lie on one of the image.

    Raises:
        GridMismatch: The voxels lie between those of the image, or outside it.
    """
    grid = mask.space
    if not isinstance(grid, Grid) or not isinstance(onto, Grid):
        check_same_space(onto, grid)
        return mask
    steps = np.linalg.inv(onto.affine) @ grid.affine
    turn = np.rint(steps[:3, :3])
    is_reordering = (np.abs(turn).sum(axis=0) == 1).all() and (np.abs(turn).sum(axis=1) == 1).all()
    corners = onto.to_ijk(grid.corners_ras_mm())
    off = float(np.abs(corners - np.rint(corners)).max())
    if not is_reordering or off > OFF_VOXEL:
        raise GridMismatch(
            f"the label map has {grid.shape} voxels of {_mm(grid)} mm, the image {onto.shape} of {_mm(onto)} mm,"
            f" and they lie up to {off:.2f} voxels apart",
            hint="draw or resample the label map on the image it belongs to",
        )
    first, last = np.rint(corners.min(axis=0)).astype(int), np.rint(corners.max(axis=0)).astype(int)
    if (first < 0).any() or (last >= onto.shape).any():
        raise GridMismatch(f"the label map reaches from voxel {first} to {last}, the image has {onto.shape}")
    # Column n of `turn` says along which axis of the image axis n of the map runs, and which way.
    order = [int(np.flatnonzero(turn[axis])[0]) for axis in range(3)]
    turned = mask.data.transpose(order)
    turned = turned[tuple(slice(None, None, int(turn[axis, order[axis]])) for axis in range(3))]
    data = np.zeros(onto.shape, dtype=mask.data.dtype)
    data[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] = turned
    return Mask(data, onto, mask.labels)


def _mm(grid: Grid) -> str:
    return " x ".join(f"{step:.3g}" for step in grid.spacing_mm)
