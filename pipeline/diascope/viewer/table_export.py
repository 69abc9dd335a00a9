"""The record of output folders, written to a file without a server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from diascope.errors import ConfigError
from diascope.io.outfolder import write_atomic
from diascope.viewer.offline import TrainingManifest, table_text, training_manifests, write_manifests
from diascope.viewer.outs import ServedOut, open_outs
from diascope.viewer.record import Shelf, open_shelves
from diascope.viewer.review_export import tables_of
from diascope.viewer.settings import ViewSettings


def write_table(folders: Sequence[Path], file: Path, settings: ViewSettings) -> int:
    """Write a table of the record; give the number of its rows.

    Raises:
        ConfigError: The record cannot be found.
    """
    with _opened(folders, settings) as shelves:
        tables = [tables_of(out, shelf.reviews, shelf.key) for out, shelf in shelves]
    write_atomic(file, table_text(file.name, tables))
    return sum(len(one.judged if file.name.startswith("judged") else one.verdicts) for one in tables)


def write_training(
    folders: Sequence[Path], file: Path, settings: ViewSettings
) -> tuple[tuple[Path, TrainingManifest], ...]:
    """Write a manifest per network of what readers stand behind; its data root is the output folder.

    Raises:
        ConfigError: There are several folders, or nothing was accepted or corrected.
    """
    if len(folders) != 1:
        raise ConfigError(
            "a manifest names files below one data root",
            hint="give one output folder, and train from several manifests",
        )
    with _opened(folders, settings) as shelves:
        manifests = training_manifests(*shelves[0])
    if not manifests:
        raise ConfigError("no label map was accepted or corrected", hint="review some cases first: diascope view OUT")
    return tuple(zip(write_manifests(manifests, file), manifests, strict=True))


@contextmanager
def _opened(folders: Sequence[Path], settings: ViewSettings) -> Iterator[tuple[tuple[ServedOut, Shelf], ...]]:
    outs = open_outs(folders)
    shelves = open_shelves(outs, settings.reviews)
    try:
        yield tuple((out, shelves[out.out_id]) for out in outs)
    finally:
        for shelf in shelves.values():
            shelf.reviews.close()
