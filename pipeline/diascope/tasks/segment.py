"""Which voxel belongs to which structure?"""

import numpy as np
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo
from diascope.geometry import Space, affine_of
from diascope.imaging.resample import GridOfLogits, labels_on_grid
from diascope.volume import Mask


def segment(seen: GridOfLogits, space: Space, bundle: BundleInfo) -> Mask:
    """Take a network's output back to the voxels of the source image.

    Args:
        seen: (classes, x, y, z) logits, one class per voxel, on the network's grid.
        space: Of the source image.
        bundle: Names the labels.

    Returns:
        A label map on the source's own voxels.
    """
    values = labels_on_grid(seen, space.shape, affine_of(space))
    return Mask(values, space, {label.value: label.name for label in bundle.labels})


def certainty(logits: NDArray[np.float32]) -> float | None:
    """Average the softmax of the winning class over all voxels that are not background.

    It is the network's own word, not calibrated.

    Args:
        logits: (classes, x, y, z).

    Returns:
        0..1, None if the network drew nothing.
    """
    drawn = logits[:, logits.argmax(axis=0) > 0]
    if drawn.size == 0:
        return None
    shifted = np.exp(drawn - drawn.max(axis=0))
    return float((1.0 / shifted.sum(axis=0)).mean())
