"""What Temporal must hear is told until it is told: on the real server, with rows as the API writes them."""

import asyncio
import json
from uuid import UUID, uuid4

import pytest
from pydantic import TypeAdapter
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from temporalio.client import Client, WorkflowExecutionStatus

import temporal_client
from contract.messages import Message, StartInput
from contract.names import ENGINE_VERSION
from recipes.happenings import Actor, Commanded, Decided, Started
from recipes.state import State
from relay import delivery
from relay.delivery import Delivery, Told
from relay.main import relay_once
from storage import outbox
from storage.pool import Pool
from temporal_traces import HEADER
from tests.integration.approvals import NOW, RECIPE, SHA, commit, furnish, submitted
from tests.stack import TemporalServer, free_ports

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def request_made(pool: Pool, admin_pool: Pool) -> State:
    """A submitted request whose start waits in the outbox."""
    await furnish(pool, admin_pool)
    state = await submitted(pool)
    await _write(pool, state, "start")
    return state


@pytest.fixture
async def client(pool: Pool, temporal_server: TemporalServer) -> Client:
    return await temporal_client.connect(temporal_server.address, temporal_server.namespace, pool)


async def _write(pool: Pool, state: State, kind: str, message: object = None) -> int:
    found: int = await pool.fetchval(
        "INSERT INTO outbox (request_id, kind, message, due_at) VALUES ($1, $2, $3, now()) RETURNING id",
        UUID(state.request_id),
        kind,
        message,
    )
    return found


async def _rows(pool: Pool) -> list[tuple[str, str | None]]:
    rows = await pool.fetch("SELECT kind, last_error FROM outbox ORDER BY id")
    return [(row["kind"], row["last_error"]) for row in rows]


def _orphaned() -> float:
    [family] = delivery.orphaned.collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_total"))


def _cancel() -> Commanded:
    return Commanded(str(uuid4()), "cancel", Actor("alice"), NOW)


async def _command(pool: Pool, state: State, made: Commanded) -> None:
    await pool.execute(
        "INSERT INTO commands (id, request_id, command, actor) VALUES ($1, $2, 'cancel', 'alice')",
        UUID(made.command_id),
        UUID(state.request_id),
    )


async def test_a_start_is_told_once_and_then_its_signals(
    pool: Pool, request_made: State, client: Client
) -> None:
    made = Decided(str(uuid4()), "approve", Actor("bob"), NOW)
    message: TypeAdapter[Message] = TypeAdapter(Message)
    await _write(pool, request_made, "signal", message.dump_python(made, mode="json"))
    await pool.execute("UPDATE outbox SET traceparent = $1", TRACE)
    with capture_logs(processors=[merge_contextvars]) as lines:
        await relay_once(client, pool)
        assert await _rows(pool) == [("signal", None)]
        await relay_once(client, pool)
        assert await _rows(pool) == []
    about = {"request_id": request_made.request_id, "trace_id": TRACE[3:35], "event": "told"}
    assert [about.items() <= line.items() for line in lines] == [True, True]
    handle = client.get_workflow_handle(request_made.request_id)
    described = await handle.describe()
    assert described.status is WorkflowExecutionStatus.RUNNING
    events = (await handle.fetch_history()).events
    signals = [
        event.workflow_execution_signaled_event_attributes
        for event in events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert [it.signal_name for it in signals] == ["tell"]
    for told in (events[0].workflow_execution_started_event_attributes, *signals):
        assert json.loads(told.header.fields[HEADER].data) == TRACE
    await handle.terminate()


async def test_the_start_from_storage_is_the_start_of_the_api(
    pool: Pool, request_made: State
) -> None:
    made = await outbox.start_input(pool, UUID(request_made.request_id))
    assert made == StartInput(ENGINE_VERSION, RECIPE, SHA, request_made)


async def test_without_temporal_rows_stay_and_say_why(pool: Pool, request_made: State) -> None:
    nobody = await temporal_client.connect(
        f"127.0.0.1:{free_ports(1)[0]}", "default", pool, lazy=True
    )
    await relay_once(nobody, pool)
    [(kind, error)] = await _rows(pool)
    assert kind == "start"
    assert error


async def test_a_signal_waits_for_the_start_of_its_request(
    pool: Pool, request_made: State, client: Client
) -> None:
    told = await delivery.signal(client, pool, UUID(request_made.request_id), _cancel())
    assert told is Told.NOT_YET


async def test_an_open_request_without_a_workflow_gets_one_again(
    pool: Pool, request_made: State, client: Client
) -> None:
    request_id = UUID(request_made.request_id)
    await relay_once(client, pool)
    handle = client.get_workflow_handle(request_made.request_id)
    await handle.terminate()
    before = _orphaned()
    assert await delivery.signal(client, pool, request_id, _cancel()) is Told.NOT_YET
    assert _orphaned() == before + 1
    again = await handle.describe()
    assert again.status is WorkflowExecutionStatus.RUNNING
    assert await delivery.signal(client, pool, request_id, _cancel()) is Told.DONE
    await handle.terminate()


async def test_a_command_behind_the_end_is_refused_and_on_record(
    pool: Pool, request_made: State, client: Client
) -> None:
    _, pending = await commit(pool, request_made, Started())
    await commit(pool, pending, _cancel())
    await pool.execute("DELETE FROM outbox")
    late = _cancel()
    await _command(pool, request_made, late)
    told = await delivery.signal(client, pool, UUID(request_made.request_id), late)
    assert told is Told.DONE
    row = await pool.fetchrow("SELECT applied, detail FROM commands")
    assert row is not None
    assert (row["applied"], row["detail"]) == (False, "the request is already cancelled")
    last = await pool.fetchval("SELECT event_type FROM audit ORDER BY seq DESC LIMIT 1")
    assert last == "command.settled"


async def test_a_message_of_a_newer_version_stops_nobody_else(
    pool: Pool, request_made: State, client: Client
) -> None:
    other = await submitted(pool)
    await pool.execute("DELETE FROM outbox")
    await _write(pool, request_made, "signal", {"kind": "from_the_future"})
    await _write(pool, other, "start")
    await relay_once(client, pool)
    [(kind, error)] = await _rows(pool)
    assert kind == "signal"
    assert error
    assert "from_the_future" in error
    await client.get_workflow_handle(other.request_id).terminate()


async def test_two_relays_share_the_work(pool: Pool, request_made: State, client: Client) -> None:
    made = [request_made, *[await submitted(pool) for _ in range(9)]]
    for state in made[1:]:
        await _write(pool, state, "start")
    taken = await asyncio.gather(
        *(outbox.take(pool, most=5, lease_seconds=30, starts=True) for _ in range(2))
    )
    ids = [row.id for rows in taken for row in rows]
    assert len(ids) == len(set(ids)) == 10
    assert await outbox.take(pool, most=5, lease_seconds=30, starts=True) == []


async def test_workers_behind_hold_starts_back_but_not_signals(
    pool: Pool, request_made: State
) -> None:
    other = await submitted(pool)
    await _write(pool, other, "signal", {})
    found = await outbox.take(pool, most=5, lease_seconds=30, starts=False)
    assert [row.kind for row in found] == ["signal"]
    await pool.execute("UPDATE requests SET created_at = now()")
    assert await outbox.not_begun(pool, 10) == 1
    await pool.execute("UPDATE requests SET created_at = now() - interval '1 day'")
    assert await outbox.not_begun(pool, 10) == 0


async def test_delivery_tells_behind_the_answer_and_forgets_the_row(
    pool: Pool, request_made: State, client: Client
) -> None:
    row_id: int = await pool.fetchval("SELECT id FROM outbox")
    behind = Delivery(client, pool)
    behind.soon_start(row_id, await outbox.start_input(pool, UUID(request_made.request_id)))
    await behind.close()
    assert await _rows(pool) == []
    await client.get_workflow_handle(request_made.request_id).terminate()


async def test_delivery_leaves_what_fails_and_what_is_too_much_to_the_relay(
    pool: Pool, request_made: State
) -> None:
    nobody = await temporal_client.connect(
        f"127.0.0.1:{free_ports(1)[0]}", "default", pool, lazy=True
    )
    row_id: int = await pool.fetchval("SELECT id FROM outbox")
    start = await outbox.start_input(pool, UUID(request_made.request_id))
    failing, full = Delivery(nobody, pool), Delivery(nobody, pool, in_hand=0)
    for each in (failing, full):
        each.soon_start(row_id, start)
        await each.close()
    assert [kind for kind, _ in await _rows(pool)] == ["start"]
