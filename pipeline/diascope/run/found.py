"""Everything that lies in the inputs, for as long as a command works on it."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp

from diascope.errors import InputError
from diascope.identity import IdentityKey
from diascope.io.catalogue import catalogue
from diascope.io.header_cache import SqliteHeaderCache
from diascope.io.reader import Context, IngestSettings
from diascope.io.series import Catalogue

HEADER_CACHE = "headers.sqlite"


@contextmanager
def found_in(
    inputs: Sequence[Path], settings: IngestSettings, key: IdentityKey, private: Path | None = None
) -> Iterator[Catalogue]:
    """Find everything in the inputs; members of archives stay unpacked until the block ends.

    Args:
        inputs: Files, folders, archives, tables.
        settings: How files become images.
        key: Names what is found.
        private: The private folder of the output: archives are unpacked there, and headers
            are remembered for the next time. The system's temporary folder if left out.

    Raises:
        InputError: An input does not exist, or there is nothing at all in them.
    """
    with ExitStack() as stack:
        cache = stack.enter_context(SqliteHeaderCache(private / HEADER_CACHE, key, settings)) if private else None
        scratch = Path(mkdtemp(prefix=".unpacked.", suffix=".part", dir=private))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        found = catalogue(inputs, Context(key, settings, scratch, cache))
        if not found.files:
            raise InputError("the inputs hold no file", hint="give a folder of DICOM or NIfTI files", code="empty")
        yield found
