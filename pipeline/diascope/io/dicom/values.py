"""Raw bytes of DICOM elements into texts and numbers; what is malformed is None."""

import struct

from pydicom.charset import convert_encodings, decode_bytes

from diascope.io.dicom.dataset import without_warnings
from diascope.io.dicom.elements import Elements
from diascope.io.dicom.headers import Vector

LARGEST = 1e15
"""No measurement in a header is larger; products of such numbers still fit a float."""

_DELIMITERS = {0x5C, 0x0A, 0x0C, 0x0D}


def text(found: Elements, tag: int) -> str:
    """Read a text; a wrong character set gives replacement characters, never an error."""
    raw = found.values.get(tag, b"")
    return decoded(raw, found).strip(" \0")


def decoded(raw: bytes, found: Elements) -> str:
    """Decode bytes by the file's SpecificCharacterSet."""
    if raw.isascii():
        return raw.decode("ascii")
    named = found.values.get(0x00080005, b"").decode("ascii", "replace").split("\\")
    # An unknown character set is answered by replacement.
    with without_warnings():
        try:
            encodings = convert_encodings([name.strip() for name in named])
            return str(decode_bytes(raw, encodings, _DELIMITERS))
        except (LookupError, UnicodeError, ValueError):
            return raw.decode("utf-8", "replace")


def texts(found: Elements, tag: int) -> tuple[str, ...]:
    """Read a text of several values."""
    whole = text(found, tag)
    return tuple(part.strip() for part in whole.split("\\")) if whole else ()


def uid(found: Elements, tag: int) -> str:
    """Read a UID."""
    return found.values.get(tag, b"").rstrip(b"\0 ").decode("ascii", "replace").strip()


def numbers(found: Elements, tag: int) -> tuple[float, ...]:
    """Read decimal or integer strings; empty where one of them is no number, or absurd."""
    return parsed_numbers(found.values.get(tag, b""))


def parsed_numbers(raw: bytes) -> tuple[float, ...]:
    """Parse decimal strings; empty where one of them is no number, or absurd."""
    try:
        values = tuple(float(part) for part in raw.strip(b" \0").split(b"\\"))
    except ValueError:
        return ()
    return values if all(abs(value) < LARGEST for value in values) else ()


def number(found: Elements, tag: int) -> float | None:
    """Read the first of decimal or integer strings."""
    values = numbers(found, tag)
    return values[0] if values else None


def vector(found: Elements, tag: int) -> Vector | None:
    """Read three decimal strings."""
    values = numbers(found, tag)
    return (values[0], values[1], values[2]) if len(values) == 3 else None


def whole(found: Elements, tag: int) -> int | None:
    """Read an integer string."""
    value = number(found, tag)
    return int(value) if value is not None else None


def short(found: Elements, tag: int) -> int | None:
    """Read an unsigned 16-bit number."""
    raw = found.values.get(tag, b"")
    return int.from_bytes(raw[:2], "big" if found.big_endian else "little") if len(raw) >= 2 else None


def double(raw: bytes, *, big_endian: bool) -> float | None:
    """Read a 64-bit float (VR FD)."""
    if len(raw) < 8:
        return None
    value = float(struct.unpack_from(">d" if big_endian else "<d", raw)[0])
    return value if abs(value) < LARGEST else None


def seconds(time: str) -> float | None:
    """Read a DICOM time (hhmmss.ffffff) as seconds since midnight."""
    digits = time.strip().replace(":", "")
    try:
        whole_part, _, fraction = digits.partition(".")
        hours, minutes, rest = int(whole_part[0:2]), int(whole_part[2:4] or 0), int(whole_part[4:6] or 0)
        return hours * 3600 + minutes * 60 + rest + float(f"0.{fraction or 0}")
    except ValueError:
        return None


def iso_date(date: str) -> str:
    """Read a DICOM date (yyyymmdd, or the old yyyy.mm.dd) as ISO; empty where malformed."""
    digits = date.strip().replace(".", "").replace("-", "")
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}" if len(digits) == 8 and digits.isdigit() else ""
