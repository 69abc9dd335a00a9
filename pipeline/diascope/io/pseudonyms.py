"""From cases back to patients, and from record numbers in a table to the keys of this run."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from diascope.errors import ConfigError
from diascope.io.series import CaseIdentity
from diascope.io.tables import Table, identifying_columns

PATIENT_COLUMN = "patient_key"


@dataclass(frozen=True, slots=True)
class Pseudonymised:
    """A table that names nobody.

    Attributes:
        columns: `patient_key` first, then what was kept.
        rows: Those whose record number is known.
        dropped: Columns that were left out because they may tell who it is.
        unmatched: Numbers of the lines whose record number no case has, or several patients.
    """

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    dropped: tuple[str, ...]
    unmatched: tuple[int, ...]


def whose(asked: str, identities: Sequence[CaseIdentity]) -> tuple[CaseIdentity, ...]:
    """Find the cases that are meant by a case_id, a patient_key or a record number."""
    wanted = asked.strip()
    return tuple(
        one for one in identities if wanted and wanted in {one.case_id, one.patient_key, one.patient_id.strip()}
    )


def pseudonymised(
    table: Table, id_column: str, identities: Sequence[CaseIdentity], keep: Iterable[str] = ()
) -> Pseudonymised:
    """Put patient keys in the place of record numbers, and leave out what may tell who it is.

    Args:
        table: With a row per patient or visit.
        id_column: The column of record numbers.
        identities: Of the cases of a run.
        keep: Columns to keep although their names, or values, look like identifiers.

    Raises:
        ConfigError: The table has no such column.
    """
    if id_column not in table.columns:
        raise ConfigError(
            f"the table has no column {id_column}",
            hint=f"its columns are: {', '.join(table.columns)}",
            code="no_column",
        )
    dropped = _dropped(table, id_column, identities, set(keep))
    kept = tuple(name for name in table.columns if name not in {id_column, PATIENT_COLUMN, *dropped})
    keys = _keys(identities)
    rows, unmatched = [], []
    for line, row in enumerate(table.rows, start=2):
        found = keys.get(_plain(row[id_column]), set())
        if len(found) == 1:
            rows.append({PATIENT_COLUMN: next(iter(found)), **{name: row[name] for name in kept}})
        else:
            unmatched.append(line)
    return Pseudonymised((PATIENT_COLUMN, *kept), tuple(rows), dropped, tuple(unmatched))


def _dropped(table: Table, id_column: str, identities: Sequence[CaseIdentity], keep: set[str]) -> tuple[str, ...]:
    named = set(identifying_columns(table.columns))
    secrets = {_plain(text) for one in identities for text in _texts(one) if len(text) > 2}
    telling = {name for name in table.columns if any(_plain(row[name]) in secrets for row in table.rows)}
    return tuple(name for name in table.columns if name in (named | telling) - keep and name != id_column)


def _texts(identity: CaseIdentity) -> tuple[str, ...]:
    """List what nobody outside private/ may see."""
    return (
        identity.patient_id,
        identity.patient_name,
        identity.accession_number,
        identity.study_uid,
        identity.study_date,
        identity.birth_date,
    )


def _keys(identities: Sequence[CaseIdentity]) -> dict[str, set[str]]:
    keys: dict[str, set[str]] = defaultdict(set)
    for one in identities:
        if one.patient_id and one.patient_key:
            keys[_plain(one.patient_id)].add(one.patient_key)
            # A BIDS subject is kept as `dataset/sub-01`, its tables say `sub-01`.
            keys[_plain(one.patient_id.rpartition("/")[2])].add(one.patient_key)
    return keys


def _plain(text: str) -> str:
    return " ".join(text.replace("^", " ").split()).casefold()
