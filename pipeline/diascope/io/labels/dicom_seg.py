"""DICOM Segmentation objects, read with highdicom."""

import highdicom
import numpy as np
import pydicom

from diascope.errors import InputError
from diascope.geometry import Grid
from diascope.io.damage import damage_of
from diascope.io.dicom.geometry import LPS_TO_RAS
from diascope.volume import Mask

# A fractional segment is a probability: from one half on it is inside.
INSIDE = 0.5


def read_dicom_seg(dataset: pydicom.Dataset) -> tuple[Mask, ...]:
    """Read the segments, on their own voxels; segments that overlap in layers.

    Raises:
        InputError: Its frames do not make a volume.
    """
    try:
        segmentation = highdicom.seg.Segmentation.from_dataset(dataset)
        numbers = [int(number) for number in segmentation.segment_numbers]
        names = {n: str(segmentation.get_segment_description(n).segment_label) for n in numbers}
        return _layers(segmentation, names)
    except (ValueError, RuntimeError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"the DICOM SEG cannot be read as a volume: {damage_of(error)}", code="corrupt") from None


def _layers(segmentation: highdicom.seg.Segmentation, names: dict[int, str]) -> tuple[Mask, ...]:
    is_fractional = segmentation.segmentation_type == highdicom.seg.SegmentationTypeValues.FRACTIONAL
    if not is_fractional:
        try:
            together = segmentation.get_volume(combine_segments=True)
        except RuntimeError:  # they overlap
            pass
        else:
            return (_mask(together.array, together.affine, names),)
    layers = []
    for number, name in names.items():
        alone = segmentation.get_volume(segment_numbers=[number])
        layers.append(_mask((alone.array[..., 0] >= INSIDE) * number, alone.affine, {number: name}))
    return tuple(layers)


def _mask(
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
    affine_lps: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    names: dict[int, str],
) -> Mask:
    affine = np.array(affine_lps, dtype=np.float64)
    affine[:3] = LPS_TO_RAS @ affine[:3]
    i, j, k = (int(n) for n in array.shape)
    wide = max(names, default=0) > np.iinfo(np.uint8).max
    return Mask(array.astype(np.uint16 if wide else np.uint8), Grid((i, j, k), affine), names)
