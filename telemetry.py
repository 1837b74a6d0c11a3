"""OpenTelemetry, where it is wanted: spans of what this process does, sent as OTLP over HTTP.

Where COUNTERSIGN_OTEL_ENDPOINT is not set there is none, and nothing of OpenTelemetry is imported (but FastAPI
has the names of its interface).
Spans say what was done, when, and whether it went well: never what people wrote.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span
    from temporalio.contrib.opentelemetry import TracingInterceptor

_TRACES = "/v1/traces"
_TIMEOUT = 5
"""Seconds for one try of the collector, which a process that ends may wait for."""
_SAID = frozenset(
    {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "call_id",
        "temporalWorkflowID",
        "temporalActivityType",
    }
)
"""The attributes that leave: ids of calls and of requests, and names of ours."""


class Serving:
    """The span of a call that is being answered. Its ids are in hexadecimal."""

    def __init__(self, span: "Span") -> None:
        self._span = span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"
        self.sampled = context.trace_flags.sampled

    def answered(self, method: str, route: str, status: int, call_id: str) -> None:
        """What came of it; `route` is a template, without ids."""
        from opentelemetry.trace import StatusCode

        self._span.update_name(f"{method} {route}")
        self._span.set_attribute("http.request.method", method)
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        self._span.set_attribute("call_id", call_id)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)


class Telemetry:
    """What one process sends, behind its work: a collector that is away costs spans, and nothing else."""

    def __init__(self, endpoint: str, service: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from temporalio.contrib.opentelemetry import TracingInterceptor

        # It sends what is left when the process ends.
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(endpoint)))
        self._tracer = self._provider.get_tracer("countersign")
        self.interceptor: TracingInterceptor = TracingInterceptor(self._tracer)
        """For clients of Temporal, and through them for workers. All it changes are headers."""

    @contextmanager
    def serving(self, traceparent: str | None) -> Iterator[Serving]:
        """A span around one call's answer, in the trace of who called if it said one."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, use_span
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = Context()
        if traceparent is not None:
            said = {"traceparent": traceparent}
            parent = TraceContextTextMapPropagator().extract(said, parent)
        span = self._tracer.start_span("call", parent, SpanKind.SERVER)
        with use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            yield Serving(span)

    def flush(self) -> bool:
        """Send what there is now. Whether that could be done; it waits for the collector."""
        return self._provider.force_flush()


@cache
def telemetry(endpoint: str | None, part: str) -> Telemetry | None:
    """The one of this process, which is api, worker or relay; None without an endpoint."""
    return None if endpoint is None else Telemetry(endpoint, f"countersign-{part}")


def interceptors(endpoint: str | None, part: str) -> "Sequence[TracingInterceptor]":
    """What its client of Temporal is given."""
    found = telemetry(endpoint, part)
    return [] if found is None else [found.interceptor]


def _exporter(endpoint: str) -> "SpanExporter":
    """Sends no more than may be known: libraries also write down errors in full, with what they quote."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Status

    def plain(span: ReadableSpan) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes={
                name: value for name, value in (span.attributes or {}).items() if name in _SAID
            },
            links=span.links,
            kind=span.kind,
            status=Status(span.status.status_code),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    class Plain(OTLPSpanExporter):
        @override
        def export(self, spans: Sequence[ReadableSpan]) -> "SpanExportResult":
            return super().export([plain(span) for span in spans])

    base = endpoint.rstrip("/").removesuffix(_TRACES)
    return Plain(endpoint=f"{base}{_TRACES}", timeout=_TIMEOUT)
