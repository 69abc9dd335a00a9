"""Connected parts of a structure, found run by run instead of voxel by voxel.

A whole body has a hundred million voxels but a few hundred thousand runs of them along
an axis; runs that touch are one part. The parts are those of `scipy.ndimage.label` with
26 neighbours (8 in a single slice), in tenths of the time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

# In noise runs are as many as voxels: their list would be larger than the image.
MOST_RUNS = 3_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The connected parts of a structure.

    Attributes:
        sizes: (parts,) voxels of each.
        is_hit: (parts,) whether another structure shares a voxel with it.
    """

    sizes: Ints
    is_hit: Bools


def connected_parts(inside: Bools, other: Bools) -> Parts:
    """Find the parts of a structure, and which of them another one shares a voxel with.

    Args:
        inside: (i, j, k) the structure.
        other: (i, j, k) the other one.
    """
    if inside.flags.f_contiguous and other.flags.f_contiguous:  # runs lie along memory
        inside, other = inside.T, other.T
    starts, stops = _runs(inside)
    if len(starts) > MOST_RUNS:
        return _by_voxel(inside, other)
    part = _joined(starts, stops, inside.shape)
    shared, _ = _runs(inside & other)
    sizes = np.bincount(part, stops - starts).astype(np.int64)
    is_hit = np.zeros(len(sizes), dtype=bool)
    is_hit[part[np.searchsorted(starts, shared, side="right") - 1]] = True
    return Parts(sizes, is_hit)


def _runs(inside: Bools) -> tuple[Ints, Ints]:
    # First voxel of each run along the last axis, and the one after it; each line has an empty voxel at its end.
    lines = inside.reshape(int(np.prod(inside.shape[:2])), inside.shape[2])
    width = lines.shape[1] + 1
    step = max(1, (1 << 20) // width)
    found = []
    for first in range(0, len(lines), step):
        block = np.zeros((len(lines[first : first + step]), width + 1), dtype=np.uint8)
        block[:, 1:-1] = lines[first : first + step]
        row, column = np.divmod(np.flatnonzero(block[:, 1:] != block[:, :-1]), width)
        found.append((row + first) * width + column)
    at = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
    return at[::2], at[1::2]


def _joined(starts: Ints, stops: Ints, shape: tuple[int, ...]) -> Ints:
    # (runs,) the part each run belongs to.
    rows, columns, width = shape[0], shape[1], shape[2] + 1
    row, column = np.divmod(starts // width, columns)
    pairs = []
    for down, across in ((0, 1), (1, -1), (1, 0), (1, 1)):
        is_inside = (row + down < rows) & (column + across >= 0) & (column + across < columns)
        mine = np.flatnonzero(is_inside)
        jump = (down * columns + across) * width
        # One voxel more on either side: corners touch too. The empty voxel keeps lines apart.
        first = np.searchsorted(stops, starts[mine] - 1 + jump, side="right")
        last = np.searchsorted(starts, stops[mine] + 1 + jump, side="left")
        touching = np.maximum(last - first, 0)
        ends = np.cumsum(touching)
        theirs = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - touching - first, touching)
        pairs.append((np.repeat(mine, touching), theirs))
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(len(starts), len(starts)))
    part: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
    return part


def _by_voxel(inside: Bools, other: Bools) -> Parts:
    parts, n = ndimage.label(inside, np.ones((3, 3, 3), dtype=bool))
    sizes = np.bincount(parts[inside], minlength=n + 1)[1:]
    return Parts(sizes, np.bincount(parts[inside & other], minlength=n + 1)[1:] > 0)
