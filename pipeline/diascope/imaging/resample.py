"""From one voxel grid to another, by the affines alone.

The way back from a network's grid to the source's is not the inverse of the steps that
led there, but geometry: both grids have an affine, so every source voxel knows where it
lies in the network's. It holds for every chain of flips, crops, pads and resamplings
that keeps the affine true.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray
from scipy import ndimage

from diascope.geometry import Grid, Shape
from diascope.volume import Volume

# Voxels of the target that are interpolated at once: with 33 classes in float32
# that is 130 MB.
SLAB_VOXELS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class GridOfLogits:
    """What a network said at each voxel of its own grid.

    Attributes:
        logits: (classes, x, y, z) float32; class 0 is background.
        affine: (4, 4) float64, to the frame that it shares with the target.
    """

    logits: NDArray[np.float32]
    affine: NDArray[np.float64]


def labels_on_grid(source: GridOfLogits, shape: Shape, affine: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Interpolate logits trilinearly to the voxels of another grid and take the largest class.

    The same as resampling every class and taking the argmax, without ever holding
    all classes at full size: it goes slab by slab, and only where a corner of the
    cell is not background. Outside the network's grid is background.

    Args:
        source: The network's output.
        shape: (i, j, k) of the target.
        affine: (4, 4) of the target, to the same frame.

    Returns:
        (i, j, k) uint8 label values.
    """
    labels = np.zeros(shape, dtype=np.uint8)
    to_source = np.asarray(np.linalg.inv(source.affine) @ affine, dtype=np.float64)
    to_target = np.asarray(np.linalg.inv(to_source), dtype=np.float64)
    box = _target_box(source.logits, to_target, shape)
    if box is None:
        return labels
    logits = torch.from_numpy(np.ascontiguousarray(source.logits))[None]
    sizes = torch.tensor(source.logits.shape[1:], dtype=torch.float64)
    matrix = torch.from_numpy(to_source)
    (i0, j0, k0), (i1, j1, k1) = box
    step = max(1, SLAB_VOXELS // ((j1 - j0) * (k1 - k0)))
    for start in range(i0, i1, step):
        stop = min(start + step, i1)
        at = _source_index(matrix, ((start, stop), (j0, j1), (k0, k1)))
        best = _largest_class(_interpolated(logits, at, sizes))
        best[~_is_inside(at, sizes)] = 0
        labels[start:stop, j0:j1, k0:k1] = best.numpy()
    return labels


def values_on_grid(
    values: NDArray[np.float32],
    source_affine: NDArray[np.float64],
    shape: Shape,
    affine: NDArray[np.float64],
    outside: float,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Interpolate one number per voxel trilinearly to another grid, slab by slab.

    Args:
        values: (x, y, z) on the source's grid.
        source_affine: (4, 4) of the source, to the frame that it shares with the target.
        shape: (i, j, k) of the target.
        affine: (4, 4) of the target.
        outside: What lies outside the source.

    Returns:
        Slices along i, in order, and (di, j, k) float32 numbers there.
    """
    matrix = torch.from_numpy(np.asarray(np.linalg.inv(source_affine) @ affine, dtype=np.float64))
    sizes = torch.tensor(values.shape, dtype=torch.float64)
    grid = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None, None]
    step = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        slab = slice(start, min(start + step, shape[0]))
        at = _source_index(matrix, ((slab.start, slab.stop), (0, shape[1]), (0, shape[2])))
        seen = _interpolated(grid, at, sizes)[0]
        seen[~_is_inside(at, sizes)] = outside
        yield slab, seen.numpy()


def steps_on_grid(
    source: tuple[NDArray[np.float32], NDArray[np.float64]], shape: Shape, affine: NDArray[np.float64], top: float
) -> NDArray[np.uint8]:
    """Interpolate numbers trilinearly to the voxels of another grid, in 255 steps from 0 to `top`.

    Slab by slab: the numbers are never held at full size. Outside the source's grid they are 0.

    Args:
        source: (x, y, z) numbers, and their (4, 4) affine to the frame that both share.
        shape: (i, j, k) of the target.
        affine: (4, 4) of the target, to the same frame.
        top: What 255 stands for; above 0.

    Returns:
        (i, j, k) uint8.
    """
    found = np.zeros(shape, np.uint8)
    for slab, numbers in values_on_grid(*source, shape, affine, outside=0.0):
        found[slab] = np.clip(np.rint(numbers * (255 / top)), 0, 255).astype(np.uint8)
    return found


def straighten(volume: Volume) -> Volume:
    """Resample a sheared image (gantry tilt) to right angles; others come back as they are.

    i and j stay as they are; the slices are stacked along their common normal, and
    the field grows in plane so that nothing is cut off. What lies outside the
    source takes the image's lowest value (air, on CT).

    Args:
        volume: An image on a Grid.

    Returns:
        float32 data on a Grid with the same spacing in plane.
    """
    if not isinstance(volume.space, Grid) or not volume.space.is_sheared:
        return volume
    grid = volume.space
    target = _upright(grid)
    to_source = np.linalg.inv(grid.affine) @ target.affine
    data = ndimage.affine_transform(
        volume.data.astype(np.float32),
        to_source[:3, :3],
        offset=to_source[:3, 3],
        output_shape=target.shape,
        order=1,
        mode="constant",
        cval=float(volume.data.min()),
    )
    return Volume(data, target, volume.facts, volume.image_id, volume.display_window, volume.is_inverted)


def _upright(grid: Grid) -> Grid:
    i_mm, j_mm, _ = grid.spacing_mm
    i_axis, j_axis = grid.affine[:3, 0] / i_mm, grid.affine[:3, 1] / j_mm
    j_axis = j_axis - i_axis * (i_axis @ j_axis)
    j_axis = j_axis / np.linalg.norm(j_axis)
    normal = np.cross(i_axis, j_axis)
    normal = normal * np.sign(normal @ grid.affine[:3, 2])
    axes = np.column_stack([i_axis, j_axis, normal])
    steps_mm = np.array([i_mm, j_mm, float(normal @ grid.affine[:3, 2])])
    # Where the corners lie along the new axes says how far the field has to reach.
    reach_mm = (grid.corners_ras_mm() - grid.affine[:3, 3]) @ axes
    low = np.floor(reach_mm.min(axis=0) / steps_mm + 1e-6)
    high = np.ceil(reach_mm.max(axis=0) / steps_mm - 1e-6)
    affine = np.eye(4)
    affine[:3, :3] = axes * steps_mm
    affine[:3, 3] = grid.affine[:3, 3] + axes @ (low * steps_mm)
    i, j, k = (high - low + 1).astype(int).tolist()
    return Grid((i, j, k), affine)


def _target_box(
    logits: NDArray[np.float32], to_target: NDArray[np.float64], shape: Shape
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Find the target voxels that can be anything but background.

    Between voxels that are all background the interpolated background is the
    largest class too, so one voxel around the others is enough.
    """
    found = logits.argmax(axis=0) > 0
    if not found.any():
        return None
    reach = [np.flatnonzero(found.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    low = np.array([one[0] for one in reach]) - 1
    high = np.array([one[-1] for one in reach]) + 1
    ends = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), dtype=np.float64).reshape(3, 8).T
    reached = ends @ to_target[:3, :3].T + to_target[:3, 3]
    start = np.clip(np.floor(reached.min(axis=0)).astype(int), 0, shape)
    stop = np.clip(np.ceil(reached.max(axis=0)).astype(int) + 1, 0, shape)
    if (stop <= start).any():
        return None
    return tuple(start.tolist()), tuple(stop.tolist())


def _interpolated(grids: torch.Tensor, at: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    # grid_sample wants (z, y, x) in -1..1, where -1 and 1 are centres of the outer voxels.
    wanted = (2 * at / (sizes - 1).clamp(min=1) - 1).flip(-1).to(torch.float32)[None]
    return nnf.grid_sample(grids, wanted, mode="bilinear", padding_mode="border", align_corners=True)[0]


def _is_inside(at: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    return ((at >= -0.5) & (at <= sizes - 0.5)).all(dim=-1)


def _largest_class(seen: torch.Tensor) -> torch.Tensor:
    """Take the argmax over the classes, the first of equal ones.

    A pass per class takes a fifth of the time of torch's argmax, which walks across memory.

    Args:
        seen: (classes, i, j, k) logits.

    Returns:
        (i, j, k) uint8.
    """
    best = torch.zeros(seen.shape[1:], dtype=torch.uint8)
    largest = seen[0].clone()
    for value in range(1, len(seen)):
        best.masked_fill_(seen[value] > largest, value)
        torch.maximum(largest, seen[value], out=largest)
    return best


def _source_index(matrix: torch.Tensor, ranges: tuple[tuple[int, int], ...]) -> torch.Tensor:
    """Give the (i, j, k, 3) source indices of a block of target voxels."""
    axes = [torch.arange(start, stop, dtype=torch.float64) for start, stop in ranges]
    ijk = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return ijk @ matrix[:3, :3].T + matrix[:3, 3]
