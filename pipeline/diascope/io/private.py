"""The tables of a run about its input files: private/inputs.csv, private/identity.csv, rejects.csv.

`private/` is the only place with paths and names; the folder has mode 0700, its files
0600. Every input file is in exactly one row of inputs.csv. A second run into the same
folder keeps the rows of the cases it did not see, so that no result loses its origin.
"""

import csv
import dataclasses
import getpass
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from diascope.errors import ConfigError, InputError
from diascope.identity import IdentityKey
from diascope.io.outfolder import OutFolder, output_errors, write_atomic
from diascope.io.selection import Choice
from diascope.io.series import CaseIdentity, Catalogue, FileRecord

INPUT_COLUMNS = ("path", "sha256", "file_id", "case_id", "image_id", "fate", "code", "reason", "cure", "size_bytes")
IDENTITY_COLUMNS = tuple(field.name for field in dataclasses.fields(CaseIdentity))
REJECT_COLUMNS = ("file_id", "kind", "code", "reason", "cure", "case_id")
REJECTS = ("not_an_image", "skipped", "refused", "failed")

# Paths may hold bytes that are no text in the user's encoding; they must come back unchanged.
_ENCODING = "utf-8"
_ERRORS = "surrogateescape"

Row = TypeVar("Row", FileRecord, CaseIdentity)


def write_tables(out: OutFolder, catalogue: Catalogue, files: Sequence[FileRecord] | None = None) -> None:
    """Write private/inputs.csv, private/identity.csv and rejects.csv.

    Args:
        out: The output folder, made already.
        catalogue: What was found.
        files: The fates after the choice of series (see `fates_after`); the
            catalogue's own where nothing was chosen.

    Raises:
        InputError: A file is in two rows: a fault of a reader, told rather than hidden.
        OutputError: The tables cannot be written.
    """
    rows = tuple(catalogue.files if files is None else files)
    check_accounting(rows)
    seen_cases, seen_paths = set(catalogue.cases()), {row.path for row in rows}
    kept = [row for row in read_inputs(out) if row.case_id and row.case_id not in seen_cases]
    rows = (*rows, *(row for row in kept if row.path not in seen_paths))
    _write(out.private / "inputs.csv", _csv(INPUT_COLUMNS, (_plain(row, INPUT_COLUMNS) for row in rows)), private=True)
    _write(out.rejects_csv, _csv(REJECT_COLUMNS, _rejects(rows)), private=False)
    new = {identity.case_id: identity for identity in catalogue.identities}
    identities = {**{one.case_id: one for one in read_identities(out)}, **new}
    ordered = (_plain(identities[case_id], IDENTITY_COLUMNS) for case_id in sorted(identities))
    _write(out.private / "identity.csv", _csv(IDENTITY_COLUMNS, ordered), private=True)


def check_accounting(files: Sequence[FileRecord]) -> None:
    """Refuse a catalogue in which a file has more than one fate.

    Raises:
        InputError: It names how many; by file_id, never by path.
    """
    twice = [file_id for file_id, count in Counter(row.file_id for row in files).items() if count > 1]
    if twice:
        raise InputError(
            f"{len(twice)} of {len(files)} files are in two rows, the first is {twice[0]}",
            hint="this is a fault of a reader: please report it",
            code="accounting",
        )


def fates_after(catalogue: Catalogue, choices: Iterable[Choice]) -> tuple[FileRecord, ...]:
    """Mark the files of images that no network was given as not selected, with the rule's reason.

    Args:
        catalogue: What was found; its files are `used` so far.
        choices: What each network was given of each study.
    """
    chosen: set[str] = set()
    reasons: dict[str, list[str]] = {}
    for choice in choices:
        chosen.update(series.image_id for series in choice.chosen)
        for image_id, reason in choice.why_not:
            reasons.setdefault(image_id, []).append(f"{choice.bundle}: {reason}")
    return tuple(
        dataclasses.replace(row, fate="not_selected", code="rule", reason="; ".join(reasons[row.image_id]))
        if row.fate == "used" and row.image_id in reasons and row.image_id not in chosen
        else row
        for row in catalogue.files
    )


def read_inputs(out: OutFolder) -> tuple[FileRecord, ...]:
    """Read private/inputs.csv; nothing if there is none yet.

    Raises:
        InputError: The file is not such a table.
    """
    return tuple(_rows(out.private / "inputs.csv", FileRecord, INPUT_COLUMNS))


def read_identities(out: OutFolder) -> tuple[CaseIdentity, ...]:
    """Read private/identity.csv; nothing if there is none yet.

    Raises:
        InputError: The file is not such a table.
    """
    return tuple(_rows(out.private / "identity.csv", CaseIdentity, IDENTITY_COLUMNS))


def check_key(identities: Sequence[CaseIdentity], key: IdentityKey) -> None:
    """Refuse a key other than the one that named these cases.

    Raises:
        ConfigError: A case has another name under this key.
    """
    for identity in identities:
        if identity.study_uid and key.case_id(identity.study_uid) != identity.case_id:
            raise ConfigError(
                f"the cases of this folder were named with another key than {key.fingerprint}",
                hint="give the key file of that run with --key-file, or set identity.key_file",
                code="other_key",
            )


def record_use(out: OutFolder, command: str, **details: object) -> None:
    """Append a line to private/uses.jsonl: who used the key, when, and for what.

    Args:
        out: The output folder whose identities were looked at.
        command: Such as `whois`.
        details: What was asked for, as numbers and keyed ids.

    Raises:
        OutputError: It cannot be written; then the answer must not be given.
    """
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "user": _user(), "command": command, **details}
    with output_errors("the record of uses of the key"):
        handle = os.open(out.private / "uses.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "a", encoding=_ENCODING, errors=_ERRORS) as stream:
            stream.write(json.dumps(line, ensure_ascii=True) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


def _write(path: Path, text: str, *, private: bool) -> None:
    write_atomic(path, text.encode(_ENCODING, _ERRORS))
    if private:
        path.chmod(0o600)


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    stream = io.StringIO(newline="")
    table = csv.DictWriter(stream, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return stream.getvalue()


def _plain(row: FileRecord | CaseIdentity, columns: Sequence[str]) -> dict[str, object]:
    return {name: getattr(row, name) for name in columns}


def _rejects(rows: Sequence[FileRecord]) -> Iterable[dict[str, object]]:
    for row in rows:
        if row.fate in REJECTS:
            yield {"kind": row.fate, **{name: getattr(row, name) for name in REJECT_COLUMNS if name != "kind"}}


def _rows(path: Path, kind: type[Row], columns: Sequence[str]) -> Iterable[Row]:
    if not path.is_file():
        return
    with path.open(newline="", encoding=_ENCODING, errors=_ERRORS) as stream:
        table = csv.DictReader(stream)
        if tuple(table.fieldnames or ()) != tuple(columns):
            raise InputError(
                f"private/{path.name} has not the columns that this version writes",
                hint="choose another output folder with -o",
                code="bad_table",
            )
        for row in table:
            values: dict[str, Any] = dict(row)
            if "size_bytes" in values:
                values["size_bytes"] = int(values["size_bytes"] or 0)
            yield kind(**values)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user id has no name
        return str(os.getuid())
