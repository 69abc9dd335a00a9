"""Numbers from label maps: volume and intensity per label, what the border cuts off, diameters of a part.

The definitions are scikit-image's (`regionprops`: number of pixels, mean and standard
deviation of the intensity, the latter dividing by n). They are computed by counting
(`bincount`), which is the same and reads a whole head with 30 labels in one pass.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from diascope.findings import Finding, Measurement, Triple
from diascope.geometry import Grid, Space, check_same_space
from diascope.imaging.components import Component
from diascope.imaging.planes import slice_of
from diascope.volume import Mask, Volume


@dataclass(frozen=True, slots=True)
class Diameters:
    """Longest and perpendicular diameter of a part, in one slice, as RECIST 1.1 measures.

    Attributes:
        slice_k: The slice they lie in.
        longest_mm: The greatest distance of two points of its outline.
        longest_ends_ras_mm: These two points.
        perpendicular_mm: The longest at right angles to it.
        perpendicular_ends_ras_mm: Its end points.
    """

    slice_k: int
    longest_mm: float
    longest_ends_ras_mm: tuple[Triple, Triple]
    perpendicular_mm: float
    perpendicular_ends_ras_mm: tuple[Triple, Triple]


def measure_labels(mask: Mask, volume: Volume, bundle: str, image_id: str) -> tuple[Measurement, ...]:
    """Measure every label of a mask: volume, mean and standard deviation of the intensity.

    A label that was not found has volume 0 and no intensity. Volumes are in mm³ on a
    Grid and in voxels elsewhere; intensities in HU for CT, else in the source's own
    unit. Voxels that hold no finite number have a volume and no intensity.

    Raises:
        GridMismatch: Mask and volume lie on different voxels.
    """
    check_same_space(mask.space, volume.space)
    counts, means, deviations = _statistics(mask, volume)
    step, volume_unit = (mask.space.voxel_mm3, "mm3") if isinstance(mask.space, Grid) else (1.0, "voxel")
    unit = "HU" if volume.facts.modality == "CT" else "source"
    found: list[Measurement] = []
    for value in sorted(mask.labels):
        name = mask.labels[value]
        found += [
            Measurement(image_id, bundle, name, "volume", float(counts[value]) * step, volume_unit),
            Measurement(image_id, bundle, name, "mean_intensity", _or_none(means[value]), unit),
            Measurement(image_id, bundle, name, "sd_intensity", _or_none(deviations[value]), unit),
        ]
    return tuple(found)


def reached_border(mask: Mask) -> tuple[str, ...]:
    """Name the labels that touch the border of the image, so that they may be cut off.

    An axis with a single slice has no border: a radiograph would always touch it.
    """
    touching: set[int] = set()
    for axis, length in enumerate(mask.data.shape):
        if length > 1:
            for end in (0, length - 1):
                touching |= set(np.unique(slice_of(mask.data, axis, end)).tolist())
    return tuple(mask.labels[value] for value in sorted(touching - {0}))


def longest_diameters(part: Component, grid: Grid) -> Diameters:
    """Measure a part in the plane of the slices (constant k), in the slice where it is longest.

    The outline runs half-way between voxels inside and outside, so that a single voxel
    is one voxel long. Both diameters are those of the outline's convex hull: across a
    notch they are measured straight, as with callipers.
    """
    offset_ijk = np.array(part.box_ijk[0], dtype=np.float64)
    # QR gives coordinates in the plane in which lengths are mm, whatever the obliquity.
    _, to_plane_mm = np.linalg.qr(grid.affine[:3, :2])
    best: Diameters | None = None
    for k in np.flatnonzero(part.voxels.any(axis=(0, 1))).tolist():
        outline_ij = _outline(part.voxels[:, :, k]) + offset_ijk[:2]
        found = _diameters(outline_ij, to_plane_mm, k + part.box_ijk[0][2], grid)
        if best is None or found.longest_mm > best.longest_mm + 1e-9:
            best = found
    if best is None:
        raise ValueError("a component has at least one voxel")
    return best


def place_finding(finding: Finding, part: Component, space: Space) -> Finding:
    """Fill in where a finding lies and how large it is; millimetres on a Grid only.

    Args:
        finding: Its identity, label and score; place and size are overwritten.
        part: Its voxels.
        space: Geometry of its image.
    """
    placed = replace(finding, box_ijk=part.box_ijk, size_voxels=part.size_voxels)
    if not isinstance(space, Grid):
        return placed
    diameters = longest_diameters(part, space)
    low, high = np.array(part.box_ijk[0]) - 0.5, np.array(part.box_ijk[1]) - 0.5
    corners_ijk = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), dtype=np.float64).reshape(3, 8).T
    corners_ras_mm = space.to_ras_mm(corners_ijk)
    return replace(
        placed,
        centre_ras_mm=_triple(space.to_ras_mm(np.array([part.centre_ijk]))[0]),
        box_ras_mm=(_triple(corners_ras_mm.min(axis=0)), _triple(corners_ras_mm.max(axis=0))),
        volume_mm3=part.size_voxels * space.voxel_mm3,
        longest_diameter_mm=diameters.longest_mm,
        longest_ends_ras_mm=diameters.longest_ends_ras_mm,
        perpendicular_diameter_mm=diameters.perpendicular_mm,
        perpendicular_ends_ras_mm=diameters.perpendicular_ends_ras_mm,
    )


def _statistics(mask: Mask, volume: Volume) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    inside = mask.data != 0
    labels = mask.data[inside]
    values = volume.data[inside].astype(np.float64)
    length = max(mask.labels, default=0) + 1
    counts = np.bincount(labels, minlength=length)
    finite = np.isfinite(values)
    if not finite.all():
        labels, values = labels[finite], values[finite]
    numbers = np.bincount(labels, minlength=length)
    with np.errstate(invalid="ignore"):
        means = np.bincount(labels, weights=values, minlength=length) / numbers
        # In two passes: the mean of squares minus the square of the mean loses the small spread of large values.
        squares = (values - means[labels]) ** 2
        deviations = np.sqrt(np.bincount(labels, weights=squares, minlength=length) / numbers)
    return counts, means, deviations


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    # (n, 2) points i, j half-way between a pixel inside and its neighbour outside.
    padded = np.pad(inside, 1)
    points = []
    for step_i, step_j in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        outside = ~np.roll(padded, (-step_i, -step_j), axis=(0, 1))
        at = np.argwhere(padded & outside) - 1
        points.append(at + 0.5 * np.array([step_i, step_j]))
    return np.concatenate(points)


def _diameters(outline_ij: NDArray[np.float64], to_plane_mm: NDArray[np.float64], k: int, grid: Grid) -> Diameters:
    points_mm = outline_ij @ to_plane_mm.T
    hull = ConvexHull(points_mm).vertices  # counter-clockwise
    outline_ij, points_mm = outline_ij[hull], points_mm[hull]
    distances_mm = cdist(points_mm, points_mm)
    one, other = np.unravel_index(int(distances_mm.argmax()), distances_mm.shape)
    along = (points_mm[other] - points_mm[one]) / distances_mm[one, other]
    across = np.array([-along[1], along[0]])
    ends_mm = _widest_chord((points_mm - points_mm[one]) @ np.stack([along, across], axis=1))
    ends_ij = (ends_mm @ np.stack([along, across]) + points_mm[one]) @ np.linalg.inv(to_plane_mm).T
    return Diameters(
        slice_k=k,
        longest_mm=float(distances_mm[one, other]),
        longest_ends_ras_mm=_ends(outline_ij[[one, other]], k, grid),
        perpendicular_mm=float(abs(ends_mm[1, 1] - ends_mm[0, 1])),
        perpendicular_ends_ras_mm=_ends(ends_ij, k, grid),
    )


def _widest_chord(hull_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    # hull_mm: (n, 2) vertices in order, x along the longest diameter. Upper minus lower side of a
    # convex outline is concave in x and straight between vertices: it is largest at a vertex.
    start, end = int(hull_mm[:, 0].argmin()), int(hull_mm[:, 0].argmax())
    lower = _chain(hull_mm, start, end)
    upper = _chain(hull_mm, end, start)[::-1]
    x_mm = np.unique(hull_mm[:, 0])
    low_mm = np.interp(x_mm, lower[:, 0], lower[:, 1])
    high_mm = np.interp(x_mm, upper[:, 0], upper[:, 1])
    at = int((high_mm - low_mm).argmax())
    return np.array([[x_mm[at], low_mm[at]], [x_mm[at], high_mm[at]]])


def _chain(hull_mm: NDArray[np.float64], start: int, end: int) -> NDArray[np.float64]:
    length = (end - start) % len(hull_mm) + 1
    return hull_mm[(start + np.arange(length)) % len(hull_mm)]


def _ends(ends_ij: NDArray[np.float64], k: int, grid: Grid) -> tuple[Triple, Triple]:
    first, second = grid.to_ras_mm(np.column_stack([ends_ij, np.full(2, float(k))]))
    return _triple(first), _triple(second)


def _triple(point: NDArray[np.float64]) -> Triple:
    x, y, z = point.tolist()
    return x, y, z


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
