"""An image cut into the windows that a bundle's inferer would run, and their maps put together again.

The score of an image is a weighted sum over its windows: the inferer blends their
outputs linearly. So the map of an image is the sum of the maps of its windows, raw.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers import SimpleInferer, SliceInferer, SlidingWindowInferer
from monai.utils import ensure_tuple_rep, fall_back_tuple
from numpy.typing import NDArray

from diascope.bundles.slices import EachSlice
from diascope.errors import ConfigError
from diascope.geometry import Shape


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows of an image that have a part in its score.

    Attributes:
        inputs: (n, c, x, y, z), or (n, c, x, y) for a network that sees slices.
        weights: (n, x, y, z) or (n, x, y): the share of each output voxel in the
            score; (n,) ones where the output has no voxels.
        starts: (n, 3) first voxel of each window in the image; negative where the
            inferer pads a small image.
        flat_axis: Axis of the image that the windows do not have.
        image_shape: (x, y, z) of the image.
    """

    inputs: torch.Tensor
    weights: torch.Tensor
    starts: NDArray[np.int64]
    flat_axis: int | None
    image_shape: Shape

    def __len__(self) -> int:
        """Count the windows."""
        return len(self.inputs)

    def part(self, which: Any) -> "Windows":
        """Take some of the windows, by slice or index array."""
        return Windows(self.inputs[which], self.weights[which], self.starts[which], self.flat_axis, self.image_shape)

    def with_inputs(self, inputs: torch.Tensor) -> "Windows":
        """Put other pictures into the same windows.

        Args:
            inputs: (n, c, ...) as `inputs`.
        """
        return Windows(inputs, self.weights, self.starts, self.flat_axis, self.image_shape)

    def on(self, device: torch.device) -> "Windows":
        """Put the windows on a device."""
        return Windows(self.inputs.to(device), self.weights.to(device), self.starts, self.flat_axis, self.image_shape)

    @property
    def size(self) -> Shape:
        """Voxels of a window along the three axes of the image."""
        spatial = list(self.inputs.shape[2:])
        if self.flat_axis is not None:
            spatial.insert(self.flat_axis, 1)
        i, j, k = spatial
        return i, j, k


def split(
    inferer: Any, data: NDArray[np.float32], region: NDArray[np.bool_] | None, slice_at: int | None = None
) -> Windows:
    """Cut an image as its inferer would, and keep the windows that see the region.

    Args:
        inferer: Of the bundle: simple, slice by slice, or sliding window.
        data: (c, x, y, z), or (c, x, y).
        region: (x, y, z) whose mean logit is the score; None where the network
            gives one number per class.
        slice_at: The slice that is explained, where the network answers slice by slice.

    Raises:
        ConfigError: The inferer is of another kind, or a network that gives one
            number per class has windows.
    """
    image = torch.from_numpy(data)
    if image.ndim == 3:
        return _whole(image[..., None], region, flat_axis=2)
    if isinstance(inferer, EachSlice):
        return _one_slice(image, slice_at)
    if isinstance(inferer, SlidingWindowInferer):
        if region is None:
            raise ConfigError(
                f"a network with one number per class cannot have the windows of a {type(inferer).__name__}",
                hint="give the bundle a SimpleInferer",
                code="unfit_inferer",
            )
        return _sliding(inferer, image, region)
    if isinstance(inferer, SimpleInferer):
        return _whole(image, region, flat_axis=None)
    raise ConfigError(
        f"windows of a {type(inferer).__name__} cannot be explained",
        hint="known are SimpleInferer, EachSlice, SliceInferer and SlidingWindowInferer",
        code="unfit_inferer",
    )


def stitch(maps: NDArray[np.float32], windows: Windows) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Add the raw maps of windows up on one grid over the whole image.

    A window of s voxels with a map of m has voxels of s/m; these tile the image from
    its first corner. A window that starts between them is interpolated linearly.

    Args:
        maps: (n, x, y, z) or (n, x, y), the windows' own maps.
        windows: Where they lie.

    Returns:
        The (x, y, z) map, and the (4, 4) matrix that takes its voxels to the image's.
    """
    if windows.flat_axis is not None:
        maps = np.expand_dims(maps, windows.flat_axis + 1)
    steps = [size / cells for size, cells in zip(windows.size, maps.shape[1:], strict=True)]
    shape = [max(1, int(np.ceil(n / step - 1e-6))) for n, step in zip(windows.image_shape, steps, strict=True)]
    whole = np.zeros(shape, dtype=np.float32)
    for start, one in zip(windows.starts.tolist(), maps, strict=True):
        placed, spans = one, []
        for axis in range(3):
            weights, span = _placement(shape[axis], steps[axis], start[axis], one.shape[axis])
            placed = np.moveaxis(np.tensordot(weights, placed, axes=(1, axis)), 0, axis)
            spans.append(span)
        whole[tuple(spans)] += placed
    to_image = np.diag([*steps, 1.0])
    to_image[:3, 3] = (np.array(steps) - 1) / 2
    return whole, to_image


def covered(windows: Windows, map_shape: Shape, to_image: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which voxels of a stitched map lie in a window.

    Args:
        windows: Those that were explained.
        map_shape: (x, y, z) of the map.
        to_image: (4, 4) from the map's voxels to the image's.
    """
    seen = np.zeros(map_shape, dtype=bool)
    for start in windows.starts:
        inside = []
        for axis in range(3):
            at = np.arange(map_shape[axis]) * to_image[axis, axis] + to_image[axis, 3] - start[axis]
            inside.append((at >= -0.5) & (at < windows.size[axis] - 0.5))
        seen |= inside[0][:, None, None] & inside[1][:, None] & inside[2]
    return seen


def _whole(image: torch.Tensor, region: NDArray[np.bool_] | None, flat_axis: int | None) -> Windows:
    i, j, k = image.shape[1:]
    inputs = image[None] if flat_axis is None else image[None].squeeze(flat_axis + 2)
    if region is None:
        weights = torch.ones(1)
    else:
        share = torch.from_numpy(region.reshape(i, j, k).astype(np.float32)) / float(region.sum())
        weights = (share if flat_axis is None else share.squeeze(flat_axis))[None]
    return Windows(inputs, weights, np.zeros((1, 3), dtype=np.int64), flat_axis, (i, j, k))


def _one_slice(image: torch.Tensor, slice_at: int | None) -> Windows:
    i, j, k = image.shape[1:]
    if slice_at is None or not 0 <= slice_at < k:
        raise ConfigError(f"slice {slice_at} of an image of {k} slices cannot be explained", code="nothing_to_explain")
    return Windows(image[..., slice_at][None], torch.ones(1), np.array([[0, 0, slice_at]]), 2, (i, j, k))


def _sliding(inferer: SlidingWindowInferer, image: torch.Tensor, region: NDArray[np.bool_]) -> Windows:
    flat_axis = int(inferer.spatial_dim) if isinstance(inferer, SliceInferer) else None
    i, j, k = image.shape[1:]
    size = _window_size(inferer, (i, j, k), flat_axis)
    before = [max(s - n, 0) // 2 for s, n in zip(size, (i, j, k), strict=True)]
    padding = [p for n, s, b in zip((k, j, i), size[::-1], before[::-1], strict=True) for p in (b, max(s - n, 0) - b)]
    padded = nnf.pad(image[None], padding, mode=str(inferer.padding_mode), value=inferer.cval)[0]
    share = nnf.pad(torch.from_numpy(region.astype(np.float32)), padding) / float(region.sum())
    blend = compute_importance_map(size, mode=inferer.mode, sigma_scale=inferer.sigma_scale, dtype=torch.float32)
    overlap = ensure_tuple_rep(inferer.overlap, 3)
    cuts = dense_patch_slices(padded.shape[1:], size, _intervals(padded.shape[1:], size, overlap))
    count = torch.zeros(padded.shape[1:])
    for cut in cuts:
        count[cut] += blend
    kept = [cut for cut in cuts if share[cut].any()]
    inputs = torch.stack([padded[(slice(None), *cut)] for cut in kept])
    weights = torch.stack([share[cut] * blend / count[cut] for cut in kept])
    if flat_axis is not None:
        inputs, weights = inputs.squeeze(flat_axis + 2), weights.squeeze(flat_axis + 1)
    starts = np.array([[part.start for part in cut] for cut in kept], dtype=np.int64) - np.array(before, dtype=np.int64)
    return Windows(inputs, weights, starts, flat_axis, (i, j, k))


def _window_size(inferer: SlidingWindowInferer, image: Shape, flat_axis: int | None) -> Shape:
    wanted = inferer.roi_size
    if flat_axis is not None:
        wanted = list(inferer.orig_roi_size)
        wanted.insert(flat_axis, 1)
    i, j, k = fall_back_tuple(wanted, image)
    return int(i), int(j), int(k)


def _intervals(image: Any, size: Shape, overlap: Any) -> tuple[int, ...]:
    """Step as MONAI's sliding window does: no step along an axis that one window fills."""
    pairs = zip(image, size, overlap, strict=True)
    return tuple(s if s == n else max(1, int(s * (1 - share))) for n, s, share in pairs)


def _placement(cells: int, step: float, start: int, window_cells: int) -> tuple[NDArray[np.float32], slice]:
    """Find which cells of the whole lie in a window, and how they are interpolated from the window's own."""
    in_window = (np.arange(cells) + 0.5) * step - start
    inside = np.flatnonzero((in_window >= 0) & (in_window < window_cells * step))
    if inside.size == 0:
        return np.zeros((0, window_cells), dtype=np.float32), slice(0, 0)
    at = np.clip(in_window[inside] / step - 0.5, 0, window_cells - 1)
    low = np.minimum(np.floor(at + 1e-9).astype(int), window_cells - 1)
    high = np.minimum(low + 1, window_cells - 1)
    rest = np.clip(at - low, 0, 1)
    weights = np.zeros((inside.size, window_cells), dtype=np.float32)
    rows = np.arange(inside.size)
    weights[rows, low] += 1 - rest
    weights[rows, high] += rest
    return weights, slice(int(inside[0]), int(inside[-1]) + 1)
