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

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from diascope.viewer import session_page
from diascope.viewer.answers import Problem, json_answer
from diascope.viewer.case_files import preview, send_file, volume_file
from diascope.viewer.case_page import CaseFiles, case_answer, open_case
from diascope.viewer.desk import Desk, session_of
from diascope.viewer.guard import Guard
from diascope.viewer.handlers import action, checked_query, page
from diascope.viewer.worklist import WorklistRequest, neighbour, position, worklist_page

log = logging.getLogger(__name__)

_HASHED = re.compile(r"\.[0-9a-f]{8,}\.")

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
        Route("/api/session", page(bound(session_page.session))),
        Route("/api/session/name", action(session_page.NameAsked, bound(session_page.give_name)), methods=["POST"]),
        Route("/api/session/lock", action(session_page.NothingAsked, bound(session_page.lock)), methods=["POST"]),
        Route("/api/logout", action(session_page.NothingAsked, bound(session_page.logout)), methods=["POST"]),
        Route("/api/worklist", page(bound(_worklist))),
        Route("/api/worklist/version", page(bound(_version))),
        Route("/api/next", page(bound(_next))),
        Route("/api/previous", page(bound(_previous))),
        Route(case, page(bound(_case))),
        Route(case + "/volume/{name}.nii.gz", page(bound(_volume))),
        Route(case + "/preview/{image_id}.nii.gz", page(bound(_preview))),
        Route("/{path:path}", page(_nothing)),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=_fill, args=(desk,), name="index", daemon=True).start()
        yield
        desk.closing.set()

    return Guard(Starlette(routes=routes, lifespan=lifespan), desk.sessions, desk.settings)


def _fill(desk: Desk) -> None:
    """Read reports behind the scenes, and look for new ones."""
    while not desk.closing.is_set():
        desk.index.refresh()
        desk.index.fill(seconds=1.0)
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
    return _beside(desk, request, forward=True)


def _previous(desk: Desk, request: Request) -> Response:
    return _beside(desk, request, forward=False)


def _beside(desk: Desk, request: Request, *, forward: bool) -> Response:
    asked = request.query_params
    return json_answer(
        neighbour(
            desk.index,
            asked.get("out", ""),
            asked.get("after", ""),
            session_of(request).reviewer,
            forward=forward,
            only_open=asked.get("list", "open") == "open",
        )
    )


def _opened(desk: Desk, request: Request) -> CaseFiles:
    return open_case(desk.out(request), request.path_params["case_id"])


def _case(desk: Desk, request: Request) -> Response:
    case = _opened(desk, request)
    reviewer = session_of(request).reviewer
    answer: dict[str, Any] = case_answer(case, hides_ai=False)
    answer["position"] = position(desk.index, case.out.out_id, case.case_id)
    for name, forward in (("next", True), ("prev", False)):
        found = neighbour(desk.index, case.out.out_id, case.case_id, reviewer, forward=forward, only_open=False)
        answer[name] = None if found.get("done") else {key: found[key] for key in ("out", "case_id")}
    answer |= {"truth": [], "prior": None, "corrections": [], "verdicts": []}
    return json_answer(answer)


def _volume(desk: Desk, request: Request) -> Response:
    case = _opened(desk, request)
    return send_file(request, volume_file(case, request.path_params["name"], desk.scratch))


def _preview(desk: Desk, request: Request) -> Response:
    case = _opened(desk, request)
    return send_file(request, preview(case, request.path_params["image_id"], desk.scratch))
