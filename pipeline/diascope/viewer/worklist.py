"""Pages of the worklist: filtered, sorted, counted, and the next case to read."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from diascope.viewer.index import CaseIndex

ListName = Literal["open", "reviewed", "failed", "nothing_to_do", "refused", "quarantined", "all", "urgent", "mine"]
SortName = Literal["review_first", "confidence", "case_id", "findings", "status"]

QUARANTINE = "burned_in_suspected"
"""Code of files that are held back because text may be burned into their pixels."""

_JOIN = (
    " FROM cases LEFT JOIN states AS me ON me.out_id = cases.out_id AND me.case_id = cases.case_id AND me.reviewer = ?"
)

# A verdict counts while the results are those it was given on; `skip` leaves a case open, at the end of the queue.
_STALE = "(me.digest IS NOT NULL AND cases.digest != '' AND me.digest != cases.digest)"
_SETTLED = f"(me.verdict IS NOT NULL AND NOT {_STALE})"

_LISTS: Mapping[str, str] = {
    "open": f"cases.status = 'done' AND NOT {_SETTLED}",
    "reviewed": f"cases.status = 'done' AND {_SETTLED}",
    "failed": "cases.status = 'failed'",
    "nothing_to_do": "cases.status = 'nothing_to_do'",
    "all": "1",
    "urgent": "cases.urgent = 1",
    "mine": "cases.assigned_to = me_name.name OR cases.claimed_by = me_name.name",
}

_SORTS: Mapping[str, str] = {
    "review_first": "cases.urgent DESC, cases.status != 'done', cases.place {order}, cases.case_id",
    "confidence": "cases.urgent DESC, cases.confidence IS NULL, cases.confidence {order}, cases.case_id",
    "case_id": "cases.urgent DESC, cases.case_id {order}",
    "findings": "cases.urgent DESC, cases.n_findings IS NULL, cases.n_findings {order}, cases.case_id",
    "status": "cases.urgent DESC, cases.status {order}, cases.case_id",
}


class WorklistRequest(BaseModel):
    """What a page of the worklist is to show; unknown words are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: str = ""
    list: ListName = "open"
    q: str = Field("", max_length=200)
    finding: str = Field("", max_length=200)
    status: str = ""
    verdict: str = ""
    assigned: str = Field("", max_length=100)
    modality: str = Field("", max_length=20)
    sort: SortName = "review_first"
    order: Literal["asc", "desc"] = "asc"
    page: int = Field(1, ge=1)
    page_size: int = Field(50, ge=1, le=500)


def worklist_page(index: CaseIndex, asked: WorklistRequest, reviewer: str, *, blinded: bool) -> dict[str, Any]:
    """Make a page of the worklist.

    Args:
        index: All cases.
        asked: What is to be shown.
        reviewer: Whose verdicts decide what is open.
        blinded: Hide what the network and other readers say.
    """
    filters, values = _filters(asked)
    counts = _counts(index, filters, values, reviewer)
    if asked.list in {"refused", "quarantined"}:
        return {**_files_page(index, asked), "counts": counts, **_state(index)}
    where = f"{filters} AND ({_LISTS[asked.list]})"
    start = (asked.page - 1) * asked.page_size
    order = _SORTS[asked.sort].format(order=asked.order)
    rows = index.query(
        f"SELECT cases.*, me.verdict AS my_verdict, {_STALE} AS stale,"  # noqa: S608 - built of constants of this module
        " (SELECT count(*) FROM states AS any WHERE (any.out_id, any.case_id) = (cases.out_id, cases.case_id)) AS readers"
        f" {_JOIN}, (SELECT ? AS name) AS me_name WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
        (reviewer, reviewer, *values, asked.page_size, start),
    )
    return {
        "total": counts[asked.list],
        "page": asked.page,
        "page_size": asked.page_size,
        "rows": [_row(row, blinded=blinded) for row in rows],
        "counts": counts,
        **_state(index),
    }


def neighbour(
    index: CaseIndex, out: str, after: str, reviewer: str, *, forward: bool, only_open: bool = True
) -> dict[str, Any]:
    """Find the case to read next, or before; it goes around at the end, past cases that others claimed.

    Args:
        index: All cases.
        out: Of which folder; empty for all.
        after: case_id of the case that is shown; empty for the first.
        reviewer: Who reads.
        forward: Next, not previous.
        only_open: Pass over what the reader has settled.
    """
    scope = "cases.status = 'done' AND (? = '' OR cases.out_id = ?)"
    free = "(cases.claimed_by IN ('', ?)) AND (cases.assigned_to IN ('', ?))"
    wanted = f"{scope} AND {free}" + (f" AND NOT {_SETTLED}" if only_open else "")
    here = index.query(
        "SELECT urgent, place, case_id FROM cases WHERE case_id = ? AND (? = '' OR out_id = ?)", (after, out, out)
    )
    # Urgent cases stand first; within them, and after them, the queue's own order.
    key = "(1 - cases.urgent, cases.place, cases.case_id)"
    at = (1 - here[0]["urgent"], here[0]["place"], here[0]["case_id"]) if here else None
    direction, sign = ("ASC", ">") if forward else ("DESC", "<")
    order = f"1 - cases.urgent {direction}, cases.place {direction}, cases.case_id {direction}"
    values = (reviewer, out, out, reviewer, reviewer)
    found: list[sqlite3.Row] = []
    if at is not None:
        found = index.query(
            f"SELECT cases.out_id, cases.case_id {_JOIN} WHERE {wanted} AND {key} {sign} (?, ?, ?)"
            f" ORDER BY {order} LIMIT 1",
            (*values, *at),
        )
    if not found:
        found = index.query(
            f"SELECT cases.out_id, cases.case_id {_JOIN} WHERE {wanted} AND cases.case_id != ?"
            f" ORDER BY {order} LIMIT 1",
            (*values, after),
        )
    if not found:
        return {"done": True, "of": _count_done(index, out)}
    out_id, case_id = found[0]
    return {"out": out_id, "case_id": case_id, **position(index, out_id, case_id, out)}


def position(index: CaseIndex, out_id: str, case_id: str, out: str = "") -> dict[str, int | None]:
    """Say which case of how many it is, in the order of the queue."""
    rows = index.query(
        "SELECT count(*) FROM cases AS other JOIN cases AS this ON this.out_id = ? AND this.case_id = ?"
        " WHERE other.status = 'done' AND this.status = 'done' AND (? = '' OR other.out_id = ?)"
        " AND (1 - other.urgent, other.place, other.case_id) <= (1 - this.urgent, this.place, this.case_id)",
        (out_id, case_id, out, out),
    )
    return {"index": rows[0][0] or None, "of": _count_done(index, out)}


def _count_done(index: CaseIndex, out: str) -> int:
    rows = index.query("SELECT count(*) FROM cases WHERE status = 'done' AND (? = '' OR out_id = ?)", (out, out))
    return int(rows[0][0])


def _filters(asked: WorklistRequest) -> tuple[str, tuple[object, ...]]:
    parts: list[str] = ["1"]
    values: list[object] = []
    for column in ("status", "modality"):
        if wanted := getattr(asked, column):
            parts.append(f"cases.{column} = ?")
            values.append(wanted)
    if asked.out:
        parts.append("cases.out_id = ?")
        values.append(asked.out)
    if asked.assigned:
        parts.append("cases.assigned_to = ?")
        values.append(asked.assigned)
    if asked.verdict:
        parts.append("coalesce(me.verdict, 'none') = ?")
        values.append(asked.verdict)
    if asked.finding:
        parts.append("instr(cases.labels, ?) > 0")
        values.append(json.dumps(asked.finding)[1:-1])
    for word in asked.q.lower().split():
        columns = "cases.case_id, ' ', cases.labels, ' ', cases.modality, ' ', cases.error_code, ' ', cases.reason"
        joined = " || ".join(columns.split(", "))
        parts.append(f"instr(lower({joined}), ?) > 0")
        values.append(word)
    return " AND ".join(parts), tuple(values)


def _counts(index: CaseIndex, filters: str, values: tuple[object, ...], reviewer: str) -> dict[str, int]:
    sums = ", ".join(f"total({condition})" for condition in _LISTS.values())
    rows = index.query(
        f"SELECT {sums} {_JOIN}, (SELECT ? AS name) AS me_name WHERE {filters}",
        (reviewer, reviewer, *values),
    )
    counts = {name: int(count) for name, count in zip(_LISTS, rows[0], strict=True)}
    held = index.query("SELECT code = ?, count(*) FROM files GROUP BY 1", (QUARANTINE,))
    files = {bool(row[0]): int(row[1]) for row in held}
    return {**counts, "refused": files.get(False, 0), "quarantined": files.get(True, 0)}


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


def _state(index: CaseIndex) -> dict[str, Any]:
    left, of = index.query("SELECT coalesce(sum(is_read = 0), 0), count(*) FROM cases")[0]
    return {"indexed": {"done": of - left, "of": of}, "version": index.version}


def _row(row: sqlite3.Row, *, blinded: bool) -> dict[str, Any]:
    n_findings = row["n_findings"]
    found: dict[str, Any] = {
        "out": row["out_id"],
        "case_id": row["case_id"],
        "status": row["status"],
        "confidence": row["confidence"],
        "confidence_kind": row["confidence_kind"],
        "review_first": bool(row["review_first"]),
        "review_reasons": json.loads(row["reasons"]),
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
