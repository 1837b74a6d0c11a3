"""Schedules of chores on the real server: made once, changed, paused by people, removed, and run."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from temporalio.client import Client, ScheduleDescription, WorkflowFailureError
from temporalio.service import RPCError

import temporal_client
from contract.messages import SyncAsked, Synced
from contract.names import TASK_QUEUE_CHORES, WORKFLOW_MIRROR, WORKFLOW_MOVE_MONTHS
from settings import Settings
from storage.pool import Pool
from tests.integration.people_server import answer, people_server
from tests.integration.sealed import KEY
from tests.stack import Database, TemporalServer
from worker.schedules import Chore, arrange, build, chores


def _named(every: float | None) -> Chore:
    return Chore(f"test-{uuid4()}", None if every is None else timedelta(seconds=every))


async def _described(client: Client, chore: Chore) -> ScheduleDescription:
    return await client.get_schedule_handle(chore.workflow).describe()


async def test_a_schedule_is_made_once_by_any_number_of_workers(
    temporal_connection: Client,
) -> None:
    chore = _named(300)
    await asyncio.gather(*(arrange(temporal_connection, [chore]) for _ in range(5)))
    found = await _described(temporal_connection, chore)
    [interval] = found.schedule.spec.intervals
    assert interval.every == timedelta(seconds=300)
    assert found.schedule.policy.catchup_window == timedelta(minutes=1)
    await arrange(temporal_connection, [Chore(chore.workflow, None)])


async def test_another_interval_changes_it_and_it_stays_paused(
    temporal_connection: Client,
) -> None:
    chore = _named(300)
    await arrange(temporal_connection, [chore])
    await temporal_connection.get_schedule_handle(chore.workflow).pause(note="by hand")
    await arrange(temporal_connection, [Chore(chore.workflow, timedelta(seconds=60))])
    found = await _described(temporal_connection, chore)
    [interval] = found.schedule.spec.intervals
    assert interval.every == timedelta(seconds=60)
    assert found.schedule.state.paused
    assert found.schedule.state.note == "by hand"
    await arrange(temporal_connection, [Chore(chore.workflow, None)])


async def test_what_is_off_is_removed_and_stays_so(temporal_connection: Client) -> None:
    chore = _named(300)
    off = Chore(chore.workflow, None)
    await arrange(temporal_connection, [chore])
    await arrange(temporal_connection, [off])
    await arrange(temporal_connection, [off])
    with pytest.raises(RPCError, match="not found"):
        await _described(temporal_connection, chore)


async def test_a_worker_mirrors_the_directory_by_itself(
    temporal_server: TemporalServer, database: Database, pool: Pool, tmp_path: Path
) -> None:
    """The schedule runs at once when it is made; a reading that fails says so and is no failed run."""
    file = tmp_path / "map.yaml"
    file.write_text("request: {path: /people}\nperson: {id: id, name: name}\n")
    async with people_server() as server:
        server.will(answer([{"id": "ann", "name": "Ann"}]))
        loaded = Settings(
            database_url=database.url,
            temporal_address=temporal_server.address,
            directory_url=server.url,
            directory_mapping=file,
            directory_token=SecretStr("t"),
        )
        client = await temporal_client.connect(temporal_server.address, "default", None)
        async with build(client, pool, loaded):
            await arrange(client, chores(loaded))
            while not await pool.fetchval("SELECT count(*) FROM people"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            server.will(answer([]))
            by_hand = await client.execute_workflow(
                WORKFLOW_MIRROR,
                SyncAsked(),
                id=f"mirror-{uuid4()}",
                task_queue=TASK_QUEUE_CHORES,
                result_type=Synced,
            )
            assert by_hand.failing == "the list of people is empty"
        await arrange(client, [replace(chore, every=None) for chore in chores(loaded)])


async def test_months_move_at_night(
    temporal_connection: Client, pool: Pool, tmp_path: Path, database: Database
) -> None:
    """One schedule, at 2:00 UTC; its activity moves what is due with the key, and says so without."""
    loaded = Settings(data_dir=tmp_path, database_url=database.url, audit_store=tmp_path.as_uri())
    [nightly] = [each for each in chores(loaded) if each.workflow == WORKFLOW_MOVE_MONTHS]
    chore = replace(nightly, workflow=f"test-{uuid4()}")
    await arrange(temporal_connection, [chore])
    [interval] = (await _described(temporal_connection, chore)).schedule.spec.intervals
    assert (interval.every, interval.offset) == (timedelta(days=1), timedelta(hours=2))
    await arrange(temporal_connection, [replace(chore, every=None)])
    off = Settings(data_dir=tmp_path, database_url=database.url)
    assert [each.every for each in chores(off) if each.workflow == WORKFLOW_MOVE_MONTHS] == [None]

    async def move() -> None:
        await temporal_connection.execute_workflow(
            WORKFLOW_MOVE_MONTHS, id=f"test-{uuid4()}", task_queue=TASK_QUEUE_CHORES
        )

    async with build(temporal_connection, pool, loaded):
        with pytest.raises(WorkflowFailureError) as failed:
            await move()
        cause = failed.value.cause
        assert cause is not None
        assert "need the key that seals" in str(cause.__cause__)
        loaded.seal_key.touch(0o600)
        loaded.seal_key.write_text(KEY.written())
        await move()
