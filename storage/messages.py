"""Messages to people: what gathers, what is to be sent, what became of it (migration 0033).

A message holds references alone; what it says is read when it is sent (`storage.briefs`). Whoever sends one
leases it first: the death of a relay only delays what it had taken, and its message keeps its id, so that
whoever gets it twice can tell. The moments come from whoever calls.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

import asyncpg

from contract.preferences import Channel, Kind
from storage.pool import Connection, Source


@dataclass(frozen=True, slots=True)
class Note:
    """Something that one person is to be told by one channel, not before `due_at`."""

    person: str
    channel: Channel
    digest: bool
    due_at: datetime
    kind: Kind
    about: UUID
    request_id: UUID
    position: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Item:
    """What a message refers to."""

    kind: Kind
    about: UUID
    request_id: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is taken, until `leased_until`. `tried_since` is when it first was; `place` where Slack
    has it already, its channel and timestamp."""

    id: UUID
    person: str
    channel: Channel
    digest: bool
    attempts: int
    tried_since: datetime
    leased_until: datetime
    items: tuple[Item, ...]
    place: tuple[str, str] | None = None


# --- what gathers ---

# Each person's, channel's: into the message that still gathers, else a new one. One that is taken in the same
# moment does not gather any more: then this makes another.
GATHER = """
INSERT INTO messages (id, person, channel, digest, due_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::timestamptz[])
ON CONFLICT (person, channel, digest) WHERE state = 'gathering'
   DO UPDATE SET due_at = least(messages.due_at, excluded.due_at)
RETURNING id, person, channel, digest
"""
REFER = """
INSERT INTO message_items (message_id, kind, about, request_id, position, at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::bigint[], $6::timestamptz[])
ON CONFLICT DO NOTHING
"""


async def gather(connection: Connection, notes: Sequence[Note]) -> None:
    """Keep what people are to be told, in a transaction; what they are told anyway, once."""
    first: dict[tuple[str, str, bool], datetime] = {}
    for note in notes:
        key = (note.person, note.channel, note.digest)
        first[key] = min(note.due_at, first.get(key, note.due_at))
    if not first:
        return
    keys = sorted(first)  # everybody locks in this order
    rows = await connection.fetch(
        GATHER,
        [uuid4() for _ in keys],
        [person for person, _, _ in keys],
        [channel for _, channel, _ in keys],
        [digest for _, _, digest in keys],
        [first[key] for key in keys],
    )
    found = {(row["person"], row["channel"], row["digest"]): row["id"] for row in rows}
    await connection.execute(
        REFER,
        [found[it.person, it.channel, it.digest] for it in notes],
        [it.kind for it in notes],
        [it.about for it in notes],
        [it.request_id for it in notes],
        [it.position for it in notes],
        [it.at for it in notes],
    )


STALE = """
UPDATE messages m SET stale = true, due_at = $2
  FROM message_items i
 WHERE i.message_id = m.id AND i.request_id = ANY($1::uuid[]) AND m.state = 'sent' AND m.slack_ts IS NOT NULL
"""


async def outdate(source: Source, requests: Iterable[UUID], at: datetime) -> None:
    """These requests have changed: what Slack shows of them is to be brought up to date."""
    await source.execute(STALE, list(set(requests)), at)


# --- what is to be sent ---

# Those that were tried before come first: while nothing gets through, they are what is tried again, and the
# rest goes on gathering.
TAKE = """
WITH due AS (
    SELECT id FROM messages
     WHERE channel = $1 AND state IN ('gathering','sending') AND due_at <= $2
     ORDER BY state = 'gathering', due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED)
UPDATE messages m
   SET state = 'sending', attempts = attempts + 1, tried_since = coalesce(tried_since, $2), due_at = $2 + $4::interval
  FROM due WHERE m.id = due.id
RETURNING m.*
"""
TAKE_STALE = """
WITH due AS (
    SELECT id FROM messages WHERE stale AND due_at <= $1 ORDER BY due_at, id LIMIT $2 FOR UPDATE SKIP LOCKED)
UPDATE messages m SET due_at = $1 + $3::interval FROM due WHERE m.id = due.id
RETURNING m.*
"""
ITEMS = """
SELECT message_id, kind, about, request_id, at FROM message_items
 WHERE message_id = ANY($1::uuid[]) ORDER BY position, kind, about
"""


async def take(
    source: Source, channel: Channel, at: datetime, most: int, lease: timedelta
) -> list[Message]:
    """Up to `most` messages that are due, this caller's until `lease` is over."""
    return await _with_items(source, await source.fetch(TAKE, channel, at, most, lease))


async def take_stale(source: Source, at: datetime, most: int, lease: timedelta) -> list[Message]:
    """Up to `most` messages that Slack shows, and that are to be brought up to date."""
    return await _with_items(source, await source.fetch(TAKE_STALE, at, most, lease))


async def _with_items(source: Source, rows: Sequence[asyncpg.Record]) -> list[Message]:
    if not rows:
        return []
    items: dict[UUID, list[Item]] = {row["id"]: [] for row in rows}
    for it in await source.fetch(ITEMS, list(items)):
        items[it["message_id"]].append(Item(it["kind"], it["about"], it["request_id"], it["at"]))
    return [
        Message(
            row["id"],
            row["person"],
            row["channel"],
            row["digest"],
            row["attempts"],
            row["tried_since"],
            row["due_at"],
            tuple(items[row["id"]]),
            None if row["slack_ts"] is None else (row["slack_channel"], row["slack_ts"]),
        )
        for row in sorted(rows, key=lambda row: (row["made_at"], row["id"]))
    ]


# --- what became of it ---

END = """
UPDATE messages SET state = $2, ended_at = $3, last_error = left($4, 500), slack_channel = $5, slack_ts = $6
 WHERE id = $1 AND state = 'sending'
"""
POSTPONE = """
UPDATE messages SET due_at = $2, last_error = coalesce(left($3, 500), last_error)
 WHERE id = $1 AND (state = 'sending' OR stale)
"""
# Nothing was tried with it: the time that it has begins anew.
PUT_BACK = """
UPDATE messages
   SET due_at = $2, last_error = coalesce(left($3, 500), last_error),
       attempts = CASE WHEN state = 'sending' AND NOT $4 THEN 0 ELSE attempts END,
       tried_since = CASE WHEN state <> 'sending' THEN tried_since END
 WHERE id = $1 AND (state = 'sending' OR stale)
"""
# Unless it has changed again meanwhile.
SHOWN = "UPDATE messages SET stale = false WHERE id = $1 AND stale AND due_at = $2"


async def end(
    source: Source,
    message: Message,
    to: Literal["sent", "moot", "dead"],
    at: datetime,
    *,
    error: str | None = None,
    place: tuple[str, str] | None = None,
) -> None:
    """It was sent, has become pointless, or is given up."""
    channel, ts = place or (None, None)
    await source.execute(END, message.id, to, at, error, channel, ts)


async def postpone(source: Source, message: Message, until: datetime, error: str) -> None:
    """It did not get through: not again before `until`."""
    await source.execute(POSTPONE, message.id, until, error)


async def put_back(
    source: Source,
    message: Message,
    until: datetime,
    why: str | None = None,
    *,
    tried: bool = False,
) -> None:
    """It was not tried, for reasons that are not its own: not before `until`. Also to bring it up to date. With
    `tried` its attempt counts, as one after which it waits for longer."""
    await source.execute(PUT_BACK, message.id, until, why, tried)


async def shown(source: Source, message: Message) -> None:
    """Slack shows what is so now, or has it no more."""
    await source.execute(SHOWN, message.id, message.leased_until)


# --- looked at by people, and forgotten ---

DEAD = """
SELECT m.id, m.person, m.channel, m.made_at, m.attempts, m.last_error, m.ended_at,
       ARRAY(SELECT DISTINCT i.kind FROM message_items i WHERE i.message_id = m.id ORDER BY 1) AS kinds,
       ARRAY(SELECT DISTINCT i.request_id FROM message_items i WHERE i.message_id = m.id ORDER BY 1) AS requests
  FROM messages m
 WHERE m.state = 'dead' AND (m.made_at, m.id) < ($1, $2)
 ORDER BY m.made_at DESC, m.id DESC LIMIT $3
"""
RESEND = """
UPDATE messages
   SET state = 'sending', attempts = 0, tried_since = NULL, ended_at = NULL, due_at = clock_timestamp()
 WHERE state = 'dead' AND ($1::uuid IS NULL OR id = $1) RETURNING id
"""
# What was not sent for so long, because its way was turned off, is not worth telling any more.
FORGET = """
DELETE FROM messages
 WHERE coalesce(ended_at, due_at) < now() - make_interval(days => CASE state WHEN 'dead' THEN $2::int ELSE $1::int END)
   AND NOT stale
"""
WAITING = """
SELECT channel, count(*) FILTER (WHERE due_at <= now()) AS due,
       greatest(0, coalesce(extract(epoch FROM now() - min(due_at)), 0))::float8 AS seconds
  FROM messages WHERE state IN ('gathering','sending') GROUP BY channel
"""


async def dead(source: Source, before: tuple[datetime, UUID], limit: int) -> list[asyncpg.Record]:
    """Those that were given up, the newest first."""
    return await source.fetch(DEAD, *before, limit)


async def resend(source: Source, message_id: UUID | None) -> list[UUID]:
    """Try one that was given up again, or all (None): which."""
    return [row["id"] for row in await source.fetch(RESEND, message_id)]


async def forget(source: Source, days: int, dead_days: int) -> None:
    """Forget what was sent, or pointless, so long ago; what was given up, later."""
    await source.execute(FORGET, days, dead_days)


async def waiting(source: Source) -> dict[str, tuple[int, float]]:
    """Of each channel how many messages are due, and for how long the oldest is, in seconds."""
    rows = await source.fetch(WAITING)
    return {row["channel"]: (row["due"], row["seconds"]) for row in rows}


async def given_up(source: Source) -> int:
    """How many are dead."""
    return int(await source.fetchval("SELECT count(*) FROM messages WHERE state = 'dead'"))
