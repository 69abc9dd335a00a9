"""A label map in a NIfTI file: whole numbers that need names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from diascope.errors import InputError
from diascope.geometry import Space
from diascope.io.damage import damage_of
from diascope.io.nifti import MALFORMED, space_of
from diascope.volume import Mask

LARGEST_VALUE = int(np.iinfo(np.uint16).max)


def read_nifti_map(path: Path, names: Mapping[int, str] | None = None) -> Mask:
    """Read the label map of a NIfTI file, on its own voxels.

    Args:
        path: The file.
        names: Name of each value; values that are not in it are background. Where
            it is None every value is named `label_1` and so on.

    Raises:
        InputError: It is no NIfTI file, or holds more than whole numbers.
    """
    try:
        image: Any = nibabel.load(path)
        stored = np.asanyarray(image.dataobj)
    except (*MALFORMED, nibabel.filebasedimages.ImageFileError) as error:
        raise InputError(f"the label map cannot be read: {damage_of(error)}", code="corrupt") from None
    while stored.ndim > 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    if stored.ndim == 2:
        stored = stored[:, :, None]
    if stored.ndim != 3:
        raise InputError(f"a label map has three axes, this one has {stored.ndim}", code="bad_shape")
    i, j, k = (int(n) for n in stored.shape)
    space, _ = space_of(image.header, (i, j, k))
    return mask_of(stored, space, names)


def mask_of(stored: NDArray[Any], space: Space, names: Mapping[int, str] | None) -> Mask:
    """Make a Mask of whole numbers.

    Args:
        stored: (i, j, k) of any numeric type; it must hold whole numbers only.
        space: Where the voxels lie.
        names: See `read_nifti_map`.
    """
    low, high = (float(stored.min()), float(stored.max())) if stored.size else (0.0, 0.0)
    if not (np.isfinite([low, high]).all() and low >= 0 and high <= LARGEST_VALUE):
        raise InputError(
            f"label values go from {low:g} to {high:g}, allowed are 0 to {LARGEST_VALUE}", code="no_label_map"
        )
    data: NDArray[np.unsignedinteger] = stored.astype(np.uint8 if high <= 255 else np.uint16)
    if stored.dtype.kind == "f" and (data != stored).any():
        raise InputError("a label map must hold whole numbers, this one has fractions", code="no_label_map")
    present = [int(value) for value in np.flatnonzero(np.bincount(data.ravel())) if value > 0]
    if names is None:
        return Mask(data, space, {value: f"label_{value}" for value in present})
    unnamed = [value for value in present if value not in names]
    if unnamed:
        data[np.isin(data, unnamed)] = 0
    return Mask(data, space, dict(names))
