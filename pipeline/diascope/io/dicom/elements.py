"""Walk the elements of a DICOM header: one pass, bounded, without pixels.

pydicom reads everything; here only lengths are followed and the values on a list
are kept. A length that runs past the end of the file, or nesting without end, is an
error before anything is allocated. What needs the whole tree (functional groups,
compressed pixels) is read by pydicom afterwards, from a file that was walked.
"""

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from diascope.errors import InputError

PREAMBLE_BYTES = 132
PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
UNDEFINED_LENGTH = 0xFFFFFFFF
MAX_DEPTH = 50
"""Sequences in sequences; functional groups and structured reports reach about ten."""

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG})
"""Syntaxes whose pixels lie in the file as they are."""

_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
_ENDS = frozenset({0xFFFEE00D, 0xFFFEE0DD})
"""Of an item and of a sequence of undefined length."""

_CHUNK_BYTES = 1 << 16
_TRANSFER_SYNTAX = 0x00020010
MEDIA_STORAGE_CLASS = 0x00020002


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which elements to keep, at the top level of the data set.

    Attributes:
        tags: Standard elements, group << 16 | element.
        private: Low bytes of the elements, by (group, creator): a block may lie at
            any (gggg,xx00), and archives move it, so that only its creator finds it.
    """

    tags: frozenset[int]
    private: Mapping[tuple[int, str], frozenset[int]]


@dataclass(slots=True)
class Elements:
    """What was found in one file.

    Attributes:
        values: Raw bytes by tag; empty for a sequence.
        private: Raw bytes by (group, creator, low byte of the element).
        transfer_syntax: As the file says, or as it had to be guessed.
        big_endian: Byte order of the numbers in `values` and of native pixels.
        has_meta: Whether there is a file meta group.
        preamble: The 128 bytes before `DICM`; empty where there are none.
        pixel_tag: Which of the three kinds of pixel data; None where there are none.
        pixel_at: First byte of the pixel data's value; in the inflated data where deflated.
        pixel_bytes: Their length, UNDEFINED_LENGTH where they are encapsulated.
        is_cut: Whether the fragments of encapsulated pixels run past the end of the file.
    """

    values: dict[int, bytes] = field(default_factory=dict)
    private: dict[tuple[int, str, int], bytes] = field(default_factory=dict)
    transfer_syntax: str = ""
    big_endian: bool = False
    has_meta: bool = False
    preamble: bytes = b""
    pixel_tag: int | None = None
    pixel_at: int = 0
    pixel_bytes: int = 0
    is_cut: bool = False


class Bytes:
    """A file, or a block in memory, read in chunks by position."""

    __slots__ = ("_block", "_start", "_stream", "size")

    def __init__(self, stream: BinaryIO, size: int) -> None:
        """Read from an open file of this size."""
        self._stream = stream
        self._block = b""
        self._start = 0
        self.size = size

    def take(self, at: int, count: int) -> bytes:
        """Give bytes from a position.

        Raises:
            InputError: They lie past the end.
        """
        block, inside = self.block(at, count)
        return block[inside : inside + count]

    def block(self, at: int, count: int) -> tuple[bytes, int]:
        """Give the chunk that holds some bytes, and where in it they begin.

        Raises:
            InputError: They lie past the end.
        """
        inside = at - self._start
        if inside < 0 or inside + count > len(self._block):
            self.check(at + count)
            self._stream.seek(at)
            self._block = self._stream.read(max(_CHUNK_BYTES, count))
            self._start, inside = at, 0
        return self._block, inside

    def check(self, end: int) -> None:
        """Refuse what reaches past the end."""
        if end > self.size:
            raise InputError(
                f"the header promises {end} bytes, the file has {self.size}",
                hint="copy the file again",
                code="truncated",
            )


def walk(stream: BinaryIO, size: int, wanted: Wanted, max_bytes: int) -> Elements:
    """Collect the elements on the list, up to the pixel data.

    Args:
        stream: The file, open.
        size: Its length in bytes.
        wanted: What to keep.
        max_bytes: How much of the header may be kept, and how far a deflated one may grow.

    Raises:
        InputError: The structure is broken; its code says how.
    """
    source = Bytes(stream, size)
    found = Elements()
    at = _skip_preamble(source, found)
    at = _walk_meta(source, found, at)
    if found.transfer_syntax == DEFLATED:
        source, at = _inflated(stream, at, max_bytes), 0
    explicit, found.big_endian = _encoding(source, found, at)
    _Walker(source, found, wanted, explicit=explicit, max_bytes=max_bytes).run(at)
    if found.pixel_bytes == UNDEFINED_LENGTH:
        found.is_cut = not _fragments_are_whole(stream, found.pixel_at, size)
    return found


def looks_like_dicom(head: bytes) -> bool:
    """Say whether a file begins like DICOM, with or without preamble and meta group."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 16:
        return False
    group, element = struct.unpack_from("<HH", head)
    if group not in (0x0002, 0x0008) or element > 0x0070:
        return _looks_big_endian(head)
    if head[4:6] in _SHORT_VRS | _LONG_VRS:
        return True
    # Implicit VR: a length that fits what stands there (group length, UID, code string).
    length = int.from_bytes(head[4:8], "little")
    return bool(group == 0x0008) and 0 < length <= 128 and _next_is_in_order(head, 8 + length, element)


def _fragments_are_whole(stream: BinaryIO, at: int, size: int) -> bool:
    """Follow the lengths of the fragments to the delimiter behind them (PS3.5, A.4)."""
    while at + 8 <= size:
        stream.seek(at)
        group, element, length = struct.unpack("<HHI", stream.read(8))
        if group != 0xFFFE or element not in (0xE000, 0xE0DD):
            return False
        if element == 0xE0DD:
            return True
        at += 8 + length
    return False


def _looks_big_endian(head: bytes) -> bool:
    group, element = struct.unpack_from(">HH", head)
    return bool(group == 0x0008 and element <= 0x0070) and head[4:6] in _SHORT_VRS


def _next_is_in_order(head: bytes, at: int, element: int) -> bool:
    if at + 8 > len(head):
        return False
    group, following = struct.unpack_from("<HH", head, at)
    return bool((group == 0x0008 and following > element) or 0x0008 < group <= 0x0028)


def _skip_preamble(source: Bytes, found: Elements) -> int:
    if source.size >= PREAMBLE_BYTES and source.take(128, 4) == b"DICM":
        found.preamble = source.take(0, 128)
        return PREAMBLE_BYTES
    return 0


def _walk_meta(source: Bytes, found: Elements, at: int) -> int:
    """The meta group is always explicit little endian (PS3.10, 7.1)."""
    while at + 8 <= source.size:
        group, element, vr, length = struct.unpack("<HH2sH", source.take(at, 8))
        if group != 0x0002:
            break
        found.has_meta = True
        start = at + 8
        if vr in _LONG_VRS:
            length = struct.unpack("<I", source.take(at + 8, 4))[0]
            start = at + 12
        elif vr not in _SHORT_VRS:
            raise InputError("the file meta group is not explicit little endian", code="corrupt")
        tag = group << 16 | element
        if tag == _TRANSFER_SYNTAX:
            found.transfer_syntax = source.take(start, length).rstrip(b"\0 ").decode("ascii", "replace")
        elif tag == MEDIA_STORAGE_CLASS:
            found.values[tag] = source.take(start, length)
        at = start + length
    return at


def _inflated(stream: BinaryIO, at: int, max_bytes: int) -> Bytes:
    stream.seek(at)
    inflater = zlib.decompressobj(wbits=-15)
    try:
        data = inflater.decompress(stream.read(), max_bytes)
    except zlib.error as error:
        raise InputError(f"the deflated data set is broken: {error}", code="corrupt") from None
    return Bytes(io.BytesIO(data), len(data))


def _encoding(source: Bytes, found: Elements, at: int) -> tuple[bool, bool]:
    """Find (explicit VR, big endian): by the syntax, checked against the first element."""
    if at + 8 > source.size:
        raise InputError("the file ends after its preamble", hint="copy the file again", code="truncated")
    first = source.take(at, 8)
    spelt = first[4:6] in _SHORT_VRS | _LONG_VRS
    big = first[0] == 0 and first[1] != 0
    if not found.transfer_syntax:
        found.transfer_syntax = EXPLICIT_BIG if big else EXPLICIT_LITTLE if spelt else IMPLICIT_LITTLE
    return spelt, big


class _Walker:
    """The walk itself, without recursion: only how deep it is has to be known."""

    def __init__(self, source: Bytes, found: Elements, wanted: Wanted, *, explicit: bool, max_bytes: int) -> None:
        order = ">" if found.big_endian else "<"
        self.source = source
        self.found = found
        self.tags = set(wanted.tags)
        self.creators = wanted.private
        self.blocks: dict[int, tuple[int, str, int]] = {}
        self.explicit = explicit
        self.bytes_left = max_bytes
        self.tag_vr = struct.Struct(order + "HH2sH")
        self.tag_length = struct.Struct(order + "HHI")
        self.long = struct.Struct(order + "I")

    def run(self, at: int) -> None:
        """Walk from a position to the pixel data or the end."""
        source, tags, depth = self.source, self.tags, 0
        at = self._past_short_ones(at)
        while at + 8 <= source.size:
            tag, vr, length, start = self._element(at)
            if tag in _ENDS:
                at, depth = start, max(depth - 1, 0)
                continue
            if depth == 0 and tag in PIXEL_DATA:
                self.found.pixel_tag, self.found.pixel_at, self.found.pixel_bytes = tag, start, length
                return
            if length == UNDEFINED_LENGTH:
                if depth == 0 and tag in tags:
                    self.found.values[tag] = b""
                if depth >= MAX_DEPTH:
                    raise InputError(f"sequences are nested more than {MAX_DEPTH} deep", code="corrupt")
                at, depth = start, depth + 1
                continue
            at = start + length
            source.check(at)
            if depth == 0:
                self._keep(tag, vr, start, length)
                at = self._past_short_ones(at)
        if depth > 0:
            raise InputError("a sequence is not closed", hint="copy the file again", code="truncated")

    def _past_short_ones(self, at: int) -> int:
        """Walk over elements with a short length within one chunk: nearly all of a header, in a tight loop."""
        if not self.explicit or at + 8 > self.source.size:
            return at
        block, here = self.source.block(at, 8)
        offset = at - here
        unpack, tags = self.tag_vr.unpack_from, self.tags
        while here + 8 <= len(block):
            group, element, vr, length = unpack(block, here)
            following = here + 8 + length
            if vr not in _SHORT_VRS or following > len(block):
                break
            tag = group << 16 | element
            if tag in tags or (tag & 0x1FF00) == 0x10000:
                self._keep_value(tag, block[here + 8 : following])
            here = following
        return offset + here

    def _element(self, at: int) -> tuple[int, bytes, int, int]:
        raw = self.source.take(at, 8)
        group, element, length = self.tag_length.unpack(raw)
        tag = group << 16 | element
        if not self.explicit or group == 0xFFFE:
            return tag, b"", length, at + 8
        vr = raw[4:6]
        if vr in _SHORT_VRS:
            return tag, vr, self.tag_vr.unpack(raw)[3], at + 8
        if vr in _LONG_VRS:
            return tag, vr, self.long.unpack(self.source.take(at + 8, 4))[0], at + 12
        # Some writers fall back to implicit VR within an explicit file, in private sequences most of all.
        return tag, b"", length, at + 8

    def _keep(self, tag: int, vr: bytes, start: int, length: int) -> None:
        if tag not in self.tags and (tag & 0x1FF00) != 0x10000:
            return
        if vr == b"SQ":
            self.found.values[tag] = b""
            return
        self._keep_value(tag, self.source.take(start, length))

    def _keep_value(self, tag: int, value: bytes) -> None:
        self.bytes_left -= len(value)
        if self.bytes_left < 0:
            raise InputError(
                "the header is longer than allowed", hint="raise max_header_mb if it is true", code="too_large"
            )
        if tag in self.blocks:
            self.found.private[self.blocks[tag]] = value
        elif tag & 0x10000 and 0x10 <= tag & 0xFFFF <= 0xFF:
            self._open_block(tag, value)
        else:
            self.found.values[tag] = value

    def _open_block(self, tag: int, value: bytes) -> None:
        creator = value.rstrip(b"\0 ").lstrip(b" ").decode("ascii", "replace")
        group, block = tag >> 16, tag & 0xFF
        for low in self.creators.get((group, creator), ()):
            address = group << 16 | block << 8 | low
            self.tags.add(address)
            self.blocks[address] = (group, creator, low)
