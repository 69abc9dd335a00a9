"""Cases of a manifest, read and checked, as the network will see them."""

from collections.abc import Sequence

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, ResampleToMatch
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from diascope.errors import GridMismatch, InputError
from diascope.train.manifest import ManifestCase
from diascope.train.sources import PreparedVolume

# Affines are stored in single precision, so equal grids differ by rounding.
AFFINE_TOLERANCE_MM = 1e-3


def read_case(case: ManifestCase, labels: int) -> tuple[MetaTensor, MetaTensor]:
    """Read image and label of a case, each (1, i, j, k), and check them against each other.

    Raises:
        InputError: A file cannot be read, or the label holds other values than 0 to `labels`.
        GridMismatch: Image and label lie on different grids.
    """
    if case.image is None:
        raise InputError(f"case {case.case}: the manifest names no image for it")
    try:
        image = nib.load(case.image)
        label = nib.load(case.label)
        image_values = np.asarray(image.dataobj, dtype=np.float32)
        label_values = np.asarray(label.dataobj)
    except (OSError, ImageFileError, EOFError) as error:
        raise InputError(f"case {case.case}: a file cannot be read ({type(error).__name__})") from None
    if image_values.shape != label_values.shape:
        raise GridMismatch(
            f"case {case.case}: the image is {image_values.shape}, its label {label_values.shape} voxels"
        )
    apart_mm = float(np.abs(image.affine - label.affine).max())
    if apart_mm > AFFINE_TOLERANCE_MM:
        raise GridMismatch(
            f"case {case.case}: the affines of image and label differ by {apart_mm:.3g} mm",
            hint="resample the label onto the image's grid",
        )
    outside = sorted(set(np.unique(label_values).tolist()) - set(range(labels + 1)))
    if outside:
        raise InputError(
            f"case {case.case}: its label holds {outside[:5]}, expected whole numbers from 0 to {labels}",
            hint="map the values first, or add the label to the config",
            code="label_outside_set",
        )
    return _as_meta(image_values, image.affine), _as_meta(label_values.astype(np.float32), label.affine)


def prepare_volumes(cases: Sequence[ManifestCase], labels: int, preprocessing: Compose) -> tuple[PreparedVolume, ...]:
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


def _as_meta(values: NDArray[np.float32], affine: NDArray[np.float64]) -> MetaTensor:
    meta = {
        "original_affine": affine,
        "spatial_shape": values.shape,
        "original_channel_dim": "no_channel",
        "space": "RAS",
    }
    return MetaTensor(torch.from_numpy(values)[None], affine=torch.from_numpy(np.asarray(affine)), meta=meta)
