"""Sessions of the codec endpoint: the Temporal Web UI sends cookies, and no token.

Whoever pastes their token into `/codec/sign-in` gets a cookie that says who they are, for an hour at most and
no longer than the token counts. It is signed with a key that all processes with the region key derive, and
good for nothing but `/codec`. The page needs no script, and runs none.
"""

import time
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from urllib.parse import parse_qs

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api import errors, sessions
from api.auth import Caller
from api.errors import Problem
from api.http import Route
from api.services import Services, services
from api.sessions import Session
from storage.pool import vault_of

router = APIRouter(prefix="/codec", tags=["codec"], route_class=Route)

COOKIE = "countersign_codec"
LONGEST = 3600
_PATH = "/codec"
_AUDIENCE = "countersign-codec"
_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 38rem; margin: 3rem auto; padding: 0 1rem; }
input, button { font: inherit; padding: .5rem .75rem; width: 100%; box-sizing: border-box; margin: .25rem 0 1rem; }
[role=alert] { border-left: .25rem solid #b00020; padding-left: .75rem; }
"""
_STYLE_SHA = b64encode(sha256(_STYLE.encode()).digest()).decode()
_SAFE = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_SHA}'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def require_reader(caller: Caller) -> None:
    """Problem 403 for whoever may not look into histories."""
    if not caller.sees_all:
        raise errors.forbidden(
            "only administrators and auditors look into histories (roles claim: auditor)"
        )


async def session_of(request: Request) -> Session | None:
    """The session that the request's cookie says, if it is one of ours and still counts."""
    house = services(request)
    found = sessions.read(vault_of(house.pool), _AUDIENCE, request.cookies.get(COOKIE))
    return None if found is None or await house.ended.has(found) else found


@router.get("/sign-in", response_class=HTMLResponse, summary="Sign in for the Temporal Web UI")
async def sign_in_page(request: Request) -> Response:
    """A page on which administrators and auditors paste their token."""
    session = await session_of(request)
    return _page(_form() if session is None else _signed_in(session, services(request)))


@router.post(
    "/sign-in",
    response_class=HTMLResponse,
    summary="Begin a session for the Temporal Web UI",
    status_code=303,
    responses={303: {"description": "Signed in: the page says what to do in the Web UI."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {
                        "type": "object",
                        "required": ["token"],
                        "properties": {"token": {"type": "string"}},
                    }
                }
            },
        }
    },
)
async def sign_in(request: Request) -> Response:
    """`token`: an administrator's or auditor's. The answer sets a cookie that counts under `/codec` alone, for
    an hour at most."""
    house = services(request)
    try:
        _require_own_page(request)
        token = await _token(request)
        with house.strangers.trying(request, token):
            expires, caller = await house.tokens.verified(token)
        require_reader(caller)
    except Problem as problem:
        return _page(_form(problem.detail), problem.status, problem.headers)
    session = Session(caller, int(min(expires, time.time() + LONGEST)))
    response = RedirectResponse(f"{_PATH}/sign-in", 303, _SAFE)
    response.set_cookie(
        COOKIE,
        sessions.signed(vault_of(house.pool), _AUDIENCE, session),
        max_age=session.until - int(time.time()),
        path=_PATH,
        httponly=True,
        samesite="strict",
        secure=house.settings.production,
    )
    return response


@router.post(
    "/sign-out",
    status_code=303,
    response_class=Response,
    summary="End the session for the Temporal Web UI",
)
async def sign_out(request: Request) -> Response:
    """The session is over, and the browser forgets its cookie."""
    _require_own_page(request)
    session = await session_of(request)
    if session is not None:
        await services(request).ended.end(session)
    response = RedirectResponse(f"{_PATH}/sign-in", 303, _SAFE)
    response.delete_cookie(COOKIE, path=_PATH, httponly=True, samesite="strict")
    return response


def _require_own_page(request: Request) -> None:
    """Browsers say from where a form is sent. Another site's could sign people in as somebody else."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise errors.forbidden("this form was sent from another site's page")


async def _token(request: Request) -> str:
    """What the form says, "" if nothing."""
    try:
        fields = parse_qs((await request.body()).decode("ascii"), max_num_fields=10)
    except ValueError:
        return ""
    [token, *_] = fields.get("token", [""])
    return token.strip()


def _form(problem: str | None = None) -> str:
    alert = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    return f"""
<p>What the Temporal Web UI shows of requests is sealed. Administrators and auditors sign in here to have it
opened; each time is on record in the request's audit trail.</p>
{alert}
<form method="post" action="{_PATH}/sign-in">
<label for="token">Your token</label>
<input id="token" name="token" type="password" autocomplete="off" required autofocus>
<button>Sign in</button>
</form>"""


def _signed_in(session: Session, house: Services) -> str:
    until = datetime.fromtimestamp(session.until, UTC)
    ui = house.settings.temporal_ui_url
    where = f'<a href="{escape(ui)}">the Temporal Web UI</a>' if ui else "the Temporal Web UI"
    return f"""
<p>Signed in as <strong>{escape(session.caller.id)}</strong> until {until:%H:%M} UTC.</p>
<p>In {where}, once for each browser: the glasses at the top, “Use my browser setting”, as the endpoint the address
of this page without <code>/sign-in</code>, and “Include cross-origin credentials”. Where whoever runs the Web UI
has set it up so (as docker-compose.yml does), there is nothing to do.</p>
<form method="post" action="{_PATH}/sign-out"><button>Sign out</button></form>"""


def _page(content: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Countersign: sealed histories</title><style>{_STYLE}</style></head>
<body><main><h1>Sealed histories</h1>{content}</main></body>
</html>""",
        status,
        {**(headers or {}), **_SAFE},
    )
