"""How much there is of everything."""

from dataclasses import dataclass
from datetime import datetime

from storage.pool import Source


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
