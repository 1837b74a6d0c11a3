"""What an explanation tells beside the chain: names, delegations with their dates, why it was reassigned."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from storage import asks
from storage.pool import Source, vault_of

NAMES = "SELECT id, name FROM people WHERE id = ANY($1::text[])"


async def names(source: Source, ids: Collection[str]) -> dict[str, str]:
    """What people are called, by id."""
    rows = await source.fetch(NAMES, list(ids)) if ids else []
    return {row["id"]: row["name"] for row in rows}


DELEGATIONS = """
SELECT d.id, d.delegator, d.delegate, d.scope, lower(d.valid) AS begins, upper(d.valid) AS ends
  FROM delegations d WHERE d.id = ANY($1::uuid[])
"""


async def delegations(source: Source, ids: Collection[str]) -> dict[str, asyncpg.Record]:
    """Delegations by id, as they stand now: one that was ended early says when."""
    rows = await source.fetch(DELEGATIONS, [UUID(id_) for id_ in ids]) if ids else []
    return {str(row["id"]): row for row in rows}


# The command's outcome and what came of it are written at one moment; a task that was opened later
# by asking again rests on the same command.
REASSIGNED = """
SELECT c.actor, c.comment, c.settled_at FROM commands c
 WHERE c.request_id = $1 AND c.command = 'reassign' AND c.applied AND c.details->>'seat' = $2
   AND c.settled_at <= $3
 ORDER BY c.settled_at DESC LIMIT 1
"""


async def reassigned(
    source: Source, request_id: UUID, seat: str, at: datetime
) -> asyncpg.Record | None:
    """Who gave a seat to somebody by hand, and why: the last time until `at`."""
    return await source.fetchrow(REASSIGNED, request_id, seat, at)


# Whom they were added for is who decides, or on whose behalf.
ADDED = """
SELECT c.actor, c.comment, c.settled_at FROM commands c
 WHERE c.request_id = $1 AND c.command = 'add_approver' AND c.applied AND c.details->>'to' = ANY($2)
   AND c.settled_at <= $3
 ORDER BY c.settled_at DESC LIMIT 1
"""


async def added(
    source: Source, request_id: UUID, people: Collection[str], at: datetime
) -> asyncpg.Record | None:
    """Who added one of these people to a request, and why: the last time until `at`."""
    return await source.fetchrow(ADDED, request_id, list(people), at)


_TASK = """
t.id, t.request_id, t.step, t.branch, t.seat, t.state, t.assignee, t.candidates, t.role,
t.on_behalf_of, t.via, t.chain, t.level, t.ask, t.opened_at, t.closed_at"""

TASK = f"SELECT {_TASK} FROM tasks t WHERE t.id = $1"


async def task(source: Source, task_id: UUID) -> dict[str, Any] | None:
    """A task with how its assignment was found, and the question that was asked: with the amount that is
    to be covered, which nobody is shown."""
    row = await source.fetchrow(TASK, task_id)
    return None if row is None else await _opened(source, row)


async def _opened(source: Source, row: asyncpg.Record) -> dict[str, Any]:
    keys = None
    if asks.sealed(row["ask"]):
        keys = await vault_of(source).writing(source, row["request_id"])
    return dict(row.items()) | {"ask": asks.opened(row["ask"], keys)}


STANDING = f"""
SELECT DISTINCT ON (t.seat) {_TASK} FROM tasks t
 WHERE t.request_id = $1 AND t.step = $2 AND t.opened_at <= $3
   AND (t.closed_at IS NULL OR t.closed_at > $3)
 ORDER BY t.seat, t.opened_at DESC
"""


async def standing(
    source: Source, request_id: UUID, step: str, at: datetime
) -> dict[str, dict[str, Any]]:
    """The tasks of a step that were open at `at`, by their seats, as `task` gives them."""
    rows = await source.fetch(STANDING, request_id, step, at)
    return {row["seat"]: await _opened(source, row) for row in rows}
