"""3-D Slicer's .seg.nrrd: segments with names, in layers where they overlap."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

from diascope.errors import InputError
from diascope.geometry import Grid, IndexGrid, Space
from diascope.io.damage import damage_of
from diascope.io.dicom.geometry import LPS_TO_RAS
from diascope.io.labels.nifti_map import mask_of
from diascope.volume import Mask

# NRRD names its frame in a header field; Slicer writes LPS.
_TO_RAS = {
    "left-posterior-superior": LPS_TO_RAS,
    "lps": LPS_TO_RAS,
    "right-anterior-superior": np.eye(3),
    "ras": np.eye(3),
}
_SEGMENT = re.compile(r"Segment(\d+)_LabelValue")


def read_nrrd_seg(path: Path, names: Mapping[int, str] | None = None) -> tuple[Mask, ...]:
    """Read the layers of a segmentation, on its own voxels.

    Args:
        path: The file; its voxels may be compressed, but not in another file.
        names: Name of each value where the file has no segments (a plain NRRD).

    Raises:
        InputError: It is no NRRD that we can read, or names no known frame.
    """
    try:
        header = nrrd.read_header(str(path))
        if any(key in header for key in ("data file", "datafile")):
            raise InputError(
                "a NRRD header with its voxels in another file", hint="save it as one .nrrd", code="detached"
            )
        data, _ = nrrd.read(str(path))
    except (nrrd.NRRDError, ValueError, KeyError, OSError, EOFError) as error:
        raise InputError(f"the NRRD file cannot be read: {damage_of(error)}", code="corrupt") from None
    layers = data if data.ndim == 4 else data[None]
    if layers.ndim != 4:
        raise InputError(f"a segmentation has three axes, this one has {data.ndim}", code="bad_shape")
    space = _space(header, layers.shape[1:], has_layers=data.ndim == 4)
    segments = _segments(header)
    if not segments:
        return tuple(mask_of(layer, space, names) for layer in layers)
    return tuple(mask_of(layer, space, segments.get(at, {})) for at, layer in enumerate(layers))


def _segments(header: Mapping[str, Any]) -> dict[int, dict[int, str]]:
    found: dict[int, dict[int, str]] = {}
    for key in header:
        if named := _SEGMENT.fullmatch(key):
            n = named.group(1)
            layer = int(header.get(f"Segment{n}_Layer", 0))
            found.setdefault(layer, {})[int(header[key])] = str(header.get(f"Segment{n}_Name", f"segment_{n}"))
    return found


def _space(header: Mapping[str, Any], shape: tuple[int, ...], *, has_layers: bool) -> Space:
    i, j, k = (int(n) for n in shape)
    if "space directions" not in header:
        return IndexGrid((i, j, k))
    frame = str(header.get("space", "")).lower()
    if frame not in _TO_RAS:
        raise InputError(f"the NRRD file names no frame that we know, but {frame!r}", code="bad_affine")
    directions = np.asarray(header["space directions"], dtype=np.float64)[1 if has_layers else 0 :]
    affine = np.eye(4)
    affine[:3, :3] = _TO_RAS[frame] @ directions.T
    affine[:3, 3] = _TO_RAS[frame] @ np.asarray(header.get("space origin", (0, 0, 0)), dtype=np.float64)
    return Grid((i, j, k), affine)
