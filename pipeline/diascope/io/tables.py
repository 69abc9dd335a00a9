"""Tables that people keep beside their scans: csv and tsv, and which of their columns tell who it is."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diascope.errors import InputError

# As whole words of a column's name, `patient_name` and `PatientName` alike.
_IDENTIFYING_WORDS = frozenset(
    [
        "name",
        "surname",
        "firstname",
        "lastname",
        "forename",
        "initials",
        "birth",
        "birthday",
        "birthdate",
        "dob",
        "address",
        "street",
        "city",
        "zip",
        "zipcode",
        "postcode",
        "phone",
        "telephone",
        "mobile",
        "fax",
        "email",
        "mail",
        "mrn",
        "pid",
        "pesel",
        "ssn",
        "nhs",
        "insurance",
        "accession",
        "uid",
        "date",
        "datetime",
        "timestamp",
        "path",
        "file",
        "filename",
        "folder",
        "url",
        "ip",
        "licence",
        "comment",
        "comments",
        "note",
        "notes",
        "remark",
        "remarks",
        "physician",
        "doctor",
    ]
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

MAX_TABLE_BYTES = 2**28
"""A table beside scans that is longer is none."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text.

    Attributes:
        columns: Their names, in order.
        rows: Each by column.
    """

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]


def read_table(path: Path, what: str = "the table") -> Table:
    """Read a csv (comma or semicolon) or tsv with a line of names.

    Args:
        path: The file.
        what: What to call it in messages; its own name may hold an identifier.

    Raises:
        InputError: It is no table, or rows are longer than the line of names.
    """
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise InputError(f"{what} has more than {MAX_TABLE_BYTES // 2**20} MB", code="bad_table")
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        return _parsed(text, what)
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}", code="bad_table") from None
    except csv.Error as error:
        raise InputError(f"{what} is not a table: {error}", code="bad_table") from None


def identifying_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Pick the columns whose names say that they tell who it is (names, dates, numbers, places, free text)."""
    return tuple(column for column in columns if _words(column) & _IDENTIFYING_WORDS)


def write_rows(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Spell rows as csv, in the order of the columns."""
    stream = io.StringIO(newline="")
    table = csv.DictWriter(stream, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return stream.getvalue()


def _parsed(text: str, what: str) -> Table:
    first = text.split("\n", 1)[0]
    delimiter = max("\t;,", key=first.count)
    lines = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    columns = tuple(name.strip() for name in next(lines, []))
    if not columns or len(set(columns)) != len(columns):
        raise InputError(f"{what} has no line of names, or a name twice", code="bad_table")
    rows = []
    for number, values in enumerate(lines, start=2):
        if not any(values):
            continue
        if len(values) > len(columns):
            raise InputError(
                f"{what}: line {number} has {len(values)} values, there are {len(columns)} names", code="bad_table"
            )
        padded = [*values, *[""] * (len(columns) - len(values))]
        rows.append(dict(zip(columns, (value.strip() for value in padded), strict=True)))
    return Table(columns, tuple(rows))


def _words(column: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(column)} | {column.lower()}
