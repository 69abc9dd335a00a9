"""Compressed streams (gz, bz2, xz) read forwards, with a limit on what they may grow to.

The standard library's files have no limit on output, and its xz no limit on memory;
a hostile stream of a megabyte can claim both.
"""

import bz2
import io
import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from isal import igzip_lib

from diascope.errors import InputError, UnsupportedInput
from diascope.io.damage import damage_of

Packing = Literal["gz", "bz2", "xz"]

HARMLESS_BYTES = 256 * 2**20
"""Up to here anything may grow by any ratio: empty slices and label maps reach 1000."""

_CHUNK_BYTES = 2**18

# xz -9 asks for 65 MiB; the format allows 4 GiB.
_XZ_MEMORY_BYTES = 128 * 2**20

_MAGIC: Mapping[Packing, bytes] = {"gz": b"\x1f\x8b\x08", "bz2": b"BZh", "xz": b"\xfd7zXZ\x00"}


@dataclass(frozen=True, slots=True)
class Limit:
    """How far something packed may grow.

    Attributes:
        unpacked_bytes: At most so many.
        ratio: At most so many times its packed size, beyond HARMLESS_BYTES.
    """

    unpacked_bytes: float
    ratio: float

    def check(self, packed_bytes: int, unpacked_bytes: int) -> None:
        """Refuse what has grown too far.

        Raises:
            UnsupportedInput: It names the sizes and the setting that allows more.
        """
        if unpacked_bytes > self.unpacked_bytes:
            raise UnsupportedInput(
                f"unpacks to more than {self.unpacked_bytes / 1e9:g} GB",
                hint="if it is to be trusted, unpack it yourself or raise ingest.max_unpacked_gb",
                code="archive_too_large",
            )
        if unpacked_bytes > HARMLESS_BYTES and unpacked_bytes > self.ratio * packed_bytes:
            raise UnsupportedInput(
                f"unpacks to more than {self.ratio:g} times its size",
                hint="if it is to be trusted, unpack it yourself or raise ingest.max_unpack_ratio",
                code="archive_bomb",
            )


def packing_of(head: bytes) -> Packing | None:
    """Tell from its first bytes whether and how a file is compressed."""
    return next((packing for packing, magic in _MAGIC.items() if head.startswith(magic)), None)


def unpacked_head(head: bytes, size: int) -> bytes:
    """Decompress the beginning of a file as far as the bytes at hand reach.

    Args:
        head: Its first bytes, compressed or not.
        size: How many decompressed bytes are wanted at most.

    Returns:
        The head itself if it is not compressed; nothing if it is damaged.
    """
    packing = packing_of(head)
    if packing is None:
        return head[:size]
    try:
        return _DECOMPRESSORS[packing]().decompress(head, size)
    except _BROKEN:
        return b""


class PackedStream(io.RawIOBase):
    """The content of a compressed file, or of a plain one, read forwards.

    Attributes:
        packed_bytes: Read from the file so far.
        unpacked_bytes: Given out so far.
    """

    def __init__(self, path: Path, limit: Limit) -> None:
        """Open the file; what it is, its first bytes say."""
        super().__init__()
        self._file = path.open("rb")
        head = self._file.read(8)
        self._file.seek(0)
        self._packing = packing_of(head)
        self._decompressor = _DECOMPRESSORS[self._packing]() if self._packing else None
        self._limit = limit
        self.packed_bytes = 0
        self.unpacked_bytes = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as one step of decompression goes.

        Raises:
            InputError: The stream is damaged or ends too early.
            UnsupportedInput: It has grown beyond its limit.
        """
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        self.unpacked_bytes += len(data)
        self._limit.check(self.packed_bytes, self.unpacked_bytes)
        return len(data)

    def close(self) -> None:
        """Close the file, too."""
        self._file.close()
        super().close()

    def _next(self, size: int) -> bytes:
        if self._decompressor is None:
            return self._take(size)
        while True:
            if self._decompressor.eof and not self._start_next_stream():
                return b""
            packed = self._take(_CHUNK_BYTES) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not packed:
                raise InputError(
                    f"the compressed data end too early, after {self.packed_bytes} bytes",
                    hint="get the file again",
                    code="archive_truncated",
                )
            try:
                data = self._decompressor.decompress(packed, size)
            except _BROKEN as error:
                raise InputError(
                    f"the compressed data are damaged within the first {self.packed_bytes} bytes: {damage_of(error)}",
                    hint="get the file again",
                    code="archive_damaged",
                ) from None
            if data:
                return data

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        self.packed_bytes += len(data)
        return data

    def _start_next_stream(self) -> bool:
        """Go on where streams were put one after the other (pigz, `cat a.gz b.gz`)."""
        if self._decompressor is None or self._packing is None:
            return False
        left = self._decompressor.unused_data
        if not left.strip(b"\0"):
            left = self._take(_CHUNK_BYTES)
        # Padding after the last stream is legal; what else follows is no content.
        if packing_of(left) != self._packing:
            return False
        self._file.seek(-len(left), io.SEEK_CUR)
        self.packed_bytes -= len(left)
        self._decompressor = _DECOMPRESSORS[self._packing]()
        return True


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


_DECOMPRESSORS: Mapping[Packing, Callable[[], _Decompressor]] = {
    "gz": lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES),
}

# The stubs of isal 1.9 call the class an instance.
_BROKEN: tuple[type[Exception], ...] = (
    cast("type[Exception]", igzip_lib.IsalError),
    lzma.LZMAError,
    OSError,
    ValueError,
    EOFError,
    MemoryError,
)
