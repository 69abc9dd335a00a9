"""What an image is when something is taken out of it, and where its body is."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from diascope.explain.windows import Windows

# Zero is no baseline for networks with instance norm: they hardly see a change of scale,
# so f(0.5 x) is nearly f(x). A blur this wide takes a lesion out and leaves the brightness
# of its surroundings.
BLUR_SHARE = 1 / 8

# A voxel belongs to the body if it differs from the background by this share of the
# range between the 1st and 99th percentile.
BODY_SHARE = 0.05

# Two legs are two parts of a body; what is smaller than this share of the largest part is none.
PART_SHARE = 0.1

# The background is the commonest value of the outer faces, so it needs to be common there.
FLAT_FACES_SHARE = 0.3


def blurred(windows: Windows) -> Windows:
    """Blur every window along its own axes, so that nothing local is left."""
    given = windows.inputs.cpu().numpy()
    sigma_voxels = [size * BLUR_SHARE for size in given.shape[2:]]
    soft = ndimage.gaussian_filter(given, [0, 0, *sigma_voxels], mode="nearest", truncate=2.5)
    return windows.with_inputs(torch.from_numpy(soft).to(windows.inputs.device))


def body_of(image: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Find what is not air around the patient.

    Args:
        image: (c, x, y, z) or (c, x, y), as the network is given it; the first channel
            is looked at.

    Returns:
        (x, y, z); None where the image has no even background.
    """
    first = image[0] if image.ndim == 4 else image[0, :, :, None]
    faces = np.concatenate([first[[0, -1]].ravel(), first[:, [0, -1]].ravel()])
    low, high = np.percentile(first, [1, 99])
    near = BODY_SHARE * float(high - low)
    background = float(np.median(faces))
    if near == 0 or float((np.abs(faces - background) <= near).mean()) < FLAT_FACES_SHARE:
        return None
    differs = np.abs(first - background) > near
    body = _large_parts(np.stack([ndimage.binary_fill_holes(differs[..., k]) for k in range(first.shape[2])], axis=-1))
    return body if body.any() and not body.all() else None


def _large_parts(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # (x, y, z); a tag, a cable and the noise of the air differ from the air, too.
    parts, count = ndimage.label(body)
    if count < 2:
        return body
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept: NDArray[np.bool_] = (sizes >= PART_SHARE * sizes.max())[parts]
    return kept
