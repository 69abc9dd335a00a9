"""From a function that answers a request to a handler: checked bodies, threads, problems told."""

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from diascope.errors import PipelineError
from diascope.viewer.answers import Problem, problem_of

log = logging.getLogger(__name__)

Asked = TypeVar("Asked", bound=BaseModel)

# A verdict with a thousand findings has 100 kB; a long brush stroke a few.
MOST_BODY_BYTES = 2**20


def page(answer: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """Make a handler of a function that may take its time: it runs in a thread."""

    async def handler(request: Request) -> Response:
        return await _told(lambda: run_in_threadpool(answer, request))

    return handler


def action(
    model: type[Asked], answer: Callable[[Request, Asked], Response]
) -> Callable[[Request], Awaitable[Response]]:
    """Make a handler of a function that is given a checked body."""

    async def handler(request: Request) -> Response:
        async def run() -> Response:
            asked = parsed(model, await _body(request))
            return await run_in_threadpool(answer, request, asked)

        return await _told(run)

    return handler


def parsed(model: type[Asked], text: bytes) -> Asked:
    """Check the body of a request.

    Raises:
        Problem: It is not what was expected; the message names the field.
    """
    try:
        return model.model_validate_json(text or b"{}")
    except ValidationError as error:
        raise _bad_request(error) from None


def checked_query(model: type[Asked], request: Request) -> Asked:
    """Check the query of a request.

    Raises:
        Problem: It is not what was expected; the message names the field.
    """
    return checked(model, request.query_params)


def checked(model: type[Asked], values: Mapping[str, Any]) -> Asked:
    """Check values that a browser sent.

    Raises:
        Problem: They are not what was expected; the message names the field.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise _bad_request(error) from None


def _bad_request(error: ValidationError) -> Problem:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    return Problem("bad_request", f"{where[:100]}: {first['msg']}", "reload the page")


async def _body(request: Request) -> bytes:
    found = b""
    try:
        async for chunk in request.stream():
            found += chunk
            if len(found) > MOST_BODY_BYTES:
                raise Problem("too_large", f"the request has more than {MOST_BODY_BYTES} bytes", "send it in parts")
    except ClientDisconnect:
        raise Problem("bad_request", "the browser went away") from None
    return found


async def _told(run: Callable[[], Awaitable[Response]]) -> Response:
    try:
        return await run()
    except Problem as problem:
        return problem.answer()
    except PipelineError as error:
        return problem_of(error).answer()
    except DBAPIError as error:
        log.warning("the record of verdicts does not answer: %s", type(error.orig).__name__)
        cure = "nothing is lost on this page: try again when there is room on the disk and the database runs"
        return Problem("not_saved", "it was not saved: the record of verdicts cannot be written or read", cure).answer()
    except Exception as error:  # noqa: BLE001 - what escapes is our bug: the page must show it, and go on
        log.error("".join(traceback.format_exception(error)))  # noqa: TRY400 - the log takes texts only
        cure = "try again; if it stays, please report it with the lines of the server's log"
        return Problem("fault", f"this is a fault of diascope ({type(error).__name__})", cure).answer()
