"""How long approvals take, and where they wait: figures of a time, without what anybody wrote.

What another system carried out (imports) is not counted. Lengths are seconds.
"""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from storage.pool import Source


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` until before `until`; of one workflow, or of all."""

    since: datetime
    until: datetime
    workflow: str | None = None


CYCLES = """
SELECT r.workflow, r.state, count(*) AS requests,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM r.finalized_at - r.created_at))::float8 AS p50,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM r.finalized_at - r.created_at))::float8 AS p90
  FROM requests r
 WHERE NOT r.imported AND r.finalized_at >= $1 AND r.finalized_at < $2 AND ($3::text IS NULL OR r.workflow = $3)
 GROUP BY r.workflow, r.state ORDER BY r.workflow, r.state
"""


async def cycles(source: Source, period: Period) -> list[asyncpg.Record]:
    """Requests that ended, by workflow and how: how many, and how long they took."""
    return await source.fetch(CYCLES, period.since, period.until, period.workflow)


# Also weeks in which nothing ended: a gap is an answer.
WEEKS = """
WITH ended AS (
    SELECT date_trunc('week', r.finalized_at, 'UTC') AS week,
           extract(epoch FROM r.finalized_at - r.created_at)::float8 AS took
      FROM requests r
     WHERE NOT r.imported AND r.finalized_at >= $1 AND r.finalized_at < $2 AND ($3::text IS NULL OR r.workflow = $3))
SELECT w.week, count(e.took) AS requests,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY e.took) AS p50,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY e.took) AS p90
  FROM generate_series(date_trunc('week', $1::timestamptz, 'UTC'), $2::timestamptz - interval '1 microsecond',
                       interval '7 days') AS w(week)
  LEFT JOIN ended e ON e.week = w.week
 GROUP BY w.week ORDER BY w.week
"""


async def weeks(source: Source, period: Period) -> list[asyncpg.Record]:
    """The same by week (Monday, UTC), the first one first."""
    return await source.fetch(WEEKS, period.since, period.until, period.workflow)


# A task whose time ran out was escalated if the next level took its seat; otherwise its recipe said what counts.
_ESCALATED = """count(*) FILTER (WHERE EXISTS (
           SELECT FROM tasks n WHERE n.request_id = t.request_id AND n.step = t.step AND n.seat = t.seat
                                 AND n.level = t.level + 1 AND n.opened_at >= t.opened_at))"""

STEPS = f"""
WITH decided AS (
    SELECT r.workflow, t.step, count(*) AS decided,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM d.decided_at - t.opened_at))::float8 AS p50,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM d.decided_at - t.opened_at))::float8 AS p90
      FROM decisions d JOIN tasks t ON t.id = d.task_id JOIN requests r ON r.id = d.request_id
     WHERE d.decided_at >= $1 AND d.decided_at < $2 AND NOT r.imported AND ($3::text IS NULL OR r.workflow = $3)
     GROUP BY r.workflow, t.step
), expired AS (
    SELECT r.workflow, t.step, count(*) AS expired, {_ESCALATED} AS escalated
      FROM tasks t JOIN requests r ON r.id = t.request_id
     WHERE t.state = 'expired' AND t.closed_at >= $1 AND t.closed_at < $2 AND NOT r.imported
       AND ($3::text IS NULL OR r.workflow = $3)
     GROUP BY r.workflow, t.step
), waiting AS (
    SELECT r.workflow, t.step, count(*) AS open, count(*) FILTER (WHERE t.due_at < now()) AS overdue
      FROM requests r JOIN tasks t ON t.request_id = r.id
     WHERE r.finalized_at IS NULL AND t.state = 'open' AND ($3::text IS NULL OR r.workflow = $3)
     GROUP BY r.workflow, t.step)
SELECT workflow, step, coalesce(decided, 0) AS decided, p50, p90, coalesce(expired, 0) AS expired,
       coalesce(escalated, 0) AS escalated, coalesce(open, 0) AS open, coalesce(overdue, 0) AS overdue
  FROM decided FULL JOIN expired USING (workflow, step) FULL JOIN waiting USING (workflow, step)
 ORDER BY workflow, step
"""


async def steps(source: Source, period: Period) -> list[asyncpg.Record]:
    """Steps of workflows: decisions and how long they were waited for, times that ran out within the
    period, and how many of these were escalated; and how many tasks are open and overdue now."""
    return await source.fetch(STEPS, period.since, period.until, period.workflow)


APPROVERS = f"""
WITH decided AS (
    SELECT d.actor AS person, count(*) AS decided,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM d.decided_at - t.opened_at))::float8 AS p50,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM d.decided_at - t.opened_at))::float8 AS p90
      FROM decisions d JOIN tasks t ON t.id = d.task_id JOIN requests r ON r.id = d.request_id
     WHERE d.decided_at >= $1 AND d.decided_at < $2 AND NOT r.imported AND ($3::text IS NULL OR r.workflow = $3)
     GROUP BY d.actor
), expired AS (
    SELECT t.assignee AS person, count(*) AS expired, {_ESCALATED} AS escalated
      FROM tasks t JOIN requests r ON r.id = t.request_id
     WHERE t.state = 'expired' AND t.assignee IS NOT NULL AND t.closed_at >= $1 AND t.closed_at < $2 AND NOT r.imported
       AND ($3::text IS NULL OR r.workflow = $3)
     GROUP BY t.assignee
), late AS (
    SELECT t.assignee AS person, count(*) AS overdue
      FROM tasks t JOIN requests r ON r.id = t.request_id
     WHERE t.state = 'open' AND t.due_at < now() AND t.assignee IS NOT NULL
       AND ($3::text IS NULL OR r.workflow = $3)
     GROUP BY t.assignee)
SELECT person, coalesce(decided, 0) AS decided, p50, p90, coalesce(expired, 0) AS expired,
       coalesce(escalated, 0) AS escalated, coalesce(overdue, 0) AS overdue
  FROM decided FULL JOIN expired USING (person) FULL JOIN late USING (person)
 ORDER BY coalesce(overdue, 0) DESC, coalesce(decided, 0) DESC, person LIMIT $4
"""


async def approvers(source: Source, period: Period, most: int) -> list[asyncpg.Record]:
    """People who decided, let a time run out, or have overdue tasks now: those with most overdue first."""
    return await source.fetch(APPROVERS, period.since, period.until, period.workflow, most)
