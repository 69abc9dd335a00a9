"""Verdicts, claims, agreement and their exports, as the page asks for them."""

from collections.abc import Hashable
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from diascope.viewer.agreement import agreement
from diascope.viewer.answers import Problem, json_answer
from diascope.viewer.case_page import open_case
from diascope.viewer.desk import Desk, named, session_of
from diascope.viewer.outs import ServedOut
from diascope.viewer.review_export import Tables, tables_of
from diascope.viewer.review_table import COLUMNS, JUDGED_COLUMNS, as_csv, as_json
from diascope.viewer.store.verdicts import SavedVerdict, VerdictAsked
from diascope.viewer.worklist import NextRequest, neighbour, unbiased

_MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


class UndoAsked(BaseModel):
    """Take back the newest verdict."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[\w-]+$")]


class AssignAsked(BaseModel):
    """Give a case to a reader."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reviewer: Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f<>]*$")]


def give_verdict(desk: Desk, request: Request, asked: VerdictAsked) -> Response:
    """Save a verdict, and say which case comes next."""
    reviewer = named(request).reviewer
    case = open_case(desk.out(request), request.path_params["case_id"])
    desk.index.read_now(case.out.out_id, case.case_id)
    saved = desk.record.save(case, reviewer, asked)
    desk.mirror.touch(case.out.out_id)
    following = NextRequest(out=case.out.out_id, after=case.case_id, open=True)
    following = unbiased(following) if desk.settings.blinded else following
    found = neighbour(desk.index, following, reviewer)
    return json_answer(
        {
            "verdict_id": saved.verdict_id,
            "saved_at": saved.saved_at,
            "reveals_ai": asked.read == "first",
            "next": None if found.get("done") else found,
            "case": review_part(desk, case.out, case.case_id, case.digest, reviewer),
        }
    )


def undo(desk: Desk, request: Request, asked: UndoAsked) -> Response:
    """Take back the reader's newest verdict of a case."""
    reviewer = named(request).reviewer
    case = open_case(desk.out(request), request.path_params["case_id"])
    taken = desk.record.undo(case.out, case.case_id, reviewer, asked.key)
    if taken is None:
        raise Problem("nothing_to_undo", "you gave no verdict on this case", "nothing was changed")
    desk.mirror.touch(case.out.out_id)
    part = review_part(desk, case.out, case.case_id, case.digest, reviewer)
    return json_answer({"revoked": spelled(taken, case.digest), "case": part})


def claim(desk: Desk, request: Request, _: BaseModel) -> Response:
    """Take a case."""
    reviewer = named(request).reviewer
    case = open_case(desk.out(request), request.path_params["case_id"])
    desk.record.claim(case.out, case.case_id, reviewer)
    return json_answer({"claimed_by": reviewer})


def release(desk: Desk, request: Request, _: BaseModel) -> Response:
    """Let go of a case."""
    case = open_case(desk.out(request), request.path_params["case_id"])
    desk.record.release(case.out, case.case_id, named(request).reviewer)
    return json_answer({"claimed_by": ""})


def assign(desk: Desk, request: Request, asked: AssignAsked) -> Response:
    """Give a case to a reader."""
    case = open_case(desk.out(request), request.path_params["case_id"])
    desk.record.assign(case.out, case.case_id, named(request).reviewer, asked.reviewer)
    return json_answer({"assigned_to": asked.reviewer})


def review_part(desk: Desk, out: ServedOut, case_id: str, digest: str, reviewer: str) -> dict[str, Any]:
    """Give what a case's page shows of the record."""
    row = desk.index.query(
        "SELECT urgent, claimed_by, assigned_to FROM cases WHERE out_id = ? AND case_id = ?", (out.out_id, case_id)
    )
    return {
        "verdicts": [
            {**spelled(one, digest), "is_mine": one.new.reviewer == reviewer, "revoked": False}
            for one in desk.record.shown_to(out, case_id, reviewer)
        ],
        "hides_ai": desk.record.hides_ai(out.out_id, case_id, reviewer),
        "urgent": bool(row and row[0]["urgent"]),
        "claimed_by": row[0]["claimed_by"] if row else "",
        "assigned_to": row[0]["assigned_to"] if row else "",
    }


def spelled(one: SavedVerdict, digest: str) -> dict[str, Any]:
    """Spell a verdict for the page."""
    return {
        **one.new.asked.model_dump(mode="json", exclude={"key"}),
        "verdict_id": one.verdict_id,
        "reviewer": one.new.reviewer,
        "when": one.saved_at,
        "ai_visible": one.new.ai_visible,
        "sampling": one.new.sampling,
        "is_stale": one.new.asked.digest != digest,
    }


def show_agreement(desk: Desk, request: Request) -> Response:
    """Compare the readers of an output folder."""
    if desk.settings.blinded:
        raise Problem("hidden", "readers are blinded to each other", "ask for it when the reading is over")
    tables = _tables(desk, request)
    rows = [row for row in tables.verdicts if not row["is_stale"] and row["read"] == "with_ai"]
    words: dict[str, dict[str, Hashable]] = {}
    scores: dict[str, dict[str, Hashable]] = {}
    for row in rows:
        words.setdefault(row["reviewer"], {})[row["case_id"]] = row["verdict"]
        if row["score"] is not None:
            scores.setdefault(row["reviewer"], {})[row["case_id"]] = row["score"]
    found = {"verdict": asdict(agreement(words)), "score": asdict(agreement(scores, "interval"))}
    return json_answer({"out": tables.out, "readers": tables.names, **found})


def export(desk: Desk, request: Request) -> Response:
    """Send the record as a table; a blinded reader gets the own rows."""
    tables = _tables(desk, request)
    name = request.path_params["name"]
    spelled_tables = {
        "verdicts": (COLUMNS, tables.verdicts),
        "judged": (JUDGED_COLUMNS, tables.judged),
    }
    table, _, kind = name.partition(".")
    if table not in spelled_tables or kind not in _MEDIA_TYPES:
        raise Problem("no_such_page", "there is no such table", "verdicts and judged, as csv or json")
    columns, rows = spelled_tables[table]
    text = as_csv(columns, rows) if kind == "csv" else as_json(rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(text, headers=headers, media_type=_MEDIA_TYPES[kind])


def _tables(desk: Desk, request: Request) -> Tables:
    reviewer = session_of(request).reviewer
    out_id = request.query_params.get("out") or next(iter(desk.index.outs))
    if out_id not in desk.index.outs:
        raise Problem("no_such_case", "there is no output folder of this name", "go back to the worklist")
    shelf = desk.record.shelves[out_id]
    only = reviewer if desk.settings.blinded else None
    return tables_of(desk.index.outs[out_id], shelf.reviews, shelf.key, only_reader=only)
