"""Distances between two surfaces, weighted with area.

The definition is that of Nikolov et al. (J Med Internet Res 2021; the
surface-distance package): a surface element sits at each corner where the eight
voxels around it are not all alike; its area is what marching cubes would draw
there. Elements therefore count by their size, not by their number, and anisotropic
voxels do not bend the result. The table of areas is computed, not copied: of the
two ways to cut an ambiguous cube the smaller area is taken, which gives the
published table.

Distances are between the elements themselves, in patient space, so a sheared grid
(gantry tilt) is as exact as a straight one.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from diascope.geometry import Grid, Space

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Surfaces one voxel apart are within a tolerance of one voxel: 5 x 0.8 - 4 x 0.8
# is a little more than 0.8 in floating point.
ROUNDING = 1e-6

# Fits into the second-level cache of common processors, with what is made of it.
SLAB_BYTES = 256_000

# How many voxels around an element are looked up before a tree is asked.
NEAR = 3


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDistances:
    """How far each element of one surface lies from the other surface.

    Attributes:
        of_truth: (n,) from each element of the truth's surface, in the unit of the step vectors.
        truth_area: (n,) its area (length in a single slice).
        of_predicted: (m,) from each element of the predicted surface.
        predicted_area: (m,) its area.
    """

    of_truth: Floats
    truth_area: Floats
    of_predicted: Floats
    predicted_area: Floats

    def share_within(self, tolerance: float) -> float:
        """Surface Dice: the share of both surfaces that lies within the tolerance of the other (NSD)."""
        limit = tolerance + ROUNDING
        near = self.truth_area[self.of_truth <= limit].sum()
        near += self.predicted_area[self.of_predicted <= limit].sum()
        return float(near / (self.truth_area.sum() + self.predicted_area.sum()))

    def hausdorff(self, percent: float = 95.0) -> float:
        """Hausdorff distance at a percentile: the larger of both directions, weighted with area."""
        return max(
            _percentile(self.of_truth, self.truth_area, percent),
            _percentile(self.of_predicted, self.predicted_area, percent),
        )


def steps_of(space: Space) -> Floats:
    """Give the step of one voxel along each axis: in mm on a Grid, else one voxel.

    Returns:
        (3, 3) one step per column.
    """
    return space.affine[:3, :3] if isinstance(space, Grid) else np.eye(3)


def diagonal_of(space: Space) -> float:
    """Length of an image from corner to corner, in mm on a Grid, else in voxels."""
    return float(np.linalg.norm(steps_of(space) @ np.array(space.shape)))


def surface_distances(predicted: Bools, truth: Bools, space: Space) -> SurfaceDistances:
    """Measure between the surfaces of two objects; both must hold at least one voxel.

    Args:
        predicted: (i, j, k), best cropped to what holds both objects.
        truth: (i, j, k) of the same shape.
        space: Of the whole image; an image of a single slice is measured along
            the contours.
    """
    steps = steps_of(space)
    if space.shape[2] == 1:
        steps, area = steps[:, :2], _contour_lengths(steps)
        on_truth, on_predicted = (_contour(one[:, :, 0]) for one in (truth, predicted))
    else:
        if truth.flags.f_contiguous and predicted.flags.f_contiguous:  # slabs lie along memory
            truth, predicted, steps = truth.T, predicted.T, steps[:, ::-1]
        area = _surface_areas(steps)
        on_truth, on_predicted = _surface(truth), _surface(predicted)
    return SurfaceDistances(
        _distances(on_truth, on_predicted, steps),
        area[on_truth.codes],
        _distances(on_predicted, on_truth, steps),
        area[on_predicted.codes],
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Elements:
    """The corners at which a surface has an element.

    Attributes:
        at: (n, axes) place of each.
        codes: (n,) which of the voxels around it are inside.
        shape: Corners along each axis.
    """

    at: NDArray[np.int64]
    codes: NDArray[np.uint8]
    shape: tuple[int, ...]


def _percentile(distances: Floats, area: Floats, percent: float) -> float:
    order = np.argsort(distances)
    share = np.cumsum(area[order]) / area.sum()
    at = min(int(np.searchsorted(share, percent / 100.0)), len(order) - 1)
    return float(distances[order][at])


def _distances(ours: _Elements, others: _Elements, steps: Floats) -> Floats:
    # Most elements have one of the other surface within a few voxels: the places around them
    # are looked up, nearest first. Only what is further away is sought in a tree.
    offsets, lengths = _around(steps)
    shape = tuple(n + 2 * NEAR for n in others.shape)
    is_there = np.zeros(shape, dtype=bool).ravel()
    is_there[np.ravel_multi_index(tuple((others.at + NEAR).T), shape)] = True
    here = np.ravel_multi_index(tuple((ours.at + NEAR).T), shape)
    jumps = np.ravel_multi_index(tuple((offsets + NEAR).T), shape) - np.ravel_multi_index((NEAR,) * len(shape), shape)
    distances = np.zeros(len(here))
    left = np.arange(len(here))
    for jump, length in zip(jumps.tolist(), lengths.tolist(), strict=True):
        is_found = is_there[here[left] + jump]
        distances[left[is_found]] = length
        left = left[~is_found]
        if left.size == 0:
            return distances
    tree = cKDTree(others.at @ steps.T, balanced_tree=False, compact_nodes=False)
    distances[left] = tree.query(ours.at[left] @ steps.T)[0]
    return distances


def _around(steps: Floats) -> tuple[NDArray[np.int64], Floats]:
    # Every place that is nearer than the nearest one outside the window, nearest first.
    axes = steps.shape[1]
    offsets = np.stack(np.meshgrid(*[np.arange(-NEAR, NEAR + 1)] * axes, indexing="ij"), axis=-1).reshape(-1, axes)
    lengths = np.linalg.norm(offsets @ steps.T, axis=1)
    # Planes of the lattice lie 1 / |row of the inverse| apart.
    outside = (NEAR + 1) / np.linalg.norm(np.linalg.pinv(steps), axis=1).max()
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] < outside]
    return offsets[order], lengths[order]


def _surface(inside: Bools) -> _Elements:
    # A bit for each of the eight voxels around a corner: 1, 2 and 4 places along k, j and i.
    # Slab by slab, so that a slab stays in the processor's cache through all its passes.
    ni, nj, nk = (n + 1 for n in inside.shape)
    step = max(1, SLAB_BYTES // (nj * nk))
    places, found = [], []
    for first in range(0, ni, step):
        last = min(first + step, ni)
        slab = np.zeros((last - first + 1, nj + 1, nk + 1), dtype=np.uint8)
        begin, end = max(first - 1, 0), min(last, ni - 1)
        slab[begin - first + 1 : end - first + 1, 1:-1, 1:-1] = inside[begin:end]
        codes = slab[:, :, :-1] | slab[:, :, 1:] << np.uint8(1)
        codes = codes[:, :-1] | codes[:, 1:] << np.uint8(2)
        codes = (codes[:-1] | codes[1:] << np.uint8(4)).ravel()
        at = _edges(codes, 256)
        places.append(at + first * nj * nk)
        found.append(codes[at])
    at = np.concatenate(places)
    return _Elements(_places(at, (ni, nj, nk)), np.concatenate(found), (ni, nj, nk))


def _contour(inside: Bools) -> _Elements:
    codes = np.pad(inside, 1).view(np.uint8)
    codes = codes[:, :-1] | codes[:, 1:] << np.uint8(1)
    codes = codes[:-1] | codes[1:] << np.uint8(2)
    at = _edges(codes.ravel(), 16)
    return _Elements(_places(at, codes.shape), codes.ravel()[at], codes.shape)


def _edges(codes: NDArray[np.uint8], kinds: int) -> NDArray[np.int64]:
    # All inside or all outside is no edge; every other corner has an area.
    return np.flatnonzero((codes - np.uint8(1)) < kinds - 2)


def _places(at: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.stack(np.unravel_index(at, shape), axis=1).astype(np.int64)


def _surface_areas(steps: Floats) -> Floats:
    return _areas_of_codes(tuple(steps.ravel().tolist()))


@functools.lru_cache(maxsize=8)
def _areas_of_codes(step_values: tuple[float, ...]) -> Floats:
    # The same for every label of every image on a grid.
    steps = np.array(step_values).reshape(3, 3)
    areas = np.zeros(256)
    for code in range(1, 255):
        cube = np.array([code >> bit & 1 for bit in range(8)], dtype=np.float32).reshape(2, 2, 2)
        corners, faces, _, _ = marching_cubes(cube, 0.5, method="lorensen", allow_degenerate=True)
        a, b, c = (corners @ steps.T)[faces].transpose(1, 0, 2)
        areas[code] = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    smaller: Floats = np.minimum(areas, areas[::-1])
    return smaller


def _contour_lengths(steps: Floats) -> Floats:
    # Marching squares: a line joins the middles of the edges whose ends differ.
    middles = {(0, 1): (0.0, 0.5), (0, 2): (0.5, 0.0), (1, 3): (0.5, 1.0), (2, 3): (1.0, 0.5)}
    lengths = np.zeros(16)
    for code in range(1, 15):
        crossed = [at for (one, other), at in middles.items() if (code >> one ^ code >> other) & 1]
        points = np.array(crossed) @ steps[:, :2].T
        if len(points) == 2:
            lengths[code] = np.linalg.norm(points[1] - points[0])
        else:  # two corners across: the two ways to cut differ in a sheared slice only
            lengths[code] = 2 * min(np.linalg.norm(points[1] - points[0]), np.linalg.norm(points[2] - points[0]))
    return lengths
