"""Who looks at a page, and whether what a page sends was sent by that page.

Every page's route is a `PageRoute`: it needs a session (or sends to the sign-in page), and on everything but GET
and HEAD the form's token and the page's origin.
"""

import hmac
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from typing_extensions import override

from api import errors, sessions
from api.auth import Caller
from api.services import Services, admitted, services
from api.sessions import LONGEST, Session
from api.web.called import called
from api.web.desk import Desk, Refused
from settings import is_loopback
from storage.pool import vault_of

AUDIENCE = "countersign-web"
_LOCAL = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
_SAFE_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who has signed in, by the `name` that people have for them."""

    session: Session
    desk: Desk
    name: str

    @property
    def caller(self) -> Caller:
        return self.session.caller


class SignInNeeded(Exception):
    """Nobody has signed in; `then` is where they wanted to go."""

    def __init__(self, then: str) -> None:
        super().__init__(then)
        self.then = then

    def response(self) -> Response:
        return RedirectResponse(f"/sign-in?next={quote(self.then)}", 303)


class OpenRoute(APIRoute):
    """A page that needs no session. What it is sent must come from a page of ours all the same."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if request.method not in _SAFE_METHODS:
                require_own_page(request)
            return await _closing(request, handle)

        return guarded


class PageRoute(APIRoute):
    """A page of somebody who has signed in: `visitor(request)` in its handler."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            session = await session_of(request)
            if session is None:
                raise SignInNeeded(_wanted(request))
            admitted(request, session.caller)
            if request.method not in _SAFE_METHODS:
                require_own_page(request)
                await _require_token(request, session)
            desk = Desk(request.app, session.caller)
            request.state.visitor = Visitor(session, desk, await _name(desk))
            return await _closing(request, handle)

        return guarded


async def _name(desk: Desk) -> str:
    """What the one at the desk is called; by the id where the API tells them nothing."""
    person = desk.caller.id
    try:
        return (await called(desk, [person])).of(person)
    except Refused:
        return person


async def _closing(
    request: Request, handle: Callable[[Request], Coroutine[Any, Any, Response]]
) -> Response:
    """What `handle` answers; files of the form are closed then."""
    try:
        return await handle(request)
    finally:
        await request.close()


def visitor(request: Request) -> Visitor:
    """Who looks at the page of a `PageRoute`."""
    found: Visitor = request.state.visitor
    return found


def cookie_name(house: Services) -> str:
    """With https only this host's own pages can set it: browsers see to it by its name."""
    return "__Host-countersign" if house.settings.secure_cookies else "countersign"


async def session_of(request: Request) -> Session | None:
    """The session of whoever looks, if they have one that counts."""
    house = services(request)
    cookie = request.cookies.get(cookie_name(house))
    found = sessions.read(vault_of(house.pool), AUDIENCE, cookie)
    return None if found is None or await house.ended.has(found) else found


def begin(response: Response, house: Services, caller: Caller, until: float | None = None) -> None:
    """Begin a session, no longer than until `until` (seconds since 1970)."""
    now = int(time.time())
    end = now + LONGEST if until is None else min(int(until), now + LONGEST)
    response.set_cookie(
        cookie_name(house),
        sessions.signed(vault_of(house.pool), AUDIENCE, Session(caller, end)),
        max_age=end - now,
        httponly=True,
        samesite="lax",
        secure=house.settings.secure_cookies,
    )


def end(response: Response, house: Services) -> None:
    """The browser forgets its session."""
    response.delete_cookie(
        cookie_name(house),
        httponly=True,
        samesite="lax",
        secure=house.settings.secure_cookies,
    )


def require_own_page(request: Request) -> None:
    """Browsers say from where a form is sent. Problem 403 if that is another site's page."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    hosts = {
        request.headers.get("host"),
        urlsplit(services(request).settings.public_url or "").netloc,
    } - {None, ""}  # `Origin: null` is nobody's, of sandboxed pages
    if site not in (None, "same-origin", "none") or (
        origin is not None and origin.partition("://")[2] not in hosts
    ):
        raise errors.forbidden("this form was sent from another site's page")


def require_own_host(request: Request) -> None:
    """Whoever runs a name can make it lead to this machine (DNS rebinding), and a page there is then of our own
    origin. Problem 403 for a page asked for by any name but those of this machine, and that of `public_url`."""
    said, settings = request.headers.get("host", ""), services(request).settings
    try:
        asked = urlsplit(f"//{said}").hostname or ""
    except ValueError:
        asked = ""
    if not is_loopback(asked) and asked != urlsplit(settings.public_url or "").hostname:
        raise errors.forbidden(
            f"nobody signs in at {said or 'no host'} in development: open {settings.pages_url},"
            " or set COUNTERSIGN_PUBLIC_URL to where this is reached"
        )


async def _require_token(request: Request, session: Session) -> None:
    """Problem 403 for a form that does not repeat what the page was given."""
    given = request.headers.get("x-csrf-token")
    if given is None:
        said = (await form_of(request)).get("csrf")
        given = said if isinstance(said, str) else ""
    if not hmac.compare_digest(given.encode(), session.csrf.encode()):
        raise errors.forbidden("this page is from before you signed in: load it again")


async def form_of(request: Request) -> FormData:
    """What the form says. Problem 422 if it cannot be read."""
    return await request.form(max_files=20, max_fields=2000, max_part_size=1024 * 1024)


async def texts_of(request: Request) -> dict[str, str]:
    """Its fields that are text, without blanks around them; one that is there several times: the last."""
    form = await form_of(request)
    return {name: value.strip() for name, value in form.items() if isinstance(value, str)}


def local(path: str | None) -> str:
    """A path on this site, for going on after a form; anything else is the inbox."""
    return path if path is not None and _LOCAL.fullmatch(path) else "/"


def _wanted(request: Request) -> str:
    if request.method not in _SAFE_METHODS:
        return "/"
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")
