"""Voxels that hold no number, as some converters leave them outside the field of view."""

from dataclasses import replace

import numpy as np

from diascope.errors import InputError
from diascope.volume import Volume


def count_missing(volume: Volume) -> int:
    """Count the voxels that are NaN or infinite."""
    return int(np.count_nonzero(~np.isfinite(volume.data))) if volume.data.dtype.kind == "f" else 0


def fill_missing(volume: Volume) -> Volume:
    """Put the lowest number of the image where there is none: one NaN would spread over a whole window.

    Raises:
        InputError: No voxel holds a number.
    """
    missing = count_missing(volume)
    if missing == 0:
        return volume
    if missing == volume.data.size:
        raise InputError(
            f"none of the {missing} voxels holds a number", hint="convert the scan again", code="no_numbers"
        )
    is_number = np.isfinite(volume.data)
    return replace(volume, data=np.where(is_number, volume.data, volume.data[is_number].min()))
