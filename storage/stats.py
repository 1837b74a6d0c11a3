"""How much there is of everything."""

from dataclasses import dataclass
from datetime import datetime

from storage.pool import Pool, Source


@dataclass(frozen=True, slots=True)
class Outbox:
    rows: int
    oldest_seconds: float


OUTBOX = """
SELECT count(*) AS rows,
       greatest(0, coalesce(extract(epoch FROM now() - min(created_at)), 0))::float8 AS oldest_seconds
  FROM outbox
"""


async def outbox(source: Source) -> Outbox:
    """How many rows wait in the outbox, and the age of the oldest in seconds."""
    row = await source.fetchrow(OUTBOX)
    assert row is not None
    return Outbox(row["rows"], row["oldest_seconds"])


@dataclass(frozen=True, slots=True)
class Counts:
    """`requests` by state, without those `imported`; `incidents` counts requests that have one."""

    at: datetime
    requests: dict[str, int]
    imported: int
    open_tasks: int
    incidents: int


COUNTS = """
SELECT now() AS at,
       (SELECT coalesce(jsonb_object_agg(state, n), '{}')
          FROM (SELECT state, count(*) AS n FROM requests WHERE NOT imported GROUP BY state) s) AS requests,
       (SELECT count(*) FROM requests WHERE imported) AS imported,
       (SELECT count(*) FROM tasks WHERE state = 'open') AS open_tasks,
       (SELECT count(*) FROM requests WHERE incidents <> '[]') AS incidents
"""


async def counts(source: Source) -> Counts:
    """All counts. Reads every request: callers keep the answer for a while."""
    row = await source.fetchrow(COUNTS)
    assert row is not None
    return Counts(**dict(row))


async def ping(source: Source) -> None:
    """Raises unless Postgres answers."""
    await source.fetchval("SELECT 1")


@dataclass(frozen=True, slots=True)
class Standing:
    """What waits for people: open tasks, those of them past their time, requests with incidents."""

    open: int
    overdue: int
    incidents: int


STANDING = """
SELECT workflow, sum(open)::int AS open, sum(overdue)::int AS overdue, sum(incidents)::int AS incidents
  FROM (SELECT r.workflow, count(*) AS open, count(*) FILTER (WHERE t.due_at < now()) AS overdue, 0 AS incidents
          FROM tasks t JOIN requests r ON r.id = t.request_id
         WHERE t.state = 'open'
         GROUP BY r.workflow
         UNION ALL
        SELECT workflow, 0, 0, count(*) FROM requests WHERE incidents <> '[]' GROUP BY workflow) s
 GROUP BY workflow
"""


# One counts; whoever comes meanwhile, or soon after, has what was counted last.
TURN = """
SELECT FROM counted WHERE what = 'standing' AND counted_at <= clock_timestamp() - make_interval(secs => $1)
   FOR UPDATE SKIP LOCKED
"""
COUNTED = """
UPDATE counted SET counted_at = clock_timestamp(), counts = $1 WHERE what = 'standing'
"""
LAST_COUNTED = "SELECT counts FROM counted WHERE what = 'standing'"


async def standing(pool: Pool, seconds: float) -> dict[str, Standing]:
    """By workflow; without those of which nothing waits. Counted anew if nobody has done so for so long: that
    reads every open task."""
    async with pool.acquire() as connection, connection.transaction():
        if await connection.fetchrow(TURN, seconds) is not None:
            rows = await connection.fetch(STANDING)
            counts = {row["workflow"]: [row[name] for name in _STANDING] for row in rows}
            await connection.execute(COUNTED, counts)
        found = await connection.fetchval(LAST_COUNTED)
    return {workflow: Standing(*counts) for workflow, counts in found.items()}


_STANDING = ("open", "overdue", "incidents")
