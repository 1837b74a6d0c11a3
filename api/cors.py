"""Which pages of others may call `/v1` from a browser: those of `COUNTERSIGN_CORS_ORIGINS`, with bearer tokens.

Cookies do not count there: a page of ours that a browser is signed in to can't be used by another's.
"""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_SENT = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Traceparent",
    "X-File-Name",
    "X-Request-Id",
)
_SHOWN = (
    "Idempotency-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)
_HOUR = 3600


class Cors:
    """Answers preflights of `/v1`, and adds to its answers what lets pages of `origins` read them."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self._app = app
        self._shared = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=_SENT,
            expose_headers=_SHOWN,
            max_age=_HOUR,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shared = scope["type"] == "http" and scope["path"].startswith("/v1/")
        await (self._shared if shared else self._app)(scope, receive, send)
