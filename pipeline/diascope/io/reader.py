"""What a reader is: the plug-in point between files and the types of diascope.

A reader claims files by their content, groups them into series from their headers
alone, and decodes one series at a time. It answers for every file it claimed:
`group` gives each one exactly one `FileRecord`.

Two things happen before a file reaches a reader: an archive is taken apart
(`archives.claims(head, name)`, `archives.unpack(file, context) -> Unpacked`), and
tables beside the files say whose they are (`bids` and `manifest` return the
FoundFiles with their `origin` filled in).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field

from diascope.config import Settings
from diascope.errors import PipelineError
from diascope.findings import Failure
from diascope.identity import IdentityKey
from diascope.io.series import CaseIdentity, FileFate, FileRecord, RefusedImage, Series
from diascope.volume import ColourImage, Volume

HEAD_BYTES = 4096
"""How much of a file a reader sees before it claims it; a tar header ends at 512."""


class Release(Settings):
    """A quarantined file that somebody looked at and lets pass."""

    file: str
    """Its file_id, or its path as in private/inputs.csv (`*` and `?` stand for any text)."""

    reason: Annotated[str, Field(min_length=1)]
    """Who says so and why; it is recorded in private/inputs.csv."""


class IngestSettings(Settings):
    """How files become images."""

    allow_gaps: bool = False
    """Fill gaps between slices by interpolation instead of refusing the series, and say so in its notes."""

    keep_facts: tuple[str, ...] = ()
    """DICOM keywords (StationName, ProtocolName, ...) kept as facts besides the usual ones."""

    release: tuple[Release, ...] = ()
    """Quarantined files that may pass."""

    skip_masks: bool = True
    """Leave out NIfTI files whose name says mask, segmentation, label, roi or lesion and whose voxels are few whole
    numbers; a file that a manifest names as an image is one all the same."""

    max_header_mb: Annotated[float, Field(gt=0)] = 64.0
    """A header that is longer is refused; enhanced multi-frame headers reach tens of megabytes."""

    max_image_gb: Annotated[float, Field(gt=0)] = 16.0
    """An image that would take more memory is refused before it is decoded."""

    max_unpacked_gb: Annotated[float, Field(gt=0)] = 200.0
    """An archive that unpacks to more is refused."""

    max_unpack_ratio: Annotated[float, Field(gt=1)] = 200.0
    """A member of an archive that grows by more is a bomb; real images reach about 50."""

    processes: Annotated[int, Field(ge=1)] | None = None
    """Processes that read headers; as many as CPUs that this process may use where not set."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a table beside the files (a manifest, a BIDS folder) says of a file.

    Attributes:
        case: What makes the case: it takes the place of the study's UID.
        patient: The record number or subject; empty where the table has none.
        facts: Groups for the audit and the like, by column.
        selection: Texts that rules may look at and no result may show, by lower-case name.
    """

    case: str
    patient: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    selection: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One input file.

    Attributes:
        path: Where its bytes are.
        shown: Absolute path as the user knows it; `archive.zip!member` inside an archive.
        size_bytes: On disk.
        mtime_ns: Last change.
        origin: What a table says of it, if there is one.
        sha256: Of its bytes, where somebody has read them all: an archive that was taken apart.
    """

    path: Path
    shown: str
    size_bytes: int
    mtime_ns: int
    origin: Origin | None = None
    sha256: str = ""


class HeaderCache(Protocol):
    """Remembers what was read from a file that has not changed since (path, size, mtime)."""

    def get(self, file: FoundFile) -> bytes | None:
        """Give what was put for this file, None if it is new or has changed."""

    def put(self, file: FoundFile, header: bytes) -> None:
        """Keep what was read from this file. It holds identifiers: the cache is private."""


@dataclass(frozen=True, slots=True)
class Context:
    """What travels with every scan.

    Attributes:
        key: Names cases, images and files.
        settings: What may pass.
        scratch: Folder for the members of archives, which must stay until the last
            series is decoded; None refuses archives.
        cache: Of headers; None reads every file.
    """

    key: IdentityKey
    settings: IngestSettings
    scratch: Path | None = None
    cache: HeaderCache | None = None

    def record(self, file: FoundFile, fate: FileFate = "used", failure: Failure | None = None) -> FileRecord:
        """Say what became of a file."""
        return FileRecord(
            path=file.shown,
            file_id=self.key.file_id(file.shown),
            fate=fate,
            code=failure.code if failure else "",
            reason=failure.reason if failure else "",
            cure=failure.cure if failure else "",
            size_bytes=file.size_bytes,
            sha256=file.sha256,
        )

    def released(self, file: FoundFile) -> Release | None:
        """Find the rule that lets a quarantined file pass."""
        file_id = self.key.file_id(file.shown)
        for rule in self.settings.release:
            if rule.file == file_id or fnmatchcase(file.shown, rule.file):
                return rule
        return None

    @property
    def processes(self) -> int:
        """How many processes may read headers."""
        # macOS knows no affinity.
        affinity = getattr(os, "sched_getaffinity", None)
        return self.settings.processes or (len(affinity(0)) if affinity else os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Grouped:
    """What one reader made of the files it claimed.

    Attributes:
        series: Images that can be decoded.
        refused: Images that cannot.
        files: One record for each file that was handed over.
        identities: Whose the cases are; the same case may come from several readers.
    """

    series: tuple[Series, ...] = ()
    refused: tuple[RefusedImage, ...] = ()
    files: tuple[FileRecord, ...] = ()
    identities: tuple[CaseIdentity, ...] = ()


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive held.

    Attributes:
        files: Its members, unpacked below `Context.scratch`.
        records: The archive itself, and members that were left out, with the reason.
    """

    files: tuple[FoundFile, ...]
    records: tuple[FileRecord, ...]


class Reader(Protocol):
    """A kind of file that diascope can read."""

    @property
    def name(self) -> str:
        """Stand in `Series.reader`, so that decoding finds the way back."""

    def claims(self, head: bytes, name: str) -> bool:
        """Say whether this is a file of this kind.

        Args:
            head: The first HEAD_BYTES, gzip undone.
            name: File name, for kinds that have no mark of their own.
        """

    def group(self, files: Sequence[FoundFile], context: Context) -> Grouped:
        """Make series of the files claimed, reading headers only."""

    def decode(self, series: Series, at: int = 0) -> Volume | ColourImage:
        """Read the pixels of one volume of a series.

        Raises:
            InputError: The pixels are not what the headers promised.
        """


def failure_of(error: PipelineError) -> Failure:
    """Put an error into the words of a report."""
    return Failure(code=error.code, reason=error.message, cure=error.hint)
