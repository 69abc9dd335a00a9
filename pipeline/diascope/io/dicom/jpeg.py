"""A look at a lossless JPEG stream before a decoder sees it (ITU-T T.81, annex B)."""

import struct

from pydicom import Dataset

from diascope.errors import InputError

_SCAN = 0xDA
_LOSSLESS_FRAME = 0xC3
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_HUFFMAN = 0xC4


def check_jpeg(stream: bytes, dataset: Dataset) -> None:
    """Refuse a stream that is not the lossless frame its header describes.

    Raises:
        InputError: It is broken, or of another size, depth or number of colours.
    """
    at, frame_seen, tables_seen = 2, False, False
    if stream[:2] != b"\xff\xd8":
        raise _broken("it does not begin with a JPEG image")
    while at + 4 <= len(stream):
        mark, kind, length = struct.unpack_from(">BBH", stream, at)
        if mark != 0xFF or length < 2 or at + 2 + length > len(stream):
            raise _broken("its segments do not follow each other")
        body = stream[at + 4 : at + 2 + length]
        if kind in _FRAMES:
            _check_frame(kind, body, dataset)
            frame_seen = True
        elif kind == _HUFFMAN:
            _check_tables(body)
            tables_seen = True
        elif kind == _SCAN:
            if not frame_seen or not tables_seen:
                raise _broken("its scan comes before its tables")
            if b"\xff\xd9" not in stream[-16:]:
                raise _broken("it has no end")
            return
        at += 2 + length
    raise _broken("it has no scan")


def _check_frame(kind: int, body: bytes, dataset: Dataset) -> None:
    if kind != _LOSSLESS_FRAME or len(body) < 6:
        raise _broken("it is not coded as lossless JPEG")
    precision, rows, columns, samples = struct.unpack_from(">BHHB", body)
    expected = int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel)
    if (rows, columns, samples) != expected or len(body) != 6 + 3 * samples:
        raise _broken(f"it holds {rows} rows, {columns} columns and {samples} samples, its header promises {expected}")
    if not 2 <= precision <= int(dataset.BitsAllocated):
        raise _broken(f"it holds {precision} bits in cells of {dataset.BitsAllocated}")


def _check_tables(body: bytes) -> None:
    at = 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        if len(counts) < 16 or body[at] & 0x0F > 3 or sum(counts) > 256:
            raise _broken("a Huffman table is malformed")
        at += 17 + sum(counts)
    if at != len(body):
        raise _broken("a Huffman table is malformed")


def _broken(what: str) -> InputError:
    return InputError(
        f"the compressed pixels are broken: {what}", hint="copy or send the file again", code="broken_pixels"
    )
