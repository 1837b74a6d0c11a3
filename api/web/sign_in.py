"""Signing in and out: at the identity provider, and in development as whoever one likes."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api import errors
from api.auth import Caller
from api.services import Services, services
from api.web import visitors
from api.web.desk import Desk
from api.web.oidc import PATIENCE, Provider, SignInFailed
from api.web.pages import page
from api.web.visitors import (
    OpenRoute,
    PageRoute,
    form_of,
    local,
    require_own_host,
    session_of,
)
from storage.pool import vault_of

router = APIRouter(include_in_schema=False, route_class=OpenRoute)
leaving = APIRouter(include_in_schema=False, route_class=PageRoute)

_COOKIE = "countersign_signing_in"
_PATH = "/sign-in"
_ROLES = ("admin", "auditor")


@router.get("/sign-in")
async def sign_in_page(request: Request) -> Response:
    """Where people say who they are."""
    then = local(request.query_params.get("next"))
    if await session_of(request) is not None:
        return RedirectResponse(then, 303)
    return await _page(request, then)


@router.post("/sign-in")
async def sign_in_as(request: Request) -> Response:
    """As anybody: on one's own machine alone."""
    house = services(request)
    if not house.settings.dev_issuer_allowed:
        raise errors.not_found("page")
    require_own_host(request)
    form = await form_of(request)
    then, person = local(str(form.get("next") or "/")), str(form.get("person") or "")
    if person not in {each["id"] for each in (await _people(request, ids=person))["items"]}:
        return await _page(request, then, "there is no such person", 422)
    roles = {str(role) for role in form.getlist("role")} & set(_ROLES)
    response = RedirectResponse(then, 303)
    visitors.begin(response, house, Caller(person, frozenset(roles)))
    return response


@router.get("/sign-in/oidc")
async def go_to_provider(request: Request) -> Response:
    """On to the identity provider."""
    then = local(request.query_params.get("next"))
    house = services(request)
    try:
        where, cookie = await _provider(request, house).begin(vault_of(house.pool), then)
    except SignInFailed as error:
        return await _page(request, then, str(error), 503)
    response = RedirectResponse(where, 303)
    response.set_cookie(
        _COOKIE,
        cookie,
        max_age=PATIENCE,
        path=_PATH,
        httponly=True,
        samesite="lax",
        secure=house.settings.secure_cookies,
    )
    return response


@router.get("/sign-in/callback")
async def come_back(request: Request) -> Response:
    """Back from it."""
    house = services(request)
    try:
        with house.strangers.trying(request, None, SignInFailed):
            caller, until, then = await _provider(request, house).finish(
                vault_of(house.pool), request.cookies.get(_COOKIE), dict(request.query_params)
            )
    except SignInFailed as error:
        return await _page(request, local(error.then), str(error), 403)
    response = RedirectResponse(local(then), 303)
    response.delete_cookie(_COOKIE, path=_PATH, httponly=True, samesite="lax")
    visitors.begin(response, house, caller, until)
    return response


@leaving.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """The session is over, and the browser forgets it."""
    house = services(request)
    await house.ended.end(visitors.visitor(request).session)
    response = RedirectResponse(_PATH, 303)
    visitors.end(response, house)
    return response


def _provider(request: Request, house: Services) -> Provider:
    if house.settings.oidc_url is None:
        raise errors.not_found("page")
    found: Provider | None = getattr(request.app.state, "oidc", None)
    if found is None:
        found = request.app.state.oidc = Provider(house.settings)
    return found


async def _page(
    request: Request, then: str, problem: str | None = None, status: int = 200
) -> Response:
    house = services(request)
    found: dict[str, Any] = {"items": [], "next_cursor": None}
    if house.settings.dev_issuer_allowed:
        require_own_host(request)
        found = await _people(request)
    return page(
        request,
        "sign_in.html",
        status,
        next=then,
        people=found["items"],
        others=found["next_cursor"] is not None,
        oidc=house.settings.oidc_url is not None,
        problem=problem,
    )


async def _people(request: Request, **query: str) -> dict[str, Any]:
    """Whom one may be in development: the first 200, or those of an id."""
    desk = Desk(request.app, Caller("countersign-dev"))
    found: dict[str, Any] = await desk.get("/v1/org/people", limit=200, **query)
    return found
