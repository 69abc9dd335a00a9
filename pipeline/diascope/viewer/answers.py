"""Answers of the server: JSON, and problems that say what is wrong and what to do."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from diascope.errors import PipelineError

STATUS = {
    "bad_request": 400,
    "bad_password": 401,
    "bad_token": 401,
    "no_session": 401,
    "csrf": 403,
    "forbidden": 403,
    "hidden": 403,
    "not_https": 403,
    "wrong_host": 403,
    "missing_file": 404,
    "no_such_case": 404,
    "no_such_image": 404,
    "no_such_page": 404,
    "claimed": 409,
    "needs_name": 409,
    "no_draft": 409,
    "nothing_to_undo": 409,
    "stale": 409,
    "too_large": 413,
    "locked": 423,
    "too_many_tries": 429,
    "fault": 500,
    "not_saved": 503,
}
"""HTTP status by error code; every other code is an unreadable result: 422."""


class Problem(Exception):
    """A request that cannot be met: sent to the browser, never shown on a terminal.

    Attributes:
        code: Stable name, a key of STATUS.
        reason: What was seen and what was expected.
        cure: What to do.
        extra: Further keys of the answer.
    """

    def __init__(self, code: str, reason: str, cure: str = "", **extra: object) -> None:
        """Keep what is told."""
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.cure = cure
        self.extra = extra

    def answer(self) -> Response:
        """Spell it as the contract with the page says."""
        error = {"code": self.code, "reason": self.reason, "cure": self.cure}
        return json_answer({"error": error, **self.extra}, STATUS.get(self.code, 422))


def problem_of(error: PipelineError) -> Problem:
    """Take an error of the pipeline to the browser."""
    return Problem(error.code, error.message, error.hint)


def error_part(error: PipelineError | Problem) -> dict[str, str]:
    """Spell what is wrong with one part of an answer whose other parts are fine."""
    if isinstance(error, Problem):
        return {"code": error.code, "reason": error.reason, "cure": error.cure}
    return {"code": error.code, "reason": error.message, "cure": error.hint}


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON that no cache keeps."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    # A label may hold </script>; the page inserts text as text, and a proxy that guesses types must not guess.
    return Response(
        body.replace("<", "\\u003c"), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json"
    )


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # a number or an array of numpy
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in an answer")
