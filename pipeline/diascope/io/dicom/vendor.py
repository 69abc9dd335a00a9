"""What vendors hide in private elements, found by the creator of the block and never by a fixed address."""

import struct

from diascope.io.dicom import values
from diascope.io.dicom.elements import Elements
from diascope.io.dicom.headers import Vector

SIEMENS = (0x0019, "SIEMENS MR HEADER")
SIEMENS_CSA = (0x0029, "SIEMENS CSA HEADER")
GE_PARAMETERS = (0x0043, "GEMS_PARM_01")
GE_ACQUISITION = (0x0019, "GEMS_ACQU_01")
PHILIPS_IMAGING = (0x2001, "Philips Imaging DD 001")
PHILIPS_MR = (0x2005, "Philips MR Imaging DD 001")
UIH = (0x0065, "Image Private Header")

PRIVATE: dict[tuple[int, str], frozenset[int]] = {
    SIEMENS: frozenset({0x0A, 0x0C, 0x0E}),
    SIEMENS_CSA: frozenset({0x10}),
    GE_PARAMETERS: frozenset({0x2F, 0x39}),
    GE_ACQUISITION: frozenset({0xBB, 0xBC, 0xBD}),
    PHILIPS_IMAGING: frozenset({0x03}),
    PHILIPS_MR: frozenset({0x0E}),
    UIH: frozenset({0x09, 0x37, 0x50}),
}
"""Elements to keep, by (group, creator)."""

# GE packs flags into the b-value by adding multiples of 10^9.
_GE_B_VALUE_FLAGS = 1_000_000_000
_GE_COMPONENTS = ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY")


def b_value(found: Elements) -> float | None:
    """Find the diffusion weighting in s/mm²: the standard element, else the vendor's."""
    standard = values.double(found.values.get(0x00189087, b""), big_endian=found.big_endian)
    if standard is not None:
        return standard
    if siemens := _number(found, SIEMENS, 0x0C):
        return siemens[0]
    if ge := _number(found, GE_PARAMETERS, 0x39):
        return ge[0] % _GE_B_VALUE_FLAGS
    raw = found.private.get((*PHILIPS_IMAGING, 0x03), b"")
    if len(raw) == 4:
        return float(struct.unpack(">f" if found.big_endian else "<f", raw)[0])
    return values.double(found.private.get((*UIH, 0x09), b""), big_endian=found.big_endian)


def direction(found: Elements) -> Vector | None:
    """Find the diffusion direction; only to tell volumes apart, not to compute with."""
    raw = found.values.get(0x00189089) or found.private.get((*SIEMENS, 0x0E)) or found.private.get((*UIH, 0x37)) or b""
    if len(raw) == 24:
        x, y, z = struct.unpack(">3d" if found.big_endian else "<3d", raw)
        return x, y, z
    parts = [_number(found, GE_ACQUISITION, low) for low in (0xBB, 0xBC, 0xBD)]
    if all(parts):
        return parts[0][0], parts[1][0], parts[2][0]
    return None


def has_precise_scale(found: Elements) -> bool:
    """Say whether Philips offers a second scale, by which signals of different scans compare.

    The standard's rescale slope gives the numbers that the console displays; those
    divided by this private slope too are called precise (Chenevert et al. 2014,
    doi:10.1593/tlo.13811).
    """
    return (*PHILIPS_MR, 0x0E) in found.private


def image_component(found: Elements) -> str:
    """Tell GE's magnitude, phase, real and imaginary images apart: ImageType does not."""
    raw = found.private.get((*GE_PARAMETERS, 0x2F), b"")
    at = int.from_bytes(raw[:2], "big" if found.big_endian else "little") if len(raw) >= 2 else 0
    return _GE_COMPONENTS[at] if 0 < at < len(_GE_COMPONENTS) else ""


def _number(found: Elements, block: tuple[int, str], low: int) -> tuple[float, ...]:
    return values.parsed_numbers(found.private.get((*block, low), b""))
