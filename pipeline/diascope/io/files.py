"""Find every input file, once, without opening any."""

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diascope.errors import InputError
from diascope.findings import Failure
from diascope.io.outfolder import own_entries
from diascope.io.reader import FoundFile


@dataclass(slots=True)
class FoundFiles:
    """What lies below the inputs.

    Attributes:
        files: Regular files in a stable order, each once, whatever inputs overlap.
        unusable: Paths that cannot be read as a file, with the reason.
        results: Output folders of diascope: what lies in one is no input.
    """

    files: list[FoundFile] = field(default_factory=list)
    unusable: list[tuple[FoundFile, Failure]] = field(default_factory=list)
    results: list[tuple[FoundFile, Failure]] = field(default_factory=list)


def find_files(inputs: Sequence[Path]) -> FoundFiles:
    """Walk files and folders, following links but no circle of them.

    Raises:
        InputError: An input does not exist.
    """
    found = FoundFiles()
    seen_paths: set[str] = set()
    seen_folders: set[tuple[int, int]] = set()
    for at, given in enumerate(inputs, start=1):
        top = os.path.abspath(given)  # noqa: PTH100 - Path.absolute keeps `..`, resolve() follows links
        if not os.path.lexists(top):
            raise InputError(
                f"input {at} of {len(inputs)} does not exist",
                hint="check the spelling of the path",
                code="no_such_input",
            )
        for path in _below(top, seen_folders, found):
            if path not in seen_paths:
                seen_paths.add(path)
                _add(path, found)
    return found


def _below(top: str, seen_folders: set[tuple[int, int]], found: FoundFiles) -> Iterator[str]:
    if not os.path.isdir(top):  # noqa: PTH112 - text paths keep a walk of 100,000 files cheap
        yield top
        return
    try:
        status = os.stat(top)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen_folders:
            return
        seen_folders.add((status.st_dev, status.st_ino))
        with os.scandir(top) as entries:
            names = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        found.unusable.append((_found(top, 0, 0), _cannot_read(error)))
        return
    if own := own_entries(top, {name for name, _ in names}):
        # Results of an earlier run must not come back as scans, nor those of this one.
        found.results.append((_found(top, 0, 0), _results_of_ours(top, own)))
        names = [(name, is_folder) for name, is_folder in names if name not in own]
    for name, is_folder in names:
        path = os.path.join(top, name)  # noqa: PTH118
        if is_folder:
            yield from _below(path, seen_folders, found)
        else:
            yield path


def _add(path: str, found: FoundFiles) -> None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        lost = _BROKEN_LINK if os.path.islink(path) else _cannot_read(error)  # noqa: PTH114
        found.unusable.append((_found(path, 0, 0), lost))
        return
    file = _found(path, status.st_size, status.st_mtime_ns)
    if stat.S_ISREG(status.st_mode):
        found.files.append(file)
    else:
        # Opening a pipe would wait for ever.
        found.unusable.append((file, Failure("special_file", "a pipe, socket or device, not a file", "")))


def _results_of_ours(top: str, own: Collection[str]) -> Failure:
    paths = [os.path.join(top, name) for name in own]  # noqa: PTH118
    count = sum(len(files) for path in paths for _, _, files in os.walk(path))
    count += sum(not os.path.isdir(path) for path in paths)  # noqa: PTH112
    return Failure(
        "output_folder",
        f"an output folder of diascope: {count} files that it wrote are no scans",
        "to read its images all the same, give the folder images/ of a case",
    )


def _found(path: str, size_bytes: int, mtime_ns: int) -> FoundFile:
    return FoundFile(path=Path(path), shown=path, size_bytes=size_bytes, mtime_ns=mtime_ns)


_BROKEN_LINK = Failure("cannot_read", "a link that leads nowhere", "copy what it stands for, or leave it out")


def _cannot_read(error: OSError) -> Failure:
    reason = error.strerror or type(error).__name__
    return Failure("cannot_read", f"the system does not let us read it: {reason}", "check its permissions and links")
