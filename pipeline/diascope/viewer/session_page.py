"""Signing in and out, the reader's name, and the lock."""

import hmac
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from diascope import __version__
from diascope.viewer.answers import Problem, json_answer
from diascope.viewer.desk import Desk, session_of
from diascope.viewer.guard import cookie_name, is_https
from diascope.viewer.outs import ServedOut
from diascope.viewer.sessions import Session

REASONS = ("missed_lesion", "false_finding", "wrong_extent", "wrong_label", "image_quality", "wrong_image", "other")
"""Reasons that the page offers."""

# (centre, width) as in the presets of OHIF and of radiology's textbooks, in HU.
WINDOWS = (
    ("1", "Soft tissue", 40.0, 400.0),
    ("2", "Lung", -600.0, 1500.0),
    ("3", "Liver", 90.0, 150.0),
    ("4", "Bone", 480.0, 2500.0),
    ("5", "Brain", 40.0, 80.0),
)


class NameAsked(BaseModel):
    """A reader says who it is."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f<>]+$")]


class LoginAsked(BaseModel):
    """A user signs in."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=80)]
    password: Annotated[str, Field(max_length=1024)]


class UnlockAsked(BaseModel):
    """A reader is back."""

    model_config = ConfigDict(extra="forbid")

    password: Annotated[str, Field(max_length=1024)] = ""


class NothingAsked(BaseModel):
    """A body without content."""

    model_config = ConfigDict(extra="ignore")


def enter_with_token(desk: Desk, request: Request) -> Response | None:
    """Turn the token of the printed address into a cookie; None where the address has none."""
    given = request.query_params.get("token")
    if given is None:
        return None
    if not desk.token or not hmac.compare_digest(given.encode(), desk.token.encode()):
        raise Problem(
            "bad_token",
            "this address is of an earlier start of the server",
            "open the one that `diascope view` printed last",
        )
    # The token leaves the address bar, and with it the history and what is copied from there.
    return with_cookie(desk, request, RedirectResponse("./", 303), desk.sessions.begin("token"))


def with_cookie(desk: Desk, request: Request, answer: Response, session: Session) -> Response:
    """Hand a session's cookie to the browser."""
    answer.set_cookie(
        cookie_name(request.scope),
        desk.sessions.cookie(session),
        path=getattr(request.state, "prefix", "") + "/",
        secure=is_https(request.scope, desk.settings),
        httponly=True,
        samesite="strict",
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


def session_answer(desk: Desk, session: Session) -> dict[str, Any]:
    """Describe the session and the output folders to the page."""
    return {
        "reviewer": session.reviewer or None,
        "role": session.role,
        "login": session.login,
        "needs_name": not session.reviewer,
        "locked": desk.sessions.is_locked(session),
        "csrf": desk.sessions.csrf(session),
        "idle_lock_s": desk.settings.idle_lock_minutes * 60,
        "blinded": desk.settings.blinded,
        "version": __version__,
        "outs": [_out(desk, out, session.reviewer) for out in desk.index.outs.values()],
        "reasons": [{"key": key, "name": key.replace("_", " ")} for key in REASONS],
        "reviewers": _reviewers(desk, session.reviewer),
        "window_presets": presets(),
    }


def presets() -> list[dict[str, Any]]:
    """Spell the window presets of CT for the page."""
    return [
        {"key": key, "name": name, "centre": centre, "width": width, "modality": "CT"}
        for key, name, centre, width in WINDOWS
    ]


def session(desk: Desk, request: Request) -> Response:
    """Answer GET session."""
    return json_answer(session_answer(desk, session_of(request)))


def door(desk: Desk, _: Request) -> Response:
    """Say how one signs in here."""
    return json_answer({"login": "password" if desk.users else "token"})


def give_name(desk: Desk, request: Request, asked: NameAsked) -> Response:
    """Take the reader's name; with users it is the user's and cannot be changed."""
    now = session_of(request)
    if now.login == "password":
        raise Problem("forbidden", "your name is that of your account", "sign out to change it")
    now = desk.sessions.renamed(now, asked.name)
    return with_cookie(desk, request, json_answer(session_answer(desk, now)), now)


def login(desk: Desk, request: Request, asked: LoginAsked) -> Response:
    """Let a user in by name and password."""
    user = desk.users.check(asked.name, asked.password)
    now = desk.sessions.begin("password", user.name, user.role)
    return with_cookie(desk, request, json_answer(session_answer(desk, now)), now)


def unlock(desk: Desk, request: Request, asked: UnlockAsked) -> Response:
    """Let a session go on; a user gives the password again."""
    now = session_of(request)
    if now.login == "password":
        desk.users.check(now.reviewer, asked.password)
    desk.sessions.unlock(now)
    return json_answer(session_answer(desk, now))


def lock(desk: Desk, request: Request, _: NothingAsked) -> Response:
    """Lock the session."""
    desk.sessions.lock(session_of(request))
    return json_answer({"locked": True})


def logout(desk: Desk, request: Request, _: NothingAsked) -> Response:
    """End the session."""
    desk.sessions.end(session_of(request))
    answer = json_answer({"signed_out": True})
    answer.delete_cookie(cookie_name(request.scope), path=getattr(request.state, "prefix", "") + "/")
    return answer


def _reviewers(desk: Desk, reviewer: str) -> list[str]:
    if desk.settings.blinded:
        return [reviewer] if reviewer else []
    rows = desk.index.query("SELECT DISTINCT reviewer FROM states")
    return sorted({row[0] for row in rows} | set(desk.users.reviewers()) | ({reviewer} if reviewer else set()))


def _out(desk: Desk, out: ServedOut, reviewer: str) -> dict[str, Any]:
    facts = out.run_facts()
    cases, done = desk.index.query(
        "SELECT count(*), coalesce(sum(status = 'done'), 0) FROM cases WHERE out_id = ?", (out.out_id,)
    )[0]
    reviewed = desk.index.query(
        "SELECT count(*) FROM states WHERE out_id = ? AND reviewer = ?", (out.out_id, reviewer)
    )[0][0]
    bundles = [one for one in facts.get("bundles", ()) if isinstance(one, dict)]
    return {
        "id": out.out_id,
        "title": out.title,
        "cases": cases,
        "done": done,
        "reviewed": reviewed,
        "running": bool(facts) and not facts.get("finished"),
        "config": facts.get("config_name", ""),
        "bundles": [{name: one.get(name) for name in ("name", "version", "research_only")} for one in bundles],
        "mlflow_url": desk.mlflow.url(out),
    }
