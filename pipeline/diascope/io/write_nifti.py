"""Our NIfTI files: lossless, the same bytes for the same image, and honest about geometry."""

from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from numpy.typing import NDArray

from diascope.geometry import Grid, PixelGrid, Space
from diascope.volume import Heatmap, Mask, Volume

# zlib's level 6 takes 16 s for a chest CT and saves a few per cent; ISA-L's
# level 1 takes under a second (measured: notes on inference, 3d).
GZIP_LEVEL = 1

_SCANNER = 1
_UNKNOWN = 0


def write_volume(path: Path, volume: Volume) -> None:
    """Write an image; integers stay integers, other numbers become float32.

    Args:
        path: Ends in .nii.gz.
        volume: The image; its display window goes into cal_min and cal_max.
    """
    data = (
        volume.data
        if volume.data.dtype.kind in "iu" and volume.data.dtype.itemsize <= 4
        else volume.data.astype(np.float32)
    )
    image = _nifti(data, volume.space)
    if volume.display_window is not None:
        centre, width = volume.display_window
        image.header["cal_min"], image.header["cal_max"] = centre - width / 2, centre + width / 2
    _save(path, image)


def write_mask(path: Path, mask: Mask) -> None:
    """Write a label map with the NIfTI intent that says it is one."""
    image = _nifti(mask.data, mask.space)
    image.header.set_intent("label")
    _save(path, image)


def write_heatmap(path: Path, heatmap: Heatmap) -> None:
    """Write a heatmap on its own grid, raw values as float32."""
    _save(path, _nifti(heatmap.data.astype(np.float32), heatmap.space))


def _nifti(data: NDArray[np.generic], space: Space) -> nib.Nifti1Image:
    if not isinstance(space, Grid):
        # Without an affine nibabel leaves both codes at 0: nobody may read a frame into it.
        image = nib.Nifti1Image(data, None)
        if isinstance(space, PixelGrid):
            image.header["pixdim"][1:3] = space.spacing_mm
        image.header.set_xyzt_units("mm" if isinstance(space, PixelGrid) else "unknown")
        return image
    image = nib.Nifti1Image(data, space.affine)
    image.set_sform(space.affine, code=_SCANNER)
    # A qform cannot hold a shear; a rounded one beside a true sform would mislead.
    image.set_qform(None if space.is_sheared else space.affine, code=_UNKNOWN if space.is_sheared else _SCANNER)
    image.header["pixdim"][1:4] = space.spacing_mm
    image.header.set_xyzt_units("mm")
    return image


def _save(path: Path, image: nib.Nifti1Image) -> None:
    image.header["descrip"] = b""
    with (
        path.open("wb") as stream,
        igzip.IGzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=stream, mtime=0) as packed,
    ):
        packed.write(image.to_bytes())
