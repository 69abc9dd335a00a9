"""Images of one study on one grid, so that they can be the channels of a network."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diascope.errors import GridMismatch
from diascope.geometry import Grid, check_same_space
from diascope.volume import Volume

# The same hundredth of a voxel that io/channels.py overlooks.
SAME_GRID_MM = 0.05


def on_first(volumes: Sequence[Volume]) -> tuple[Volume, ...]:
    """Bring images onto the grid of the first: by their affines, trilinearly.

    Images whose voxels lie on the first one's stay as they are. Outside of its own
    field an image takes its lowest number, as there is nothing to see there.

    Args:
        volumes: At least one; those after the first on a Grid as it is, or of its very shape.

    Raises:
        GridMismatch: They have no place in the patient, and their shapes differ.
    """
    first, *others = volumes
    return (first, *(_on(volume, first) for volume in others))


def _on(volume: Volume, first: Volume) -> Volume:
    if isinstance(volume.space, Grid) and isinstance(first.space, Grid):
        if not _is_same(volume.space, first.space):
            data = _resampled(volume, volume.space, first.space)
            return Volume(data, first.space, volume.facts, volume.image_id, volume.display_window, volume.is_inverted)
        return volume
    check_same_space(volume.space, first.space)
    return volume


def _is_same(grid: Grid, first: Grid) -> bool:
    try:
        check_same_space(grid, first, tolerance_mm=SAME_GRID_MM)
    except GridMismatch:
        return False
    return True


def _resampled(volume: Volume, grid: Grid, first: Grid) -> NDArray[np.float32]:
    # -> (i, j, k) of the first image.
    to_source = np.linalg.inv(grid.affine) @ first.affine
    data: NDArray[np.float32] = ndimage.affine_transform(
        volume.data.astype(np.float32),
        to_source[:3, :3],
        offset=to_source[:3, 3],
        output_shape=first.shape,
        order=1,
        # The outer half of the outermost voxels belongs to the image, too.
        mode="nearest",
    )
    i, j = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in first.shape[:2]), indexing="ij")
    for k in range(first.shape[2]):
        at = np.stack([i, j, np.full_like(i, k)], axis=-1) @ to_source[:3, :3].T + to_source[:3, 3]
        is_inside = ((at >= -0.5) & (at <= np.array(grid.shape) - 0.5)).all(axis=-1)
        data[:, :, k][~is_inside] = volume.data.min()
    return data
