"""Where everything lies in an output folder, and how to write there without leaving halves.

The layout is a contract (docs/output.md). A file appears whole under its name or not
at all; so does the folder of a case.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diascope.errors import OutputError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_OURS_TO_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}


@dataclass(frozen=True, slots=True)
class OutFolder:
    """Paths of an output folder.

    Attributes:
        root: OUT itself.
    """

    root: Path

    @property
    def run_json(self) -> Path:
        """Arguments, config, versions, device of the run."""
        return self.root / "run.json"

    @property
    def cases_csv(self) -> Path:
        """A row per case."""
        return self.root / "cases.csv"

    @property
    def measurements_csv(self) -> Path:
        """A row per number."""
        return self.root / "measurements.csv"

    @property
    def heatmaps_csv(self) -> Path:
        """A row per heatmap; not there where nothing was explained."""
        return self.root / "heatmaps.csv"

    @property
    def rejects_csv(self) -> Path:
        """A row per file that is in no case."""
        return self.root / "rejects.csv"

    @property
    def ledger(self) -> Path:
        """State of each (case, task)."""
        return self.root / "ledger.sqlite"

    @property
    def report_html(self) -> Path:
        """The run at a glance."""
        return self.root / "report.html"

    @property
    def tracking_jsonl(self) -> Path:
        """What was or is to be sent to MLflow."""
        return self.root / "tracking.jsonl"

    @property
    def private(self) -> Path:
        """The only place with identifiers; mode 0700."""
        return self.root / "private"

    @property
    def cases(self) -> Path:
        """Folder of the cases' folders."""
        return self.root / "cases"

    def case(self, case_id: str) -> Path:
        """Folder of one case."""
        return self.cases / case_id

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Make the folder, and keep every other run out of it until the block ends, however it ends.

        Raises:
            OutputError: Another run writes there, or it cannot be made.
        """
        with output_errors("the output folder"):
            self.private.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.private / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise OutputError(
                "another run is writing to this output folder", hint="wait for it, or choose another folder with -o"
            ) from None
        try:
            self.create()
            yield
        finally:
            os.close(handle)

    def create(self) -> None:
        """Make the folder, private/ with mode 0700, and drop what an interrupted run left half-written.

        Raises:
            OutputError: It cannot be made or written.
        """
        with output_errors("the output folder"):
            self.cases.mkdir(parents=True, exist_ok=True)
            self.private.mkdir(mode=0o700, exist_ok=True)
            self.private.chmod(0o700)
            for old in self.cases.glob(".*.old"):
                _put_back(old)
            for half in [*self.root.glob(".*.part"), *self.cases.glob(".*.part"), *self.private.glob(".*.part")]:
                shutil.rmtree(half) if half.is_dir() else half.unlink()


@contextlib.contextmanager
def output_errors(what: str) -> Iterator[None]:
    """Turn the operating system's refusals to write into an OutputError with its cure.

    Args:
        what: Name of what is being written, without a path.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise OutputError(
                f"the disk is full: cannot write {what}",
                hint="free some space and give the same command again",
                code="disk_full",
            ) from None
        if error.errno in _NOT_OURS_TO_WRITE:
            raise OutputError(
                f"not allowed to write {what} ({error.strerror})", hint="choose an output folder you own with -o"
            ) from None
        raise


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut.

    Raises:
        OutputError: The disk is full or the folder may not be written.
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with output_errors(path.name):
        try:
            with part.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def folder_in_the_making(final: Path) -> Iterator[Path]:
    """Give a folder to fill that takes its place under its name only when all went well.

    What stood there before is replaced then, and not before; `corrections/` and
    `history/` of reviewers are carried over.

    Args:
        final: Where the folder is to stand.

    Raises:
        OutputError: The disk is full or the folder may not be written.
    """
    part = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    with output_errors(final.name):
        try:
            part.mkdir(parents=True)
            yield part
            _take_place(part, final)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def _take_place(part: Path, final: Path) -> None:
    if not final.exists():
        part.rename(final)
        return
    for kept in ("corrections", "history"):
        if (final / kept).is_dir():
            shutil.copytree(final / kept, part / kept, dirs_exist_ok=True)
    # A name of its own: a reviewer's work is in both until the new one stands.
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    final.rename(old)
    part.rename(final)
    shutil.rmtree(old)


def _put_back(old: Path) -> None:
    """Undo a replacement that was interrupted half-way, or drop what it left."""
    final = old.with_name(old.name.removeprefix(".").removesuffix(".old"))
    if final.exists():
        shutil.rmtree(old)
    else:
        old.rename(final)
