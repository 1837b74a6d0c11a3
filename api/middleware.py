"""What goes around every call, as plain ASGI: its id, its trace, the body limit, time, count and log.

Every line that is logged meanwhile, or behind the answer, carries the call's id (`X-Request-Id`), its trace's and who
calls; and which request it is about, where it is about one.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, unbind_contextvars

from api import body_limits, limits, tracing
from api.metrics import Metrics
from api.services import INSIDE
from contract import traces
from telemetry import Serving, Telemetry

_GOOD_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = ("/healthz", "/readyz", "/metrics", "/static")
"""What is asked all the time and says nothing: in the log at level debug alone, and no span."""
_LONG = "/live"
"""How long it takes says how long somebody looked at a page: no time of an answer, and no span."""
_log = structlog.get_logger(__name__)


class Around:
    """Wraps the whole application. A caller's `X-Request-Id` is kept if it is short and plain."""

    def __init__(self, app: ASGIApp, metrics: Metrics, spans: Telemetry | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or INSIDE in scope:
            await self._app(scope, receive, send)
            return
        call_id, traceparent, length = _said(scope)
        with self._serving(scope["path"], tracing.begun(traceparent)) as (trace, span):
            try:
                with (
                    traces.under(trace.traceparent),
                    bound_contextvars(call_id=call_id.decode(), trace_id=trace.trace_id),
                ):
                    await self._answered(
                        scope, receive, send, call_id=call_id, length=length, span=span
                    )
            finally:
                unbind_contextvars("actor", "request_id")

    @contextmanager
    def _serving(
        self, path: str, trace: tracing.Trace
    ) -> Iterator[tuple[tracing.Trace, Serving | None]]:
        """A span around an answer, where spans are wanted: what we do is then known by its ids."""
        if self._spans is None or path.startswith((*_QUIET, _LONG)):
            yield trace, None
            return
        with self._spans.serving(trace.callers) as span:
            yield tracing.Trace(span.trace_id, span.span_id, trace.parent, span.sampled), span

    async def _answered(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        call_id: bytes,
        length: bytes,
        span: Serving | None,
    ) -> None:
        began = time.perf_counter()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", call_id),
                    *_rate(scope),
                ]
            await send(message)

        most = body_limits.largest(scope["path"])
        try:
            if length.isdigit() and int(length) > most:
                await body_limits.too_large(most).response()(scope, receive, sending)
            else:
                await self._app(scope, body_limits.limited(receive, most), sending)
        except ClientDisconnect:
            status = 499
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route, seconds = _template(scope), time.perf_counter() - began
            if route != _LONG:
                self._metrics.answered(method, route, status, seconds)
            if span is not None:
                span.answered(method, route, status, call_id.decode())
            tell = _log.debug if scope["path"].startswith(_QUIET) else _log.info
            tell("answered", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def _said(scope: Scope) -> tuple[bytes, bytes | None, bytes]:
    """The call's id, its `traceparent`, and its length as it says it (empty if it does not)."""
    call_id, traceparent, length = b"", None, b""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GOOD_ID.fullmatch(value):
            call_id = value
        elif name == tracing.TRACEPARENT:
            traceparent = value
        elif name == b"content-length":
            length = value
    return call_id or uuid4().hex.encode(), traceparent, length


def _rate(scope: Scope) -> list[tuple[bytes, bytes]]:
    """What is to be said of how many calls are left, where they were counted."""
    found: limits.Rate | None = scope.get(limits.COUNTED)
    return [] if found is None else found.headers()


def _template(scope: Scope) -> str:
    """The route's template, so that ids make no series of their own."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "unmatched"
