"""What a MetaImage header says (.mha, .mhd); the format is at itk.org/Wiki/MetaIO/Documentation.

Its frame is LPS, as ITK writes and reads it; `AnatomicalOrientation` repeats the
matrix and is not used. Without TransformMatrix and Offset there is no affine.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from diascope.errors import InputError, UnsupportedInput
from diascope.geometry import Grid, IndexGrid, PixelGrid, Space
from diascope.io.damage import damage_of
from diascope.io.voxel_layout import HeaderFacts, VoxelLayout

MAX_HEADER_BYTES = 2**20
"""Beyond a megabyte it is no header."""

# MetaIO's own sizes: MET_LONG has 4 bytes on every machine (metaTypes.h).
_DTYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip

# Other names of the same key that ITK accepts, too.
_MATRIX = ("TransformMatrix", "Rotation", "Orientation")
_OFFSET = ("Offset", "Position", "Origin")
_BIG_ENDIAN = ("ElementByteOrderMSB", "BinaryDataByteOrderMSB")

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_LAST_KEY = re.compile(rb"^ElementDataFile[ \t]*=[^\n]*\n", re.MULTILINE)


def is_meta_header(head: bytes) -> bool:
    """Say whether a file begins as a MetaImage header does."""
    return re.match(rb"\s*(ObjectType|Comment|NDims)\s*=", head) is not None and b"NDims" in head


def read_meta_header(path: Path) -> HeaderFacts:
    """Read the header of a .mha or .mhd.

    Raises:
        InputError: It is damaged, or contradicts itself.
        UnsupportedInput: It is valid, but of a kind that we do not read.
    """
    with path.open("rb") as stream:
        head = stream.read(MAX_HEADER_BYTES)
    end = _LAST_KEY.search(head if head.endswith(b"\n") else head + b"\n")
    if end is None:
        raise InputError("the header has no ElementDataFile", code="corrupt")
    try:
        return _facts(_keys(head[: end.end()]), end.end())
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise InputError(
            f"the header cannot be read: {damage_of(error)}", hint="copy the file again", code="corrupt"
        ) from None


def _keys(header: bytes) -> dict[str, str]:
    lines = header.decode("latin-1").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _facts(keys: Mapping[str, str], header_bytes: int) -> HeaderFacts:
    if keys.get("ObjectType", "Image").lower() != "image":
        raise UnsupportedInput("a MetaIO object that is no image", code="not_a_volume")
    sizes = tuple(int(size) for size in keys["DimSize"].split())
    if len(sizes) != int(keys["NDims"]) or not 2 <= len(sizes) <= 4:
        raise UnsupportedInput(
            f"{keys['NDims']} axes and {len(sizes)} sizes; two to four are read", code="not_a_volume"
        )
    if any(size < 1 for size in sizes):
        raise InputError(f"the header names axes of {list(sizes)} voxels", code="bad_shape")
    channels = int(keys.get("ElementNumberOfChannels", "1"))
    if channels != 1 and len(sizes) == 4:
        raise UnsupportedInput("four axes with several channels", code="not_a_volume")
    is_local = keys["ElementDataFile"] == "LOCAL"
    layout = VoxelLayout(
        dtype=_dtype(keys),
        sizes=sizes if channels == 1 else (channels, *sizes),
        channel_axis=_channel_axis(len(sizes), channels),
        start_byte=_start_byte(keys, header_bytes if is_local else 0),
        encoding="zlib" if _is_true(keys.get("CompressedData", "")) else "raw",
    )
    space, notes = _space(keys, layout, len(sizes))
    is_colour = channels == 3 and layout.dtype.endswith("u1")
    return HeaderFacts(
        layout=layout,
        space=space,
        axis="channel" if layout.channels > 1 and not is_colour else None,
        is_colour=is_colour,
        data_file=None if is_local else keys["ElementDataFile"],
        notes=notes,
    )


def _channel_axis(dimensions: int, channels: int) -> int | None:
    if channels > 1:
        return 0
    return 3 if dimensions == 4 else None


def _dtype(keys: Mapping[str, str]) -> str:
    element = keys["ElementType"].removesuffix("_ARRAY")
    if element not in _DTYPES:
        raise UnsupportedInput(f"voxels of type {element[:30]} are not read", code="voxel_type")
    if not _is_true(keys.get("BinaryData", "True")):
        raise UnsupportedInput("voxels written as text are not read", hint="save it as binary", code="encoding")
    name = _DTYPES[element]
    is_big_endian = any(_is_true(keys.get(key, "")) for key in _BIG_ENDIAN)
    return f"{'|' if name.endswith('1') else '>' if is_big_endian else '<'}{name}"


def _start_byte(keys: Mapping[str, str], header_bytes: int) -> int:
    skip = int(keys.get("HeaderSize", "0"))
    return -1 if skip == -1 else header_bytes + skip


def _is_true(text: str) -> bool:
    return text.lower() in {"true", "t", "1", "yes"}


def _space(keys: Mapping[str, str], layout: VoxelLayout, dimensions: int) -> tuple[Space, tuple[str, ...]]:
    shape = layout.shape
    spacing_mm = _numbers(keys.get("ElementSpacing", ""), dimensions)
    matrix = _first_numbers(keys, _MATRIX, dimensions**2)
    offset = _first_numbers(keys, _OFFSET, dimensions)
    if dimensions == 2:
        return _flat_space(shape, spacing_mm)
    if matrix is None or offset is None or spacing_mm is None:
        return IndexGrid(shape), ("the header has no TransformMatrix, Offset or ElementSpacing: nothing is placed",)
    # The file has an axis' direction per row, the affine a column.
    directions_lps = matrix.reshape(dimensions, dimensions)[:3, :3].T
    affine = np.eye(4)
    affine[:3, :3] = _LPS_TO_RAS @ directions_lps * spacing_mm[:3]
    affine[:3, 3] = _LPS_TO_RAS @ offset[:3]
    return Grid(shape, affine), ()


def _flat_space(
    shape: tuple[int, int, int], spacing_mm: np.ndarray[tuple[int], np.dtype[np.float64]] | None
) -> tuple[Space, tuple[str, ...]]:
    """Place a flat image.

    Args:
        shape: Number of pixels.
        spacing_mm: (2,), None where the header has none.
    """
    # ITK writes a spacing of 1 for every picture that has none.
    if spacing_mm is None or (spacing_mm == 1).all():
        return IndexGrid(shape), ()
    note = "the pixel spacing may be the detector's: lengths in the patient are not known"
    return PixelGrid(shape, (float(spacing_mm[0]), float(spacing_mm[1])), "detector"), (note,)


def _first_numbers(
    keys: Mapping[str, str], names: tuple[str, ...], count: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    return next((_numbers(keys[name], count) for name in names if name in keys), None)


def _numbers(text: str, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    if not text:
        return None
    numbers = np.array([float(word) for word in text.split()])
    if numbers.shape != (count,):
        raise ValueError(f"{len(numbers)} numbers instead of {count}")
    return numbers
