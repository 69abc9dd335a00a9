"""Cases of a manifest, read and checked, as the network will see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, ResampleToMatch
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from torch import Tensor

from diascope.errors import GridMismatch, InputError
from diascope.findings import ImageFacts
from diascope.geometry import Space
from diascope.io.nifti import space_of
from diascope.io.raster import RasterReader
from diascope.io.series import Series
from diascope.train.manifest import ManifestCase
from diascope.train.settings import LabelSettings
from diascope.train.sources import PreparedVolume

# Affines are stored in single precision, so equal grids differ by rounding.
AFFINE_TOLERANCE_MM = 1e-3

PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True, eq=False)
class ReadImage:
    """An image file as a training sees it.

    Attributes:
        values: (i, j, k), in the order of the file.
        affine: (4, 4), as MONAI's own reader gives it.
        space: Where it lies, as a run sees it.
    """

    values: NDArray[np.generic]
    affine: NDArray[np.float64]
    space: Space


def read_image(path: Path, case: str) -> ReadImage:
    """Read a NIfTI file or a picture (PNG, JPEG, TIFF).

    Raises:
        InputError: The file cannot be read; the message names the case.
    """
    try:
        if path.suffix.lower() in PICTURES:
            series = Series(case_id=case, image_id=case, reader="raster", files=(path,), facts=ImageFacts())
            picture = RasterReader().decode(series)
            return ReadImage(picture.data, np.eye(4), picture.space)
        stored = nib.load(path)
        values = np.asarray(stored.dataobj)
    except (OSError, ImageFileError, EOFError) as error:
        raise InputError(f"case {case}: a file cannot be read ({type(error).__name__})") from None
    except InputError as error:
        raise InputError(f"case {case}: a file cannot be read ({error.message})", hint=error.hint) from None
    if values.ndim != 3:
        raise InputError(f"case {case}: a file has {values.ndim} axes, expected 3")
    i, j, k = values.shape
    space, _ = space_of(stored.header, (i, j, k))
    return ReadImage(values, np.asarray(stored.affine, dtype=np.float64), space)


def read_case(case: ManifestCase, labels: Sequence[LabelSettings]) -> tuple[MetaTensor, MetaTensor]:
    """Read image and label of a case, each (1, i, j, k), and check them against each other.

    Raises:
        InputError: A file cannot be read, or the label holds values that are none of `labels`.
        GridMismatch: Image and label lie on different grids.
    """
    if case.image is None or case.label is None:
        raise InputError(f"case {case.case}: the manifest names no {'label' if case.image else 'image'} for it")
    image, label = read_image(case.image, case.case), read_image(case.label, case.case)
    if image.values.shape != label.values.shape:
        raise GridMismatch(
            f"case {case.case}: the image is {image.values.shape}, its label {label.values.shape} voxels"
        )
    apart_mm = float(np.abs(image.affine - label.affine).max())
    if apart_mm > AFFINE_TOLERANCE_MM:
        raise GridMismatch(
            f"case {case.case}: the affines of image and label differ by {apart_mm:.3g} mm",
            hint="resample the label onto the image's grid",
        )
    numbers = _numbered(label.values, labels, case.case)
    return _as_meta(image.values.astype(np.float32), image.affine), _as_meta(numbers, label.affine)


def prepare_image(case: ManifestCase, preprocessing: Compose) -> Tensor:
    """Read a case's image alone, as the network will see it.

    Returns:
        (channels, i, j, k) float32.

    Raises:
        InputError: The file cannot be read, or the manifest names none.
    """
    if case.image is None:
        raise InputError(f"case {case.case}: the manifest names no image for it")
    read = read_image(case.image, case.case)
    seen = preprocessing({"image": _as_meta(read.values.astype(np.float32), read.affine)})["image"]
    plain: Tensor = seen.as_tensor().float()
    return plain


def prepare_volumes(
    cases: Sequence[ManifestCase], labels: Sequence[LabelSettings], preprocessing: Compose
) -> tuple[PreparedVolume, ...]:
    """Read the cases and run the bundle's preprocessing on them, labels along with the images."""
    prepared = []
    for case in cases:
        image, label = read_case(case, labels)
        seen = preprocessing({"image": image})["image"]
        matched = ResampleToMatch(mode="nearest", padding_mode="border")(label, img_dst=seen[:1])
        prepared.append(
            PreparedVolume(
                case=case.case,
                image=seen.as_tensor().float(),
                label=matched.as_tensor().round().to(torch.uint8),
                affine=np.asarray(seen.affine, dtype=np.float64),
            )
        )
    return tuple(prepared)


def _numbered(values: NDArray[np.generic], labels: Sequence[LabelSettings], case: str) -> NDArray[np.float32]:
    """Give the file's values the numbers of the labels.

    Args:
        values: (i, j, k) of the label file.
        labels: Their settings; the first is number 1.
        case: For messages.
    """
    number_of = {0: 0} | {
        value: at for at, label in enumerate(labels, start=1) for value in label.source_values or (at,)
    }
    numbers = np.zeros(values.shape, dtype=np.float32)
    outside = []
    for value in np.unique(values).tolist():
        if value not in number_of:
            outside.append(value)
        elif value:
            numbers[values == value] = number_of[value]
    if outside:
        known = sorted(number_of)
        expected = f"whole numbers from 0 to {known[-1]}" if known == list(range(len(known))) else f"one of {known}"
        raise InputError(
            f"case {case}: its label holds {outside[:5]}, expected {expected}",
            hint="map the values first (source_values), or add the label to the config",
            code="label_outside_set",
        )
    return numbers


def _as_meta(values: NDArray[np.float32], affine: NDArray[np.float64]) -> MetaTensor:
    meta = {
        "original_affine": affine,
        "spatial_shape": values.shape,
        "original_channel_dim": "no_channel",
        "space": "RAS",
    }
    return MetaTensor(torch.from_numpy(values)[None], affine=torch.from_numpy(np.asarray(affine)), meta=meta)
