"""From stored numbers to what they mean: modality rescale, window, colour."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydicom import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut

from diascope.errors import InputError
from diascope.io.damage import damage_of
from diascope.io.dicom.dataset import MALFORMED, without_warnings
from diascope.io.dicom.headers import Layout
from diascope.io.dicom.pixels import Pick

_INTEGERS = (np.uint8, np.int16, np.uint16, np.int32, np.uint32)


def dtype_for(picks: Sequence[Pick], layouts: Sequence[Layout]) -> DTypeLike:
    """Find the smallest type that holds every number of a volume exactly.

    Integers where stored numbers, slopes and intercepts are; float32 elsewhere.
    """
    low, high = 0, 0
    for layout_at, slope, intercept in {(pick.layout, pick.slope, pick.intercept) for pick in picks}:
        layout = layouts[layout_at]
        if layout.is_float or layout.has_lut or not (slope.is_integer() and intercept.is_integer()):
            return np.float32
        first = -(1 << layout.bits_stored - 1) if layout.is_signed else 0
        last = first + (1 << layout.bits_stored) - 1
        ends = int(slope) * first + int(intercept), int(slope) * last + int(intercept)
        low, high = min(low, *ends), max(high, *ends)
    for dtype in _INTEGERS:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    return np.float32


def narrowed(dtype: DTypeLike) -> DTypeLike:
    """Find the type to try first: CT of 16 bits reaches beyond int16 on paper, and nearly never in fact."""
    return np.int16 if dtype == np.int32 else dtype


def fits(numbers: NDArray[Any], dtype: DTypeLike) -> bool:
    """Say whether all numbers can be held by an integer type.

    Args:
        numbers: (rows, columns) integers.
        dtype: An integer type.
    """
    limits = np.iinfo(np.dtype(dtype))
    return bool(numbers.min() >= limits.min and numbers.max() <= limits.max)


def rescaled(stored: NDArray[Any], pick: Pick, dtype: DTypeLike) -> NDArray[Any]:
    """Apply slope and intercept.

    Args:
        stored: (rows, columns) stored numbers.
        pick: Whose slope and intercept.
        dtype: Of the volume.
    """
    if (pick.slope, pick.intercept) == (1.0, 0.0):
        return stored
    if np.issubdtype(dtype, np.integer):
        return stored.astype(np.int64 if stored.dtype.itemsize > 2 else np.int32) * int(pick.slope) + int(
            pick.intercept
        )
    return stored.astype(np.float64) * pick.slope + pick.intercept


def through_lut(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.float32]:
    """Apply a modality LUT.

    Args:
        stored: (rows, columns) stored numbers.
        dataset: Holds the table.

    Raises:
        InputError: The table in the header is broken.
    """
    try:
        with without_warnings():
            return cast("NDArray[np.float32]", apply_modality_lut(stored, dataset).astype(np.float32))
    except MALFORMED as error:
        raise InputError(f"the modality LUT is broken: {damage_of(error)}", code="broken_lut") from None


def coloured(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    """Make 8-bit RGB of a colour frame.

    Args:
        stored: (rows, columns, 3) RGB, or (rows, columns) of palette indices.
        dataset: Holds the palette.

    Returns:
        (rows, columns, 3).

    Raises:
        InputError: The palette in the header is broken.
    """
    if stored.ndim == 2:
        try:
            with without_warnings():
                stored = apply_color_lut(stored, dataset)
        except MALFORMED as error:
            raise InputError(f"the colour palette is broken: {damage_of(error)}", code="broken_palette") from None
    if stored.dtype == np.uint8:
        return cast("NDArray[np.uint8]", stored[..., :3])
    widest = np.iinfo(stored.dtype).max if stored.dtype.kind in "iu" else 1
    return cast("NDArray[np.uint8]", (stored[..., :3].astype(np.float32) * (255 / widest)).round().astype(np.uint8))


def window_of_lut(dataset: Dataset) -> tuple[float, float] | None:
    """Read a VOI LUT as the (centre, width) of the numbers it spreads out."""
    try:
        with without_warnings():
            entries, first, _ = dataset.VOILUTSequence[0].LUTDescriptor
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    count = int(entries) or 1 << 16
    return float(first) + count / 2, float(count)
