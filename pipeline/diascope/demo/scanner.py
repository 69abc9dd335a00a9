"""A scanner: from a head and a protocol to the numbers that an MR image holds."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diascope.demo.patient import Head, sample_head
from diascope.demo.tissues import Contrast
from diascope.findings import Triple
from diascope.geometry import Grid, Shape

Plane = Literal["axial", "coronal", "sagittal"]

# Directions of i, j, k in RAS as scanners write them: rows run to the patient's left
# (sagittal: to the back), columns to the back (else: down), slices along their cross product.
_DIRECTIONS: dict[Plane, tuple[Triple, Triple, Triple]] = {
    "axial": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "coronal": ((-1, 0, 0), (0, 0, -1), (0, -1, 0)),
    "sagittal": ((0, -1, 0), (0, 0, -1), (1, 0, 0)),
}

BITS_STORED = 12

# Where a head coil's sensitivity has fallen to a half, and how softly it falls.
COIL_END_Z_MM, COIL_FADING_MM = -98.0, 7.0


@dataclass(frozen=True, slots=True)
class Protocol:
    """What the technician chose.

    Attributes:
        description: SeriesDescription.
        contrast: Weighting.
        plane: Orientation of the slices.
        shape: Columns, rows, slices.
        spacing_mm: Along columns' steps, rows' steps, slices.
        centre_ras_mm: Middle of the volume.
        tilt_deg: Of the slices, about x, y and z.
        repetition_time_ms: TR.
        echo_time_ms: TE.
        inversion_time_ms: TI, if there is a pulse.
        flip_angle_deg: Flip angle.
        noise: Standard deviation over the brain's brightest tissue.
        bias: How uneven the coil sees, standard deviation of the log.
        white_level: What stands in the file for signal 1.
        image_type: ImageType.
    """

    description: str
    contrast: Contrast
    plane: Plane
    shape: Shape
    spacing_mm: Triple
    centre_ras_mm: Triple = (0.0, -12.0, 10.0)
    tilt_deg: Triple = (0.0, 0.0, 0.0)
    repetition_time_ms: float = 9000.0
    echo_time_ms: float = 120.0
    inversion_time_ms: float | None = None
    flip_angle_deg: float = 90.0
    noise: float = 0.03
    bias: float = 0.10
    white_level: float = 700.0
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "M")


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """An acquired volume.

    Attributes:
        data: (i, j, k) uint16 of 12 bits.
        grid: Where its voxels lie.
        truth: (i, j, k) uint8, 1 where at least half the voxel is lesion.
        protocol: How it was acquired.
    """

    data: NDArray[np.uint16]
    grid: Grid
    truth: NDArray[np.uint8]
    protocol: Protocol


def grid_of(protocol: Protocol) -> Grid:
    """Lay the voxels of a protocol into the patient."""
    # Tilts of a scan are small, so that their order does not matter.
    x, y, z = np.radians(protocol.tilt_deg)
    about = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    # The nearest rotation to a small turn (Cayley's formula keeps right angles exactly).
    turn = np.linalg.solve(np.eye(3) - about / 2, np.eye(3) + about / 2)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array(_DIRECTIONS[protocol.plane]).T @ np.diag(protocol.spacing_mm)
    middle_ijk = (np.array(protocol.shape) - 1) / 2
    affine[:3, 3] = np.array(protocol.centre_ras_mm) - affine[:3, :3] @ middle_ijk
    return Grid(protocol.shape, affine)


def acquire(head: Head, protocol: Protocol, rng: np.random.Generator) -> Scan:
    """Scan a head: partial volumes, blur, uneven sensitivity, noise, 12 bits."""
    grid = grid_of(protocol)
    sub_slices = max(1, round(protocol.spacing_mm[2] / 1.7))
    seen = sample_head(head, grid, protocol.contrast, sub_slices)
    signal = ndimage.gaussian_filter(seen.signal, (0.5, 0.5, 0.0))
    signal *= _bias(grid, protocol, rng) * _coil(grid)
    real = signal + protocol.noise * rng.standard_normal(grid.shape, dtype=np.float32)
    imaginary = protocol.noise * rng.standard_normal(grid.shape, dtype=np.float32)
    # The magnitude of a complex signal: noise in air is Rician, never negative.
    magnitude = np.hypot(real, imaginary) * protocol.white_level
    data = np.clip(np.rint(magnitude), 0, 2**BITS_STORED - 1).astype(np.uint16)
    return Scan(data, grid, (seen.lesion >= 0.5).astype(np.uint8), protocol)


def _bias(grid: Grid, protocol: Protocol, rng: np.random.Generator) -> NDArray[np.float32]:
    knots = rng.standard_normal((4, 4, 4))
    field = knots
    for axis, n in enumerate(grid.shape):
        at = np.linspace(0, 3, n)
        weights = np.stack([ndimage.map_coordinates(unit, at[None], order=3) for unit in np.eye(4)], axis=1)
        field = np.moveaxis(np.tensordot(weights, field, axes=(1, axis)), 0, axis)
    bias: NDArray[np.float32] = np.exp(protocol.bias * field / max(float(knots.std()), 0.5)).astype(np.float32)
    return bias


def _coil(grid: Grid) -> NDArray[np.float32]:
    """Let the signal fade below the head coil, towards the neck."""
    i, j, k = (np.arange(n) * step for n, step in zip(grid.shape, grid.affine[2, :3], strict=True))
    z_mm = grid.affine[2, 3] + i[:, None, None] + j[None, :, None] + k[None, None, :]
    seen: NDArray[np.float32] = (1 / (1 + np.exp(-(z_mm - COIL_END_Z_MM) / COIL_FADING_MM))).astype(np.float32)
    return seen
