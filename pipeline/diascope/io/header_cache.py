"""Headers that were read before: a second scan opens only files that are new or have changed.

A file is taken as unchanged while its path, size and time of change are the same. What
was read depends on the key and the settings, too: they are part of the address. The
cache holds identifiers; it lies in private/ or in the user's own cache folder.
"""

import dataclasses
import hashlib
import io
import logging
import os
import pickle
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from diascope import __version__
from diascope.identity import IdentityKey
from diascope.io.reader import FoundFile, HeaderCache, IngestSettings

H = TypeVar("H")

log = logging.getLogger(__name__)

# So many headers are kept in memory before they are written together.
_BATCH = 2000

# So long another run may hold the cache before this one does without.
_WAIT_S = 0.5

# Where the dataclasses of a header are defined.
_OURS = ("diascope.io.", "diascope.findings", "diascope.image_facts", "diascope.geometry")

_TABLE = """
CREATE TABLE IF NOT EXISTS headers (
    path BLOB NOT NULL, salt TEXT NOT NULL, size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    header BLOB NOT NULL, PRIMARY KEY (path, salt)
)
"""


class SqliteHeaderCache:
    """A `HeaderCache` in one sqlite file, mode 0600. Close it, or use it in a `with`."""

    def __init__(self, file: Path, key: IdentityKey, settings: IngestSettings) -> None:
        """Open the cache, or make it; one that is damaged is made anew, one that is busy is done without."""
        self._salt = _salt(key, settings)
        self._waiting: list[tuple[bytes, str, int, int, bytes]] = []
        self._database: sqlite3.Connection | None = None
        try:
            self._database = _opened(file)
        except (sqlite3.Error, OSError) as error:
            self._do_without(error)

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is waiting and close."""
        self.close()

    def get(self, file: FoundFile) -> bytes | None:
        """Give what was put for this file, None if it is new or has changed."""
        if self._database is None:
            return None
        try:
            row = self._database.execute(
                "SELECT header FROM headers WHERE path = ? AND salt = ? AND size_bytes = ? AND mtime_ns = ?",
                self._address(file),
            ).fetchone()
        except sqlite3.Error as error:
            self._do_without(error)
            return None
        return None if row is None else bytes(row[0])

    def put(self, file: FoundFile, header: bytes) -> None:
        """Keep what was read from this file."""
        self._waiting.append((*self._address(file), header))
        if len(self._waiting) >= _BATCH:
            self._write()

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._write()
        if self._database is not None:
            self._database.close()

    def _address(self, file: FoundFile) -> tuple[bytes, str, int, int]:
        # What a table says of a file is part of what is known of it.
        told = "" if file.origin is None else hashlib.sha256(repr(file.origin).encode()).hexdigest()[:16]
        return os.fsencode(file.shown), self._salt + told, file.size_bytes, file.mtime_ns

    def _write(self) -> None:
        if self._database is not None:
            try:
                with self._database:
                    self._database.executemany("INSERT OR REPLACE INTO headers VALUES (?, ?, ?, ?, ?)", self._waiting)
            except sqlite3.Error as error:
                self._do_without(error)
        self._waiting.clear()

    def _do_without(self, error: Exception) -> None:
        # Another run holds it, or the disk fails: files can always be read again.
        log.debug("headers are not kept: %s", type(error).__name__)
        if self._database is not None:
            self._database.close()
        self._database = None


def read_through(
    cache: HeaderCache | None, files: Sequence[FoundFile], read: Callable[[Sequence[FoundFile]], Sequence[H]]
) -> list[H]:
    """Read the headers of files, those that the cache does not know.

    Args:
        cache: Where they were kept; None reads every file.
        files: The files.
        read: Reads the headers of some files, in their order.
    """
    if cache is None:
        return list(read(files))
    found: dict[int, H] = {}
    for at, file in enumerate(files):
        packed = cache.get(file)
        header = None if packed is None else unpacked_header(packed)
        if header is not None:
            found[at] = header
    missing = [at for at in range(len(files)) if at not in found]
    fresh = read([files[at] for at in missing]) if missing else ()
    for at, header in zip(missing, fresh, strict=True):
        found[at] = header
        cache.put(files[at], packed_header(header))
    return [found[at] for at in range(len(files))]


def packed_header(header: object) -> bytes:
    """Turn what a reader knows of a file into bytes."""
    return pickle.dumps(header, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked_header(packed: bytes) -> Any:
    """Turn bytes of `packed_header` back; only dataclasses of this package are made.

    Returns:
        The header; None if the bytes are not of this version.
    """
    try:
        return _Unpickler(io.BytesIO(packed)).load()
    except Exception:  # noqa: BLE001 - whatever is wrong with the bytes, the file is read again
        return None


class _Unpickler(pickle.Unpickler):
    """Makes dataclasses of diascope.io and plain values, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        # A dotted name would reach what the module imports: `Path.write_text`.
        if module.startswith(_OURS) and "." not in name:
            found = super().find_class(module, name)
            if dataclasses.is_dataclass(found) and found.__module__ == module:
                return found
        if module == "pathlib" and name in {"PosixPath", "WindowsPath", "PurePosixPath"}:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into a header")


def _salt(key: IdentityKey, settings: IngestSettings) -> str:
    # What is released or how many processes read changes no header.
    told = settings.model_dump_json(
        exclude={"release", "processes", "allow_gaps", "max_unpacked_gb", "max_unpack_ratio"}
    )
    return hashlib.sha256(f"{__version__}\0{key.fingerprint}\0{told}".encode()).hexdigest()[:24]


def _opened(file: Path) -> sqlite3.Connection:
    try:
        return _prepared(file)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        file.unlink(missing_ok=True)
        return _prepared(file)


def _prepared(file: Path) -> sqlite3.Connection:
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    os.close(handle)
    database = sqlite3.connect(file, timeout=_WAIT_S)
    try:
        # It can be made again at any time: speed counts more than surviving a power cut.
        database.execute("PRAGMA journal_mode = MEMORY")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(_TABLE)
        database.commit()
    except sqlite3.Error:
        database.close()
        raise
    return database
