"""Our NIfTI files: lossless, the same bytes for the same image, and honest about geometry."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from numpy.typing import NDArray

from diascope.geometry import Grid, PixelGrid, Space, check_same_space
from diascope.volume import ColourImage, Heatmap, Mask, Steps, Volume

# zlib's level 6 takes 16 s for a chest CT and saves a few per cent; ISA-L's
# level 1 takes under a second (measured: notes on inference, 3d).
GZIP_LEVEL = 1

# The header of NIfTI-1 and the four bytes that say there are no extensions.
_VOXELS_AT = 352

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


def write_series(path: Path, volume_at: Callable[[int], Volume], count: int) -> None:
    """Write several volumes of one geometry as a 4-D image, holding one of them at a time.

    Args:
        path: Ends in .nii.gz.
        volume_at: Gives the volume of a number from 0.
        count: How many there are.

    Raises:
        GridMismatch: They do not lie on each other.
    """
    first = volume_at(0)
    dtype = _stored_dtype(first)
    while True:
        # Whether a later volume has larger numbers, its own pixels say; then all are written wider.
        wider = _write_stack(path, volume_at, count, dtype)
        if wider == dtype:
            return
        dtype = wider


def write_colour(path: Path, image: ColourImage) -> None:
    """Write a colour image as RGB24."""
    channels = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    _save(path, _nifti(np.ascontiguousarray(image.data).view(channels)[..., 0], image.space))


def write_mask(path: Path, mask: Mask) -> None:
    """Write a label map with the NIfTI intent that says it is one."""
    image = _nifti(mask.data, mask.space)
    image.header.set_intent("label")
    _save(path, image)


def write_heatmap(path: Path, heatmap: Heatmap) -> None:
    """Write a heatmap on its own grid, raw values as float32."""
    _save(path, _nifti(heatmap.data.astype(np.float32), heatmap.space))


def write_steps(path: Path, steps: Steps) -> None:
    """Write numbers in steps: one byte per voxel, and a slope that gives the numbers back."""
    image = _nifti(steps.data, steps.space)
    image.header.set_slope_inter(steps.top / 255, 0)
    _save(path, image)


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


def _write_stack(path: Path, volume_at: Callable[[int], Volume], count: int, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Write all volumes; stop at the first that does not fit, and give the type that it needs."""
    space = volume_at(0).space
    image = _nifti(np.broadcast_to(dtype.type(0), (*space.shape, count)), space)
    with _packed(path, image) as packed:
        for at in range(count):
            volume = volume_at(at)
            check_same_space(volume.space, space)
            wider = np.result_type(dtype, _stored_dtype(volume))
            if wider != dtype:
                return wider if wider.kind in "iu" and wider.itemsize <= 4 else np.dtype(np.float32)
            for k in range(space.shape[2]):
                packed.write(volume.data[:, :, k].astype(dtype, copy=False).tobytes(order="F"))
    return dtype


def _stored_dtype(volume: Volume) -> np.dtype[Any]:
    is_kept = volume.data.dtype.kind in "iu" and volume.data.dtype.itemsize <= 4
    return volume.data.dtype if is_kept else np.dtype(np.float32)


def _save(path: Path, image: nib.Nifti1Image) -> None:
    data = np.asanyarray(image.dataobj)
    with _packed(path, image) as packed:
        # Slice by slice: the bytes of a whole volume would be a second copy of it.
        for k in range(data.shape[-1]):
            packed.write(data[..., k].tobytes(order="F"))


@contextmanager
def _packed(path: Path, image: nib.Nifti1Image) -> Iterator[igzip.IGzipFile]:
    """Open a file for the voxels of an image, its header written."""
    image.header["descrip"] = b""
    image.header["vox_offset"] = _VOXELS_AT
    block = image.header.binaryblock
    with (
        path.open("wb") as stream,
        igzip.IGzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=stream, mtime=0) as packed,
    ):
        packed.write(block + bytes(_VOXELS_AT - len(block)))
        yield packed
