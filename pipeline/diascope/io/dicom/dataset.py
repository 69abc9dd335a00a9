"""Whole data sets by pydicom, for what needs the tree: functional groups, palettes, compressed pixels.

Files are walked (see `elements.py`) before they come here: every length lies within
the file, and nothing is nested without end.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, config, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from diascope.errors import InputError
from diascope.io.damage import damage_of

# What pydicom and the codecs below it raise on broken files.
MALFORMED = (
    InvalidDicomError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, EOFError, OSError,
    RuntimeError, NotImplementedError, RecursionError, MemoryError, AssertionError, struct.error, zlib.error,
)  # fmt: skip


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence pydicom: what is wrong with a header is judged here, and its warnings quote the patient's values."""
    told = logging.getLogger("pydicom")
    level = told.level
    told.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        told.setLevel(level)


def read_dataset(path: Path, transfer_syntax: str, *, with_pixels: bool) -> Dataset:
    """Read a file with pydicom.

    Args:
        path: The file.
        transfer_syntax: What it was found to be, for files that do not say it.
        with_pixels: Whether pixels are needed too.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with without_warnings():
            dataset = dcmread(path, force=True, stop_before_pixels=not with_pixels)
            if "TransferSyntaxUID" not in dataset.file_meta:
                dataset.file_meta.TransferSyntaxUID = uid_of(transfer_syntax)
    except MALFORMED as error:
        raise InputError(f"a file cannot be read: {damage_of(error)}", code="corrupt") from None
    return dataset


def uid_of(text: str) -> UID:
    """Take a text for a UID, right or wrong."""
    return UID(text, validation_mode=config.IGNORE)
