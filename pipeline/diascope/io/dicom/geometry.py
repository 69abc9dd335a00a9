"""Where a stack lies: an affine from slice positions, and the refusal to make one up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.geometry import Grid, IndexGrid, PixelGrid, Space
from diascope.io.dicom.gaps import Steps, steps_of
from diascope.io.dicom.headers import Header, Orientation
from diascope.io.dicom.kinds import is_projection
from diascope.io.dicom.ordering import normal_of
from diascope.io.dicom.splitting import Slice

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])

# Cosines of one row and one column that are further from a right angle, or from a unit
# vector, are no orientation; nearer ones were written with few digits.
RIGHT_ANGLE = 1e-2

# SpacingBetweenSlices that is further off than this is told; positions are what counts.
SAID_PART = 0.05


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a stack lies.

    Attributes:
        space: In RAS mm, or without a place.
        between: As in Steps: how the slices of the volume are made of those of the series.
        notes: What a reader should know about it.
    """

    space: Space
    between: tuple[tuple[int, float], ...] = ()
    notes: tuple[str, ...] = ()


def grid_of(slices: Sequence[Slice], *, allow_gaps: bool = False) -> Placement:
    """Find the grid of slices that are in order.

    A step that is not at right angles to the slices (gantry tilt) is kept as it is.

    Raises:
        IncompleteSeries: The gaps between slices are not even.
        InputError: The orientation is none.
    """
    place = slices[0].place
    normal = checked_normal(place.orientation)
    if len(slices) == 1:
        thickness_mm = slices[0].frame.thickness_mm
        if thickness_mm is None or thickness_mm <= 0:
            space, _ = flat_space_of(slices[0].header)
            return Placement(space, notes=("a single slice without a thickness: no place in the patient is known",))
        steps = Steps(normal * thickness_mm, notes=("a single slice: its thickness stands for the spacing",))
    else:
        positions_mm = np.array([one.place.position_lps_mm for one in slices], dtype=np.float64)
        steps = steps_of(positions_mm, normal, min(place.spacing_mm), allow_gaps=allow_gaps)
    affine = np.eye(4)
    for axis in range(2):
        direction = np.array(place.orientation[3 * axis : 3 * axis + 3])
        affine[:3, axis] = direction / np.linalg.norm(direction) * place.spacing_mm[axis]
    affine[:3, 2] = steps.step_mm
    affine[:3, 3] = place.position_lps_mm
    affine[:3] = LPS_TO_RAS @ affine[:3]
    layout = slices[0].header.layout
    grid = Grid((layout.image_columns, layout.image_rows, len(steps.between) or len(slices)), affine)
    notes = steps.notes + _spacing_note(slices, float(steps.step_mm @ normal))
    if grid.is_sheared:
        cosine = steps.step_mm @ normal / np.linalg.norm(steps.step_mm)
        degrees = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
        notes = (*notes, f"gantry tilt: the slices are stacked {degrees:.1f} degrees off their normal, and kept so")
    return Placement(grid, steps.between, notes)


def _spacing_note(slices: Sequence[Slice], step_mm: float) -> tuple[str, ...]:
    said_mm = slices[0].frame.spacing_between_mm
    if len(slices) == 1 or not said_mm or abs(abs(said_mm) - step_mm) <= SAID_PART * step_mm:
        return ()
    return (f"the header says that slices are {abs(said_mm):.2f} mm apart, their positions say {step_mm:.2f} mm",)


def flat_space_of(header: Header, slices: int = 1) -> tuple[Space, tuple[str, ...]]:
    """Find the geometry of pixels without a place in the patient.

    Args:
        header: Of a radiograph, or of a slice without position.
        slices: How many there are of it.
    """
    layout, frame = header.layout, header.frames[0]
    shape = (layout.image_columns, layout.image_rows, slices)
    detector_mm, spacing_mm = header.detector_spacing_mm, frame.spacing_mm
    if is_projection(header.sop_class, header.common.facts.modality or ""):
        # PixelSpacing is in the patient only if somebody calibrated it: written so, or
        # different from the detector's own (PS3.3, 10.7.1.3).
        calibrated = header.calibrated or (detector_mm is not None and spacing_mm not in (None, detector_mm))
        if spacing_mm is not None and calibrated:
            return PixelGrid(shape, spacing_mm, "patient"), ("the pixel spacing was calibrated",)
        measured_mm = spacing_mm or detector_mm
        if measured_mm is not None:
            return PixelGrid(shape, measured_mm, "detector"), (
                "the pixel spacing is the detector's, not the patient's",
            )
    elif spacing_mm is not None:
        return PixelGrid(shape, spacing_mm, "patient"), (
            "the header holds no position: no place in the patient is known",
        )
    return IndexGrid(shape), ("the header holds no pixel spacing: no size is known",)


def checked_normal(orientation: Orientation) -> NDArray[np.float64]:
    """Give the normal of an orientation that is one.

    Returns:
        (3,) unit vector in LPS.

    Raises:
        InputError: Its two directions are not unit vectors at right angles.
    """
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if abs(along_row @ along_column) > RIGHT_ANGLE or max(abs(length - 1) for length in lengths) > RIGHT_ANGLE:
        raise InputError(
            f"the directions of row and column have lengths {lengths[0]:.4f} and {lengths[1]:.4f} and a cosine of"
            f" {along_row @ along_column:.4f} between them: expected 1, 1 and 0",
            code="bad_orientation",
        )
    return normal_of(orientation)
