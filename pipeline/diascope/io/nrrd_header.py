"""What an NRRD header says; the format is at teem.sourceforge.net/nrrd/format.html.

An affine is what `space`, `space directions` and `space origin` say together. Where
one of them is missing there is none: spacings alone place nothing in a patient.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

from diascope.errors import InputError, UnsupportedInput
from diascope.geometry import Grid, IndexGrid, Shape, Space
from diascope.io.damage import damage_of
from diascope.io.voxel_layout import Encoding, HeaderFacts, VoxelLayout

MAX_HEADER_BYTES = 2**22
"""Slicer writes a segmentation's history into it; beyond four megabytes it is no header."""

# Towards which side of RAS a word of `space` points.
_SIDES = {
    "right": (0, 1),
    "left": (0, -1),
    "anterior": (1, 1),
    "posterior": (1, -1),
    "superior": (2, 1),
    "inferior": (2, -1),
}
_SHORT = {"RAS": "right-anterior-superior", "LAS": "left-anterior-superior", "LPS": "left-posterior-superior"}

_MM_PER = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "um": 0.001, "µm": 0.001, "cm": 10.0, "m": 1000.0}
_ENCODINGS: Mapping[str, Encoding] = {
    "raw": "raw", "gz": "zlib", "gzip": "zlib", "bz2": "bzip2", "bzip2": "bzip2",
}  # fmt: skip
_COLOURS = {"rgb-color", "3-color"}
_SPATIAL_KINDS = {"space", "domain", "???", "none"}


def read_nrrd_header(path: Path) -> HeaderFacts:
    """Read the header of a .nrrd or .nhdr.

    Raises:
        InputError: It is damaged, or contradicts itself.
        UnsupportedInput: It is valid, but of a kind that we do not read.
    """
    with path.open("rb") as stream:
        text = io.BytesIO(stream.read(MAX_HEADER_BYTES))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            header = nrrd.read_header(text)
        return _facts(header, text.tell())
    except (
        nrrd.NRRDError,
        Warning,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        StopIteration,
        OverflowError,
    ) as error:
        raise InputError(
            f"the header cannot be read: {damage_of(error)}", hint="copy the file again", code="corrupt"
        ) from None


def _facts(header: Mapping[str, Any], header_bytes: int) -> HeaderFacts:
    sizes = tuple(int(size) for size in header["sizes"])
    if len(sizes) != int(header["dimension"]):
        raise InputError(f"the header names {header['dimension']} axes and {len(sizes)} sizes", code="corrupt")
    channel_axis, kind = _channel_axis(header, len(sizes))
    layout = VoxelLayout(
        dtype=_dtype(header),
        sizes=sizes,
        channel_axis=channel_axis,
        start_byte=_start_byte(header, header_bytes),
        encoding=_encoding(header),
    )
    if any(size < 1 for size in sizes):
        raise InputError(f"the header names axes of {list(sizes)} voxels", code="bad_shape")
    space, notes = _space(header, layout)
    is_colour = kind in _COLOURS and layout.channels == 3 and layout.dtype.endswith("u1")
    return HeaderFacts(
        layout=layout,
        space=space,
        axis=_axis(header, kind) if layout.channels > 1 and not is_colour else None,
        is_colour=is_colour,
        is_mask=any(key.startswith("Segment0_") for key in header),
        data_file=_data_file(header),
        notes=notes,
    )


def _channel_axis(header: Mapping[str, Any], count: int) -> tuple[int | None, str]:
    """Find the one axis that is not in space: by `space directions`, else by `kinds`."""
    kinds = [str(kind).lower() for kind in header.get("kinds", ())]
    directions = header.get("space directions")
    if directions is not None:
        off = [axis for axis, vector in enumerate(directions) if vector is None or np.isnan(vector).any()]
    else:
        off = [axis for axis, kind in enumerate(kinds) if kind not in _SPATIAL_KINDS]
    if len(off) > 1 or (not off and count > 3):
        raise UnsupportedInput(f"{count} axes, of which {len(off)} are not in space", code="not_a_volume")
    if not off:
        return None, ""
    return off[0], kinds[off[0]] if off[0] < len(kinds) else ""


def _dtype(header: Mapping[str, Any]) -> str:
    name = nrrd.reader._TYPEMAP_NRRD2NUMPY[header["type"]]  # noqa: SLF001 - the format's own table, kept by pynrrd
    if name == "V":
        raise UnsupportedInput("voxels that are blocks of bytes are not numbers", code="voxel_type")
    order = {"big": ">", "little": "<"}[header["endian"]] if np.dtype(name).itemsize > 1 else "|"
    return f"{order}{name}"


def _encoding(header: Mapping[str, Any]) -> Encoding:
    name = str(header["encoding"]).lower()
    if name not in _ENCODINGS:
        raise UnsupportedInput(f"voxels written as {name} are not read", hint="save it as raw or gzip", code="encoding")
    return _ENCODINGS[name]


def _start_byte(header: Mapping[str, Any], header_bytes: int) -> int:
    skip = int(header.get("byte skip", header.get("byteskip", 0)))
    lines = int(header.get("line skip", header.get("lineskip", 0)))
    start = 0 if _data_file(header) else header_bytes
    if lines or (skip and _encoding(header) != "raw"):
        raise UnsupportedInput("voxels behind lines or compressed bytes to skip", code="encoding")
    return -1 if skip == -1 else start + max(skip, 0)


def _data_file(header: Mapping[str, Any]) -> str | None:
    name = header.get("data file", header.get("datafile"))
    return None if name is None else str(name)


def _axis(header: Mapping[str, Any], kind: str) -> str:
    if "DWMRI_b-value" in header:
        return "b_value"
    return "time" if kind == "time" else "channel"


def _space(header: Mapping[str, Any], layout: VoxelLayout) -> tuple[Space, tuple[str, ...]]:
    shape = layout.shape
    to_ras = _to_ras(str(header.get("space", "")))
    directions, origin = header.get("space directions"), header.get("space origin")
    if (
        to_ras is None
        or directions is None
        or origin is None
        or len(layout.sizes) - (layout.channel_axis is not None) < 3
    ):
        return IndexGrid(shape), ("the header places the voxels in no patient: spacing and orientation are not used",)
    scale = _mm_per_unit(header.get("space units"))
    if scale is None:
        return IndexGrid(shape), ("the header counts in a unit that is no length: its affine is not used",)
    rows = [vector for axis, vector in enumerate(directions) if axis != layout.channel_axis]
    return _grid(shape, to_ras @ np.array(rows, dtype=np.float64).T * scale, to_ras @ np.asarray(origin) * scale), ()


def _grid(shape: Shape, steps_ras_mm: np.ndarray[Any, Any], origin_ras_mm: np.ndarray[Any, Any]) -> Grid:
    """Put the columns of steps and the first voxel's centre together.

    Args:
        shape: Number of voxels.
        steps_ras_mm: (3, 3), a column per axis.
        origin_ras_mm: (3,).
    """
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps_ras_mm, origin_ras_mm
    return Grid(shape, affine)


def _to_ras(space: str) -> np.ndarray[Any, Any] | None:
    """Give the (3, 3) matrix that takes the header's axes to RAS; None where it names no patient axes."""
    words = _SHORT.get(space, space).lower().split("-")
    if len(words) != 3 or any(word not in _SIDES for word in words):
        return None
    to_ras = np.zeros((3, 3))
    for column, word in enumerate(words):
        row, sign = _SIDES[word]
        to_ras[row, column] = sign
    return to_ras if abs(np.linalg.det(to_ras)) == 1 else None


def _mm_per_unit(units: Sequence[str] | None) -> float | None:
    if units is None:
        return 1.0
    found = {_MM_PER.get(str(unit).strip().lower()) for unit in units}
    return found.pop() if len(found) == 1 else None
