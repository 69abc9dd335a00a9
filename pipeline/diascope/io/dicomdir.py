"""A DICOMDIR given as the input: it stands for the files that it lists (PS3.10, 8; PS3.3, F).

File IDs are lists of folder names. They are followed below the DICOMDIR's own folder
only, whatever they say.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError

from diascope.errors import InputError
from diascope.findings import Failure
from diascope.io.damage import damage_of

_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
_DIRECTORY_RECORDS = 0x00041220
_UNDEFINED_LENGTH = 0xFFFFFFFF
_MAX_BYTES = 2**28
_MAX_DEPTH = 8  # PS3.10, 8.2: a file ID has up to eight components

_OUTSIDE = Failure("dicomdir_outside", "the DICOMDIR lists a file outside its folder", "give the folder instead")
_MISSING = Failure("dicomdir_missing", "the DICOMDIR lists a file that is not there", "copy the whole disc again")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One entry of a DICOMDIR.

    Attributes:
        path: Where the file is, or would be.
        shown: How it is accounted for if it is not there.
        failure: Why it cannot be read; None if it is there.
    """

    path: Path
    shown: str
    failure: Failure | None = None


def is_dicomdir(path: Path) -> bool:
    """Say whether a file is a DICOMDIR, by its name first, then by what it says it is."""
    if path.name.upper() != "DICOMDIR" or not path.is_file():
        return False
    try:
        meta = pydicom.filereader.read_file_meta_info(str(path))
    except (InvalidDicomError, OSError, ValueError, EOFError, AttributeError, KeyError):
        return False
    return str(meta.get("MediaStorageSOPClassUID", "")) == _MEDIA_STORAGE_DIRECTORY


def listed_files(path: Path) -> tuple[ListedFile, ...]:
    """List the files of a DICOMDIR, each once, in its order.

    Raises:
        InputError: It is damaged.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"a DICOMDIR of more than {_MAX_BYTES // 2**20} MB", code="corrupt")
    try:
        found = {listed.shown: listed for listed in _entries(path)}
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever its converters raise
        raise InputError(
            f"the DICOMDIR cannot be read: {damage_of(error)}", hint="give its folder instead", code="corrupt"
        ) from None
    return tuple(found.values())


def _entries(path: Path) -> Iterator[ListedFile]:
    folder = path.parent.resolve()
    for record in _records(path):
        file_id = record.get("ReferencedFileID")
        if file_id:
            parts = [file_id] if isinstance(file_id, str) else [str(part) for part in file_id]
            yield _entry(folder, parts, f"{path}!{'/'.join(parts)}")


def _records(path: Path) -> list[Any]:
    # pydicom's warnings quote values, and it takes a sequence that is cut off for a short one.
    with pydicom.config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="(?i).*(eof|end of file).*")
        dataset = pydicom.dcmread(path, force=False)
        raw = dataset.get_item(_DIRECTORY_RECORDS) if _DIRECTORY_RECORDS in dataset else None
        if isinstance(raw, RawDataElement) and len(raw.value or b"") < raw.length != _UNDEFINED_LENGTH:
            raise EOFError
        return list(dataset.get(_DIRECTORY_RECORDS).value) if raw is not None else []


def _entry(folder: Path, parts: list[str], shown: str) -> ListedFile:
    is_odd = len(parts) > _MAX_DEPTH or any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts)
    if is_odd:
        return ListedFile(folder, shown, _OUTSIDE)
    for spelled in (parts, [part.lower() for part in parts]):  # discs copied by some systems are in lower case
        path = folder.joinpath(*spelled)
        if path.is_file():
            is_inside = path.resolve().is_relative_to(folder)
            return ListedFile(path, str(path) if is_inside else shown, None if is_inside else _OUTSIDE)
    return ListedFile(folder.joinpath(*parts), shown, _MISSING)
