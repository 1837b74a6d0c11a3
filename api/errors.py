"""Every refusal: `Problem` and its spellings, and what each exception becomes (RFC 9457)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import asyncpg
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from recipes.model import Json
from storage.errors import ABOUT_ERASED, BAD_ARGUMENT, UNAVAILABLE, ColdUnavailable, Erased, plain
from storage.vault import KeyUnreadable

Handler: TypeAlias = Callable[[Request, Exception], Awaitable[Response]]

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "2"

_log = structlog.get_logger(__name__)

_TITLES = {
    400: "Not understood",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Media type not understood",
    422: "Not valid",
    429: "Too many calls",
    500: "Our mistake",
    503: "Not available now",
}

_OVERLOADED: tuple[type[BaseException], ...] = (
    *UNAVAILABLE,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
)


class Problem(Exception):
    """A refusal as the client sees it. `kind` becomes the problem type; `extra` extends the body."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[dict[str, Json]] = (),
        headers: dict[str, str] | None = None,
        **extra: Json,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers
        self.extra = extra

    def body(self) -> dict[str, Json]:
        body: dict[str, Json] = {
            "type": f"urn:countersign:problem:{self.kind}",
            "title": _TITLES.get(self.status, "Refused"),
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        return body | self.extra

    def response(self) -> Response:
        return Response(to_json(self.body()), self.status, self.headers, MEDIA_TYPE)


def not_found(what: str) -> Problem:
    """Also for what is there but not for this person: the two must look alike."""
    return Problem(404, "not_found", f"there is no such {what}")


def forbidden(detail: str) -> Problem:
    return Problem(403, "forbidden", detail)


def conflict(kind: str, detail: str, **extra: Json) -> Problem:
    return Problem(409, kind, detail, **extra)


def invalid(detail: str, errors: Sequence[dict[str, Json]] = ()) -> Problem:
    return Problem(422, "invalid", detail, errors=errors)


def invalid_at(pointer: str, message: str) -> Problem:
    """One thing is wrong with the body, at this JSON pointer."""
    return invalid(message, [{"pointer": pointer, "message": message}])


def invalid_parameter(name: str, message: str) -> Problem:
    """One thing is wrong with a parameter of the query or the path."""
    return invalid(f"{name}: {message}", [{"parameter": name, "message": message}])


def unavailable(detail: str) -> Problem:
    return Problem(503, "unavailable", detail, headers={"Retry-After": RETRY_AFTER})


def pointer(*keys: str | int) -> str:
    """A JSON pointer (RFC 6901) to the value under `keys`."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def body_errors(errors: Sequence[ErrorDetails]) -> Problem:
    """What pydantic found in a body."""
    found = [{"pointer": pointer(*item["loc"]), "message": item["msg"]} for item in errors]
    first = f"{found[0]['pointer'] or 'the body'}: {found[0]['message']}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return invalid(first + more, found)


def install(app: FastAPI) -> None:
    """Answer every exception as a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(BAD_ARGUMENT, _unexpected)
    for kind in _OVERLOADED:
        assert issubclass(kind, Exception)
        app.add_exception_handler(kind, _unavailable)
    app.add_exception_handler(ColdUnavailable, _cold)
    app.add_exception_handler(Erased, _erased)
    app.add_exception_handler(KeyUnreadable, _unreadable)
    app.add_exception_handler(asyncpg.PostgresError, _refused)
    app.add_exception_handler(Exception, _unexpected)


def handler(kind: type[Exception]) -> Handler:
    """How programs are answered a refusal of this kind: a `Problem`, or what a route is not there for."""
    return _problem if kind is Problem else _http


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _cold(_: Request, error: Exception) -> Response:
    """Part of the answer is in the cold tier, which is away: people of the house can help."""
    _log.error("the cold tier cannot be asked", why=str(error))
    return unavailable(str(error)).response()


async def _unreadable(_: Request, error: Exception) -> Response:
    """A region key is missing, or a data key is damaged: people of the house can help."""
    _log.error("a request's keys cannot be read", why=str(error))
    return unavailable("this request's keys cannot be read now; nothing was changed").response()


async def _erased(_: Request, error: Exception) -> Response:
    return conflict("erased", f"{error}: nothing of it can be shown, or added to it").response()


async def _refused(request: Request, error: Exception) -> Response:
    """What the database refused: its answer where somebody can have meant it."""
    assert isinstance(error, asyncpg.PostgresError)
    if error.sqlstate != ABOUT_ERASED:
        return await _unexpected(request, error)
    return conflict("erased", "the request is erased: nothing is added to it any more").response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    details = {
        404: f"there is nothing at {request.url.path}",
        405: f"{request.method} is not possible here",
    }
    detail = details.get(error.status_code, str(error.detail))
    headers = dict(error.headers) if error.headers else None
    return Problem(error.status_code, kind, detail, headers=headers).response()


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found: list[dict[str, Any]] = []
    for item in error.errors():
        place, *keys = item["loc"]
        name = ".".join(str(key) for key in keys)
        where = {"pointer": pointer(*keys)} if place == "body" else {"parameter": name}
        found.append({**where, "message": item["msg"]})
    first = next(iter(found[0].values()))
    return invalid(f"{first}: {found[0]['message']}", found).response()


async def _unavailable(request: Request, error: Exception) -> Response:
    _log.warning(
        "database unavailable",
        path=request.url.path,
        error=f"{type(error).__name__}: {plain(error)}",
    )
    return unavailable("the database cannot be reached now; nothing was changed").response()


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected error", path=request.url.path, exc_info=error)
    return Problem(500, "unexpected", "something went wrong on our side").response()
