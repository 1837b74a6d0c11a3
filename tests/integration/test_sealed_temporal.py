"""A request of the API, told to the real Temporal by the relay and carried out by a worker: all that Temporal
keeps of it is sealed with the keys that Postgres has."""

import asyncio
from uuid import UUID

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import temporal_client
from activities.commit import Activities
from contract.messages import Outcome
from contract.names import TASK_QUEUE
from recipes.model import Confidential
from relay.main import relay_once
from tests.histories import assert_sealed, payloads
from tests.integration.house import House, leave
from tests.stack import TemporalServer
from worker.workflow import ApprovalWorkflow

SECRET = "because of the twins"


@pytest.mark.parametrize(
    ("secret", "scope"), [(None, "shared"), (Confidential(("hr",), ("why",)), "confidential")]
)
async def test_start_and_decision(
    house: House, temporal_server: TemporalServer, secret: Confidential | None, scope: str
) -> None:
    await house.publish(leave(2, confidential=secret))
    client = await temporal_client.connect(
        temporal_server.address, temporal_server.namespace, house.pool
    )
    made = await house.submit("alice", inputs={"days": 5, "why": SECRET})
    await told(client, house)
    handle = client.get_workflow_handle(made["id"], result_type=Outcome)
    async with Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[ApprovalWorkflow],
        activities=[Activities(house.pool).commit],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        while not (task := await house.pool.fetchval("SELECT id FROM tasks")):  # noqa: ASYNC110 - a worker writes it
            await asyncio.sleep(0.02)
        decided = await house.decide("bob", str(task), "approve", comment=SECRET)
        assert decided.status_code == 200
        await told(client, house)
        assert await handle.result() == Outcome("approved", 2)
    events = (await handle.fetch_history()).events
    assert sum(assert_sealed(event, SECRET) for event in events) >= 5
    keys = {
        each.metadata["key"].decode()
        for event in events
        for _, each in payloads(event)
        if "key" in each.metadata
    }
    assert keys == {f"{UUID(made['id'])}:{scope}"}


async def told(client: Client, house: House) -> None:
    """The relay tells at once what the API would have told first."""
    await house.pool.execute("UPDATE outbox SET due_at = now()")
    await relay_once(client, house.pool)
