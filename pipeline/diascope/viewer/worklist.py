"""Pages of the worklist: filtered, sorted, counted, and the next case to read."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from diascope.viewer.index import CaseIndex

ListName = Literal["open", "reviewed", "failed", "nothing_to_do", "refused", "quarantined", "all", "urgent", "mine"]
SortName = Literal["review_first", "confidence", "case_id", "findings", "status"]

QUARANTINE = "burned_in_suspected"
"""Code of files that are held back because text may be burned into their pixels."""

Asked = TypeVar("Asked", bound="WorklistRequest")

_JOIN = (
    " FROM cases LEFT JOIN states AS me ON me.out_id = cases.out_id AND me.case_id = cases.case_id AND me.reviewer = ?"
)

# A verdict counts while the results are those it was given on; `skip` leaves a case open, at the end of the queue.
_STALE = "(me.digest IS NOT NULL AND cases.digest != '' AND me.digest != cases.digest)"
_SETTLED = f"(coalesce(me.verdict, 'skip') != 'skip' AND NOT {_STALE})"

_LISTS: Mapping[str, str] = {
    "open": f"cases.status = 'done' AND NOT {_SETTLED}",
    "reviewed": f"cases.status = 'done' AND {_SETTLED}",
    "failed": "cases.status = 'failed'",
    "nothing_to_do": "cases.status = 'nothing_to_do'",
    "all": "1",
    "urgent": "cases.urgent = 1",
    "mine": "cases.assigned_to = me_name.name OR cases.claimed_by = me_name.name",
}

# What a list is sorted by after urgency, each with whether the asked direction turns it round.
_SORTS: Mapping[str, tuple[tuple[str, bool], ...]] = {
    "review_first": (("cases.status != 'done'", False), ("cases.place", True)),
    "confidence": (("cases.confidence IS NULL", False), ("coalesce(cases.confidence, 0)", True)),
    "case_id": (("cases.case_id", True),),
    "findings": (("cases.n_findings IS NULL", False), ("coalesce(cases.n_findings, 0)", True)),
    "status": (("cases.status", True),),
}


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
    filters, values = _filters(asked, reviewer)
    counts = _counts(index, asked, reviewer)
    if asked.list in {"refused", "quarantined"}:
        return {**_files_page(index, asked), "counts": counts, **_state(index)}
    where = f"{filters} AND ({_LISTS[asked.list]})"
    start = (asked.page - 1) * asked.page_size
    order = ", ".join(f"{term} {'DESC' if down else 'ASC'}" for term, down in _terms(asked))
    # Found by what they are sorted by; only the rows of this page are then read whole.
    found = f"SELECT cases.rowid {_JOIN}, (SELECT ? AS name) AS me_name WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?"
    rows = index.query(
        f"SELECT cases.*, me.verdict AS my_verdict, {_STALE} AS stale,"  # noqa: S608
        " (SELECT count(*) FROM states AS a WHERE (a.out_id, a.case_id) = (cases.out_id, cases.case_id)) AS readers"
        f" {_JOIN} WHERE cases.rowid IN ({found}) ORDER BY {order}",
        (reviewer, reviewer, reviewer, *values, asked.page_size, start),
    )
    return {
        "total": counts[asked.list],
        "page": asked.page,
        "page_size": asked.page_size,
        "rows": [_row(row, blinded=blinded) for row in rows],
        "counts": counts,
        **_state(index),
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
    filters, values = _filters(asked, reviewer)
    listed = f"{filters} AND {_LISTS['all' if asked.list == 'open' and not asked.open else asked.list]}"
    wanted = f"{listed} AND cases.status = 'done' AND cases.claimed_by IN ('', ?) AND cases.assigned_to IN ('', ?)"
    if asked.open:
        wanted += f" AND NOT {_SETTLED}"
    terms = [(term, down == (asked.direction == "next")) for term, down in _terms(asked)]
    order = ", ".join(f"{term} {'DESC' if down else 'ASC'}" for term, down in terms)
    given = (reviewer, reviewer, *values, reviewer, reviewer)
    head = f"SELECT cases.out_id, cases.case_id {_JOIN}, (SELECT ? AS name) AS me_name WHERE {wanted}"
    found: list[sqlite3.Row] = []
    if at := _key_of(index, asked, terms):
        beyond, key = _beyond(terms, at)
        found = index.query(f"{head} AND ({beyond}) ORDER BY {order} LIMIT 1", (*given, *key))
    if not found:
        found = index.query(f"{head} AND cases.case_id != ? ORDER BY {order} LIMIT 1", (*given, asked.after))
    if not found:
        return {"done": True, "of": position(index, asked, reviewer)["of"]}
    out_id, case_id = found[0]
    here = asked.model_copy(update={"out": asked.out or out_id, "after": case_id})
    return {"out": out_id, "case_id": case_id, **position(index, here, reviewer)}


def position(index: CaseIndex, asked: NextRequest, reviewer: str) -> dict[str, int | None]:
    """Say which case of how many `after` is, among those that are done and pass the filters."""
    filters, values = _filters(asked, reviewer)
    where = f"{filters} AND cases.status = 'done'"
    given = (reviewer, *values)
    of = index.query(f"SELECT count(*) {_JOIN} WHERE {where}", given)[0][0]
    terms = _terms(asked)
    at = _key_of(index, asked, terms)
    if at is None:
        return {"index": None, "of": of}
    beyond, key = _beyond(terms, at)
    later = index.query(f"SELECT count(*) {_JOIN} WHERE {where} AND ({beyond})", (*given, *key))[0][0]
    return {"index": of - later, "of": of}


def _terms(asked: WorklistRequest) -> list[tuple[str, bool]]:
    """List what a page is sorted by: the term, and whether it runs downwards."""
    chosen = [(f"({term})", turns and asked.order == "desc") for term, turns in _SORTS[asked.sort]]
    return [("cases.urgent", True), *chosen, ("cases.case_id", False)]


def _key_of(index: CaseIndex, asked: NextRequest, terms: list[tuple[str, bool]]) -> sqlite3.Row | None:
    columns = ", ".join(term for term, _ in terms)
    rows = index.query(
        f"SELECT {columns} FROM cases WHERE cases.case_id = ? AND (? = '' OR cases.out_id = ?)",  # noqa: S608
        (asked.after, asked.out, asked.out),
    )
    return rows[0] if rows else None


def _beyond(terms: list[tuple[str, bool]], at: sqlite3.Row) -> tuple[str, list[object]]:
    """Spell `stands later than this key`, term by term: they do not all run in one direction."""
    parts: list[str] = []
    values: list[object] = []
    for count, (term, down) in enumerate(terms):
        same = [f"{earlier} = ?" for earlier, _ in terms[:count]]
        parts.append(" AND ".join([*same, f"{term} {'<' if down else '>'} ?"]))
        values += [*at[:count], at[count]]
    return " OR ".join(f"({part})" for part in parts), values


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


def _filters(asked: WorklistRequest, reviewer: str) -> tuple[str, tuple[object, ...]]:
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
        values.append({"me": reviewer, "nobody": ""}.get(asked.assigned, asked.assigned))
    if asked.verdict == "stale":
        parts.append(_STALE)
    elif asked.verdict:
        parts.append(f"CASE WHEN me.verdict IS NULL OR {_STALE} THEN 'none' ELSE me.verdict END = ?")
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


def _counts(index: CaseIndex, asked: WorklistRequest, reviewer: str) -> dict[str, int]:
    filters, values = _filters(asked, reviewer)
    sums = ", ".join(f"total({condition})" for condition in _LISTS.values())
    rows = index.query(
        f"SELECT {sums} {_JOIN}, (SELECT ? AS name) AS me_name WHERE {filters}",
        (reviewer, reviewer, *values),
    )
    counts = {name: int(count) for name, count in zip(_LISTS, rows[0], strict=True)}
    of_files = "SELECT code = ?, count(*) FROM files WHERE ? IN ('', out_id) GROUP BY 1"
    held = index.query(of_files, (QUARANTINE, asked.out))
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
