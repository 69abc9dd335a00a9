"""What the worklist is filtered, counted and sorted by, in columns of numpy arrays.

SQLite holds what is told of a case. Going through its rows for every filter, count and sort
of 100,000 cases takes a tenth of a second of the processor, and half a second by the clock
on a machine that does other things too; the columns take a few milliseconds.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SortName = Literal["review_first", "confidence", "case_id", "findings", "status"]
Flags = NDArray[np.bool_]
Key = tuple[str, str]

_KINDS = ("status", "modality", "claimed_by", "assigned_to", "labels")
_NUMBERS = ("confidence", "n_findings", "place")
_READ = (
    "SELECT rowid, out_id, case_id, status, modality, claimed_by, assigned_to, labels, confidence, n_findings, place,"
    " urgent, digest, lower(case_id || ' ' || labels || ' ' || modality || ' ' || error_code || ' ' || reason)"
    " FROM cases"
)

# More rows than this are read in one go, and not one by one.
_MANY = 500


@dataclass(slots=True)
class Kinds:
    """A column of few different texts.

    Attributes:
        codes: (cases,) which text each case has.
        texts: The texts, by code.
    """

    codes: NDArray[np.int32]
    texts: list[str] = field(default_factory=list)
    _code_of: dict[str, int] = field(default_factory=dict)

    def code(self, text: str) -> int:
        """Give the code of a text, a new one for a new text."""
        if text not in self._code_of:
            self._code_of[text] = len(self.texts)
            self.texts.append(text)
        return self._code_of[text]

    def are(self, text: str) -> Flags:
        """Tell which cases have this text.

        Returns:
            (cases,)
        """
        found: Flags = self.codes == self._code_of.get(text, -1)
        return found

    def hold(self, part: str) -> Flags:
        """Tell which cases have a text with this part.

        Returns:
            (cases,)
        """
        found: Flags = np.array([part in text for text in self.texts], np.bool_)[self.codes]
        return found


@dataclass(slots=True)
class Said:
    """What a reader says of every case.

    Attributes:
        verdicts: Of each case; empty where there is none.
        is_stale: (cases,) the verdict is of another result than the one that is there.
    """

    verdicts: Kinds
    is_stale: Flags
    digests: dict[int, str]

    @property
    def is_settled(self) -> Flags:
        """(cases,) judged, as the result is now; `skip` leaves a case open."""
        settled: Flags = ~self.verdicts.are("") & ~self.verdicts.are("skip") & ~self.is_stale
        return settled


class Columns:
    """The columns of the table of cases; whoever uses them holds the table's lock."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Start empty: `update` reads the table."""
        self._db = db
        self._touched: set[Key] | None = None
        self._rows: dict[Key, int] = {}
        self._said: dict[str, Said] = {}
        self._ranks: dict[tuple[str, bool], NDArray[np.int32]] = {}
        self.case_ids: list[str] = []
        self.texts: list[str] = []
        self.digests: list[str] = []
        self._empty()

    def __len__(self) -> int:
        """Count the cases."""
        return len(self.case_ids)

    def touch(self, keys: Iterable[Key] | None) -> None:
        """Note that cases changed in the table.

        Args:
            keys: out_id and case_id of each; None where all of them may have.
        """
        if keys is None:
            self._touched = None
        elif self._touched is not None:
            self._touched.update(keys)

    def touch_said(self, out_id: str, case_id: str) -> None:
        """Note that readers said something of a case, or, without its name, of any."""
        row = self._rows.get((out_id, case_id))
        if row is None or self._touched is None:
            self._said.clear()
            return
        here = self._db.execute(
            "SELECT reviewer, verdict, digest FROM states WHERE out_id = ? AND case_id = ?", (out_id, case_id)
        )
        told = {reviewer: (verdict, digest) for reviewer, verdict, digest in here}
        for reviewer, said in self._said.items():
            verdict, said.digests[row] = told.get(reviewer, ("", ""))
            said.verdicts.codes[row] = said.verdicts.code(verdict)
            self._judge(said, row)

    def update(self) -> None:
        """Read what changed since."""
        if self._touched is None or len(self._touched) > _MANY:
            self._read_all()
        elif self._touched:
            self._read_some(self._touched)
        self._touched = set()

    def row_of(self, out_id: str, case_id: str) -> int | None:
        """Find a case; without a folder the first of its name."""
        if out_id:
            return self._rows.get((out_id, case_id))
        return next((row for out in self.outs.texts if (row := self._rows.get((out, case_id))) is not None), None)

    def key_of(self, row: int) -> Key:
        """Give out_id and case_id of a row."""
        return self.outs.texts[self.outs.codes[row]], self.case_ids[row]

    def said(self, reviewer: str) -> Said:
        """Give what a reader says."""
        if reviewer not in self._said:
            verdicts = Kinds(np.zeros(len(self), np.int32))
            verdicts.code("")
            said = Said(verdicts, np.zeros(len(self), np.bool_), {})
            rows = self._db.execute(
                "SELECT out_id, case_id, verdict, digest FROM states WHERE reviewer = ?", (reviewer,)
            )
            for out_id, case_id, verdict, digest in rows:
                row = self._rows.get((out_id, case_id))
                if row is not None:
                    verdicts.codes[row] = verdicts.code(verdict)
                    said.digests[row] = digest
                    self._judge(said, row)
            self._said[reviewer] = said
        return self._said[reviewer]

    def rank(self, sort: SortName, *, down: bool) -> NDArray[np.int32]:
        """Give the place of every case in an order: urgent ones first, equal ones by their name.

        Returns:
            (cases,) from 0.
        """
        if (sort, down) not in self._ranks:
            keys: list[NDArray[Any]] = [self._by_name, *self._sort_keys(sort, -1 if down else 1), ~self.urgent]
            order = np.lexsort(keys)
            ranks = np.empty(len(self), np.int32)
            ranks[order] = np.arange(len(self), dtype=np.int32)
            self._ranks[sort, down] = ranks
        return self._ranks[sort, down]

    def _sort_keys(self, sort: SortName, sign: int) -> tuple[NDArray[np.float64], ...]:
        # The last key counts first. What has no number stands behind, whichever way the others run.
        if sort == "case_id":
            return (sign * self._by_name.astype(np.float64),)
        if sort == "status":
            place = np.argsort(np.argsort(np.array(self.kinds["status"].texts or [""])))
            return (sign * place[self.kinds["status"].codes].astype(np.float64),)
        if sort == "review_first":
            return sign * self.numbers["place"], (~self.kinds["status"].are("done")).astype(np.float64)
        numbers = self.numbers["n_findings" if sort == "findings" else "confidence"]
        return sign * np.nan_to_num(numbers), np.isnan(numbers).astype(np.float64)

    def _empty(self) -> None:
        none = np.zeros(0, np.int32)
        self.outs = Kinds(none)
        self.kinds = {name: Kinds(none) for name in _KINDS}
        self.numbers = {name: np.zeros(0) for name in _NUMBERS}
        self.urgent: Flags = np.zeros(0, np.bool_)
        self._by_name: NDArray[np.int32] = none

    def _read_all(self) -> None:
        cursor = self._db.cursor()
        cursor.row_factory = None
        # No case is ever deleted: row n has the rowid n + 1.
        columns = list(zip(*cursor.execute(_READ + " ORDER BY rowid"), strict=True)) or [()] * 14
        _, outs, case_ids, *rest = columns
        self._empty()
        self._said.clear()
        self._ranks.clear()
        self.case_ids, self.digests, self.texts = list(case_ids), list(rest[-2]), list(rest[-1])
        self._rows = {key: row for row, key in enumerate(zip(outs, case_ids, strict=True))}
        _fill(self.outs, outs)
        for name, texts in zip(_KINDS, rest, strict=False):
            _fill(self.kinds[name], texts)
        for name, numbers in zip(_NUMBERS, rest[len(_KINDS) :], strict=False):
            self.numbers[name] = np.array(numbers, dtype=np.float64)
        self.urgent = np.array(rest[len(_KINDS) + len(_NUMBERS)], dtype=np.bool_)
        self._by_name = np.empty(len(case_ids), np.int32)
        order = sorted(range(len(case_ids)), key=lambda row: (case_ids[row], outs[row]))
        self._by_name[order] = np.arange(len(order), dtype=np.int32)

    def _read_some(self, keys: Iterable[Key]) -> None:
        cursor = self._db.cursor()
        cursor.row_factory = None
        for key in keys:
            found = cursor.execute(_READ + " WHERE out_id = ? AND case_id = ?", key).fetchone()
            if found is not None:
                self._take(found[0] - 1, found[3:])

    def _take(self, row: int, values: Sequence[Any]) -> None:
        kinds, numbers = values[: len(_KINDS)], values[len(_KINDS) : len(_KINDS) + len(_NUMBERS)]
        urgent, digest, text = values[-3:]
        before = (self.kinds["status"].codes[row], self.urgent[row], *(self.numbers[name][row] for name in _NUMBERS))
        for name, one in zip(_KINDS, kinds, strict=True):
            self.kinds[name].codes[row] = self.kinds[name].code(str(one))
        for name, number in zip(_NUMBERS, numbers, strict=True):
            self.numbers[name][row] = np.nan if number is None else number
        self.urgent[row] = bool(urgent)
        self.texts[row], self.digests[row] = str(text), str(digest)
        after = (self.kinds["status"].codes[row], self.urgent[row], *(self.numbers[name][row] for name in _NUMBERS))
        if not np.array_equal(before, after, equal_nan=True):
            self._ranks.clear()
        for said in self._said.values():
            self._judge(said, row)

    def _judge(self, said: Said, row: int) -> None:
        given, there = said.digests.get(row, ""), self.digests[row]
        said.is_stale[row] = bool(given and there and given != there)


def _fill(kinds: Kinds, texts: Sequence[str]) -> None:
    kinds.codes = np.fromiter((kinds.code(text) for text in texts), np.int32, len(texts))
