"""The web application: which address is answered by what."""

import contextlib
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from diascope.viewer import correction_page, session_page, verdict_page
from diascope.viewer.answers import Problem, json_answer
from diascope.viewer.case_files import is_of_ai, preview, send_file, volume_file
from diascope.viewer.case_page import CaseFiles, case_answer, open_case
from diascope.viewer.desk import Desk, session_of
from diascope.viewer.guard import Guard
from diascope.viewer.handlers import action, checked_query, page
from diascope.viewer.outs import inside
from diascope.viewer.record import drawn
from diascope.viewer.slice_page import SliceAsked, slice_answer, slices_answer
from diascope.viewer.store.verdicts import VerdictAsked
from diascope.viewer.truth import truth_answers
from diascope.viewer.volumes import dense_file
from diascope.viewer.worklist import (
    NextRequest,
    WorklistRequest,
    neighbour,
    position,
    prior_of,
    unbiased,
    worklist_page,
)

log = logging.getLogger(__name__)

_HASHED = re.compile(r"\.[0-9a-f]{8,}\.")

_ALIKE = ("modality", "sequence", "plane", "contrast", "view", "body_part")
"""What an image and its prior should have in common."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


def make_app(desk: Desk) -> ASGIApp:
    """Put the application together."""

    def bound(answer: Callable[..., Response]) -> Callable[..., Response]:
        return partial(answer, desk)

    case = "/api/case/{out}/{case_id}"
    routes = [
        Route("/", page(bound(_home))),
        Route("/healthz", page(lambda _: json_answer({"ok": True}))),
        Route("/static/{path:path}", page(_static)),
        Route("/api/door", page(bound(session_page.door))),
        Route("/api/session", page(bound(session_page.session))),
        Route("/api/session/name", action(session_page.NameAsked, bound(session_page.give_name)), methods=["POST"]),
        Route("/api/login", action(session_page.LoginAsked, bound(session_page.login)), methods=["POST"]),
        Route("/api/session/unlock", action(session_page.UnlockAsked, bound(session_page.unlock)), methods=["POST"]),
        Route("/api/session/lock", action(session_page.NothingAsked, bound(session_page.lock)), methods=["POST"]),
        Route("/api/logout", action(session_page.NothingAsked, bound(session_page.logout)), methods=["POST"]),
        Route("/api/worklist", page(bound(_worklist))),
        Route("/api/worklist/version", page(bound(_version))),
        Route("/api/next", page(bound(_next))),
        Route(case, page(bound(_case))),
        Route(case + "/volume/{name}.nii.gz", page(bound(_volume))),
        Route(case + "/preview/{image_id}.nii.gz", page(bound(_preview))),
        Route(case + "/slices/{image_id}", page(bound(_slices))),
        Route(case + "/slice/{image_id}/{plane}/{index}.png", page(bound(_slice))),
        Route(case + "/preview.png", page(bound(_preview_png))),
        Route(case + "/verdict", action(VerdictAsked, bound(verdict_page.give_verdict)), methods=["POST"]),
        Route(case + "/undo", action(verdict_page.UndoAsked, bound(verdict_page.undo)), methods=["POST"]),
        Route(case + "/claim", action(session_page.NothingAsked, bound(verdict_page.claim)), methods=["POST"]),
        Route(case + "/release", action(session_page.NothingAsked, bound(verdict_page.release)), methods=["POST"]),
        Route(case + "/assign", action(verdict_page.AssignAsked, bound(verdict_page.assign)), methods=["POST"]),
        Route(case + "/draft", page(bound(correction_page.state)), methods=["GET"]),
        Route(case + "/draft", action(correction_page.DraftAsked, bound(correction_page.begin)), methods=["POST"]),
        Route(case + "/stroke", action(correction_page.StrokeAsked, bound(correction_page.stroke)), methods=["POST"]),
        Route(case + "/draft/{name}.nii.gz", page(bound(correction_page.draft_volume))),
        *(
            Route(f"{case}/draft/{step}", action(correction_page.DraftAsked, bound(answer)), methods=["POST"])
            for step, answer in (
                ("undo", correction_page.undo),
                ("redo", correction_page.redo),
                ("save", correction_page.save),
                ("discard", correction_page.discard),
            )
        ),
        Route("/api/agreement", page(bound(verdict_page.show_agreement))),
        Route("/api/export/{name}", page(bound(verdict_page.export))),
        Route("/{path:path}", page(_nothing)),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=_fill, args=(desk,), name="index", daemon=True).start()
        yield
        desk.closing.set()

    return Guard(Starlette(routes=routes, lifespan=lifespan), desk.sessions, desk.settings, desk.users)


def _fill(desk: Desk) -> None:
    """Read reports behind the scenes, and look for new ones, and for what other servers saved."""
    try:
        desk.index.refresh(force=True)
        desk.record.follow()
    finally:
        desk.index.open()
    while not desk.closing.is_set():
        desk.index.refresh()
        desk.index.fill(seconds=1.0)
        with contextlib.suppress(DBAPIError):  # a database that is being restarted; saving tells whoever saves
            desk.record.follow()
        desk.closing.wait(2.0)


def web_folder() -> Path:
    """Find the files of the page: as built, else as written."""
    folder = Path(str(resources.files("diascope.viewer"))) / "web"
    return folder / "dist" if (folder / "dist" / "index.html").is_file() else folder


def _home(desk: Desk, request: Request) -> Response:
    entered = session_page.enter_with_token(desk, request)
    return entered or _page_file("index.html", request)


def _static(request: Request) -> Response:
    return _page_file(request.path_params["path"], request)


def _page_file(name: str, request: Request) -> Response:
    folder = web_folder().resolve()
    file = (folder / name).resolve()
    if not file.is_relative_to(folder) or not file.is_file() or file.suffix not in _TYPES:
        raise Problem("no_such_page", "there is no such file", "run `make web` if the page was never built")
    is_hashed = _HASHED.search(file.name) is not None
    answer = send_file(request, file, _TYPES[file.suffix])
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_hashed else "no-cache"
    return answer


def _nothing(_: Request) -> Response:
    raise Problem("no_such_page", "there is nothing at this address", "go back to the worklist")


def _worklist(desk: Desk, request: Request) -> Response:
    desk.index.refresh()
    asked = checked_query(WorklistRequest, request)
    reviewer = session_of(request).reviewer
    return json_answer(worklist_page(desk.index, asked, reviewer, blinded=desk.settings.blinded))


def _version(desk: Desk, _: Request) -> Response:
    desk.index.refresh()
    running = any(facts and not facts.get("finished") for facts in (o.run_facts() for o in desk.index.outs.values()))
    return json_answer({"version": desk.index.version, "running": running})


def _next(desk: Desk, request: Request) -> Response:
    desk.index.refresh()
    asked = checked_query(NextRequest, request)
    asked = unbiased(asked) if desk.settings.blinded else asked
    return json_answer(neighbour(desk.index, asked, session_of(request).reviewer))


def _opened(desk: Desk, request: Request) -> CaseFiles:
    return open_case(desk.out(request), request.path_params["case_id"])


def _case(desk: Desk, request: Request) -> Response:
    case = _opened(desk, request)
    out_id, reviewer = case.out.out_id, session_of(request).reviewer
    desk.index.read_now(out_id, case.case_id)
    review = verdict_page.review_part(desk, case.out, case.case_id, case.digest, reviewer)
    answer: dict[str, Any] = case_answer(case, hides_ai=review["hides_ai"]) | review
    here = _queue(desk, out_id, case.case_id)
    answer["position"] = position(desk.index, here, reviewer)
    for name, direction in (("next", "next"), ("prev", "previous")):
        found = neighbour(desk.index, here.model_copy(update={"direction": direction}), reviewer)
        answer[name] = None if found.get("done") else {key: found[key] for key in ("out", "case_id")}
    answer |= {"truth": [], "prior": _prior(desk, case), "corrections": []}
    if not review["hides_ai"]:
        fixes = correction_page.correction_answers(case, reviewer, only_mine=desk.settings.blinded)
        answer |= {"corrections": fixes, "truth": truth_answers(case, desk.truths)}
        # What is odd beside its batch is told by the table of cases, and by no report.
        sampling, _ = drawn(desk.index.place_of(out_id, case.case_id), case.report)
        answer["review_first"] = sampling == "review_first"
        answer["review_reasons"] += desk.index.reasons_in_batch(out_id, case.case_id)
    return json_answer(answer)


def _queue(desk: Desk, out_id: str, case_id: str) -> NextRequest:
    here = NextRequest(out=out_id, after=case_id, list="all")
    return unbiased(here) if desk.settings.blinded else here


def _prior(desk: Desk, case: CaseFiles) -> dict[str, Any] | None:
    """Find the study before, and the image of it that is most like the first of this one."""
    found = prior_of(desk.index, case.out.out_id, case.case_id)
    if found is None:
        return None
    try:
        before = open_case(desk.index.outs[found["out"]], found["case_id"]).report.images
    except Problem:
        return None
    now = next((image for image in case.report.images if image.stored), None)
    stored = [image for image in before if image.stored]
    if now is None or not stored:
        return None
    like = max(stored, key=lambda one: sum(getattr(one.facts, name) == getattr(now.facts, name) for name in _ALIKE))
    return {**found, "image_id": like.image_id}


def _volume(desk: Desk, request: Request) -> Response:
    case = _opened(desk, request)
    name = request.path_params["name"]
    if is_of_ai(name):
        _check_shown(desk, request)
    if name.startswith("fix-"):
        return correction_page.correction_volume(desk, case, name, request)
    if name.startswith("truth-"):
        part = next((one.part for one in desk.truths.of(case)[0] if one.part.name == name), None)
        if part is None:
            raise Problem("no_such_image", "the case has no file of this name", "reload the case")
        return send_file(request, dense_file(part, desk.scratch))
    return send_file(request, volume_file(case, name, desk.scratch))


def _preview(desk: Desk, request: Request) -> Response:
    case = _opened(desk, request)
    return send_file(request, preview(case, request.path_params["image_id"], desk.scratch))


def _preview_png(desk: Desk, request: Request) -> Response:
    _check_shown(desk, request)
    return send_file(request, inside(_opened(desk, request).folder, "preview.png"), "image/png")


def _slices(desk: Desk, request: Request) -> Response:
    return slices_answer(_opened(desk, request), request.path_params["image_id"], desk.scratch)


def _slice(desk: Desk, request: Request) -> Response:
    asked = checked_query(SliceAsked, request)
    if asked.seg or asked.heat or asked.unc or asked.truth:
        _check_shown(desk, request)
    return slice_answer(_opened(desk, request), asked, request, desk.scratch)


def _check_shown(desk: Desk, request: Request) -> None:
    out, case_id = desk.out(request).out_id, request.path_params["case_id"]
    if desk.record.hides_ai(out, case_id, session_of(request).reviewer):
        raise Problem("hidden", "the first read, without the AI, comes first", "save it; the AI is shown then")
