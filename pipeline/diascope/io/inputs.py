"""From what stands on the command line to files: folders walked, discs and tables asked.

A DICOMDIR stands for the files that it lists, a manifest for the images that it names.
A manifest's paths start from its own folder or, where nothing is there, from a folder
given beside it: `diascope run data_manifests/lgg_flair.csv ../shared/data`.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from diascope.findings import Failure
from diascope.io.bids import with_bids_origins
from diascope.io.dicomdir import is_dicomdir, listed_files
from diascope.io.files import find_files
from diascope.io.manifest import ManifestRow, is_manifest, listed_inputs, read_rows
from diascope.io.reader import Context, FoundFile
from diascope.io.series import FileFate, FileRecord

_DICOMDIR = Failure("dicomdir", "the table of contents of a disc; its files were read", "")
_MANIFEST = Failure("manifest", "the list of inputs; its files were read", "")

# So many paths of a manifest are looked for to find out where they start from.
_PROBES = 20


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that lies in the inputs.

    Attributes:
        files: Files that may be images, with what tables say of them.
        records: Files whose fate is decided: tables of contents, what cannot be read,
            what a BIDS folder rules out.
    """

    files: tuple[FoundFile, ...]
    records: tuple[FileRecord, ...]


def gather(inputs: Sequence[Path], context: Context) -> Gathered:
    """Find every file of the inputs, each once.

    Raises:
        InputError: An input does not exist, or a table that was given is damaged.
    """
    intake = _Intake(context)
    lists = [path for path in inputs if is_dicomdir(path)]
    manifests = [path for path in inputs if is_manifest(path)]
    roots = {path: _root_of(path, inputs) for path in manifests}
    for path in manifests:
        intake.take_manifest(path, roots[path])
    for path in lists:
        intake.take_disc(path)
    taken = {*lists, *manifests, *(root for root in roots.values() if root)}
    found = find_files([path for path in inputs if path not in taken])
    for file, failure in found.unusable:
        intake.decide(file, "failed", failure)
    for file, results in found.results:
        intake.decide(file, "skipped", results)
    for file in found.files:
        intake.take(file)
    return intake.gathered()


def with_tables(files: Sequence[FoundFile], context: Context) -> Gathered:
    """Add what the tables of BIDS folders say of files, for members of archives, too."""
    bids = with_bids_origins(files)
    return Gathered(bids.files, tuple(context.record(*one) for one in bids.decided))


class _Intake:
    """Takes files, each once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._files: dict[str, FoundFile] = {}
        self._records: dict[str, FileRecord] = {}

    def take_manifest(self, path: Path, root: Path | None) -> None:
        listed = listed_inputs(path, root)
        self.decide(_found(path), "skipped", _MANIFEST)
        for file, failure in listed.missing:
            self.decide(file, "failed", failure)
        for file in listed.files:
            self.take(file)

    def take_disc(self, path: Path) -> None:
        self.decide(_found(path), "not_an_image", _DICOMDIR)
        for listed in listed_files(path):
            if listed.failure:
                self.decide(FoundFile(listed.path, listed.shown, 0, 0), "failed", listed.failure)
            else:
                self.take(_found(listed.path))

    def take(self, file: FoundFile) -> None:
        if file.shown not in self._records:
            self._files.setdefault(file.shown, file)

    def decide(self, file: FoundFile, fate: FileFate, failure: Failure) -> None:
        if file.shown not in self._files:
            self._records.setdefault(file.shown, self._context.record(file, fate, failure))

    def gathered(self) -> Gathered:
        asked = with_tables(list(self._files.values()), self._context)
        return Gathered(asked.files, (*self._records.values(), *asked.records))


def _root_of(manifest: Path, inputs: Sequence[Path]) -> Path | None:
    """Find the folder among the inputs that a manifest's paths start from; None: its own."""
    names = [row.image for row in islice(_with_image(manifest), _PROBES)]
    if any((manifest.parent / name).is_file() for name in names):
        return None
    folders = (path for path in inputs if path.is_dir())
    return next((folder for folder in folders if any((folder / name).is_file() for name in names)), None)


def _with_image(manifest: Path) -> Iterator[ManifestRow]:
    return (row for row in read_rows(manifest) if row.image)


def _found(path: Path) -> FoundFile:
    shown = os.path.abspath(path)  # noqa: PTH100 - as find_files spells it
    status = Path(shown).stat()
    return FoundFile(Path(shown), shown, status.st_size, status.st_mtime_ns)
