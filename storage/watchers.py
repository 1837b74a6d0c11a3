"""Watchers: people who follow a request that does not wait for them."""

from datetime import datetime
from uuid import UUID

import asyncpg

from contract.events import WATCHER_ADDED, WATCHER_REMOVED
from recipes.happenings import Actor
from storage import audit
from storage.pool import Connection, Source

# Made a watcher by somebody else, one who watched by themselves may see the request from now on.
ADD = """
INSERT INTO watchers AS w (request_id, person, added_by, added_at)
VALUES ($1, $2, $3, clock_timestamp())
ON CONFLICT (request_id, person) DO UPDATE SET added_by = excluded.added_by, added_at = excluded.added_at
 WHERE w.added_by = w.person AND excluded.added_by <> excluded.person
RETURNING added_at
"""


async def add(connection: Connection, request: asyncpg.Record, actor: Actor, person: str) -> bool:
    """In a transaction; False if they watch it already. `request` is as `requests.load` gave it."""
    at = await connection.fetchval(ADD, request["id"], person, actor.user)
    if at is not None:
        await _record(connection, request, WATCHER_ADDED, at, actor, person=person)
    return at is not None


REMOVE = "DELETE FROM watchers WHERE request_id = $1 AND person = $2 RETURNING clock_timestamp()"


async def remove(
    connection: Connection, request: asyncpg.Record, actor: Actor, person: str
) -> bool:
    """In a transaction; False if they do not watch it."""
    at = await connection.fetchval(REMOVE, request["id"], person)
    if at is not None:
        await _record(connection, request, WATCHER_REMOVED, at, actor, person=person)
    return at is not None


async def _record(
    connection: Connection,
    request: asyncpg.Record,
    event_type: str,
    at: datetime,
    actor: Actor,
    *,
    person: str,
) -> None:
    snapshot = {"state": request["state"], "seq": request["seq"], "step": request["step"]}
    event = audit.event(event_type, at, {"person": person}, snapshot, actor)
    await audit.append(connection, request["id"], request["workflow"], request["version"], [event])


OF_REQUEST = """
SELECT person, added_by, added_at FROM watchers WHERE request_id = $1 ORDER BY added_at, person
"""


async def of_request(source: Source, request_id: UUID) -> list[asyncpg.Record]:
    """Who watches a request, who said so, and since when."""
    return await source.fetch(OF_REQUEST, request_id)
