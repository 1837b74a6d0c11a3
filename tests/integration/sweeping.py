"""The sweep as tests look at it: what it finds, what the directory says when asked again, and requests
carried on as their workflows would be told to."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from recipes.asks import AskApprover, Assignment, Hop, SeatAsk
from recipes.happenings import Rechecked
from storage import directory, resolution
from storage.outbox import Due
from storage.resolution import About
from storage.sweep import sweep
from tests.integration.house import House, Workflow

_ASK: TypeAdapter[SeatAsk] = TypeAdapter(SeatAsk)


async def told(source: Any) -> list[Rechecked]:
    """What the outbox has for requests with stale tasks; taken out."""
    rows = await source.fetch("""
        DELETE FROM outbox WHERE message->>'kind' = 'rechecked'
        RETURNING id, request_id, kind, message, attempts""")
    messages = [Due(*row).message() for row in rows]
    assert all(isinstance(message, Rechecked) for message in messages)
    return [message for message in messages if isinstance(message, Rechecked)]


def tasks_of(messages: list[Rechecked]) -> set[str]:
    return {task for message in messages for task in message.task_ids}


async def found(house: House) -> set[str]:
    """The tasks that a sweep finds; nothing remains of it."""
    async with house.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await told(connection)
        await connection.execute(
            "UPDATE tasks SET rechecked_at = NULL WHERE rechecked_at IS NOT NULL"
        )
        await sweep(connection)
        messages = await told(connection)
        await transaction.rollback()
    return tasks_of(messages)


async def swept(house: House) -> set[str]:
    """The tasks that a sweep tells of, beyond what was told before."""
    await told(house.pool)
    await sweep(house.pool)
    return tasks_of(await told(house.pool))


async def carry(house: House, *flows: Workflow) -> None:
    """The workflows are told what the outbox has for them."""
    for message in await told(house.pool):
        for flow in flows:
            if any(task.id in message.task_ids for task in flow.state.tasks):
                await flow.befall(message)


async def open_tasks(house: House, flow: Workflow) -> list[asyncpg.Record]:
    return await house.pool.fetch(
        "SELECT * FROM tasks WHERE request_id = $1 AND state = 'open' ORDER BY seat",
        UUID(flow.state.request_id),
    )


async def changed(house: House, at: datetime) -> set[str]:
    """The open tasks whose question has another answer now, or none. Nobody's turn is taken."""
    rows = await house.pool.fetch("""
        SELECT t.*, r.requester, r.workflow FROM tasks t JOIN requests r ON r.id = t.request_id
         WHERE t.state = 'open'
           AND NOT r.incidents @> jsonb_build_array(jsonb_build_object('seat', t.seat))""")
    return {str(row["id"]) for row in rows if await _differs(house, row, at)}


async def _differs(house: House, row: asyncpg.Record, at: datetime) -> bool:
    ask: SeatAsk = _ASK.validate_python(row["ask"])
    if isinstance(ask, AskApprover):
        ask = replace(ask, keep=row["holder"])
    about = About(row["requester"], row["workflow"], at)
    answer = await resolution.answer(house.pool, ask, about, directory.next_turn)
    if answer.assignment is None:
        return True
    return not answer.assignment.same(_given(row))


def _given(row: asyncpg.Record) -> Assignment:
    """The assignment that a task is."""
    return Assignment(
        user=row["assignee"],
        candidates=tuple(row["candidates"] or ()),
        role=row["role"],
        on_behalf_of=row["on_behalf_of"],
        via=tuple(row["via"]),
        chain=tuple(Hop(**hop) for hop in row["chain"]),
    )
