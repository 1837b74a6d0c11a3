"""The feed: the audit's events in the order in which others are told of them (migration 0032).

The audit is written in the transaction of each fact, so nothing is added there. One *sequencer* at a time
gives positions to the rows that are committed: it remembers the snapshot that it looked with, and the next
rows are those of transactions that this one did not see, whenever they began. A long transaction holds up
nobody else's rows, and its own are found when it ends. Whoever keeps a position misses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from storage.errors import StorageError
from storage.pool import Connection, Pool, Source

CHANNEL = "countersign_feed"
"""After each pass that fed something: NOTIFY with the last position."""
BATCH = 10_000
"""Rows fed at once, at most."""
WINDOW = 10_000
"""Positions looked through at once for those of a kind, at most."""


class LeaseLost(StorageError):
    """Another relay does this consumer's work now, or may: what was done here since is not kept."""


class Forgotten(StorageError):
    """What follows a position is not kept any more; `oldest` is the first position to go on from."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"what follows is forgotten; the oldest position is {oldest}")
        self.oldest = oldest


@dataclass(frozen=True, slots=True)
class Fed:
    """An event's place in the feed, and where its row of the audit is. `of_request` is false for what is of the
    house: then `request_id` is the id of a chain."""

    position: int
    event_id: UUID
    request_id: UUID
    seq: int
    recorded_at: datetime
    event_type: str
    workflow: str
    version: int
    of_request: bool


# --- the sequencer ---

# Whoever has this row is the sequencer. The statement after it has a snapshot of its own, that sees all of the
# pass before. Transaction ids go on unless the database was put back elsewhere.
LEAD = """
SELECT pg_snapshot_xmax(snapshot)::text AS next,
       ARRAY(SELECT x::text FROM pg_snapshot_xip(snapshot) AS under_way(x)) AS under_way,
       cluster = (SELECT system_identifier FROM pg_control_system())
           AND pg_snapshot_xmax(snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) AS goes_on
  FROM feed_state"""

_ROW = """a.event_id, a.request_id, a.seq, a.recorded_at, a.event_type, a.workflow_id, a.workflow_version,
           a.payload ? 'imported' AS imported"""
# Parameters, not a join: the planner then knows how few rows these are.
_UNSEEN = f"""
    SELECT {_ROW} FROM audit a WHERE a.xid >= $2::text::xid8
    UNION ALL
    SELECT {_ROW} FROM audit a WHERE a.xid = ANY($3::text[]::xid8[])"""
_RECENT = f"""
    SELECT {_ROW} FROM audit a WHERE a.recorded_at >= (SELECT since FROM feed_state)"""


def _pass(found: str) -> str:
    """A pass over what is `found`. A request's events stand by their seq, whatever its clocks said: a row's time
    is taken before its place in the chain is. The snapshot stays where it is until all of it is fed."""
    return f"""
WITH found AS MATERIALIZED ({found}
), fresh AS (
    SELECT f.*, max(f.recorded_at) OVER (PARTITION BY f.request_id ORDER BY f.seq) AS turn
      FROM found f, feed_state s
     WHERE NOT f.imported AND f.recorded_at >= s.since
       AND NOT EXISTS (SELECT FROM feed e WHERE e.request_id = f.request_id AND e.seq = f.seq)
), told AS (
    INSERT INTO feed (position, event_id, request_id, seq, recorded_at, event_type, workflow, version, of_request)
    SELECT s.position + row_number() OVER (ORDER BY f.turn, f.request_id, f.seq), f.event_id, f.request_id, f.seq,
           f.recorded_at, f.event_type, f.workflow_id, f.workflow_version,
           EXISTS (SELECT FROM requests r WHERE r.id = f.request_id)
      FROM fresh f, feed_state s ORDER BY 1 LIMIT $1
    RETURNING 1
), counted AS (
    SELECT count(*) AS told FROM told
)
UPDATE feed_state s
   SET position = s.position + c.told, fed_at = now(),
       snapshot = CASE WHEN c.told < $1 THEN pg_current_snapshot() ELSE s.snapshot END
  FROM counted c WHERE EXISTS (SELECT FROM found)
RETURNING s.position, c.told"""


PASS = _pass(_UNSEEN)
# Ids of transactions count anew: rows are told from their times. Those of a while before the last pass are looked
# at too, since a transaction may have been under way then.
PASS_ANEW = _pass(_RECENT)
ANEW = """
UPDATE feed_state
   SET since = greatest(since, fed_at - interval '1 hour'), snapshot = pg_current_snapshot(),
       cluster = (SELECT system_identifier FROM pg_control_system())
"""


async def sequence(pool: Pool, most: int = BATCH) -> int:
    """Give positions to what is committed and has none: how many. 0 also while another process does it."""
    async with pool.acquire() as connection, connection.transaction():
        state = await connection.fetchrow(f"{LEAD} FOR UPDATE SKIP LOCKED")
        if state is None:
            return 0
        if state["goes_on"]:
            done = await connection.fetchrow(PASS, most, state["next"], state["under_way"])
        else:
            done = await _anew(connection, most)
        if done is None or done["told"] == 0:
            return 0
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, str(done["position"]))
        return int(done["told"])


async def _anew(connection: Connection, most: int) -> asyncpg.Record | None:
    """The first pass in a database that was put back: all that is not fed yet."""
    await connection.execute(ANEW)
    told = 0
    while True:
        done = await connection.fetchrow(PASS_ANEW, most)
        if done is None or done["told"] < most:
            break
        told += done["told"]
    if done is None:
        return None
    return await connection.fetchrow(
        "SELECT position, $1::bigint AS told FROM feed_state", told + done["told"]
    )


LAG = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8
  FROM (SELECT recorded_at FROM audit WHERE xid >= $1::text::xid8 AND NOT payload ? 'imported'
        UNION ALL
        SELECT recorded_at FROM audit WHERE xid = ANY($2::text[]::xid8[]) AND NOT payload ? 'imported'
        LIMIT 10000) waiting
"""


async def lag(source: Source) -> tuple[int, float]:
    """How many committed events are not fed yet (10,000 or more count as that), and the age of the oldest, in
    seconds."""
    state = await source.fetchrow(LEAD)
    assert state is not None
    row = await source.fetchrow(LAG, state["next"], state["under_way"])
    return (0, 0.0) if row is None else (int(row[0]), max(0.0, float(row[1])))


# What of it a webhook wanted and has not come to is counted there: later nobody knows any more what it was.
FORGET = """
WITH old AS (
    SELECT position FROM feed WHERE fed_at < now() - make_interval(days => $1) ORDER BY position LIMIT $2
), gone AS (
    DELETE FROM feed f USING old WHERE f.position = old.position RETURNING f.position, f.event_type, f.workflow
), counted AS (
    SELECT count(*) AS rows, max(position) AS position FROM gone
), missed AS (
    SELECT w.id, count(*) AS rows
      FROM counted n
      JOIN feed_consumers c ON c.position < n.position
      JOIN webhooks w ON c.name = 'webhook:' || w.id
      JOIN gone g ON g.position > c.position
       AND (w.types IS NULL OR g.event_type = ANY(w.types)) AND (w.workflows IS NULL OR g.workflow = ANY(w.workflows))
     GROUP BY w.id
), told AS (
    UPDATE webhooks w SET missed = w.missed + m.rows FROM missed m WHERE m.id = w.id
)
UPDATE feed_state s SET forgotten = greatest(s.forgotten, c.position) FROM counted c WHERE c.rows > 0
RETURNING c.rows
"""


async def forget(source: Source, days: int, most: int = BATCH) -> int:
    """Forget what was fed longer ago than this: how many rows, up to `most`."""
    return int(await source.fetchval(FORGET, days, most) or 0)


# --- readers ---

_COLUMNS = (
    "position, event_id, request_id, seq, recorded_at, event_type, workflow, version, of_request"
)
AFTER = f"SELECT {_COLUMNS} FROM feed WHERE position > $1 ORDER BY position LIMIT $2"
AMONG = f"""
SELECT {_COLUMNS} FROM feed
 WHERE position > $1 AND position <= $2 AND ($4::text[] IS NULL OR event_type = ANY($4))
   AND ($5::text[] IS NULL OR workflow = ANY($5))
 ORDER BY position LIMIT $3
"""
STATE = "SELECT position, forgotten FROM feed_state"


async def after(source: Source, position: int, limit: int) -> list[Fed]:
    """The events that follow a position, in their order. Forgotten if some of them are not kept any more."""
    rows = await source.fetch(AFTER, position, limit)
    found = [_fed(row) for row in rows]
    if not found or found[0].position != position + 1:
        await _check_kept(source, position)
    return found


async def among(
    source: Source,
    position: int,
    limit: int,
    *,
    types: Sequence[str] | None = None,
    workflows: Sequence[str] | None = None,
) -> tuple[list[Fed], int]:
    """Those that follow a position and are of these types and workflows (None is any), and the position to go on
    from: nothing before it is of them. Looks through `WINDOW` positions at most. Forgotten."""
    last = await _check_kept(source, position)
    end = min(position + WINDOW, last)
    if end <= position:
        return [], position
    rows = await source.fetch(AMONG, position, end, limit, types, workflows)
    await _check_kept(source, position)  # some may have been forgotten since
    found = [_fed(row) for row in rows]
    return found, found[-1].position if len(found) == limit else end


async def ends(source: Source) -> tuple[int, int]:
    """The last position that is forgotten, and the last one there is: what is kept lies between."""
    row = await source.fetchrow(STATE)
    assert row is not None
    return row["forgotten"], row["position"]


async def _check_kept(source: Source, position: int) -> int:
    """The last position. Forgotten."""
    forgotten, last = await ends(source)
    if position < forgotten:
        raise Forgotten(forgotten)
    return last


def _fed(row: asyncpg.Record) -> Fed:
    return Fed(
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


# --- our own consumers ---

BEGIN = """
INSERT INTO feed_consumers (name, position) SELECT $1, coalesce($2, position) FROM feed_state
ON CONFLICT DO NOTHING
"""
LEASE = """
UPDATE feed_consumers
   SET lease_owner = $2, leased_until = clock_timestamp() + make_interval(secs => $3)
 WHERE name = $1 AND (lease_owner = $2 OR leased_until IS NULL OR leased_until < clock_timestamp())
RETURNING position
"""
RELEASE = """
UPDATE feed_consumers SET lease_owner = NULL, leased_until = NULL WHERE name = $1 AND lease_owner = $2
"""
ADVANCE = """
UPDATE feed_consumers SET position = $3, moved_at = clock_timestamp()
 WHERE name = $1 AND lease_owner = $2 AND leased_until > clock_timestamp() AND position <= $3
RETURNING true
"""
BEHIND = """
SELECT c.name, s.position - c.position AS events,
       coalesce(extract(epoch FROM clock_timestamp() - f.recorded_at), 0)::float8 AS seconds
  FROM feed_consumers c CROSS JOIN feed_state s
  LEFT JOIN LATERAL (SELECT recorded_at FROM feed WHERE position > c.position ORDER BY position LIMIT 1) f ON true
 ORDER BY c.name
"""


@dataclass(frozen=True, slots=True)
class Behind:
    """How far a consumer is behind: events it has not had, and the age of the oldest of them in seconds."""

    name: str
    events: int
    seconds: float


async def begin(source: Source, name: str, position: int | None = None) -> None:
    """Make sure of a consumer. A new one begins at a position, or with what is fed from now on."""
    await source.execute(BEGIN, name, position)


async def lease(source: Source, name: str, owner: str, seconds: float) -> int | None:
    """Do a consumer's work, or go on doing it, for so long: its position. None while another `owner` does it."""
    found: int | None = await source.fetchval(LEASE, name, owner, seconds)
    return found


async def release(source: Source, name: str, owner: str) -> None:
    """Let others do a consumer's work at once."""
    await source.execute(RELEASE, name, owner)


async def advance(source: Source, name: str, owner: str, position: int) -> None:
    """A consumer has had everything up to a position. Best in the transaction that keeps what came of it.
    LeaseLost: then nothing of that transaction may stay."""
    if not await source.fetchval(ADVANCE, name, owner, position):
        raise LeaseLost(f"{name} is not {owner}'s any more")


async def behind(source: Source) -> list[Behind]:
    """How far each consumer is behind."""
    rows = await source.fetch(BEHIND)
    return [Behind(row["name"], row["events"], max(0.0, row["seconds"])) for row in rows]


async def end(source: Source, name: str) -> None:
    """There is no such consumer any more."""
    await source.execute("DELETE FROM feed_consumers WHERE name = $1", name)
