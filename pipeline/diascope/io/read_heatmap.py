"""A heatmap from its file beside case.json, on its own grid."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from diascope.errors import InputError
from diascope.findings import HeatmapRecord
from diascope.io.damage import damage_of
from diascope.io.nifti import MALFORMED, space_of
from diascope.volume import Heatmap


def read_heatmap(case_folder: Path, record: HeatmapRecord) -> Heatmap:
    """Read the raw numbers of a heatmap.

    Args:
        case_folder: Of the case.
        record: Of case.json.

    Raises:
        InputError: The file is gone or broken.
    """
    try:
        image: Any = nibabel.load(case_folder / record.file)
        data = np.asarray(image.dataobj, dtype=np.float32)
    except (*MALFORMED, nibabel.filebasedimages.ImageFileError, FileNotFoundError) as error:
        raise InputError(f"the heatmap of {record.target} cannot be read: {damage_of(error)}", code="corrupt") from None
    data = data.reshape(*data.shape, *[1] * (3 - data.ndim))
    i, j, k = (int(n) for n in data.shape)
    space, _ = space_of(image.header, (i, j, k))
    return Heatmap(data, space, record.target, record.method)
