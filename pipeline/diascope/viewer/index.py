"""What is known of every case of every output folder, in a table that filters within milliseconds.

The table is in memory: it is made of cases.csv, and of the reports that a run which is
still going has written since; what stands only in a report (modality, labels) is filled
in behind. Nothing is written to the output folders.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from diascope.viewer.case_rows import (
    COLUMNS,
    CaseFacts,
    odd_reason,
    read_csv,
    read_facts,
    row_of_report,
    row_of_table,
)
from diascope.viewer.columns import Columns
from diascope.viewer.outs import ServedOut
from diascope.viewer.queue import Place, Standing, places

_SCHEMA = """
CREATE TABLE cases (
  out_id TEXT NOT NULL, case_id TEXT NOT NULL, status TEXT NOT NULL, seconds REAL,
  confidence REAL, confidence_kind TEXT NOT NULL, review_first INTEGER NOT NULL, error_code TEXT NOT NULL,
  reason TEXT NOT NULL, n_findings INTEGER, place REAL NOT NULL, is_sample INTEGER NOT NULL, probability REAL,
  urgent INTEGER NOT NULL DEFAULT 0, claimed_by TEXT NOT NULL DEFAULT '', assigned_to TEXT NOT NULL DEFAULT '',
  is_read INTEGER NOT NULL DEFAULT 0, modality TEXT NOT NULL DEFAULT '', sex TEXT NOT NULL DEFAULT '',
  age_years TEXT NOT NULL DEFAULT '', labels TEXT NOT NULL DEFAULT '[]', reasons TEXT NOT NULL DEFAULT '[]',
  patient_key TEXT NOT NULL DEFAULT '', days INTEGER, digest TEXT NOT NULL DEFAULT '', mtime INTEGER NOT NULL DEFAULT 0,
  batch_reason TEXT NOT NULL DEFAULT '', batch_digest TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (out_id, case_id)
);
CREATE INDEX by_patient ON cases (patient_key) WHERE patient_key != '';
CREATE INDEX unread ON cases (out_id, case_id) WHERE is_read = 0;
CREATE TABLE states (
  out_id TEXT NOT NULL, case_id TEXT NOT NULL, reviewer TEXT NOT NULL, verdict TEXT NOT NULL, digest TEXT NOT NULL,
  PRIMARY KEY (out_id, case_id, reviewer)
) WITHOUT ROWID;
CREATE TABLE files (
  out_id TEXT NOT NULL, file_id TEXT NOT NULL, kind TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
  cure TEXT NOT NULL, PRIMARY KEY (out_id, file_id)
) WITHOUT ROWID;
"""

# How many reports are read before the next request may come in between.
_BATCH = 200

# How often a folder is looked at for what a run has written since, and how many times longer than it takes.
REFRESH_SECONDS = 2.0
REST = 20.0


class CaseIndex:
    """The table of all cases; safe to use from several threads."""

    def __init__(self, outs: Sequence[ServedOut], sample_part: float, sample_seed: int) -> None:
        """Start empty: `load` takes in what the folders hold, and whoever asks waits until `open`."""
        self.outs = {out.out_id: out for out in outs}
        self._sampling = (sample_part, sample_seed)
        self._guard = threading.RLock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(_SCHEMA)
        self._columns = Columns(self._db)
        self._stamps: dict[str, tuple[int, ...]] = {}
        self._look_again = 0.0
        self.version = 0
        self._is_open = threading.Event()

    @classmethod
    def opened(cls, outs: Sequence[ServedOut], sample_part: float, sample_seed: int) -> "CaseIndex":
        """Make a table that is loaded and open."""
        index = cls(outs, sample_part, sample_seed)
        index.refresh(force=True)
        index.open()
        return index

    def open(self) -> None:
        """Let those in who wait: 100,000 cases take some seconds to load, and the server starts meanwhile."""
        self._is_open.set()

    def query(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Ask the table, when it is open."""
        self._is_open.wait()
        with self._guard:
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def columns(self) -> Iterator[Columns]:
        """Lend the columns that lists are made of, when the table is open; nothing changes meanwhile."""
        self._is_open.wait()
        with self._guard:
            self._columns.update()
            yield self._columns

    def note(self, out_id: str, case_id: str, column: str, value: object) -> None:
        """Change a column of a case; whoever polls learns that something changed."""
        with self._guard:
            self._db.execute(
                f"UPDATE cases SET {column} = ? WHERE out_id = ? AND case_id = ?",  # noqa: S608 - a name of ours
                (value, out_id, case_id),
            )
            self._columns.touch([(out_id, case_id)])
            self.version += 1

    def set_urgent(self, out_id: str, case_ids: Iterable[str]) -> None:
        """Say which cases of a folder are urgent; all others are not."""
        marked = {(out_id, case_id) for case_id in case_ids}
        with self._guard:
            before = self._db.execute("SELECT out_id, case_id FROM cases WHERE out_id = ? AND urgent = 1", (out_id,))
            self._columns.touch(marked | {tuple(row) for row in before})
            self._db.execute("UPDATE cases SET urgent = 0 WHERE out_id = ? AND urgent = 1", (out_id,))
            self._db.executemany("UPDATE cases SET urgent = 1 WHERE out_id = ? AND case_id = ?", marked)
            self.version += 1

    def replace_states(self, out_id: str, rows: Iterable[tuple[str, str, str, str, str]], case_id: str = "") -> None:
        """Take in what readers say now of a folder, or of one case of it.

        Args:
            out_id: The folder.
            rows: out_id, case_id, reviewer, verdict and digest of the result.
            case_id: The only case that `rows` are about; empty for all of them.
        """
        with self._guard:
            self._db.execute("DELETE FROM states WHERE out_id = ? AND ? IN ('', case_id)", (out_id, case_id))
            self._db.executemany("INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?)", rows)
            self._columns.touch_said(out_id, case_id)
            self.version += 1

    def refresh(self, *, force: bool = False) -> None:
        """Look for what a run has written since; at most every two seconds."""
        with self._guard:
            began = time.monotonic()
            if not force and began < self._look_again:
                return
            changed = False
            for out in self.outs.values():
                stamp = _stamp(out)
                known = self._stamps.get(out.out_id, ())
                if known != stamp:
                    self._stamps[out.out_id] = stamp
                    self._take_in(out, is_new_table=known[:1] != stamp[:1])
                    changed = True
            if changed:
                self._arrange()
                self._columns.update()
                self.version += 1
            # A folder of 100,000 cases takes a second: nobody shall wait for every other one.
            took = time.monotonic() - began
            self._look_again = began + max(REFRESH_SECONDS, REST * took)

    def fill(self, seconds: float = float("inf")) -> int:
        """Read reports that were not read yet, those with verdicts first; say how many are left."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            rows = self.query(
                "SELECT out_id, case_id FROM cases WHERE is_read = 0 ORDER BY EXISTS (SELECT 1 FROM states"
                " WHERE states.out_id = cases.out_id AND states.case_id = cases.case_id) DESC LIMIT ?",
                (_BATCH,),
            )
            if not rows:
                return 0
            facts = [
                (read_facts(self.outs[row["out_id"]].folder.case(row["case_id"]) / "case.json"), *row) for row in rows
            ]
            with self._guard:
                moved = [self._note(out_id, case_id, found) for found, out_id, case_id in facts]
                if any(moved):
                    self._arrange()
                self._columns.update()
                self.version += 1
        return int(self.query("SELECT count(*) FROM cases WHERE is_read = 0")[0][0])

    def read_now(self, out_id: str, case_id: str) -> None:
        """Read the report of one case now: it may have been done again a moment ago."""
        found = read_facts(self.outs[out_id].folder.case(case_id) / "case.json")
        with self._guard:
            if self._note(out_id, case_id, found):
                self._arrange()

    def _note(self, out_id: str, case_id: str, found: CaseFacts | None) -> bool:
        """Take a report in; say whether it moves the case in the queue: it was done again since cases.csv."""
        here = (out_id, case_id)
        if found is None:  # half-written, or gone: it stays in the list with what cases.csv says
            self._db.execute("UPDATE cases SET is_read = 1 WHERE out_id = ? AND case_id = ?", here)
            return False
        standing = "SELECT status, round(confidence, 3), review_first FROM cases WHERE out_id = ? AND case_id = ?"
        before = self._db.execute(standing, here).fetchone()
        told = ", ".join(f"{name} = ?" for name in COLUMNS if name != "seconds")
        # What cases.csv says of a case beside its batch is about the first result seen since the table was written.
        self._db.execute(
            "UPDATE cases SET batch_digest = ? WHERE out_id = ? AND case_id = ? AND batch_digest = ''",
            (found.digest, *here),
        )
        self._db.execute(
            "UPDATE cases SET is_read = 1, modality = ?, sex = ?, age_years = ?, labels = ?, reasons = ?,"  # noqa: S608
            f" patient_key = ?, days = ?, digest = ?, {told} WHERE out_id = ? AND case_id = ?",
            (
                found.modality,
                found.sex,
                found.age_years,
                json.dumps(found.labels),
                json.dumps(found.reasons),
                found.patient_key,
                found.days,
                found.digest,
                *found.row[:1],
                *found.row[2:],
                *here,
            ),
        )
        self._db.execute(
            "UPDATE cases SET review_first = 1"
            " WHERE out_id = ? AND case_id = ? AND batch_reason != '' AND batch_digest = digest",
            here,
        )
        self._columns.touch([here])
        after = self._db.execute(standing, here).fetchone()
        return before is not None and tuple(before) != tuple(after)

    def _take_in(self, out: ServedOut, *, is_new_table: bool) -> None:
        listed = read_csv(out.folder.cases_csv)
        rows = {row["case_id"]: row_of_table(row) for row in listed if row.get("case_id")}
        odd = {row.get("case_id", ""): why for row in listed if (why := odd_reason(row))}
        if is_new_table:
            self._db.execute("UPDATE cases SET batch_digest = '' WHERE out_id = ?", (out.out_id,))
        there = _case_folders(out.folder.cases)
        known = {
            row["case_id"]: row["mtime"]
            for row in self._db.execute("SELECT case_id, mtime FROM cases WHERE out_id = ?", (out.out_id,))
        }
        for case_id, mtime in there.items():
            # Written after the table: what the run has done since is told by the report itself.
            if case_id not in rows and known.get(case_id) != mtime:
                rows[case_id] = row_of_report(out.folder.case(case_id) / "case.json")
        columns = ("out_id", "case_id", "mtime", "batch_reason", *COLUMNS)
        self._db.executemany(
            f"INSERT INTO cases ({', '.join(columns)}, place, is_sample) VALUES ({', '.join('?' * len(columns))}, 0, 0)"  # noqa: S608
            " ON CONFLICT (out_id, case_id) DO UPDATE SET"
            " is_read = CASE WHEN mtime = excluded.mtime THEN is_read ELSE 0 END, "
            + ", ".join(f"{name} = excluded.{name}" for name in columns[2:]),
            ((out.out_id, case_id, there.get(case_id, 0), odd.get(case_id, ""), *row) for case_id, row in rows.items()),
        )
        files = read_csv(out.folder.rejects_csv)
        self._db.execute("DELETE FROM files WHERE out_id = ?", (out.out_id,))
        self._db.executemany(
            "INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, ?, ?)",
            [
                (out.out_id, *(row.get(name, "") for name in ("file_id", "kind", "code", "reason", "cure")))
                for row in files
                if row.get("kind") in {"refused", "failed"}
            ],
        )

    def _arrange(self) -> None:
        """Give every case that is done its place in the queue."""
        self._columns.touch(None)
        for out_id in self.outs:
            rows = self._db.execute(
                "SELECT case_id, confidence, review_first FROM cases WHERE out_id = ? AND status = 'done'", (out_id,)
            )
            found = places([Standing(row[0], row[1], bool(row[2])) for row in rows], *self._sampling)
            self._db.executemany(
                "UPDATE cases SET place = ?, is_sample = ?, probability = ? WHERE out_id = ? AND case_id = ?",
                ((place.at, place.is_sample, place.probability, out_id, case_id) for case_id, place in found.items()),
            )

    def reasons_in_batch(self, out_id: str, case_id: str) -> list[str]:
        """Say why a case was flagged beside its batch; empty where it was not, or was done again since."""
        rows = self.query("SELECT * FROM cases WHERE out_id = ? AND case_id = ?", (out_id, case_id))
        return batch_reasons(rows[0]) if rows else []

    def place_of(self, out_id: str, case_id: str) -> Place | None:
        """Tell how a case came into the queue; None where there is no such case."""
        rows = self.query(
            "SELECT place, is_sample, probability FROM cases WHERE out_id = ? AND case_id = ?", (out_id, case_id)
        )
        return Place(rows[0][0], bool(rows[0][1]), rows[0][2]) if rows else None


def batch_reasons(row: sqlite3.Row) -> list[str]:
    """Read off a row of the table what was said of a case beside its batch, if it is about the present result."""
    is_present = row["batch_digest"] in {"", row["digest"]}
    return [row["batch_reason"]] if row["batch_reason"] and row["review_first"] and is_present else []


def _stamp(out: ServedOut) -> tuple[int, ...]:
    found = []
    for path in (out.folder.cases_csv, out.folder.rejects_csv, out.folder.cases):
        try:
            found.append(path.stat().st_mtime_ns)
        except OSError:
            found.append(0)
    return tuple(found)


def _case_folders(cases: Path) -> dict[str, int]:
    try:
        with os.scandir(cases) as entries:
            return {one.name: one.stat().st_mtime_ns for one in entries if one.name[0] != "." and one.is_dir()}
    except OSError:
        return {}
