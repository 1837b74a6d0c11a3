"""The sweep as tests look at it: what it finds, what the directory says when asked again, and requests
carried on as their workflows would be told to."""

from typing import Any
from uuid import UUID

import asyncpg

from recipes.state import Rechecked
from storage.outbox import Due
from storage.sweep import sweep
from tests.integration.house import House, Workflow


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
