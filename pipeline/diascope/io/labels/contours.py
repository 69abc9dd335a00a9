"""RTSTRUCT: contours in patient space, drawn onto the voxels of an image."""

from collections.abc import Iterator

import numpy as np
import pydicom
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from diascope.errors import GridMismatch, InputError
from diascope.geometry import Grid, Space
from diascope.io.dicom.geometry import LPS_TO_RAS
from diascope.volume import Mask

# A contour that lies further from a slice than this was drawn on another image.
OFF_SLICE = 0.25


def read_contours(dataset: pydicom.Dataset, onto: Space) -> tuple[Mask, ...]:
    """Draw the closed planar contours of each region, one layer per region.

    A voxel is inside if its centre is. Contours of one region in one slice are
    combined by exclusive or, so that a contour within another is a hole.

    Args:
        dataset: The RTSTRUCT.
        onto: Where to draw; contours need an image in patient space.

    Raises:
        GridMismatch: The contours do not lie in the image's slices.
        InputError: The image has no place in the patient, or there is no contour.
    """
    if not isinstance(onto, Grid):
        raise InputError("contours lie in patient space, the image does not", code="no_frame")
    names = {int(roi.ROINumber): str(roi.ROIName) for roi in dataset.get("StructureSetROISequence", [])}
    layers = []
    for region in dataset.get("ROIContourSequence", []):
        number = int(region.ReferencedROINumber)
        inside = np.zeros(onto.shape, dtype=bool)
        for points_ras_mm in _closed_contours(region):
            _draw(inside, onto.to_ijk(points_ras_mm))
        layers.append(Mask(inside.astype(np.uint8), onto, {1: names.get(number, f"region_{number}")}))
    if not layers:
        raise InputError("the RTSTRUCT holds no contour", code="no_label_map")
    return tuple(layers)


def _closed_contours(region: pydicom.Dataset) -> Iterator[NDArray[np.float64]]:
    for contour in region.get("ContourSequence", []):
        if contour.ContourGeometricType in {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}:
            yield np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3) @ LPS_TO_RAS


def _draw(inside: NDArray[np.bool_], points_ijk: NDArray[np.float64]) -> None:
    # The slices of an image may be any of its three axes (sagittal series, NIfTI in RAS).
    axis = int(np.argmin(np.ptp(points_ijk, axis=0)))
    at = points_ijk[:, axis]
    slice_at = round(float(at.mean()))
    if np.abs(at - slice_at).max() > OFF_SLICE:
        raise GridMismatch(f"a contour lies {np.abs(at - slice_at).max():.2f} slices away from the nearest slice")
    if not 0 <= slice_at < inside.shape[axis]:
        raise GridMismatch(f"a contour lies in slice {slice_at}, the image has {inside.shape[axis]}")
    plane = np.moveaxis(inside, axis, 0)[slice_at]
    plane ^= polygon2mask(plane.shape, np.delete(points_ijk, axis, axis=1))
