"""The site: all pages, and what is shown where one cannot be."""

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.web import (
    absence,
    acts,
    admin,
    bulk,
    decision,
    files,
    inbox,
    live,
    new,
    notices,
    one_request,
    people,
    preferences,
    sign_in,
    undo,
)
from api.web.desk import Refused
from api.web.pages import page
from api.web.visitors import SignInNeeded

_OF_PROGRAMS = (
    "/v1/",
    "/codec/",
    "/static/",
    "/live",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
)
_TITLES = {403: "Not allowed", 404: "Not found", 409: "Too late", 422: "Not valid"}

_PAGES = (
    sign_in.router,
    sign_in.leaving,
    bulk.router,
    notices.router,
    live.router,
    people.router,
    new.router,
    absence.router,
    preferences.router,
    admin.router,
    files.router,
    undo.router,
    one_request.router,
    acts.router,  # the last: what else may be done to a task or a request
)

_MOST_SEEN = (inbox.router, decision.router)
"""Tried before all other routes, also those of the API."""


def install(app: FastAPI) -> None:
    """Serve the pages. After `errors.install`: of pages, refusals are pages too."""
    for router in _PAGES:
        app.router.routes.extend(router.routes)
    app.router.routes[:0] = [each for router in _MOST_SEEN for each in router.routes]
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(Refused, _refused)
    for kind in (errors.Problem, HTTPException):
        app.add_exception_handler(kind, _by_place(errors.handler(kind)))


async def _sign_in(_: Request, error: Exception) -> Response:
    assert isinstance(error, SignInNeeded)
    return error.response()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem_page(request, error.status, error.detail, error.at())


def problem_page(
    request: Request, status: int, detail: str, messages: dict[str, str] | None = None
) -> Response:
    """What cannot be done, and why."""
    title = _TITLES.get(status, "Something went wrong" if status >= 500 else "Not possible")
    shown = sorted((messages or {}).items())
    return page(request, "problem.html", status, title=title, detail=detail, messages=shown)


def _by_place(of_programs: errors.Handler) -> errors.Handler:
    """Problems as pages for people, and as JSON for programs."""

    async def handle(request: Request, error: Exception) -> Response:
        answered = await of_programs(request, error)
        wants_page = "text/html" in request.headers.get("accept", "")
        if not wants_page or request.url.path.startswith(_OF_PROGRAMS):
            return answered
        problem = error if isinstance(error, errors.Problem) else None
        detail = f"There is no page at {request.url.path}." if problem is None else problem.detail
        return problem_page(request, answered.status_code, detail)

    return handle
