"""Where everything lies in an output folder, and how to write there without leaving halves.

The layout is a contract (docs/output.md). A file appears whole under its name or not
at all; so does the folder of a case.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from diascope.errors import OutputError

_LOCK, _RUN_JSON = ".lock", "run.json"

# The layout of docs/output.md; databases have journals beside them, and there may be several audits.
_LAYOUT = frozenset(
    {_RUN_JSON, "cases.csv", "measurements.csv", "rejects.csv", "report.html", "tracking.jsonl", "cases", "private"}
    | {"evaluation", "heatmaps.csv", "heatmaps.png", "mlflow"}
)
_BEGINNINGS = ("ledger.sqlite", "reviews.sqlite", "audit")

HISTORY = "history"

_CARRIED_OVER = ("corrections", HISTORY)
_HISTORY_DIGITS = 12

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
        return self.root / _RUN_JSON

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
    def heatmaps_png(self) -> Path:
        """The verdicts as a figure, without a pixel of a patient."""
        return self.root / "heatmaps.png"

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

        A new folder goes again if the block fails before it has written anything that is to be read.

        Raises:
            OutputError: Another run writes there, or it cannot be made.
        """
        is_new = not self.root.exists()
        with output_errors("the output folder"):
            self.private.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.private / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
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
        except BaseException:
            if is_new and not self.run_json.exists() and not self.rejects_csv.exists():
                shutil.rmtree(self.root, ignore_errors=True)
            raise
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


def own_entries(folder: str, names: Collection[str]) -> frozenset[str]:
    """Name what diascope wrote directly into a folder; nothing where it is no output folder.

    Args:
        folder: Its path.
        names: Everything that lies in it.
    """
    if not _LAYOUT.isdisjoint(names) and _is_output(Path(folder), names):
        return frozenset(name for name in names if name in _LAYOUT or name.startswith(_BEGINNINGS))
    return frozenset()


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


def write_atomic(path: Path, content: bytes | str, mode: int = 0o666) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut.

    Args:
        path: Of the file.
        content: All of it.
        mode: Who may read it, from its first byte on; the umask takes from it.

    Raises:
        OutputError: The disk is full or the folder may not be written.
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with output_errors(path.name):
        try:
            with open(part, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def folder_in_the_making(final: Path, *, keep_earlier: bool = False) -> Iterator[Path]:
    """Give a folder to fill that takes its place under its name only when all went well.

    What stood there before is replaced then, and not before; `corrections/` and
    `history/` of reviewers are carried over.

    Args:
        final: Where the folder is to stand.
        keep_earlier: What stood there before goes to `history/`, below the first digits of
            its case.json's digest.

    Raises:
        OutputError: The disk is full or the folder may not be written.
    """
    part = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    with output_errors(final.name):
        try:
            part.mkdir(parents=True)
            yield part
            if keep_earlier and final.exists():
                _keep(final, part / HISTORY / file_digest(final / "case.json")[:_HISTORY_DIGITS])
            _take_place(part, final)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def _is_output(folder: Path, names: Collection[str]) -> bool:
    # A run makes private/.lock before it reads anything, run.json stays when private/ was taken out.
    if "private" in names and (folder / "private" / _LOCK).is_file():
        return True
    if _RUN_JSON not in names:
        return False
    try:
        record = json.loads((folder / _RUN_JSON).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and {"diascope", "key_fingerprint"} <= record.keys()


def _keep(final: Path, kept: Path) -> None:
    # Before the folders change places: whenever the power goes, one of the two is whole.
    shutil.copytree(
        final, kept, ignore=lambda at, _: _CARRIED_OVER if Path(at) == final else (), copy_function=_link_or_copy
    )


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


def _take_place(part: Path, final: Path) -> None:
    if not final.exists():
        part.rename(final)
        return
    for kept in _CARRIED_OVER:
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
