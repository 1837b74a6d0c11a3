"""What a rule decided: requests that an `action` step of a version ended, as the audit trail has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from contract.conditions import condition
from contract.events import STEP_COMPLETED
from recipes.model import Json
from storage.jsonpath import jsonpath
from storage.pool import Source


@dataclass(frozen=True, slots=True)
class Rule:
    """An `action` step of a version, and which of its decisions: since then, before then, of requests
    whose inputs fulfil the condition `where` (see `contract.conditions`)."""

    workflow: str
    version: int
    step: str
    since: datetime | None = None
    until: datetime | None = None
    where: str | None = None

    def selection(self) -> dict[str, Json]:
        return {"since": self.since, "until": self.until, "where": self.where}


# $1 workflow, $2 version, $3 step, $4 since, $5 until, $6 condition.
DECIDED = f"""
decided AS (
    SELECT r.id, a.occurred_at AS decided_at
      FROM audit a JOIN requests r ON r.id = a.request_id
     WHERE a.workflow_id = $1 AND a.workflow_version = $2 AND a.event_type = '{STEP_COMPLETED}'
       AND a.payload->>'step' = $3 AND a.payload ? 'rule'
       AND ($4::timestamptz IS NULL OR a.occurred_at >= $4)
       AND ($5::timestamptz IS NULL OR a.occurred_at < $5)
       AND ($6::text IS NULL OR r.inputs @@ $6::text::jsonpath)
)"""


def arguments(rule: Rule) -> list[Any]:
    """Those of `DECIDED`. ConditionInvalid if `where` says none."""
    where = None if rule.where is None else jsonpath(condition(rule.where))
    return [rule.workflow, rule.version, rule.step, rule.since, rule.until, where]


ITEMS = f"""
WITH {DECIDED}
SELECT d.decided_at, r.id, r.title, r.requester, r.inputs, r.state, r.created_at, r.recall_id
  FROM decided d JOIN requests r USING (id)
 WHERE (d.decided_at, r.id) < ($7, $8) ORDER BY d.decided_at DESC, r.id DESC LIMIT $9
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
SELECT r.inputs #>> string_to_array($7::text, '.') AS value, count(*) AS requests,
       sum(CASE WHEN jsonb_typeof(r.inputs #> string_to_array($8::text, '.')) = 'number'
                THEN (r.inputs #>> string_to_array($8::text, '.'))::numeric END)::text AS sum
  FROM decided d JOIN requests r USING (id)
 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $9
"""
IN_FLIGHT = """
SELECT count(*) FROM requests WHERE workflow = $1 AND version = $2 AND finalized_at IS NULL
"""


async def items(
    source: Source, rule: Rule, before: tuple[datetime, UUID], limit: int
) -> list[asyncpg.Record]:
    """Requests that the rule decided, the last first, before that moment and id."""
    return await source.fetch(ITEMS, *arguments(rule), *before, limit)


async def totals(source: Source, rule: Rule) -> asyncpg.Record:
    """How many it decided, how many of them are recalled, and when the first and last were decided."""
    row = await source.fetchrow(TOTALS, *arguments(rule))
    assert row is not None
    return row


async def groups(
    source: Source, rule: Rule, by: str | None, add_up: str | None, limit: int
) -> Sequence[asyncpg.Record]:
    """How many there are for each value of an input, the most first, and the sum of another one."""
    return await source.fetch(GROUPS, *arguments(rule), by, add_up, limit)


# Of the hot tier alone are decisions counted: these months may have more.
COLD = """
SELECT ARRAY(SELECT to_char(month, 'YYYY-MM') FROM audit_months
              WHERE state NOT IN ('verified') AND $1 = ANY(workflows)
                AND ($2::timestamptz IS NULL OR last_at >= $2)
                AND ($3::timestamptz IS NULL OR first_at < $3)
              ORDER BY month)
"""


async def cold_months(source: Source, rule: Rule) -> list[str]:
    """Months (`2026-05`) of the cold tier that may have decisions of the rule, which are not counted."""
    found: list[str] = await source.fetchval(COLD, rule.workflow, rule.since, rule.until)
    return found


async def in_flight(source: Source, rule: Rule) -> int:
    """How many requests are on the version still: the rule may yet decide them."""
    return int(await source.fetchval(IN_FLIGHT, rule.workflow, rule.version))
