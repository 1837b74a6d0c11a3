"""Schedules of chores on the real server: made once, changed, paused by people, removed, and run."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client, ScheduleDescription
from temporalio.service import RPCError

from worker.schedules import Chore, arrange


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
