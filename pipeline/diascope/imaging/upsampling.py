"""A map on the voxels of another grid, by one rule.

The value at a point is interpolated linearly between the centres of the map's voxels;
from the outer centres to the edge of the map it stays as it is. On grids that share their
edges this is what torch calls `align_corners=False`. (`align_corners=True` would stretch
an 8-cell map by up to half a cell at each end.) Outside the map the value is 0: nothing
was explained there. The numbers stay raw.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diascope.geometry import Grid, Shape, Space
from diascope.volume import Heatmap


def map_affines(heat: Heatmap, space: Space) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the (4, 4) affines of a map and of its image, to one frame.

    On a Grid that is the patient. Elsewhere the map tiles the image, edge to edge.

    Args:
        heat: The map.
        space: Of its image.
    """
    if isinstance(heat.space, Grid) and isinstance(space, Grid):
        return heat.space.affine, space.affine
    steps = np.array(space.shape) / np.array(heat.data.shape)
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = (steps - 1) / 2
    return affine, np.eye(4)


def map_on_grid(
    data: NDArray[np.float32], map_affine: NDArray[np.float64], shape: Shape, affine: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Interpolate a map to the voxels of another grid.

    Args:
        data: (x, y, z) of the map.
        map_affine: (4, 4) of the map.
        shape: (i, j, k) of the other grid.
        affine: (4, 4) of the other grid, to the same frame.

    Returns:
        (i, j, k) float32.
    """
    to_map = np.linalg.inv(map_affine) @ affine
    values: NDArray[np.float32] = ndimage.affine_transform(
        data, to_map[:3, :3], offset=to_map[:3, 3], output_shape=shape, order=1, mode="nearest"
    )
    i, j, k = np.ogrid[tuple(slice(n) for n in shape)]
    for axis, cells in enumerate(data.shape):
        at = to_map[axis, 0] * i + to_map[axis, 1] * j + to_map[axis, 2] * k + to_map[axis, 3]
        values[(at < -0.5 - 1e-6) | (at > cells - 0.5 + 1e-6)] = 0
    return values
