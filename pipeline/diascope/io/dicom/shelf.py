"""Headers of a scan, put away while the others are read: in memory while they are few, on disk when there are many.

What tells which study and series a file belongs to stays at hand; the rest of a header
comes back when its series is put together, and goes again with it. So a scan holds the
headers of one series at a time, however many files there are.
"""

import tempfile
from array import array
from collections.abc import Sequence
from dataclasses import fields
from types import TracebackType
from typing import IO, Self

from diascope.io.dicom.headers import Common, Header, Layout
from diascope.io.header_cache import packed_header, unpacked_header
from diascope.io.reader import FoundFile

# So many take some ten megabytes; a larger scan would feel them.
MOST_IN_MEMORY = 5_000

# What headers share, or what the scan holds anyway.
_KEPT = frozenset({"file", "common", "layout"})
_PUT_AWAY = tuple(field.name for field in fields(Header) if field.name not in _KEPT)


class HeaderShelf:
    """Keeps headers by number. Close it, or use it in a `with`.

    Attributes:
        files: Of each header.
        commons: What each header shares with its series.
    """

    def __init__(self, expected: int) -> None:
        """Make room.

        Args:
            expected: How many headers will come, about.
        """
        self.files: list[FoundFile] = []
        self.commons: list[Common] = []
        self._layouts: list[Layout] = []
        self._in_memory: list[Header] = []
        self._ends = array("Q", [0])
        # A file without a name: it is gone whatever becomes of us.
        self._disk = tempfile.TemporaryFile("w+b", prefix="diascope-") if expected > MOST_IN_MEMORY else None  # noqa: SIM115
        self._known: dict[Common, Common] = {}

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop everything."""
        if self._disk is not None:
            self._disk.close()

    def put(self, header: Header) -> None:
        """Keep a header; its number is how many came before."""
        self.files.append(header.file)
        if self._disk is None:
            self.commons.append(header.common)
            self._in_memory.append(header)
            return
        self.commons.append(self._shared(header.common))
        is_like_last = bool(self._layouts) and self._layouts[-1] == header.layout
        self._layouts.append(self._layouts[-1] if is_like_last else header.layout)
        packed = packed_header(tuple(getattr(header, name) for name in _PUT_AWAY))
        self._disk.write(packed)
        self._ends.append(self._ends[-1] + len(packed))

    def take(self, numbers: Sequence[int]) -> list[Header]:
        """Give headers back."""
        if self._disk is None:
            return [self._in_memory[number] for number in numbers]
        return [self._from_disk(self._disk, number) for number in numbers]

    def _shared(self, common: Common) -> Common:
        # The files of a series lie beside each other: most are like the last one.
        if self.commons and self.commons[-1] == common:
            return self.commons[-1]
        return self._known.setdefault(common, common)

    def _from_disk(self, disk: IO[bytes], number: int) -> Header:
        start, end = self._ends[number], self._ends[number + 1]
        disk.seek(start)
        values = unpacked_header(disk.read(end - start))
        rest = dict(zip(_PUT_AWAY, values, strict=True))
        return Header(file=self.files[number], common=self.commons[number], layout=self._layouts[number], **rest)
