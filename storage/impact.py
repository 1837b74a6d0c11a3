"""What a rule decided: requests that an `action` step of a version ended, as the audit trail has it.

Both tiers are counted: what is found of the cold one (`moved`) goes as values into each query of Postgres.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from contract.conditions import condition
from contract.events import STEP_COMPLETED
from storage.jsonpath import jsonpath
from storage.pool import Connection, Source
from storage.rules import Rule
from storage.trail import STAY, Trail


@dataclass(frozen=True, slots=True)
class Moved:
    """What the cold tier has of a rule's decisions: which requests, and when, in the same order. `deleted`
    are months (`2019-05`) that may have had more."""

    requests: tuple[UUID, ...] = ()
    times: tuple[datetime, ...] = ()
    deleted: tuple[str, ...] = ()


DELETED = """
SELECT to_char(month, 'YYYY-MM') AS month FROM audit_months
 WHERE state IN ('expired', 'deleted') AND $1 = ANY(workflows)
   AND ($2::timestamptz IS NULL OR last_at >= $2) AND ($3::timestamptz IS NULL OR first_at < $3)
 ORDER BY month
"""


async def moved(connection: Connection, trail: Trail, rule: Rule) -> Moved:
    """In a transaction, before anything that depends on its snapshot: no month moves before it ends.
    ColdUnavailable."""
    await connection.execute(STAY)
    found = await trail.ended_by(connection, rule)
    deleted = await connection.fetch(DELETED, rule.workflow, rule.since, rule.until)
    return Moved(
        tuple(request_id for request_id, _ in found),
        tuple(at for _, at in found),
        tuple(row["month"] for row in deleted),
    )


# $1 workflow, $2 version, $3 step, $4 since, $5 until, $6 condition; $7 $8: requests of the cold tier, and when.
DECIDED = f"""
decided AS (
    SELECT r.id, d.decided_at
      FROM (SELECT a.request_id, a.occurred_at
              FROM audit a
             WHERE a.workflow_id = $1 AND a.workflow_version = $2 AND a.event_type = '{STEP_COMPLETED}'
               AND a.payload->>'step' = $3 AND a.payload ? 'rule'
               AND ($4::timestamptz IS NULL OR a.occurred_at >= $4)
               AND ($5::timestamptz IS NULL OR a.occurred_at < $5)
            UNION ALL SELECT * FROM unnest($7::uuid[], $8::timestamptz[])) d(request_id, decided_at)
      JOIN requests r ON r.id = d.request_id
     WHERE ($6::text IS NULL OR r.inputs @@ (SELECT $6::text::jsonpath))
)"""


def arguments(rule: Rule, cold: Moved) -> list[Any]:
    """Those of `DECIDED`. ConditionInvalid if `where` says none."""
    where = None if rule.where is None else jsonpath(condition(rule.where))
    mine = [rule.workflow, rule.version, rule.step, rule.since, rule.until, where]
    return [*mine, cold.requests, cold.times]


ITEMS = f"""
WITH {DECIDED}
SELECT d.decided_at, r.id, r.title, r.requester, r.inputs, r.private, r.sealed, r.state, r.created_at, r.recall_id
  FROM decided d JOIN requests r USING (id)
 WHERE (d.decided_at, r.id) < ($9, $10) ORDER BY d.decided_at DESC, r.id DESC LIMIT $11
"""
TOTALS = f"""
WITH {DECIDED}
SELECT count(*) AS requests, count(r.recall_id) AS recalled,
       min(d.decided_at) AS first_at, max(d.decided_at) AS last_at
  FROM decided d JOIN requests r USING (id)
"""
# What is no number is not added up. Without a name to group by there is one group.
GROUPS = f"""
WITH {DECIDED}
SELECT r.inputs #>> string_to_array($9::text, '.') AS value, count(*) AS requests,
       sum(CASE WHEN jsonb_typeof(r.inputs #> string_to_array($10::text, '.')) = 'number'
                THEN (r.inputs #>> string_to_array($10::text, '.'))::numeric END)::text AS sum
  FROM decided d JOIN requests r USING (id)
 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $11
"""
IN_FLIGHT = """
SELECT count(*) FROM requests WHERE workflow = $1 AND version = $2 AND finalized_at IS NULL
"""


async def items(
    source: Source, rule: Rule, cold: Moved, before: tuple[datetime, UUID], limit: int
) -> list[asyncpg.Record]:
    """Requests that the rule decided, the last first, before that moment and id."""
    return await source.fetch(ITEMS, *arguments(rule, cold), *before, limit)


async def totals(source: Source, rule: Rule, cold: Moved) -> asyncpg.Record:
    """How many it decided, how many of them are recalled, and when the first and last were decided."""
    row = await source.fetchrow(TOTALS, *arguments(rule, cold))
    assert row is not None
    return row


async def groups(
    source: Source, rule: Rule, cold: Moved, limit: int, *, by: str | None, add_up: str | None
) -> Sequence[asyncpg.Record]:
    """How many there are for each value of an input, the most first, and the sum of another one."""
    return await source.fetch(GROUPS, *arguments(rule, cold), by, add_up, limit)


async def in_flight(source: Source, rule: Rule) -> int:
    """How many requests are on the version still: the rule may yet decide them."""
    return int(await source.fetchval(IN_FLIGHT, rule.workflow, rule.version))
