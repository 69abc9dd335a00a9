"""Masks that somebody drew and left among the scans: told by the name of the file and by its voxels."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NAMED = re.compile(
    r"mask(?!ed)|label|segm|(?<![a-z])seg|seg(?![a-z])|(?<![a-z])(?:roi|lesion|gt)s?(?![a-z])|ground.?truth|parcellation"
)

# FreeSurfer's widest table of the cortex has some 190 structures; a scan of 8 bits and its full range has more values.
MOST_LABELS = 200


def is_named_mask(name: str) -> bool:
    """Say whether the name of a file says that it holds a mask; what it holds may speak against it."""
    return _NAMED.search(name.lower()) is not None


def label_count(voxels: NDArray[Any]) -> int | None:
    """Count the values of voxels if they may be labels: a few whole numbers, 0 among them, none negative.

    Args:
        voxels: (i, j, k) stored numbers, of any type; colours are no labels.

    Returns:
        How many different values there are; None where this is no label map.
    """
    if voxels.dtype.kind not in "iuf" or not voxels.size:
        return None
    # Most images are told from a mask by the slice in the middle.
    for part in (voxels[..., voxels.shape[-1] // 2], voxels):
        values = np.unique(part)
        if len(values) > MOST_LABELS or not np.isfinite(values).all() or (values != np.floor(values)).any():
            return None
    return len(values) if values[0] == 0 else None
