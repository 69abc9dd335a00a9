"""One way in for label maps of every format, laid onto the voxels of an image."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from diascope.errors import InputError, UnsupportedInput
from diascope.geometry import Space
from diascope.io.damage import damage_of
from diascope.io.labels.contours import read_contours
from diascope.io.labels.dicom_seg import read_dicom_seg
from diascope.io.labels.nifti_map import read_nifti_map
from diascope.io.labels.nrrd_seg import read_nrrd_seg
from diascope.io.labels.placing import place_on
from diascope.volume import Mask

GZIP_MAGIC = b"\x1f\x8b"
SEG_CLASSES = {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"}
RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"


def read_label_map(path: Path, onto: Space, names: Mapping[int, str] | None = None) -> tuple[Mask, ...]:
    """Read a label map and lay it onto the voxels of an image.

    The file's content says what it is, not its name. Labels that overlap come in
    layers, each a Mask of its own.

    Args:
        path: NIfTI, .seg.nrrd, DICOM SEG or RTSTRUCT.
        onto: The image's geometry; the voxels must lie on its voxels. Contours are
            drawn onto them.
        names: Name of each value, for NIfTI and plain NRRD, which carry none; where
            it is None values are named `label_1` and so on. For the other formats
            names come from the file.

    Raises:
        InputError: The file cannot be read or holds no label map.
        GridMismatch: Its voxels lie elsewhere.
    """
    head = _head(path)
    if head.startswith(b"NRRD"):
        layers = read_nrrd_seg(path, names)
    elif head[128:132] == b"DICM":
        return _read_dicom(path, onto)
    else:
        layers = (read_nifti_map(path, names),)
    return tuple(place_on(layer, onto) for layer in layers)


def _read_dicom(path: Path, onto: Space) -> tuple[Mask, ...]:
    try:
        dataset = pydicom.dcmread(path)
    except (InvalidDicomError, OSError, EOFError, ValueError) as error:
        raise InputError(f"the DICOM file cannot be read: {damage_of(error)}", code="corrupt") from None
    sop_class = str(dataset.get("SOPClassUID", ""))
    if sop_class in SEG_CLASSES:
        return tuple(place_on(layer, onto) for layer in read_dicom_seg(dataset))
    if sop_class == RTSTRUCT_CLASS:
        return read_contours(dataset, onto)
    raise UnsupportedInput(
        f"a DICOM object of modality {dataset.get('Modality', 'unknown')} is no label map",
        hint="give a DICOM SEG or RTSTRUCT",
        code="no_label_map",
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            start = stream.read(400)
        if start.startswith(GZIP_MAGIC):
            with gzip.open(path, "rb") as unpacked:
                return unpacked.read(400)
    except (OSError, EOFError) as error:
        raise InputError(f"the label map cannot be read: {damage_of(error)}", code="unreadable") from None
    return start
