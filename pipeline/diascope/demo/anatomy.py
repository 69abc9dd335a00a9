"""The head that every demo patient is deformed from: a real brain in a synthetic head.

Everything lies in the template's frame (MNI152, RAS mm), on a 1 mm lattice that
reaches from above the vertex to the neck and from the occiput past the nose.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diascope.demo.brain import BrainMaps, load_brain
from diascope.demo.face import HEAD_PARTS, OUTLINE, Part, SkullLimits
from diascope.demo.tissues import Tissue

FIRST_RAS_MM = (-100, -135, -130)
SHAPE = (201, 263, 249)

# Distances of the layers from the hull of the brain, adult means: CSF and dura,
# then the skull with a table, diploe and a table.
CSF_MM, SKULL_MM, TABLE_MM = 3.0, 7.0, 2.0
SCALP_MM = 6.5

# At the base of the skull the brain lies on the bone, and bone reaches into its gaps.
BASE_CSF_LOSS_MM, WING_GAP_MM = 1.6, 3.0
SKIN_MM, FAT_MM = 1.8, 6.0

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """The template head.

    Attributes:
        tissue: (x, y, z) uint8 of Tissue, 1 mm; BRAIN where the brain maps say more.
        brain: Fractions of grey, white and CSF, on a lattice of its own.
        first_ras_mm: Place of voxel (0, 0, 0) of `tissue`.
    """

    tissue: NDArray[np.uint8]
    brain: BrainMaps
    first_ras_mm: tuple[int, int, int]


def build_anatomy(rng: np.random.Generator) -> Anatomy:
    """Put scalp, skull, face and neck around the template's brain."""
    brain = load_brain()
    # Smooth things are computed on 2 mm and brought to 1 mm: an eighth of the work.
    gap_mm, hull_mm = _brain_distances_mm(brain)
    wobble = _smooth_noise(hull_mm.shape, 9.0, rng)
    depth_mm = _head_depth_mm(hull_mm + 0.6 * wobble)
    gap_mm, hull_mm, depth_mm, wobble = (_to_one_mm(field) for field in (gap_mm, hull_mm, depth_mm, wobble))
    streaks = _streaks(rng)
    tissue = np.zeros(SHAPE, dtype=np.uint8)
    tissue[depth_mm > 0] = Tissue.MUSCLE
    tissue[(depth_mm > 0) & streaks] = Tissue.FAT
    tissue[(depth_mm > 0) & (depth_mm < FAT_MM + 1.2 * wobble)] = Tissue.FAT
    tissue[(depth_mm > 0) & (depth_mm < SKIN_MM)] = Tissue.SKIN
    _paint(tissue, [part for part in HEAD_PARTS if part.below_skull], depth_mm, rng)
    _paint_skull(tissue, hull_mm, depth_mm, wobble)
    _paint(tissue, [part for part in HEAD_PARTS if not part.below_skull], depth_mm, rng)
    _paint_csf(tissue, gap_mm, hull_mm, wobble)
    _paint_vessels(tissue, hull_mm)
    _paint_brain(tissue, brain)
    return Anatomy(tissue, brain, FIRST_RAS_MM)


def lattice_mm(step_mm: int = 1) -> tuple[Field, Field, Field]:
    """Give the coordinates of the lattice, for broadcasting.

    Returns:
        x (n, 1, 1), y (1, n, 1) and z (1, 1, n) in RAS mm.
    """
    x, y, z = (
        np.arange(first, first + n, step_mm, dtype=np.float32) for first, n in zip(FIRST_RAS_MM, SHAPE, strict=True)
    )
    return x[:, None, None], y[None, :, None], z[None, None, :]


def _brain_distances_mm(brain: BrainMaps) -> tuple[Field, Field]:
    """Measure the distance from the brain, and from its hull, negative inside that, on 2 mm."""
    inside = np.zeros(SHAPE, dtype=bool)
    inside[_brain_box(brain)] = (brain.grey + brain.white + brain.csf) > 0.5
    coarse = inside[::2, ::2, ::2]
    gap_mm = ndimage.distance_transform_edt(~coarse, sampling=2.0).astype(np.float32)
    # Closing by 8 mm bridges the sulci and leaves room for bone between the temporal lobes.
    hull = ndimage.distance_transform_edt(gap_mm < 8) > 4
    hull |= coarse
    outside_mm = ndimage.distance_transform_edt(~hull, sampling=2.0)
    inside_mm = ndimage.distance_transform_edt(hull, sampling=2.0)
    hull_mm: Field = ndimage.gaussian_filter((outside_mm - inside_mm).astype(np.float32), 1.0)
    return gap_mm, hull_mm


def _head_depth_mm(hull_mm: Field) -> Field:
    """Measure how deep below the skin each place lies, negative outside, on 2 mm."""
    x, y, z = lattice_mm(2)
    surface = hull_mm - (CSF_MM + SKULL_MM + SCALP_MM)
    for blob in OUTLINE:
        surface = _smooth_minimum(surface, blob.distance_mm(x, y, z), blob.blend_mm)
    head = surface < 0
    depth_mm: Field = ndimage.distance_transform_edt(head, sampling=2.0).astype(np.float32)
    depth_mm -= ndimage.distance_transform_edt(~head, sampling=2.0).astype(np.float32)
    smoothed: Field = ndimage.gaussian_filter(depth_mm, 0.8)
    return smoothed


def _smooth_minimum(one: Field, other: Field, blend_mm: float) -> Field:
    mix = np.clip(0.5 + 0.5 * (other - one) / blend_mm, 0, 1)
    joined: Field = (other * (1 - mix) + one * mix - blend_mm * mix * (1 - mix)).astype(np.float32)
    return joined


def _smooth_noise(shape: tuple[int, ...], sigma_voxels: float, rng: np.random.Generator) -> Field:
    noise: Field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma_voxels)
    noise /= noise.std()
    return noise


def _to_one_mm(field: Field) -> Field:
    """Bring a field from every second point of the lattice to every point, linearly."""
    for axis, n in enumerate(SHAPE):
        field = np.moveaxis(field, axis, 0)
        full = np.empty((n, *field.shape[1:]), dtype=np.float32)
        full[::2] = field
        full[1::2] = (field[:-1] + field[1:]) / 2
        field = np.moveaxis(full, 0, axis)
    return np.ascontiguousarray(field)


def _streaks(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Find the planes of fat between muscles: where a noise, stretched along z, passes through zero."""
    noise = _smooth_noise(tuple((n + 1) // 2 for n in SHAPE), 3.0, rng)
    planes: NDArray[np.bool_] = np.abs(_to_one_mm(noise)) < 0.13
    return planes


def _paint(tissue: NDArray[np.uint8], parts: list[Part], depth_mm: Field, rng: np.random.Generator) -> None:
    x, y, z = lattice_mm()
    for part in parts:
        for piece in part.mirrored():
            box = tuple(
                slice(max(0, low - first), max(0, high - first + 1))
                for low, high, first in zip(*piece.box_mm(), FIRST_RAS_MM, strict=True)
            )
            inside = piece.distance_mm(x[box[0]], y[:, box[1]], z[:, :, box[2]]) < 0
            inside &= depth_mm[box] > part.min_depth_mm
            if part.share < 1:
                grain = ndimage.gaussian_filter(rng.standard_normal(inside.shape, dtype=np.float32), part.grain_mm)
                inside &= grain < np.quantile(grain, part.share)
            tissue[box][inside] = part.tissue


def _paint_skull(tissue: NDArray[np.uint8], hull_mm: Field, depth_mm: Field, wobble: Field) -> None:
    z = lattice_mm()[2]
    y = lattice_mm()[1]
    thick_mm = SKULL_MM + 0.9 * wobble - SkullLimits.thinning_mm(y, z)
    skull = (hull_mm < CSF_MM + thick_mm) & (depth_mm > SKIN_MM + 1)
    tissue[skull] = Tissue.BONE
    diploe = (hull_mm > CSF_MM + TABLE_MM) & (hull_mm < CSF_MM + thick_mm - TABLE_MM) & skull
    tissue[diploe] = Tissue.MARROW


def _paint_csf(tissue: NDArray[np.uint8], gap_mm: Field, hull_mm: Field, wobble: Field) -> None:
    """Fill the space around the brain: fluid over the vault and in the cisterns, bone in the gaps of the base."""
    x, _, z = lattice_mm()
    at_base = np.clip((-10 - z) / 10, 0, 1)
    tissue[hull_mm < CSF_MM - BASE_CSF_LOSS_MM * at_base + 0.3 * wobble] = Tissue.FLUID
    # The wing of the sphenoid between temporal pole and frontal lobe; the cisterns are in the middle.
    wing = (tissue == Tissue.FLUID) & (gap_mm > WING_GAP_MM) & (at_base > 0.5) & (np.abs(x) > 20)
    tissue[wing] = Tissue.MARROW


def _paint_vessels(tissue: NDArray[np.uint8], hull_mm: Field) -> None:
    """Draw the sagittal sinus: a dark triangle in the midline under the skull."""
    x, y, z = lattice_mm()
    sinus = (np.abs(x) < 3.5 - 0.5 * np.clip(hull_mm, -9, 9)) & (hull_mm > -3) & (hull_mm < CSF_MM) & (z > 0) & (y < 70)
    tissue[sinus & (tissue == Tissue.FLUID)] = Tissue.VESSEL


def _paint_brain(tissue: NDArray[np.uint8], brain: BrainMaps) -> None:
    part = tissue[_brain_box(brain)]
    inside = (brain.grey + brain.white + brain.csf) > 0.5
    # The template's own CSF at the surface is left to the head, where vessels run through it.
    part[inside] = Tissue.BRAIN


def _brain_box(brain: BrainMaps) -> tuple[slice, ...]:
    starts = [at - first for at, first in zip(brain.first_ras_mm, FIRST_RAS_MM, strict=True)]
    return tuple(slice(start, start + n) for start, n in zip(starts, brain.grey.shape, strict=True))
