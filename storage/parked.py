"""What webhook endpoints have still to take: events that failed, and those of the same request that wait behind.

One event of each request is tried at a time, its oldest, so that an endpoint has them in their order. One that
nobody tries any more by themselves is *dead*: it holds up nothing, is seen, and can be sent again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from contract.webhooks import PATIENCE, TRIP
from storage import feed
from storage.feed import Fed, Forgotten
from storage.pool import Connection, Pool, Source


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that an endpoint has still to take, after so many attempts."""

    event: Fed
    attempts: int


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed, and when to try again, in seconds."""

    error: str
    pause: float


_EVENT = (
    "position, event_id, request_id, seq, recorded_at, event_type, workflow, version, of_request"
)
PARK = f"""
WITH kept AS (
INSERT INTO webhook_parked (webhook_id, {_EVENT}, attempts, failed_at, tried_at, last_error, next_at)
SELECT $1, {_EVENT}, CASE WHEN error IS NULL THEN 0 ELSE 1 END,
       CASE WHEN error IS NOT NULL THEN clock_timestamp() END, CASE WHEN error IS NOT NULL THEN clock_timestamp() END,
       error, clock_timestamp() + make_interval(secs => pause)
  FROM unnest($2::bigint[], $3::text[], $4::float8[]) AS p(position, error, pause) JOIN feed USING (position)
RETURNING 1)
SELECT count(*) FROM kept
"""


async def park(
    connection: Connection,
    webhook_id: UUID,
    failed: Sequence[tuple[Fed, Failure]],
    behind: Sequence[Fed],
    untried: Sequence[Fed],
) -> None:
    """Keep events of the feed: those that failed, those that wait behind one of their request, and those that
    were not tried. Forgotten if the feed has lost one meanwhile."""
    events = [
        *((event, failure.error, failure.pause) for event, failure in failed),
        *((event, None, None) for event in behind),
        *((event, None, 0.0) for event in untried),
    ]
    if events:
        positions = [event.position for event, _, _ in events]
        errors, pauses = [error for _, error, _ in events], [pause for _, _, pause in events]
        kept = await connection.fetchval(PARK, webhook_id, positions, errors, pauses)
        if kept < len(events):
            raise Forgotten((await feed.ends(connection))[0])


BLOCKED = """
SELECT DISTINCT request_id FROM webhook_parked
 WHERE webhook_id = $1 AND dead_at IS NULL AND request_id = ANY($2::uuid[])
"""


async def blocked(source: Source, webhook_id: UUID, requests: Sequence[UUID]) -> set[UUID]:
    """Of these requests those with an event that the endpoint has still to take."""
    return {row["request_id"] for row in await source.fetch(BLOCKED, webhook_id, requests)}


DUE = f"""
SELECT {_EVENT}, attempts FROM webhook_parked
 WHERE webhook_id = $1 AND next_at <= clock_timestamp() ORDER BY next_at, position LIMIT $2
"""
LONGEST_UNTRIED = f"""
SELECT {_EVENT}, attempts FROM webhook_parked
 WHERE webhook_id = $1 AND next_at IS NOT NULL ORDER BY tried_at NULLS FIRST, position LIMIT 1
"""


async def due(source: Source, webhook_id: UUID, most: int) -> list[Parked]:
    """Events to try now, each of another request."""
    return [_parked(row) for row in await source.fetch(DUE, webhook_id, most)]


async def longest_untried(source: Source, webhook_id: UUID) -> Parked | None:
    """The event to probe an endpoint with: so none that it never takes is tried for ever."""
    row = await source.fetchrow(LONGEST_UNTRIED, webhook_id)
    return None if row is None else _parked(row)


# The one that waits behind it is tried next.
_NEXT = """
UPDATE webhook_parked p SET next_at = clock_timestamp()
  FROM gone WHERE p.webhook_id = $1 AND p.position = (
       SELECT min(q.position) FROM webhook_parked q WHERE q.webhook_id = $1 AND q.request_id = gone.request_id
          AND q.dead_at IS NULL AND q.position <> $2)
"""
THROUGH = f"""
WITH gone AS (
    DELETE FROM webhook_parked WHERE webhook_id = $1 AND position = $2 RETURNING request_id
) {_NEXT}
"""
FAILED = """
UPDATE webhook_parked
   SET attempts = attempts + 1, failed_at = coalesce(failed_at, clock_timestamp()), tried_at = clock_timestamp(),
       last_error = $3, next_at = clock_timestamp() + make_interval(secs => $4)
 WHERE webhook_id = $1 AND position = $2
"""
BURY = f"""
WITH gone AS (
    UPDATE webhook_parked SET next_at = NULL, dead_at = clock_timestamp()
     WHERE webhook_id = $1 AND position = $2 AND failed_at < clock_timestamp() - $3::interval RETURNING request_id
) {_NEXT} RETURNING 1
"""
DIED = "SELECT dead_at IS NOT NULL FROM webhook_parked WHERE webhook_id = $1 AND position = $2"


async def through(source: Source, webhook_id: UUID, position: int) -> None:
    """It was taken."""
    await source.execute(THROUGH, webhook_id, position)


async def failed(
    connection: Connection, webhook_id: UUID, position: int, failure: Failure, *, may_die: bool
) -> bool:
    """It was not, again: whether it is dead now, having failed for as long as is tried. Where everything fails
    nothing dies."""
    await connection.execute(FAILED, webhook_id, position, failure.error, failure.pause)
    if not may_die:
        return False
    await connection.execute(BURY, webhook_id, position, PATIENCE)
    return bool(await connection.fetchval(DIED, webhook_id, position))


# --- dead letters ---

DEAD = f"""
SELECT {_EVENT}, attempts, failed_at, tried_at, last_error, dead_at FROM webhook_parked
 WHERE webhook_id = $1 AND dead_at IS NOT NULL AND position > $2 ORDER BY position LIMIT $3
"""
ALONE = "SELECT FROM feed_consumers WHERE name = $1 FOR UPDATE"
# The oldest of each request, and what waits behind it; a request with events that are tried has its dead ones behind.
RESEND = """
WITH again AS (
    UPDATE webhook_parked SET dead_at = NULL, attempts = 0, failed_at = NULL, tried_at = NULL, last_error = NULL
     WHERE webhook_id = $1 AND dead_at IS NOT NULL AND ($2::uuid IS NULL OR event_id = $2)
    RETURNING position, request_id
)
SELECT position, request_id FROM again
"""
BEGIN_AGAIN = """
UPDATE webhook_parked p
   SET next_at = CASE WHEN p.position = (
           SELECT min(q.position) FROM webhook_parked q
            WHERE q.webhook_id = $1 AND q.request_id = p.request_id AND q.dead_at IS NULL)
       THEN coalesce(p.next_at, clock_timestamp()) END
 WHERE p.webhook_id = $1 AND p.dead_at IS NULL AND p.request_id = ANY($2::uuid[])
"""


async def dead(
    source: Source, webhook_id: UUID, after: int, limit: int
) -> Sequence[asyncpg.Record]:
    """The events that an endpoint is not sent any more, in the order of the feed."""
    return await source.fetch(DEAD, webhook_id, after, limit)


FORGOTTEN_AT_ONCE = 10_000
# Endpoints first, as whoever removes one does; what is sent again in that moment is left alone.
LONG_DEAD = """
SELECT w.id FROM webhooks w
 WHERE EXISTS (SELECT FROM webhook_parked p WHERE p.webhook_id = w.id AND p.dead_at < now() - make_interval(days => $1))
 ORDER BY w.id FOR NO KEY UPDATE OF w
"""
FORGET = """
WITH old AS (
    SELECT webhook_id, position FROM webhook_parked
     WHERE webhook_id = ANY($3::uuid[]) AND dead_at < now() - make_interval(days => $1)
     ORDER BY webhook_id, position LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM webhook_parked p USING old WHERE (p.webhook_id, p.position) = (old.webhook_id, old.position)
    RETURNING p.webhook_id
), counted AS (
    UPDATE webhooks w SET missed = w.missed + g.rows
      FROM (SELECT webhook_id, count(*) AS rows FROM gone GROUP BY webhook_id) g WHERE g.webhook_id = w.id
)
SELECT count(*) FROM gone
"""


async def forget(pool: Pool, days: int) -> int:
    """Forget what has been dead for so long: how many events. Each is one that its endpoint has missed."""
    async with pool.acquire() as connection, connection.transaction():
        ids = [row["id"] for row in await connection.fetch(LONG_DEAD, days)]
        if not ids:
            return 0
        return int(await connection.fetchval(FORGET, days, FORGOTTEN_AT_ONCE, ids))


async def resend(connection: Connection, webhook_id: UUID, event_id: UUID | None) -> int:
    """Send dead events again, one or all, in a transaction of the caller's: how many. Not while the relay keeps
    what came of its attempts: each would set the next of a request without what the other did."""
    await connection.execute(ALONE, f"webhook:{webhook_id}")
    rows = await connection.fetch(RESEND, webhook_id, event_id)
    requests = list({row["request_id"] for row in rows})
    await connection.execute(BEGIN_AGAIN, webhook_id, requests)
    return len(rows)


# --- how endpoints fare ---

FARED = """
UPDATE webhooks
   SET failures = $2::int, probes = $3::int,
       probe_at = CASE WHEN $2::int >= $5::int THEN clock_timestamp() + make_interval(secs => $4::float8) END,
       last_error = coalesce($6::text, last_error), failed_at = CASE WHEN $6::text IS NULL THEN failed_at ELSE clock_timestamp() END,
       delivered_at = CASE WHEN $7::boolean THEN clock_timestamp() ELSE delivered_at END
 WHERE id = $1
"""
ALL_DUE = """
UPDATE webhook_parked SET next_at = clock_timestamp() WHERE webhook_id = $1 AND next_at > clock_timestamp()
"""


@dataclass(frozen=True, slots=True)
class Fared:
    """How an endpoint fares after some attempts: failures in a row, probes of those, the seconds until the next
    one, the last error, and whether anything was taken."""

    failures: int
    probes: int
    pause: float
    error: str | None
    delivered: bool


async def fared(source: Source, webhook_id: UUID, how: Fared) -> None:
    await source.execute(
        FARED, webhook_id, how.failures, how.probes, how.pause, TRIP, how.error, how.delivered
    )


async def all_due(source: Source, webhook_id: UUID) -> None:
    """It takes events again: what is parked is tried at once."""
    await source.execute(ALL_DUE, webhook_id)


WORK = """
SELECT id FROM webhooks WHERE paused_at IS NULL OR (test_id IS NOT NULL AND test_done_at IS NULL) ORDER BY id
"""
STATE = """
SELECT *, probe_at IS NOT NULL AS open, coalesce(probe_at <= clock_timestamp(), false) AS probe_due
  FROM webhooks WHERE id = $1
"""
TESTED = """
UPDATE webhooks SET test_done_at = clock_timestamp(), test_error = $3 WHERE id = $1 AND test_id = $2
"""


async def with_work(source: Source) -> list[UUID]:
    """The endpoints that a relay is to look after."""
    return [row["id"] for row in await source.fetch(WORK)]


async def state(source: Source, webhook_id: UUID) -> asyncpg.Record | None:
    """An endpoint, whether its breaker is `open`, and whether a probe is due."""
    return await source.fetchrow(STATE, webhook_id)


async def tested(source: Source, webhook_id: UUID, test_id: UUID, error: str | None) -> None:
    """What came of a test that was asked for."""
    await source.execute(TESTED, webhook_id, test_id, error)


FIGURES = """
SELECT w.id, w.probe_at IS NOT NULL AS open, count(p.position) FILTER (WHERE p.dead_at IS NULL) AS parked,
       count(p.dead_at) AS dead, w.missed
  FROM webhooks w LEFT JOIN webhook_parked p ON p.webhook_id = w.id GROUP BY w.id ORDER BY w.id
"""


async def figures(source: Source) -> Sequence[asyncpg.Record]:
    """Of each endpoint: whether its breaker is `open`, and how many events are `parked`, `dead` and `missed`."""
    return await source.fetch(FIGURES)


def _parked(row: asyncpg.Record) -> Parked:
    event = Fed(
        row["position"],
        row["event_id"],
        row["request_id"],
        row["seq"],
        row["recorded_at"],
        row["event_type"],
        row["workflow"],
        row["version"],
        row["of_request"],
    )
    return Parked(event, row["attempts"])
