"""Delegations as people keep them: set, list, end. `storage.directory` follows them.

Setting and ending run in the transaction of `storage.org.lock`, which gives the moment: the directory
is written by one at a time, each at a later instant than the one before.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import asyncpg

from contract.events import DELEGATION_ENDED, DELEGATION_SET
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit
from storage.approvers import DELEGATION_LIMIT
from storage.org import CHAIN
from storage.pool import Connection, Source
from storage.sweep import Touched, sweep_touched

Direction: TypeAlias = Literal["given", "received", "all"]
"""Whose delegations: those somebody gave, those they received, or both."""

_COLUMNS = """
d.id, d.delegator, d.delegate, d.scope, lower(d.valid) AS begins, upper(d.valid) AS ends, d.reason,
d.created_by, d.created_at, d.ended_by, d.ended_at, d.end_reason"""


@dataclass(frozen=True, slots=True)
class Setting:
    """A delegation to be set: [begins, ends), an open end being until it is ended."""

    id: UUID
    delegator: str
    delegate: str
    scope: str
    begins: datetime
    ends: datetime | None
    reason: str | None


TIME_ZONE = "SELECT time_zone FROM people WHERE id = $1"


async def time_zone(source: Source, person: str) -> str | None:
    """The name of somebody's time zone; None if there is no such person."""
    name: str | None = await source.fetchval(TIME_ZONE, person)
    return name


_WORKFLOW, _ROLE = (
    "substring({scope} FROM '^workflow:(.*)')",
    "substring({scope} FROM '^role:(.*)')",
)

# Paths of delegations that begin with the one to be set, each as long as all of it holds at one time, for one workflow
# and role at most: $5 to $6 and $4 are the first one's. That of several the closer scope counts is left aside: the
# closer one may be ended. One that has left is not followed. A path ends where somebody comes again, or one too many.
_PATHS = f"""
path AS (
    SELECT ARRAY[$1, $2]::text[] AS people, false AS again, tstzrange($5, $6) AS valid,
           {_WORKFLOW.format(scope="$4")} AS workflow, {_ROLE.format(scope="$4")} AS role
    UNION ALL
    SELECT p.people || d.delegate, d.delegate = ANY(p.people), p.valid * d.valid,
           coalesce(p.workflow, {_WORKFLOW.format(scope="d.scope")}), coalesce(p.role, {_ROLE.format(scope="d.scope")})
      FROM path p JOIN delegations d ON d.delegator = p.people[cardinality(p.people)] AND d.valid && p.valid
      JOIN people h ON h.id = d.delegator AND h.employed && (p.valid * d.valid)
     WHERE NOT p.again AND cardinality(p.people) <= {DELEGATION_LIMIT + 1}
       AND coalesce({_WORKFLOW.format(scope="d.scope")} = p.workflow, true)
       AND coalesce({_ROLE.format(scope="d.scope")} = p.role, true)
)"""

# Who is known, and here at $3; whether the scope names something; where it would lead nowhere; and what would overlap.
PREPARE = f"""
WITH RECURSIVE {_PATHS}
SELECT (SELECT p.employed @> $3::timestamptz FROM people p WHERE p.id = $1) AS delegator_here,
       (SELECT p.employed @> $3::timestamptz FROM people p WHERE p.id = $2) AS delegate_here,
       CASE split_part($4, ':', 1)
            WHEN 'role' THEN EXISTS (SELECT 1 FROM roles WHERE name = split_part($4, ':', 2))
            WHEN 'workflow' THEN EXISTS (SELECT 1 FROM recipes WHERE workflow = split_part($4, ':', 2))
            ELSE true END AS scope_known,
       (SELECT people FROM path WHERE again OR cardinality(people) > {DELEGATION_LIMIT + 1}
         ORDER BY again DESC, cardinality(people), people LIMIT 1) AS nowhere,
       o.*
  FROM (SELECT) one LEFT JOIN LATERAL (
       SELECT {_COLUMNS} FROM delegations d
        WHERE d.delegator = $1 AND d.scope = $4 AND d.valid && tstzrange($5, $6)
        ORDER BY lower(d.valid) LIMIT 1) o ON true
"""


async def prepare(source: Source, item: Setting, at: datetime) -> asyncpg.Record:
    """What setting a delegation depends on: `delegator_here` and `delegate_here` (null for nobody
    known), `scope_known`, the people of a circle or of too many delegations that it would lead to
    (`nowhere`), and the first delegation that it would overlap; or nulls."""
    row = await source.fetchrow(
        PREPARE, item.delegator, item.delegate, at, item.scope, item.begins, item.ends
    )
    assert row is not None
    return row


INSERT = f"""
INSERT INTO delegations AS d (id, delegator, delegate, scope, valid, reason, created_by, created_at)
VALUES ($1, $2, $3, $4, tstzrange($5, $6), $7, $8, $9) RETURNING {_COLUMNS}
"""


async def insert(
    connection: Connection, item: Setting, actor: Actor, at: datetime
) -> asyncpg.Record:
    """Set a delegation; whoever has open tasks of the delegator is asked for anew, if it has
    begun. ExclusionViolationError if it overlaps one that `prepare` did not see."""
    row = await connection.fetchrow(
        INSERT,
        item.id,
        item.delegator,
        item.delegate,
        item.scope,
        item.begins,
        item.ends,
        item.reason,
        actor.user,
        at,
    )
    assert row is not None
    await _record(connection, DELEGATION_SET, row, actor, at)
    if item.begins <= at:
        await sweep_touched(connection, at, Touched((item.delegator,)))
    return row


LOAD = f"SELECT {_COLUMNS} FROM delegations d WHERE d.id = $1"


async def load(source: Source, delegation_id: UUID) -> asyncpg.Record | None:
    return await source.fetchrow(LOAD, delegation_id)


# Ended before it began, nothing of it remains valid.
END = f"""
UPDATE delegations d
   SET valid = CASE WHEN lower(valid) >= $2 THEN 'empty' ELSE tstzrange(lower(valid), $2) END,
       ended_by = $3, ended_at = $2, end_reason = $4
 WHERE id = $1 AND coalesce(upper(valid), 'infinity') > $2 AND NOT isempty(valid)
RETURNING {_COLUMNS}
"""


async def end(
    connection: Connection,
    delegation_id: UUID,
    actor: Actor,
    at: datetime,
    reason: str | None = None,
) -> asyncpg.Record | None:
    """End a delegation at `at`: how it stands then, or None if it was over before. The delegator's
    tasks come back to them."""
    row = await connection.fetchrow(END, delegation_id, at, actor.user, reason)
    if row is not None:
        await _record(connection, DELEGATION_ENDED, row, actor, at)
        await sweep_touched(connection, at, Touched((row["delegator"],)))
    return row


async def _record(
    connection: Connection, event_type: str, row: asyncpg.Record, actor: Actor, at: datetime
) -> None:
    payload: dict[str, Json] = {
        "id": str(row["id"]),
        "delegator": row["delegator"],
        "delegate": row["delegate"],
        "scope": row["scope"],
        "from": row["begins"],
        "to": row["ends"],
        "reason": row["reason"],
    }
    if event_type == DELEGATION_ENDED:
        payload["end_reason"] = row["end_reason"]
    event = audit.event(event_type, at, payload, {}, actor)
    await audit.append_plain(connection, CHAIN, "org", 1, [event])


# $2 given, $3 received: either side has its index. $4: also those that are over.
LIST = f"""
SELECT {_COLUMNS} FROM delegations d
 WHERE ($2 AND d.delegator = $1 OR $3 AND d.delegate = $1)
   AND ($4 OR NOT isempty(d.valid) AND coalesce(upper(d.valid), 'infinity') > now())
   AND (d.created_at, d.id) < ($5, $6)
 ORDER BY d.created_at DESC, d.id DESC LIMIT $7
"""


async def newest(
    source: Source,
    person: str,
    direction: Direction,
    limit: int,
    before: tuple[datetime, UUID],
    *,
    over: bool,
) -> list[asyncpg.Record]:
    """A person's delegations, the latest first, older than `before` (created_at, id); with `over`,
    those too that have ended."""
    given, received = direction != "received", direction != "given"
    arguments: tuple[Any, ...] = (given, received, over, *before, limit)
    return await source.fetch(LIST, person, *arguments)


IN_FORCE = f"""
SELECT {_COLUMNS} FROM delegations d
 WHERE (d.delegator = $1 OR d.delegate = $1) AND d.valid @> $2::timestamptz
 ORDER BY d.created_at DESC, d.id DESC LIMIT 200
"""


async def in_force(source: Source, person: str, at: datetime) -> list[asyncpg.Record]:
    """The delegations that somebody gave or received and that hold at a moment."""
    return await source.fetch(IN_FORCE, person, at)
