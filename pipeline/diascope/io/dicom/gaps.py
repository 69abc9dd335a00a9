"""Whether slices lie at even distances, and what to do where they do not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diascope.errors import IncompleteSeries

# Scanners round slice positions. A twentieth of the gap, or what rounding to a tenth
# of a millimetre leaves at both ends, moves no voxel by more than that; a missing slice moves
# them by half a gap at least.
UNEVEN_PART = 0.05
ROUNDING_MM = 0.11
ROUNDING_PART = 0.3

# How far a slice may slide off the line through all of them, as a part of a pixel.
OFF_LINE_PART = 0.25

# A series with holes is filled to at most this many times its slices.
MOST_FILLED = 10


@dataclass(frozen=True, slots=True)
class Steps:
    """How slices follow each other.

    Attributes:
        step_mm: (3,) from slice to slice of the volume, in LPS.
        between: For each slice of the volume, the slice of the series below it and how
            far it lies towards the next (0 to 1); empty where they are the same slices.
        notes: What a reader should know.
    """

    step_mm: NDArray[np.float64]
    between: tuple[tuple[int, float], ...] = ()
    notes: tuple[str, ...] = ()


def steps_of(
    positions_mm: NDArray[np.float64], normal: NDArray[np.float64], pixel_mm: float, *, allow_gaps: bool
) -> Steps:
    """Find the step between slices that are in order.

    It is (last - first) / (n - 1), so that rounded positions do not add up.

    Args:
        positions_mm: (n, 3) positions in LPS, n at least 2.
        normal: (3,) normal of the slices, in LPS.
        pixel_mm: Smaller of the pixel distances.
        allow_gaps: Fill holes by interpolation between the slices there are, and say so.

    Raises:
        IncompleteSeries: The gaps are not even, or the slices do not form one block.
    """
    total_mm = positions_mm[-1] - positions_mm[0]
    step_mm = total_mm / (len(positions_mm) - 1)
    along_mm = (positions_mm - positions_mm[0]) @ normal
    _check_line(positions_mm, along_mm, pixel_mm)
    even_mm = np.arange(len(positions_mm)) * (step_mm @ normal)
    gaps_mm = np.diff(along_mm)
    usual_mm = float(np.median(gaps_mm))
    allowed_mm = max(UNEVEN_PART * usual_mm, min(ROUNDING_MM, ROUNDING_PART * usual_mm))
    if np.abs(along_mm - even_mm).max() <= allowed_mm:
        return Steps(step_mm)
    error, base_mm = _uneven(gaps_mm)
    if not allow_gaps:
        raise error
    return _filled(total_mm, along_mm, base_mm, error)


def _check_line(positions_mm: NDArray[np.float64], along_mm: NDArray[np.float64], pixel_mm: float) -> None:
    """Refuse slices that slide about in their plane; a steady slide is a gantry tilt."""
    total_mm = positions_mm[-1] - positions_mm[0]
    on_line_mm = positions_mm[0] + along_mm[:, None] / along_mm[-1] * total_mm
    off_mm = np.linalg.norm(positions_mm - on_line_mm, axis=1)
    if off_mm.max() > max(OFF_LINE_PART * pixel_mm, ROUNDING_MM):
        k = int(off_mm.argmax())
        raise IncompleteSeries(
            f"slice {k} of {len(positions_mm)} lies {off_mm[k]:.2f} mm off the line through the others,"
            f" its pixels are {pixel_mm:.2f} mm",
            hint="the slices do not form one block; send the series again",
            code="crooked_stack",
        )


def _uneven(gaps_mm: NDArray[np.float64]) -> tuple[IncompleteSeries, float]:
    """Tell missing slices (gaps are multiples of one) from uneven spacing; give the gap to fill with."""
    smallest_mm = float(gaps_mm.min())
    base_mm = float(np.median(gaps_mm[gaps_mm < 1.5 * smallest_mm]))
    multiples = gaps_mm / base_mm
    counts = np.rint(multiples)
    is_missing = bool((np.abs(multiples - counts) <= 0.1 * counts).all())
    usual_mm = base_mm if is_missing else float(np.median(gaps_mm))
    uneven = np.flatnonzero(np.abs(gaps_mm - usual_mm) > UNEVEN_PART * usual_mm)
    at = int(np.abs(gaps_mm - usual_mm).argmax())
    count = f"{_counted(len(uneven), 'uneven gap')} in all"
    if is_missing:
        count += f", {_counted(int(counts.sum() - len(counts)), 'slice')} missing"
    return (
        IncompleteSeries(
            f"slices {at} and {at + 1} of {len(gaps_mm) + 1} are {gaps_mm[at]:.2f} mm apart,"
            f" the others {usual_mm:.2f} mm ({count})",
            hint="send the series again, complete, or have the gaps filled by interpolation: "
            "--set ingest.allow_gaps=true",
            code="missing_slices" if is_missing else "uneven_spacing",
        ),
        base_mm,
    )


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _filled(
    total_mm: NDArray[np.float64], along_mm: NDArray[np.float64], base_mm: float, error: IncompleteSeries
) -> Steps:
    count = round(float(along_mm[-1]) / base_mm) + 1
    if count > MOST_FILLED * len(along_mm):
        raise error
    wanted_mm = np.linspace(0.0, float(along_mm[-1]), count)
    below = np.clip(np.searchsorted(along_mm, wanted_mm, side="right") - 1, 0, len(along_mm) - 2)
    part = (wanted_mm - along_mm[below]) / np.diff(along_mm)[below]
    # A slice that is there, up to rounding, is taken as it is.
    part = np.where(part < UNEVEN_PART, 0.0, np.where(part > 1 - UNEVEN_PART, 1.0, part))
    between = tuple(zip(below.tolist(), part.tolist(), strict=True))
    made = int(((part > 0) & (part < 1)).sum())
    note = f"{error.message}; {made} of {count} slices were interpolated between their neighbours"
    return Steps(total_mm / (count - 1), between, (note,))
