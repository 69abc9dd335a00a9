"""Where a stack lies: an affine from slice positions, and the refusal to make one up."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diascope.errors import IncompleteSeries, InputError
from diascope.geometry import Grid, IndexGrid, PixelGrid, Space
from diascope.io.dicom.headers import Header, Orientation
from diascope.io.dicom.kinds import is_projection
from diascope.io.dicom.ordering import normal_of
from diascope.io.dicom.splitting import Slice

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])

# Scanners round slice positions. A twentieth of the gap, or what rounding to a tenth
# of a millimetre leaves, moves no voxel by more than that; a missing slice moves
# them by half a gap at least.
UNEVEN_PART = 0.05
ROUNDING_MM = 0.06
ROUNDING_PART = 0.3

# A gap this much larger than the others has room for another slice.
MISSING_FROM = 1.5

# How far a slice may slide off the line through all of them, as a part of a pixel.
OFF_LINE_PART = 0.25

# Cosines of one row and one column that are further from a right angle are no orientation.
RIGHT_ANGLE = 1e-3


def grid_of(slices: Sequence[Slice], *, allow_gaps: bool = False) -> tuple[Grid, tuple[str, ...]]:
    """Find the grid of slices that are in order.

    The step from slice to slice is (last - first) / (n - 1), so that rounded positions
    do not add up; a step that is not at right angles to the slices (gantry tilt) is kept
    as it is.

    Returns:
        The grid in RAS mm, and what a reader should know about it.

    Raises:
        IncompleteSeries: The gaps between slices are not even.
        InputError: The orientation is none.
    """
    place = slices[0].place
    normal = checked_normal(place.orientation)
    positions_mm = np.array([one.place.position_lps_mm for one in slices], dtype=np.float64)
    notes: tuple[str, ...] = ()
    if len(slices) == 1:
        step_mm, notes = _single_step(slices[0], normal)
    else:
        step_mm = (positions_mm[-1] - positions_mm[0]) / (len(slices) - 1)
        notes = _check_even(positions_mm, step_mm, normal, min(place.spacing_mm), allow_gaps=allow_gaps)
    affine = np.eye(4)
    affine[:3, 0] = np.array(place.orientation[:3]) * place.spacing_mm[0]
    affine[:3, 1] = np.array(place.orientation[3:]) * place.spacing_mm[1]
    affine[:3, 2] = step_mm
    affine[:3, 3] = positions_mm[0]
    affine[:3] = LPS_TO_RAS @ affine[:3]
    layout = slices[0].header.layout
    grid = Grid((layout.image_columns, layout.image_rows, len(slices)), affine)
    if grid.is_sheared:
        degrees = np.rad2deg(np.arccos(np.clip(step_mm @ normal / np.linalg.norm(step_mm), -1, 1)))
        notes = (*notes, f"gantry tilt: the slices are stacked {degrees:.1f} degrees off their normal, and kept so")
    return grid, notes


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


def _single_step(one: Slice, normal: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    thickness_mm = one.frame.thickness_mm
    if thickness_mm is None or thickness_mm <= 0:
        raise InputError("a single slice without a thickness has no third dimension", code="no_thickness")
    return normal * thickness_mm, ("a single slice: its thickness stands for the spacing",)


def _check_even(
    positions_mm: NDArray[np.float64],
    step_mm: NDArray[np.float64],
    normal: NDArray[np.float64],
    pixel_mm: float,
    *,
    allow_gaps: bool,
) -> tuple[str, ...]:
    along_mm = positions_mm @ normal
    gaps_mm = np.diff(along_mm)
    usual_mm = float(np.median(gaps_mm))
    even = positions_mm[0] + np.arange(len(positions_mm))[:, None] * step_mm
    off_mm = positions_mm - even
    off_along_mm = np.abs(off_mm @ normal)
    off_line_mm = np.linalg.norm(off_mm - (off_mm @ normal)[:, None] * normal, axis=1)
    allowed_mm = max(UNEVEN_PART * usual_mm, min(ROUNDING_MM, ROUNDING_PART * usual_mm))
    if off_along_mm.max() > allowed_mm:
        error = _uneven(gaps_mm, usual_mm)
        if not allow_gaps:
            raise error
        return (
            f"read although {error.message}; distances along the slices are wrong by up to {off_along_mm.max():.1f} mm",
        )
    if off_line_mm.max() > max(OFF_LINE_PART * pixel_mm, ROUNDING_MM):
        k = int(off_line_mm.argmax())
        raise IncompleteSeries(
            f"slice {k} of {len(positions_mm)} lies {off_line_mm[k]:.2f} mm off the line through the others,"
            f" its pixels are {pixel_mm:.2f} mm",
            hint="the slices do not form one block; send the series again",
            code="crooked_stack",
        )
    return ()


def _uneven(gaps_mm: NDArray[np.float64], usual_mm: float) -> IncompleteSeries:
    uneven = np.flatnonzero(np.abs(gaps_mm - usual_mm) > UNEVEN_PART * usual_mm)
    at = int(np.abs(gaps_mm - usual_mm).argmax())
    is_missing = bool((gaps_mm[uneven] > MISSING_FROM * usual_mm).all()) and gaps_mm[at] > MISSING_FROM * usual_mm
    return IncompleteSeries(
        f"slices {at} and {at + 1} of {len(gaps_mm) + 1} are {gaps_mm[at]:.2f} mm apart,"
        f" the others {usual_mm:.2f} mm ({max(len(uneven), 1)} uneven gaps in all)",
        hint="send the series again, complete, or set allow_gaps",
        code="missing_slices" if is_missing else "uneven_spacing",
    )
