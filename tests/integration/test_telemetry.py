"""Spans, as a collector receives them over HTTP: one trace from the caller to the worker, and nothing secret."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import temporal_client
from activities.commit import Activities
from api.app import create_app
from contract.names import TASK_QUEUE
from relay import delivery
from storage.pool import Pool
from telemetry import Telemetry, interceptors, telemetry
from tests.integration.house import House, Recorder, leave, make_settings
from tests.integration.receiver import Message, receiving
from tests.stack import Database, TemporalServer
from worker.workflow import ApprovalWorkflow

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "because of the twins"
ALLOWED = {
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "call_id",
    "temporalWorkflowID",
    "temporalActivityType",
}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine neither Temporal nor the collector is given up: there is no relay here."""
    monkeypatch.setattr(delivery, "_RPC_TIMEOUT", timedelta(minutes=2))
    monkeypatch.setattr("telemetry._TIMEOUT", 60)


@dataclass(frozen=True, slots=True)
class Seen:
    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str | int]
    events: int


def _spans(messages: Iterable[Message]) -> list[Seen]:
    found: list[Seen] = []
    for message in messages:
        assert message.path == "/v1/traces"
        assert SECRET.encode() not in message.body
        for whole in ExportTraceServiceRequest.FromString(message.body).resource_spans:
            said = {it.key: it.value.string_value for it in whole.resource.attributes}
            found += [
                Seen(
                    said["service.name"],
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    {it.key: it.value.string_value or it.value.int_value for it in span.attributes},
                    len(span.events),
                )
                for scope in whole.scope_spans
                for span in scope.spans
            ]
    return found


async def _sent(endpoint: str, part: str) -> None:
    found = telemetry(endpoint, part)
    assert found is not None
    assert await asyncio.to_thread(found.flush)


@asynccontextmanager
async def _house(
    folder: Path, database: Database, server: TemporalServer, pool: Pool, endpoint: str
) -> AsyncIterator[House]:
    """The API with its own client of Temporal."""
    made = make_settings(
        folder, database.url, temporal_address=server.address, otel_endpoint=endpoint
    )
    app = create_app(made)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            house = House(client, pool, Recorder(), made, app)
            await house.import_org()
            await house.publish(leave())
            yield house


async def test_a_call_and_the_workflow_it_starts_are_one_trace(
    database: Database, pool: Pool, temporal_server: TemporalServer, tmp_path: Path
) -> None:
    async with receiving() as collector:
        endpoint = f"http://127.0.0.1:{collector.port}"
        async with _house(tmp_path, database, temporal_server, pool, endpoint) as house:
            client = await temporal_client.connect(
                temporal_server.address,
                temporal_server.namespace,
                pool,
                interceptors=interceptors(endpoint, "worker"),
            )
            async with Worker(
                client,
                task_queue=TASK_QUEUE,
                workflows=[ApprovalWorkflow],
                activities=[Activities(pool).commit],
                workflow_runner=UnsandboxedWorkflowRunner(),
            ):
                made = await house.post(
                    "/v1/requests",
                    "alice",
                    json={"workflow": "leave", "inputs": {"days": 5, "why": SECRET}},
                    headers={"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "call-1"},
                )
                assert made.status_code == 201
                while not await pool.fetchval("SELECT id FROM tasks"):  # noqa: ASYNC110 - a worker writes it
                    await asyncio.sleep(0.02)
            await house.client.get("/healthz")
            await client.get_workflow_handle(made.json()["id"]).terminate()
        for part in ("api", "worker"):
            await _sent(endpoint, part)
        spans = _spans(collector.taken)
    ours = {(it.service, it.name.partition(":")[0]): it for it in spans if it.trace == TRACE}
    call = ours["countersign-api", "POST /v1/requests"]
    assert call.parent == SPAN
    assert call.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/requests",
        "http.response.status_code": 201,
        "call_id": "call-1",
    }
    start = ours["countersign-api", "StartWorkflow"]
    assert start.parent == call.id
    run = ours["countersign-worker", "RunWorkflow"]
    assert run.parent == start.id
    assert run.attributes == {"temporalWorkflowID": made.json()["id"]}
    assert ("countersign-worker", "RunActivity") in ours
    assert [it.name for it in spans if "healthz" in it.name] == []
    assert all(set(it.attributes) <= ALLOWED for it in spans)


async def test_what_errors_say_stays_here() -> None:
    async with receiving() as collector:
        found = Telemetry(f"http://127.0.0.1:{collector.port}/", "countersign-test")
        tracer = found.interceptor.tracer
        with pytest.raises(ValueError, match="twins"), tracer.start_as_current_span("fails"):
            raise ValueError(SECRET)
        assert await asyncio.to_thread(found.flush)
        [span] = _spans(collector.taken)
    assert (span.service, span.name, span.events) == ("countersign-test", "fails", 0)
