"""What goes around every request, as plain ASGI: a request id, the body limit, time and count."""

import re
import time
from uuid import uuid4

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.metrics import Metrics
from api.services import INSIDE
from contract.files import LARGEST_FILE

LARGEST_BODY = 1024 * 1024
_LARGER = {
    "/v1/org/import": 64 * 1024 * 1024,
    "/v1/imports": 64 * 1024 * 1024,
    "/codec/decode": 8 * 1024 * 1024,
}
"""By path: files of a whole company's people or past, for administrators alone; and what Temporal keeps,
where a single payload may have 2 MiB."""
_FILE = re.compile(r"/v1/requests/[^/]+/attachments")
_GOOD_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Around:
    """Wraps the whole application. A caller's `X-Request-Id` is kept if it is short and plain."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or INSIDE in scope:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id, length = b"", None
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _GOOD_ID.fullmatch(value):
                request_id = value
            elif name == b"content-length":
                length = value
        request_id = request_id or uuid4().hex.encode()
        most = _largest(scope["path"])
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            if length is not None and length.isdigit() and int(length) > most:
                await _too_large(most).response()(scope, receive, sending)
            else:
                await self._app(scope, _limited(receive, most), sending)
        except ClientDisconnect:
            status = 499
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            seconds = time.perf_counter() - began
            self._metrics.answered(method, _template(scope), status, seconds)


def _largest(path: str) -> int:
    """How many bytes a body may have there."""
    return LARGEST_FILE if _FILE.fullmatch(path) else _LARGER.get(path, LARGEST_BODY)


def _limited(receive: Receive, most: int) -> Receive:
    """`receive`, counting: a body that never said its length is refused when it gets too long."""
    received = 0

    async def receiving() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > most:
                raise _too_large(most)
        return message

    return receiving


def _too_large(most: int) -> errors.Problem:
    return errors.Problem(413, "too_large", f"a body has at most {most} bytes")


def _template(scope: Scope) -> str:
    """The route's template, so that ids make no series of their own."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "unmatched"
