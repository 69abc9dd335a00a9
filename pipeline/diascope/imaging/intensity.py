"""How numbers of an image become grey values for the eye.

For pictures only: what a network is given is prepared by its own bundle.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diascope.volume import Volume

# What is darker than 1 % and brighter than 99.5 % of an image is noise, padding, metal or
# flowing blood; the bright end is cut closer, since lesions are bright.
LOW_PERCENT = 1.0
HIGH_PERCENT = 99.5

# Air has -1000 HU by definition; lower values are padding outside the scanner's circle.
AIR_HU = -1000.0

# Percentiles of this many voxels differ from those of all by far less than one grey value.
SAMPLED_VOXELS = 2_000_000


@dataclass(frozen=True, slots=True)
class GreyRange:
    """Which values are shown black and white.

    Attributes:
        low: Shown black, in the unit of the image.
        high: Shown white.
        is_inverted: Low is shown white instead (MONOCHROME1).
        source: `window` of the file, or `percentiles` of the image.
    """

    low: float
    high: float
    is_inverted: bool
    source: str


def grey_range(volume: Volume) -> GreyRange:
    """Choose what is shown black and white: the file's window, else robust percentiles."""
    if volume.display_window is not None and volume.display_window[1] > 0:
        centre, width = volume.display_window
        return GreyRange(centre - width / 2, centre + width / 2, volume.is_inverted, "window")
    low, high = robust_range(volume.data)
    if volume.facts.modality == "CT":
        low = max(low, AIR_HU)
    return GreyRange(low, max(high, np.nextafter(low, np.inf)), volume.is_inverted, "percentiles")


def as_displayed(volume: Volume) -> Volume:
    """Turn an image round that is to be shown with low numbers bright (MONOCHROME1), so that bright is high.

    A radiograph comes in either sense, and a network has seen one: the one on the
    screen. The range of the numbers stays, and the picture stays the same; others come back as they are.
    """
    if not volume.is_inverted:
        return volume
    # float64 holds every stored number exactly, the sum of two included.
    data = volume.data.astype(np.float64)
    ends = data[np.isfinite(data)]
    turn = float(ends.min() + ends.max()) if ends.size else 0.0
    window = None if volume.display_window is None else (turn - volume.display_window[0], volume.display_window[1])
    turned = np.asarray(turn - data, dtype=np.float32)
    return replace(volume, data=turned, display_window=window, is_inverted=False)


def robust_range(data: NDArray[np.generic]) -> tuple[float, float]:
    """Find the values between which nearly all of an image lies, background left out of the upper one.

    Args:
        data: (i, j, k) numbers; those that are not finite are left out.

    Returns:
        Low and high value; (0, 1) where no number is finite.
    """
    # As it lies in memory, so that nothing is copied; an odd step, so that it does not fall in with the rows.
    values = data.ravel(order="K")[:: (data.size // SAMPLED_VOXELS) | 1].astype(np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low = float(np.percentile(values, LOW_PERCENT))
    # A skull-stripped head is nine tenths zeros: they must not decide what is white.
    above = values[values > low]
    high = float(np.percentile(above, HIGH_PERCENT)) if above.size else low + 1.0
    return low, high


def to_grey(values: NDArray[np.generic], shown: GreyRange) -> NDArray[np.uint8]:
    """Map numbers to grey values.

    Args:
        values: (rows, columns) or any other shape, in the unit of the image.
        shown: What is black and what is white.

    Returns:
        uint8 of the same shape; what is not finite is black.
    """
    part = (values.astype(np.float64) - shown.low) / (shown.high - shown.low)
    part = np.clip(np.nan_to_num(part, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    if shown.is_inverted:
        part = np.where(np.isfinite(values.astype(np.float64)), 1.0 - part, 0.0)
    grey: NDArray[np.uint8] = np.round(part * 255).astype(np.uint8)
    return grey
