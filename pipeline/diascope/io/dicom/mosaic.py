"""Volumes laid out as tiles of one frame: Siemens mosaics and the grid of United Imaging."""

import math
from dataclasses import replace

import numpy as np

from diascope.errors import InputError
from diascope.io.dicom import values
from diascope.io.dicom.csa import read_csa
from diascope.io.dicom.dataset import MALFORMED, read_dataset, without_warnings
from diascope.io.dicom.elements import Elements
from diascope.io.dicom.headers import Frame, Header, Vector
from diascope.io.dicom.ordering import normal_of
from diascope.io.dicom.vendor import SIEMENS, SIEMENS_CSA, UIH


def is_tiled(image_type: tuple[str, ...]) -> bool:
    """Say whether one frame holds a whole volume as tiles."""
    return "MOSAIC" in image_type or "VFRAME" in image_type


def untiled(header: Header, found: Elements) -> Header:
    """Give each tile a frame of its own, with its own place.

    Raises:
        InputError: The header does not say where the tiles lie: they are never read as one picture.
    """
    frame = header.frames[0]
    if "VFRAME" in header.image_type:
        positions = _uih_positions(header)
        across = math.ceil(math.sqrt(len(positions)))
        down = math.ceil(len(positions) / across)
    else:
        count, normal = _siemens_mosaic(found)
        across = down = math.ceil(math.sqrt(count))
        positions = _siemens_positions(header, frame, count, normal)
    layout = header.layout
    if layout.columns % across or layout.rows % down:
        raise InputError(
            f"{len(positions)} tiles do not fit into {layout.columns} columns and {layout.rows} rows",
            code="mosaic_without_geometry",
        )
    frames = tuple(replace(frame, tile=at, position_lps_mm=position) for at, position in enumerate(positions))
    return replace(header, layout=replace(layout, tiles=(across, down)), frames=frames)


def _siemens_mosaic(found: Elements) -> tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Read how many tiles there are, and in which direction they are stacked."""
    raw = found.private.get((*SIEMENS_CSA, 0x10), b"")
    csa = read_csa(raw) if raw else {}
    counted = found.private.get((*SIEMENS, 0x0A), b"")
    count = int.from_bytes(counted[:2], "big" if found.big_endian else "little") if len(counted) >= 2 else 0
    count = count or int(next(iter(_numbers(csa, "NumberOfImagesInMosaic")), 0))
    normal = _numbers(csa, "SliceNormalVector")
    if count < 1 or len(normal) != 3:
        raise InputError(
            "a mosaic whose private header does not say how many slices it holds and in which direction they lie",
            hint="send it from the scanner with its private (CSA) header",
            code="mosaic_without_geometry",
        )
    return count, np.array(normal, dtype=np.float64)


def _numbers(csa: dict[str, tuple[str, ...]], name: str) -> tuple[float, ...]:
    return values.parsed_numbers("\\".join(csa.get(name, ())).encode())


def _siemens_positions(
    header: Header, frame: Frame, count: int, normal: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> list[Vector]:
    """Find the place of each tile.

    ImagePositionPatient is that of a picture as large as the mosaic around the centre
    of the first slice (https://nipy.org/nibabel/dicom/dicom_mosaic.html).

    Args:
        header: Of the mosaic.
        frame: The mosaic as one frame.
        count: How many tiles hold a slice.
        normal: (3,) from slice to slice, in LPS.
    """
    if frame.position_lps_mm is None or frame.orientation is None or frame.spacing_mm is None:
        raise InputError("a mosaic without position, orientation or pixel spacing", code="mosaic_without_geometry")
    step_mm = frame.spacing_between_mm or frame.thickness_mm
    if not step_mm or abs(abs(float(normal @ normal_of(frame.orientation))) - 1) > 1e-3:
        raise InputError(
            "a mosaic without slice spacing, or whose slices are stacked off their normal",
            code="mosaic_without_geometry",
        )
    across = math.ceil(math.sqrt(count))
    columns, rows = header.layout.columns, header.layout.rows
    along_row, along_column = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    corner_mm = (
        np.array(frame.position_lps_mm)
        + along_row * frame.spacing_mm[0] * (columns - columns / across) / 2
        + along_column * frame.spacing_mm[1] * (rows - rows / across) / 2
    )
    return [_vector(corner_mm + normal * abs(step_mm) * at) for at in range(count)]


def _uih_positions(header: Header) -> list[Vector]:
    """Read the position of each tile from the sequence of virtual frames."""
    try:
        with without_warnings():
            dataset = read_dataset(header.file.path, header.layout.transfer_syntax, with_pixels=False)
            block = dataset.private_block(*UIH)
            items = block[0x51].value
            positions = [_vector(np.array(item.ImagePositionPatient, dtype=np.float64)) for item in items]
            count = int(values.parsed_numbers(str(block[0x50].value).encode())[0])
    except MALFORMED:
        positions, count = [], 0
    if not positions or len(positions) != count:
        raise InputError(
            f"a grid of {count} slices with {len(positions)} positions in its private header",
            hint="send it from the scanner with its private header",
            code="mosaic_without_geometry",
        )
    return positions


def _vector(point: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Vector:
    x, y, z = point.tolist()
    return x, y, z
