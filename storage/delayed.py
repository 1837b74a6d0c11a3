"""Decisions that may be undone until they are sent: one of each person on each task, sealed with its request's keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from contract import content
from recipes.model import Json
from storage.pool import Source, vault_of

_AT_ONCE = 50
_LEASE_SECONDS = 30
_KEPT = "1 day"
_SHOWN = "30 days"
"""A refusal is shown until it is dismissed, and no longer than this: who decides on a Friday reads it on Monday."""

# What became of it: `replaced` by another decision of the same person, who knows.
_COLUMNS = """
d.id, d.task_id, d.request_id, d.decision, d.made_at, d.send_at, d.taken_until, d.ended_at, d.refusal,
r.workflow, r.title, r.private, r.sealed, t.step,
coalesce((SELECT o->>'name' FROM jsonb_array_elements(t.outcomes) o WHERE o->>'id' = d.decision), d.decision) AS name,
CASE WHEN d.ended_at IS NULL THEN 'waiting' WHEN d.refusal IS NOT NULL THEN 'refused'
     WHEN EXISTS (SELECT FROM decisions e WHERE e.task_id = d.task_id AND e.actor = d.person AND e.decision = d.decision)
     THEN 'sent' ELSE 'replaced' END AS state"""


@dataclass(frozen=True, slots=True)
class Delaying:
    """A decision to be kept: `body` is what is sent, `roles` are those of the token that it came with."""

    task_id: UUID
    request_id: UUID
    person: str
    roles: frozenset[str]
    decision: str
    body: dict[str, Json]
    seconds: int


# Who decides otherwise before the first one is sent has changed their mind.
KEEP = """
INSERT INTO delayed_decisions AS d (id, task_id, request_id, person, roles, decision, body, made_at, send_at)
SELECT $1, $2, $3, $4, $5, $6, $7, now.at, now.at + make_interval(secs => $8)
  FROM (SELECT clock_timestamp() AS at OFFSET 0) now
ON CONFLICT (person, task_id) WHERE ended_at IS NULL DO UPDATE
   SET roles = excluded.roles, decision = excluded.decision, body = excluded.body,
       made_at = excluded.made_at, send_at = excluded.send_at
 WHERE d.taken_until IS NULL
RETURNING d.id
"""


async def keep(source: Source, item: Delaying) -> UUID | None:
    """Keep a decision until it is time: its id, or None if the person's decision on this task is being sent."""
    keys = await vault_of(source).writing(source, item.request_id)
    found: UUID | None = await source.fetchval(
        KEEP,
        uuid4(),
        item.task_id,
        item.request_id,
        item.person,
        sorted(item.roles),
        item.decision,
        content.boxed(item.body, keys),
        item.seconds,
    )
    return found


ONE = f"""
SELECT {_COLUMNS}
  FROM delayed_decisions d JOIN requests r ON r.id = d.request_id JOIN tasks t ON t.id = d.task_id
 WHERE d.id = $1 AND d.person = $2
"""


async def one(source: Source, delayed_id: UUID, person: str) -> asyncpg.Record | None:
    """A person's own, whatever became of it."""
    return await source.fetchrow(ONE, delayed_id, person)


OF_PERSON = f"""
SELECT {_COLUMNS}
  FROM delayed_decisions d JOIN requests r ON r.id = d.request_id JOIN tasks t ON t.id = d.task_id
 WHERE d.person = $1 AND (d.ended_at IS NULL OR d.refusal IS NOT NULL AND d.ended_at > now() - interval '{_SHOWN}')
 ORDER BY d.made_at, d.id LIMIT 200
"""


async def of_person(source: Source, person: str) -> list[asyncpg.Record]:
    """What is still to be sent, and what was refused and not dismissed; the oldest first."""
    return await source.fetch(OF_PERSON, person)


UNDO = """
DELETE FROM delayed_decisions
 WHERE id = $1 AND person = $2 AND (taken_until IS NULL OR refusal IS NOT NULL) RETURNING id
"""


async def undo(source: Source, delayed_id: UUID, person: str) -> bool:
    """Forget it, unless it was sent or is being sent: whether that was in time."""
    return await source.fetchval(UNDO, delayed_id, person) is not None


# A lease that ran out is of a process that died: it may have decided, and deciding so again changes nothing.
TAKE = """
UPDATE delayed_decisions d SET taken_until = clock_timestamp() + make_interval(secs => $2)
  FROM (SELECT id FROM delayed_decisions
         WHERE ended_at IS NULL AND send_at <= clock_timestamp()
           AND (taken_until IS NULL OR taken_until < clock_timestamp())
         ORDER BY send_at, id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED) due
 WHERE d.id = due.id
RETURNING d.id, d.task_id, d.request_id, d.person, d.roles, d.body
"""


async def take(source: Source, limit: int = _AT_ONCE) -> Sequence[asyncpg.Record]:
    """Those that are due, for whoever sends them now; nobody else gets them for half a minute."""
    return await source.fetch(TAKE, limit, _LEASE_SECONDS)


async def body(source: Source, row: asyncpg.Record) -> Any:
    """What is to be sent, of a row of `take`. CannotOpen where its request's keys are gone."""
    keys = await vault_of(source).writing(source, row["request_id"])
    return content.unboxed(row["body"], keys)


END = """
UPDATE delayed_decisions SET ended_at = clock_timestamp(), body = NULL, refusal = $2
 WHERE id = $1 AND ended_at IS NULL
"""


async def end(source: Source, delayed_id: UUID, refusal: dict[str, Json] | None = None) -> None:
    """It was sent, or refused."""
    await source.execute(END, delayed_id, refusal)


FORGET = f"""
DELETE FROM delayed_decisions
 WHERE ended_at < now() - CASE WHEN refusal IS NULL THEN interval '{_KEPT}' ELSE interval '{_SHOWN}' END
"""


async def forget(source: Source) -> None:
    """Those that ended more than a day ago, and refusals after thirty."""
    await source.execute(FORGET)


NEXT = """
SELECT extract(epoch FROM min(greatest(send_at, taken_until)) - clock_timestamp())::float8
  FROM delayed_decisions WHERE ended_at IS NULL
"""


async def seconds_to_next(source: Source) -> float | None:
    """Until the next one is due, or free again; None if there is none."""
    found: float | None = await source.fetchval(NEXT)
    return found
