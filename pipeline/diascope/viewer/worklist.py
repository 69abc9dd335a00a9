"""Pages of the worklist: filtered, sorted, counted, and the next case to read."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from diascope.viewer.columns import Columns, Flags, Said, SortName
from diascope.viewer.index import CaseIndex, batch_reasons

ListName = Literal["open", "reviewed", "failed", "nothing_to_do", "refused", "quarantined", "all", "urgent", "mine"]

QUARANTINE = "burned_in_suspected"
"""Code of files that are held back because text may be burned into their pixels."""

Asked = TypeVar("Asked", bound="WorklistRequest")

_STALE = "(me.digest IS NOT NULL AND cases.digest != '' AND me.digest != cases.digest)"


class WorklistRequest(BaseModel):
    """What a page of the worklist is to show; unknown words are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: str = ""
    list: ListName = "open"
    q: Annotated[str, Field(max_length=200)] = ""
    finding: Annotated[str, Field(max_length=200)] = ""
    status: str = ""
    verdict: str = ""
    assigned: Annotated[str, Field(max_length=100)] = ""
    modality: Annotated[str, Field(max_length=20)] = ""
    sort: SortName = "review_first"
    order: Literal["asc", "desc"] = "asc"
    page: Annotated[int, Field(ge=1)] = 1
    page_size: Annotated[int, Field(ge=1, le=500)] = 50


def worklist_page(index: CaseIndex, asked: WorklistRequest, reviewer: str, *, blinded: bool) -> dict[str, Any]:
    """Make a page of the worklist.

    Args:
        index: All cases.
        asked: What is to be shown.
        reviewer: Whose verdicts decide what is open.
        blinded: Hide what the network and other readers say.
    """
    asked = unbiased(asked) if blinded else asked
    with index.columns() as columns:
        lists = _lists(columns, columns.said(reviewer), reviewer)
        listed = _passing(columns, asked, reviewer)
        counts = {name: int(np.count_nonzero(flags & listed)) for name, flags in lists.items()} | _file_counts(
            index, asked
        )
        if asked.list in {"refused", "quarantined"}:
            return {**_files_page(index, asked), "counts": counts, **_state(index, columns)}
        rows = _page(columns, lists[asked.list] & listed, asked)
        return {
            "total": counts[asked.list],
            "page": asked.page,
            "page_size": asked.page_size,
            "rows": [_row(row, blinded=blinded) for row in _told(index, rows, reviewer)],
            "counts": counts,
            **_state(index, columns),
        }


def unbiased(asked: Asked) -> Asked:
    """Drop from a request what would tell a blinded reader what a network says."""
    sort = asked.sort if asked.sort in {"case_id", "status"} else "case_id"
    words = " ".join(word for word in asked.q.split() if word.lower().startswith(("case-", "case")))
    return asked.model_copy(update={"sort": sort, "finding": "", "q": words})


class NextRequest(WorklistRequest):
    """Which case is to come next; the filters and the order are those of the list."""

    after: Annotated[str, Field(max_length=100)] = ""
    direction: Literal["next", "previous"] = "next"
    open: bool = False
    """Pass over what the reader has settled."""


def neighbour(index: CaseIndex, asked: NextRequest, reviewer: str) -> dict[str, Any]:
    """Find the case to read next, or before; it goes around at the end, past cases that others have taken.

    Args:
        index: All cases.
        asked: After which case, in which list.
        reviewer: Who reads.
    """
    with index.columns() as columns:
        lists = _lists(columns, columns.said(reviewer), reviewer)
        wanted = _passing(columns, asked, reviewer) & columns.kinds["status"].are("done")
        for taken in (columns.kinds["claimed_by"], columns.kinds["assigned_to"]):
            wanted &= taken.are("") | taken.are(reviewer)
        if asked.list != "open":
            wanted &= lists[asked.list]
        if asked.open:
            wanted &= lists["open"]
        found = _step(columns, wanted, asked)
        if found is None:
            return {"done": True, "of": position(index, asked, reviewer)["of"]}
        out_id, case_id = columns.key_of(found)
        here = asked.model_copy(update={"out": asked.out or out_id, "after": case_id})
        return {"out": out_id, "case_id": case_id, **position(index, here, reviewer)}


def _step(columns: Columns, wanted: Flags, asked: NextRequest) -> int | None:
    """Find the row that follows in the order; around the end, but never the row itself."""
    sign = 1 if asked.direction == "next" else -1
    ranks = sign * columns.rank(asked.sort, down=asked.order == "desc")
    at = columns.row_of(asked.out, asked.after)
    if at is not None:
        later = np.flatnonzero(wanted & (ranks > ranks[at]))
        if later.size:
            return int(later[np.argmin(ranks[later])])
    others = np.array([row for row in np.flatnonzero(wanted) if columns.case_ids[row] != asked.after], np.intp)
    if others.size:
        return int(others[np.argmin(ranks[others])])
    return None


def position(index: CaseIndex, asked: NextRequest, reviewer: str) -> dict[str, int | None]:
    """Say which case of how many `after` is, among those that are done and pass the filters."""
    with index.columns() as columns:
        listed = _passing(columns, asked, reviewer) & columns.kinds["status"].are("done")
        of = int(np.count_nonzero(listed))
        at = columns.row_of(asked.out, asked.after)
        if at is None:
            return {"index": None, "of": of}
        ranks = columns.rank(asked.sort, down=asked.order == "desc")
        return {"index": of - int(np.count_nonzero(listed & (ranks > ranks[at]))), "of": of}


def prior_of(index: CaseIndex, out_id: str, case_id: str) -> dict[str, Any] | None:
    """Find the patient's newest earlier study, in any of the folders; None where there is none."""
    rows = index.query(
        "SELECT prior.out_id, prior.case_id, this.days - prior.days AS days_before FROM cases AS this"
        " JOIN cases AS prior ON prior.patient_key = this.patient_key AND prior.days < this.days"
        " WHERE this.out_id = ? AND this.case_id = ? AND this.patient_key != '' AND prior.status = 'done'"
        " ORDER BY prior.modality != this.modality, prior.days DESC, prior.out_id != this.out_id LIMIT 1",
        (out_id, case_id),
    )
    return {"out": rows[0][0], "case_id": rows[0][1], "days_before": rows[0][2]} if rows else None


def _lists(columns: Columns, said: Said, reviewer: str) -> dict[str, Flags]:
    """Tell which cases stand in which list.

    Returns:
        (cases,) by the name of the list.
    """
    status, kinds = columns.kinds["status"], columns.kinds
    done, settled = status.are("done"), said.is_settled
    mine = kinds["assigned_to"].are(reviewer) | kinds["claimed_by"].are(reviewer)
    return {
        "open": done & ~settled,
        "reviewed": done & settled,
        "failed": status.are("failed"),
        "nothing_to_do": status.are("nothing_to_do"),
        "all": np.ones(len(columns), np.bool_),
        "urgent": columns.urgent,
        "mine": mine if reviewer else np.zeros(len(columns), np.bool_),
    }


def _passing(columns: Columns, asked: WorklistRequest, reviewer: str) -> Flags:
    """Tell which cases pass the filters of a request, whichever list they stand in.

    Returns:
        (cases,)
    """
    passing: Flags = np.ones(len(columns), np.bool_)
    for name in ("status", "modality"):
        if wanted := getattr(asked, name):
            passing &= columns.kinds[name].are(wanted)
    if asked.out:
        passing &= columns.outs.are(asked.out)
    if asked.assigned:
        name = {"me": reviewer, "nobody": ""}.get(asked.assigned, asked.assigned)
        passing &= columns.kinds["assigned_to"].are(name)
    if asked.verdict:
        passing &= _said_so(columns.said(reviewer), asked.verdict)
    if asked.finding:
        passing &= columns.kinds["labels"].hold(json.dumps(asked.finding)[1:-1])
    for word in asked.q.lower().split():
        rows = np.flatnonzero(passing)
        passing[rows] = [word in columns.texts[row] for row in rows]
    return passing


def _said_so(said: Said, verdict: str) -> Flags:
    if verdict == "stale":
        return said.is_stale
    # A verdict counts while the results are those it was given on.
    if verdict == "none":
        return said.verdicts.are("") | said.is_stale
    return said.verdicts.are(verdict) & ~said.is_stale


def _page(columns: Columns, listed: Flags, asked: WorklistRequest) -> list[int]:
    """List the rows of a page, in order."""
    rows = np.flatnonzero(listed)
    ranks = columns.rank(asked.sort, down=asked.order == "desc")[rows]
    start = (asked.page - 1) * asked.page_size
    end = min(start + asked.page_size, len(rows))
    if start >= end:
        return []
    # Only what stands up to the end of the page is put in order.
    first = np.argpartition(ranks, end - 1)[:end]
    return [int(row) for row in rows[first[np.argsort(ranks[first])]][start:end]]


def _told(index: CaseIndex, rows: Sequence[int], reviewer: str) -> list[sqlite3.Row]:
    """Read all that is told of some cases, in the order of their rows."""
    found = index.query(
        f"SELECT cases.*, cases.rowid AS row_number, me.verdict AS my_verdict, {_STALE} AS stale,"  # noqa: S608
        " (SELECT count(*) FROM states AS a WHERE (a.out_id, a.case_id) = (cases.out_id, cases.case_id)) AS readers"
        " FROM cases LEFT JOIN states AS me"
        " ON me.out_id = cases.out_id AND me.case_id = cases.case_id AND me.reviewer = ?"
        f" WHERE cases.rowid IN ({', '.join('?' * len(rows))})",
        (reviewer, *(row + 1 for row in rows)),
    )
    by_row = {one["row_number"] - 1: one for one in found}
    return [by_row[row] for row in rows]


def _file_counts(index: CaseIndex, asked: WorklistRequest) -> dict[str, int]:
    of_files = "SELECT code = ?, count(*) FROM files WHERE ? IN ('', out_id) GROUP BY 1"
    held = index.query(of_files, (QUARANTINE, asked.out))
    files = {bool(row[0]): int(row[1]) for row in held}
    return {"refused": files.get(False, 0), "quarantined": files.get(True, 0)}


def _files_page(index: CaseIndex, asked: WorklistRequest) -> dict[str, Any]:
    sign = "=" if asked.list == "quarantined" else "!="
    where = f"code {sign} ? AND (? = '' OR out_id = ?) AND instr(lower(file_id || ' ' || code || ' ' || reason), ?) > 0"
    values = (QUARANTINE, asked.out, asked.out, asked.q.lower())
    total = index.query(f"SELECT count(*) FROM files WHERE {where}", values)[0][0]  # noqa: S608
    rows = index.query(
        f"SELECT * FROM files WHERE {where} ORDER BY code, file_id LIMIT ? OFFSET ?",  # noqa: S608
        (*values, asked.page_size, (asked.page - 1) * asked.page_size),
    )
    found = [{"out" if key == "out_id" else key: row[key] for key in row.keys()} for row in rows]  # noqa: SIM118
    return {"total": total, "page": asked.page, "page_size": asked.page_size, "rows": found}


def _state(index: CaseIndex, columns: Columns) -> dict[str, Any]:
    left = int(index.query("SELECT count(*) FROM cases WHERE is_read = 0")[0][0])
    return {"indexed": {"done": len(columns) - left, "of": len(columns)}, "version": index.version}


def _row(row: sqlite3.Row, *, blinded: bool) -> dict[str, Any]:
    n_findings = row["n_findings"]
    found: dict[str, Any] = {
        "out": row["out_id"],
        "case_id": row["case_id"],
        "status": row["status"],
        "confidence": row["confidence"],
        "confidence_kind": row["confidence_kind"],
        "review_first": bool(row["review_first"]),
        "review_reasons": [*json.loads(row["reasons"]), *batch_reasons(row)],
        "urgent": bool(row["urgent"]),
        "is_sample": bool(row["is_sample"]),
        "n_findings": None if n_findings is None else int(n_findings),
        "labels": json.loads(row["labels"]),
        "verdict": row["my_verdict"],
        "stale": bool(row["stale"]),
        "verdicts": row["readers"],
        **{name: row[name] for name in ("claimed_by", "assigned_to", "modality", "sex", "age_years")},
        **{name: row[name] for name in ("error_code", "reason", "seconds")},
    }
    if blinded:
        hidden: dict[str, Any] = dict.fromkeys(("confidence", "n_findings", "verdicts", "review_first", "is_sample"))
        found |= {**hidden, "labels": [], "review_reasons": [], "confidence_kind": "none"}
    return found
