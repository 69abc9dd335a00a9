"""One patient's head: the template head, stretched, bent, and with what is wrong in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diascope.demo.anatomy import SHAPE, Anatomy
from diascope.demo.tissues import Contrast, Tissue, signal_table
from diascope.findings import Triple
from diascope.geometry import Grid

Field = NDArray[np.float32]

# The bending of a head is stored on points this far apart; it is smooth over 30 mm.
WARP_STEP_MM = 10.0
WARP_SHAPE = (26, 32, 30)
WARP_FIRST_MM = (-125.0, -160.0, -150.0)

# A lesion fades out over a quarter of its radius, like oedema.
EDGE_SOFTNESS = 0.26

# On a series the bending is computed for every sixth voxel and interpolated between.
STRIDE = 6


@dataclass(frozen=True, slots=True)
class Bulge:
    """A place where the tissue is blown up and pushes its neighbours away.

    Attributes:
        centre_ras_mm: Its middle.
        radius_mm: How far it reaches.
        strength: 0 none; 0.3 makes things in the middle 1.4 times as large.
    """

    centre_ras_mm: Triple
    radius_mm: float
    strength: float


@dataclass(frozen=True, slots=True)
class Lesion:
    """A glioma-like lesion.

    Attributes:
        centre_ras_mm: Its middle, in the template's frame: it moves with the head.
        radius_mm: Mean radius.
        cyst_share: Radius of the fluid in it over its own; 0 for none.
        seed: Of its shape.
    """

    centre_ras_mm: Triple
    radius_mm: float
    cyst_share: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Build:
    """How a patient differs from the template.

    Attributes:
        scale: Size along x, y, z; 1 is the template, which is larger than most.
        tilt_deg: How the head lies in the scanner, about x, y and z.
        shift_mm: Where it lies.
        bend_mm: Standard deviation of the bending.
        bulges: Wide ventricles.
        lesions: What is wrong.
    """

    scale: Triple = (0.93, 0.93, 0.93)
    tilt_deg: Triple = (0.0, 0.0, 0.0)
    shift_mm: Triple = (0.0, 0.0, 0.0)
    bend_mm: float = 2.5
    bulges: tuple[Bulge, ...] = ()
    lesions: tuple[Lesion, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A patient's head that can be looked at with any grid and contrast.

    Attributes:
        anatomy: What it was made from.
        to_template: (4, 4) takes RAS mm of the patient to RAS mm of the template.
        warp_mm: (3, n, n, n) further shift in the template's frame, by place in the template.
        build: How it differs.
    """

    anatomy: Anatomy
    to_template: NDArray[np.float64]
    warp_mm: Field
    build: Build


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """A head on the voxels of a grid.

    Attributes:
        signal: (i, j, k) float32, relative to the brightest tissue of the brain.
        lesion: (i, j, k) float32, share of the voxel that is lesion.
    """

    signal: Field
    lesion: Field


def make_head(anatomy: Anatomy, build: Build, rng: np.random.Generator) -> Head:
    """Stretch and bend the template into a patient."""
    turn = _rotation(build.tilt_deg)
    to_template = np.eye(4)
    to_template[:3, :3] = np.diag(1 / np.array(build.scale)) @ turn.T
    to_template[:3, 3] = -to_template[:3, :3] @ np.array(build.shift_mm)
    noise = rng.standard_normal((3, *WARP_SHAPE)).astype(np.float32)
    warp = ndimage.gaussian_filter(noise, (0, 2.2, 2.2, 2.2), mode="nearest")
    warp *= build.bend_mm / warp.std()
    return Head(anatomy, to_template, warp + _bulging_mm(build), build)


def sample_head(head: Head, grid: Grid, contrast: Contrast, sub_slices: int) -> Sampled:
    """Look at a head through the voxels of a grid.

    Args:
        head: The patient.
        grid: Voxels, in the patient's frame.
        contrast: What makes tissues bright.
        sub_slices: A slice is the mean of this many planes across its thickness.
    """
    signal, lesion = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    offsets = (np.arange(sub_slices) + 0.5) / sub_slices - 0.5
    for offset in offsets.tolist():
        place_mm = _template_mm(head, grid, offset)
        plane = _signal(head, place_mm, contrast)
        signal += plane.signal / sub_slices
        lesion += plane.lesion / sub_slices
    return Sampled(signal, lesion)


def _bulging_mm(build: Build) -> Field:
    """Add up how bulges and lesions shift the place in the template that is looked at."""
    axes = [first + WARP_STEP_MM * np.arange(n) for first, n in zip(WARP_FIRST_MM, WARP_SHAPE, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    shift = np.zeros_like(points)
    masses = [Bulge(lesion.centre_ras_mm, 1.9 * lesion.radius_mm, 0.22) for lesion in build.lesions]
    for bulge in (*build.bulges, *masses):
        from_centre = points - np.array(bulge.centre_ras_mm)[:, None, None, None]
        reach = np.exp(-(from_centre**2).sum(axis=0) / bulge.radius_mm**2)
        shift -= bulge.strength * reach * from_centre
    return shift.astype(np.float32)


def _template_mm(head: Head, grid: Grid, offset_k: float) -> Field:
    """Find the place in the template of every voxel: (3, i, j, k) RAS mm."""
    knots = [np.unique(np.append(np.arange(0, n, STRIDE), n - 1)) for n in grid.shape]
    index_ijk = np.stack(np.meshgrid(*knots, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float64)
    index_ijk[:, 2] += offset_k
    straight = grid.to_ras_mm(index_ijk) @ head.to_template[:3, :3].T + head.to_template[:3, 3]
    lattice = (straight - np.array(WARP_FIRST_MM)) / WARP_STEP_MM
    bent = [ndimage.map_coordinates(part, lattice.T, order=3, mode="nearest") for part in head.warp_mm]
    knot_mm = (straight.T + np.array(bent)).reshape(3, *(len(at) for at in knots)).astype(np.float32)
    weights = [_between(at, n) for at, n in zip(knots, grid.shape, strict=True)]
    place_mm: Field = np.einsum("xabc,ia->xibc", knot_mm, weights[0])
    place_mm = np.einsum("xibc,jb->xijc", place_mm, weights[1])
    return np.ascontiguousarray(place_mm @ weights[2].T)


def _between(knots: NDArray[np.int64], n: int) -> Field:
    """Make the matrix that interpolates linearly between knots: (n, knots)."""
    weights = np.stack([np.interp(np.arange(n), knots, unit) for unit in np.eye(len(knots))], axis=1)
    return weights.astype(np.float32)


def _signal(head: Head, place_mm: Field, contrast: Contrast) -> Sampled:
    anatomy, table = head.anatomy, signal_table(contrast)
    tissue = _tissue_at(anatomy, place_mm)
    signal = table[tissue]
    in_brain = tissue == Tissue.BRAIN
    at_mm = place_mm[:, in_brain]
    at_voxel = at_mm - np.array(anatomy.brain.first_ras_mm, dtype=np.float32)[:, None]
    brain = anatomy.brain
    grey, white, csf, texture = (
        ndimage.map_coordinates(part, at_voxel, order=1, mode="nearest")
        for part in (brain.grey, brain.white, brain.csf, brain.texture)
    )
    # T2 and FLAIR show the nuclei the other way round, and less: iron and myelin darken them.
    texture = texture if contrast == "t1" else 1 + 0.3 * (1 - texture)
    tissues = table[Tissue.GREY] * grey + table[Tissue.WHITE] * white
    value = tissues * texture + table[Tissue.CSF] * csf
    ill = np.zeros_like(value)
    for lesion in head.build.lesions:
        seen = _lesion_at(lesion, at_mm, white, csf)
        inside = table[Tissue.LESION] * seen.grain * (1 - seen.fluid) + table[Tissue.CYST] * seen.fluid
        value[seen.near] += seen.share * (inside - value[seen.near])
        ill[seen.near] = np.maximum(ill[seen.near], seen.share)
    signal[in_brain] = value
    everywhere = np.zeros_like(signal)
    everywhere[in_brain] = ill
    return Sampled(signal, everywhere)


def _tissue_at(anatomy: Anatomy, place_mm: Field) -> NDArray[np.uint8]:
    flat = np.zeros(place_mm.shape[1:], dtype=np.int32)
    outside = np.zeros(place_mm.shape[1:], dtype=bool)
    for part, first, n in zip(place_mm, anatomy.first_ras_mm, SHAPE, strict=True):
        at = np.rint(part - first).astype(np.int32)
        outside |= (at < 0) | (at >= n)
        flat = flat * n + np.clip(at, 0, n - 1)
    tissue = anatomy.tissue.ravel()[flat]
    tissue[outside] = Tissue.AIR
    return tissue


@dataclass(frozen=True, slots=True, eq=False)
class _LesionParts:
    near: NDArray[np.int64]
    share: Field
    fluid: Field
    grain: Field


def _lesion_at(lesion: Lesion, at_mm: Field, white: Field, csf: Field) -> _LesionParts:
    """Find, for those of (3, n) places in the template that are near, what the lesion has there."""
    from_centre = at_mm - np.array(lesion.centre_ras_mm, dtype=np.float32)[:, None]
    near = np.flatnonzero((np.abs(from_centre) < 2 * lesion.radius_mm).all(axis=0))
    from_centre = from_centre[:, near]
    rng = np.random.default_rng(lesion.seed)
    coarse, fine = (_noise_at(from_centre, step_mm, rng) for step_mm in (11.0, 5.0))
    off = np.linalg.norm(from_centre, axis=0) / lesion.radius_mm
    # Oedema runs along white matter and stops at the cortex.
    depth = 1 - off + 0.28 * coarse + 0.10 * fine + 0.35 * (white[near] - 0.75)
    share = np.clip(depth / EDGE_SOFTNESS + 0.5, 0, 1) * (1 - csf[near])
    inner = lesion.cyst_share - off + 0.14 * coarse if lesion.cyst_share else np.full_like(off, -1)
    fluid = np.clip(inner / (0.6 * EDGE_SOFTNESS) + 0.5, 0, 1)
    return _LesionParts(near, share, fluid, 1 + 0.06 * coarse + 0.05 * fine)


def _noise_at(from_centre_mm: Field, step_mm: float, rng: np.random.Generator) -> Field:
    lattice = rng.standard_normal((24, 24, 24)).astype(np.float32)
    at: Field = ndimage.map_coordinates(lattice, from_centre_mm / step_mm + 12, order=3, mode="wrap")
    return at


def _rotation(angles_deg: Triple) -> NDArray[np.float64]:
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_deg)):
        one, other = [at for at in range(3) if at != axis]
        step = np.eye(3)
        step[one, one] = step[other, other] = np.cos(angle)
        step[one, other], step[other, one] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    return turn
