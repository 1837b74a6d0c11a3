"""Compression, where it tells nobody anything (BREACH).

How well a page is compressed says whether something in it stands there twice, such as what was searched for and
what is confidential. Another site can make a browser open our pages with words of its choosing, and may see how long
the answers are. So pages are compressed only when the browser vouches that no other site made it ask (Sec-Fetch-Site),
and static files always: they hold nothing of anybody. Answers of the API are not compressed.
"""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.services import INSIDE

_OURS = frozenset((b"same-origin", b"none"))
_OF_PROGRAMS = ("/v1/", "/codec/", "/live", "/healthz", "/readyz", "/metrics", "/openapi.json")


class Compressed:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._gzip = GZipMiddleware(app, minimum_size=1024, compresslevel=5)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._gzip if scope["type"] == "http" and _may(scope) else self._app
        await app(scope, receive, send)


def _may(scope: Scope) -> bool:
    path: str = scope["path"]
    if INSIDE in scope or path.startswith(_OF_PROGRAMS):
        return False
    if path.startswith("/static/"):
        return True
    return any(name == b"sec-fetch-site" and value in _OURS for name, value in scope["headers"])
