"""What has been done: one row per (case, task), so that the same command does only the rest.

A task is a network of the run. Its key is a digest over everything its result depends
on; a row counts as done only under the same key. The driver alone writes here.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from sqlalchemy import Column, Float, MetaData, String, Table, create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError

from diascope.errors import OutputError

State = Literal["done", "failed"]

_METADATA = MetaData()
_TASKS = Table(
    "tasks",
    _METADATA,
    Column("case_id", String, primary_key=True),
    Column("task", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("key", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("code", String, nullable=False),
    Column("seconds", Float, nullable=False),
)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The state of one task of one case.

    Attributes:
        case_id: The case.
        task: Name of the network.
        state: How it ended.
        key: Of what the result depends on.
        digest: Of the files of the case, see `resume.results_digest`.
        code: Of the failure; empty when done.
        seconds: That the case took.
    """

    case_id: str
    task: str
    state: State
    key: str
    digest: str
    code: str
    seconds: float


class Ledger:
    """The ledger.sqlite of an output folder; use it as a context manager."""

    def __init__(self, file: Path) -> None:
        """Open the ledger, or start one.

        Raises:
            OutputError: The file is there and is no ledger.
        """
        self._engine = create_engine(f"sqlite:///{file}")
        event.listen(self._engine, "connect", _survive_power_cuts)
        try:
            _METADATA.create_all(self._engine)
        except DatabaseError as error:
            raise OutputError(
                f"{file.name} cannot be used as a ledger: {type(error.orig).__name__}",
                hint="free some space, or move the file away; every case is then done again",
            ) from None

    def __enter__(self) -> Self:
        """Give the ledger."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the database."""
        self._engine.dispose()

    def rows(self, case_id: str) -> dict[str, LedgerRow]:
        """Give the state of each task of a case, by task."""
        with self._engine.connect() as connection:
            found = connection.execute(select(_TASKS).where(_TASKS.c.case_id == case_id)).all()
        return {row.task: LedgerRow(*row) for row in found}

    def is_done(self, case_id: str, keys: Mapping[str, str], digest: str) -> bool:
        """Say whether all tasks of a case are done under these keys, and its files are still those written.

        Args:
            case_id: The case.
            keys: Key of each task that is asked for.
            digest: Of the files that lie there now.
        """
        rows = self.rows(case_id)
        return bool(keys) and all(
            task in rows and (rows[task].state, rows[task].key, rows[task].digest) == ("done", key, digest)
            for task, key in keys.items()
        )

    def put(self, rows: Iterable[LedgerRow]) -> None:
        """Write rows, in place of older ones of the same case and task."""
        values = [{name: getattr(row, name) for name in _TASKS.c.keys()} for row in rows]  # noqa: SIM118 - columns, not a dict
        if not values:
            return
        statement = insert(_TASKS)
        update = {name: statement.excluded[name] for name in ("state", "key", "digest", "code", "seconds")}
        with self._engine.begin() as connection:
            connection.execute(statement.on_conflict_do_update(["case_id", "task"], set_=update), values)


def task_key(parts: Iterable[str]) -> str:
    """Make a key of everything a result depends on, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def _survive_power_cuts(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # a DBAPI connection, which SQLAlchemy does not type
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
