"""Siemens' private header within the header: names with values, in a binary block.

Described at https://nipy.org/nibabel/dicom/siemens_csa.html.
"""

import struct

from diascope.errors import InputError

_TAG = struct.Struct("<64si4s3i")
_ITEM = struct.Struct("<4i")
_MAX_TAGS = 1000
_MAX_ITEMS = 10_000


def read_csa(raw: bytes) -> dict[str, tuple[str, ...]]:
    """Read the values of a CSA block by name, as texts.

    Raises:
        InputError: The block is broken.
    """
    is_second = raw[:4] == b"SV10"
    at = 8 if is_second else 0
    try:
        (count,) = struct.unpack_from("<i", raw, at)
        at += 8
        return _tags(raw, at, count, is_second=is_second)
    except struct.error:
        raise InputError("the private (CSA) header is cut off", code="corrupt") from None


def _tags(raw: bytes, at: int, count: int, *, is_second: bool) -> dict[str, tuple[str, ...]]:
    if not 0 < count <= _MAX_TAGS:
        raise InputError(f"the private (CSA) header promises {count} entries", code="corrupt")
    found: dict[str, tuple[str, ...]] = {}
    # In the first version a length counts from the number of items of the first entry.
    base: int | None = None
    for _ in range(count):
        name, _, _, _, items, _ = _TAG.unpack_from(raw, at)
        at += _TAG.size
        base = items if base is None else base
        texts, at = _items(raw, at, items, 0 if is_second else base)
        found[name.split(b"\0")[0].decode("latin-1")] = texts
    return found


def _items(raw: bytes, at: int, count: int, base: int) -> tuple[tuple[str, ...], int]:
    if not 0 <= count <= _MAX_ITEMS:
        raise InputError(f"an entry of the private (CSA) header promises {count} values", code="corrupt")
    texts = []
    for _ in range(count):
        lengths = _ITEM.unpack_from(raw, at)
        length = lengths[0] - base if base else lengths[1]
        at += _ITEM.size
        if not 0 <= length <= len(raw) - at:
            raise InputError("the private (CSA) header is cut off", code="corrupt")
        text = raw[at : at + length].split(b"\0")[0].decode("latin-1").strip()
        if text:
            texts.append(text)
        at += (length + 3) // 4 * 4
    return tuple(texts), at
