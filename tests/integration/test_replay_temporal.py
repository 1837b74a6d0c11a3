"""`audit replay` also asks Temporal: the workflow, under way or ended, must be where the engine comes to."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import temporal_client
from activities.commit import Activities
from cli import main
from cli.beside_temporal import SAME, Beside, beside
from cli.output import Exit
from contract.messages import Outcome
from contract.names import SIGNAL_TELL, WORKFLOW_TYPE
from storage import replay
from storage.replay import Replayed
from tests.integration.house import House
from tests.stack import Database, TemporalServer
from worker.workflow import ApprovalWorkflow


@dataclass
class Carried:
    """Requests that a real workflow carries, on a task queue of the test's own."""

    house: House
    client: Client
    queue: str

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """A worker, while it lasts."""
        async with Worker(
            self.client,
            task_queue=self.queue,
            workflows=[ApprovalWorkflow],
            activities=[Activities(self.house.pool).commit],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            yield

    async def submitted(self) -> WorkflowHandle[Any, Outcome]:
        await self.house.submit()
        start = self.house.delivery.starts[-1]
        return await self.client.start_workflow(
            WORKFLOW_TYPE,
            start,
            id=start.state.request_id,
            task_queue=self.queue,
            result_type=Outcome,
        )

    async def approve(self, handle: WorkflowHandle[Any, Outcome]) -> None:
        """By bob, once he is asked; the workflow has been told."""
        task = await self.house.pool.fetchval(
            "SELECT id::text FROM tasks WHERE request_id = $1", UUID(handle.id)
        )
        assert (await self.house.decide("bob", task)).status_code == 200
        await handle.signal(SIGNAL_TELL, self.house.delivery.signals[-1][1])

    async def asked(self, handle: WorkflowHandle[Any, Outcome]) -> None:
        """Wait until somebody is asked."""
        query = "SELECT count(*) FROM tasks WHERE request_id = $1"
        async with asyncio.timeout(20):
            while not await self.house.pool.fetchval(query, UUID(handle.id)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def replayed(self, handle: WorkflowHandle[Any, Outcome]) -> Replayed:
        async with self.house.pool.acquire() as connection:
            return await replay.replay(connection, UUID(handle.id))

    async def beside(self, handle: WorkflowHandle[Any, Outcome], patience: float = 10) -> Beside:
        return await beside(self.client, await self.replayed(handle), patience)


@pytest.fixture
async def carried(house: House, temporal_server: TemporalServer) -> Carried:
    client = await temporal_client.connect(
        temporal_server.address, temporal_server.namespace, house.pool
    )
    return Carried(house, client, f"test-{uuid4().hex}")


async def test_the_workflow_is_where_the_engine_comes_to(carried: Carried) -> None:
    async with carried.worker():
        handle = await carried.submitted()
        await carried.asked(handle)
        assert await carried.beside(handle) == Beside((), SAME), "under way"
        await carried.approve(handle)
        assert (await handle.result()).state == "approved"
        assert await carried.beside(handle) == Beside((), SAME), "ended"


async def test_a_workflow_that_is_elsewhere_is_found(carried: Carried) -> None:
    """As if what was committed, or what the workflow believes, had been changed."""
    async with carried.worker():
        handle = await carried.submitted()
        await carried.asked(handle)
        found = await carried.replayed(handle)
        [task] = found.state.tasks
        moved = replace(found.state, tasks=(replace(task, level=1),))
        differs = await beside(carried.client, replace(found, state=moved))
        assert [each.what for each in differs.findings] == [
            "the workflow has another tasks than the engine"
        ]
        assert differs.findings[0].request_id == UUID(handle.id)
        other = replace(found, recipe=replace(found.recipe, version=2))
        differs = await beside(carried.client, other)
        assert [each.what for each in differs.findings] == [
            "the workflow is on version 1; the engine comes to 2"
        ]
        ahead = replace(found, state=replace(found.state, seq=9))
        differs = await beside(carried.client, ahead)
        assert [each.what for each in differs.findings] == [
            "the workflow has another seq than the engine"
        ]
        await carried.approve(handle)
        await handle.result()
        differs = await beside(carried.client, found)
    assert [each.what for each in differs.findings] == [
        "the workflow has state 'approved'; the engine comes to 'pending'",
        "the workflow has seq 2; the engine comes to 1",
    ]


async def test_one_that_went_on_meanwhile_is_no_finding(carried: Carried) -> None:
    async with carried.worker():
        handle = await carried.submitted()
        await carried.asked(handle)
        found = await carried.replayed(handle)
        before = replace(found, state=replace(found.state, seq=0))
        assert await beside(carried.client, before) == Beside(
            (), "not compared: it has gone on meanwhile"
        )


async def test_without_a_worker_what_temporal_shows_is_compared(carried: Carried) -> None:
    async with carried.worker():
        handle = await carried.submitted()
        await carried.asked(handle)
        await handle.query("standing")
    found = await carried.beside(handle, patience=1)
    assert found.findings == ()
    assert found.compared.startswith("state and step alone were compared")
    replayed = await carried.replayed(handle)
    other = replace(replayed, state=replace(replayed.state, state="approved"))
    differs = await beside(carried.client, other, patience=1)
    assert [each.what for each in differs.findings] == [
        "the workflow has state 'pending'; the engine comes to 'approved'",
        "the workflow has step 'manager'; the engine comes to None",
    ]


async def test_an_open_request_that_nobody_carries_on(carried: Carried) -> None:
    async with carried.worker():
        handle = await carried.submitted()
        await carried.asked(handle)
        await handle.terminate("by mistake, in the Web UI")
        [finding] = (await carried.beside(handle)).findings
        assert finding.what == "its workflow was terminated, and it has not ended"
        found = await carried.replayed(handle)
    lost = replace(found, state=replace(found.state, request_id=str(uuid4())))
    [finding] = (await beside(carried.client, lost)).findings
    assert finding.what == "Temporal has no workflow of it, and it has not ended"


async def test_what_temporal_has_forgotten_or_was_never_told(carried: Carried) -> None:
    async with carried.worker():
        handle = await carried.submitted()
        await carried.asked(handle)
        await carried.approve(handle)
        await handle.result()
        found = await carried.replayed(handle)
    forgotten = replace(found, state=replace(found.state, request_id=str(uuid4())))
    assert await beside(carried.client, forgotten) == Beside(
        (), "not compared: Temporal has no workflow of it any more"
    )
    request_id = str((await carried.house.submit())["id"])
    async with carried.house.pool.acquire() as connection:
        waiting = await replay.replay(connection, UUID(request_id))
    assert await beside(carried.client, waiting) == Beside(
        (), "not compared: Temporal has not been told of it yet"
    )


async def test_the_command(
    carried: Carried,
    database: Database,
    temporal_server: TemporalServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", temporal_server.address)
    monkeypatch.setenv("COUNTERSIGN_REGION_KEY_FILE", str(carried.house.settings.region_key))

    async def run(*more: str) -> tuple[int, Any]:
        arguments = ["audit", "replay", handle.id, "--json", *more]
        capsys.readouterr()  # what the API has said until now
        status = await asyncio.to_thread(main.run, arguments)
        return status, json.loads(capsys.readouterr().out)

    async with carried.worker():
        handle = await carried.submitted()
        await carried.asked(handle)
        status, shown = await run()
        assert (status, shown["workflow"], shown["findings"]) == (Exit.OK, "compared", [])
        await handle.terminate()
        status, shown = await run()
        assert status == Exit.FAILED
        assert [each["what"] for each in shown["findings"]] == [
            "its workflow was terminated, and it has not ended"
        ]
    status, shown = await run("--at", datetime.now(UTC).isoformat())
    assert (status, shown["workflow"]) == (Exit.OK, "not compared: it is asked where it was")
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", "127.0.0.1:9")
    status, shown = await run()
    assert status == Exit.OK
    assert shown["workflow"].startswith("not compared: Temporal cannot be reached (")
