"""Sessions of browsers that were ended before their time. What is over by itself is forgotten."""

from datetime import datetime
from uuid import NAMESPACE_OID, uuid5

import asyncpg

from contract.canonical import timestamp
from contract.events import SESSIONS_ENDED
from recipes.happenings import Actor
from storage import audit
from storage.pool import Connection, Source

CHAIN = uuid5(NAMESPACE_OID, "countersign:sessions")
"""Under which id the audit trail keeps whose sessions an administrator ended."""

END_ONE = """
WITH over AS (DELETE FROM ended_sessions WHERE until < now())
INSERT INTO ended_sessions (session, until) VALUES ($1, to_timestamp($2)) ON CONFLICT DO NOTHING
"""
END_ALL = """
INSERT INTO ended_sessions (person, ended_at, until) VALUES ($1, $2::timestamptz, $2::timestamptz + make_interval(secs => $3))
ON CONFLICT (person) WHERE person IS NOT NULL
DO UPDATE SET ended_at = excluded.ended_at, until = excluded.until
"""
SINCE = """
SELECT session, person, extract(epoch FROM ended_at)::float8 AS ended_at, extract(epoch FROM until)::float8 AS until
  FROM ended_sessions WHERE ended_at >= to_timestamp($1) - interval '1 minute' AND until > now()
"""


async def end_one(source: Source, session: str, until: int) -> None:
    """End a session that would be over at `until` (seconds since 1970); again changes nothing."""
    await source.execute(END_ONE, session, float(until))


async def end_all(
    connection: Connection, person: str, actor: Actor, at: datetime, longest: int
) -> None:
    """End all of a person's that began before, none of which lasts longer than so many seconds. In a
    transaction; it is on record."""
    await connection.execute(END_ALL, person, at, longest)
    payload = {"person": person, "before": timestamp(at)}
    event = audit.event(SESSIONS_ENDED, at, payload, {}, actor)
    await audit.append_plain(connection, CHAIN, "sessions", 1, [event])


async def ended_since(source: Source, since: float) -> list[asyncpg.Record]:
    """What was ended since a moment (seconds since 1970), and some of what was before: commits take a while."""
    return await source.fetch(SINCE, since)
