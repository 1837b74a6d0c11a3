"""Business calendars: imported as versions that never change, and what is timed by them.

What is timed keeps its time: a later version counts for what is timed after it alone.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Literal
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg
from pydantic import TypeAdapter

from contract.canonical import canonical
from contract.events import CALENDAR_IMPORTED
from recipes import business
from recipes.asks import Answer, AskTimes, SeatAsk, Times, Timing
from recipes.business import Calendar
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit
from storage.pool import Source
from storage.zones import zone

_CALENDAR: TypeAdapter[Calendar] = TypeAdapter(Calendar)
_AUDITED_AS = "calendar"
"""What the audit trail calls the workflow of these events."""


def chain(name: str) -> UUID:
    """Under which id the audit trail keeps what happened to a calendar."""
    return uuid5(NAMESPACE_OID, f"countersign:calendar:{name}")


# --- imports -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: `version` is the one that counts afterwards. Of `tasks` and `requests` (their
    deadlines, and timers of state machines) so many are open that rest on older versions."""

    name: str
    version: int
    did: Literal["imported", "unchanged"]
    tasks: int
    requests: int


LATEST = """
SELECT version, sha256, calendar FROM calendars WHERE name = $1 ORDER BY version DESC LIMIT 1
"""
IMPORT = """
WITH latest AS (
    SELECT version, sha256 FROM calendars WHERE name = $1 ORDER BY version DESC LIMIT 1
), made AS (
    INSERT INTO calendars (name, version, sha256, calendar, imported_at, imported_by)
    SELECT $1, $2, $3, $4, $5, $6
     WHERE $2 = coalesce((SELECT version FROM latest), 0) + 1
    ON CONFLICT DO NOTHING RETURNING version
)
SELECT audit_append($7, $5, $8, $9, version, $10, $11, $12, $13) FROM made
"""
OLDER = """
SELECT (SELECT count(*) FROM tasks
         WHERE state = 'open' AND due_by IS NOT NULL AND due_by->>'calendar' = $1
           AND (due_by->>'version')::int < $2) AS tasks,
       (SELECT count(*) FROM (
            SELECT id FROM requests
             WHERE finalized_at IS NULL AND deadline_by IS NOT NULL AND deadline_by->>'calendar' = $1
               AND (deadline_by->>'version')::int < $2
             UNION
            SELECT id FROM requests
             WHERE finalized_at IS NULL AND timers_by IS NOT NULL AND timers_by->>'calendar' = $1
               AND (timers_by->>'version')::int < $2) r) AS requests
"""


async def load(
    source: Source, calendar: Calendar, actor: Actor, at: datetime, *, dry_run: bool = False
) -> Imported:
    """Make `calendar` the newest version of its name, unless it says what that says already."""
    content = _CALENDAR.dump_python(calendar, mode="json")
    digest = sha256(canonical(content).encode()).hexdigest()
    while True:
        latest = await source.fetchrow(LATEST, calendar.name)
        if latest is not None and latest["sha256"] == digest:
            return await _imported(source, calendar.name, latest["version"], "unchanged")
        version = 1 if latest is None else latest["version"] + 1
        item = _Version(calendar.name, version, digest, content)
        if dry_run or await _write(source, item, actor, at):
            return await _imported(source, calendar.name, version, "imported")
        # Somebody else was first with this number: compare again.


@dataclass(frozen=True, slots=True)
class _Version:
    """A version to be written: `content` is the calendar as JSON, `sha256` its digest."""

    name: str
    number: int
    sha256: str
    content: Json


async def _write(source: Source, item: _Version, actor: Actor, at: datetime) -> bool:
    payload: dict[str, Json] = {
        "calendar": item.name,
        "version": item.number,
        "sha256": item.sha256,
    }
    event = audit.event(CALENDAR_IMPORTED, at, payload, {}, actor)
    actor_text, payload_text, snapshot, _ = audit.single(event, None)
    row = await source.fetchrow(
        IMPORT,
        item.name,
        item.number,
        item.sha256,
        item.content,
        at,
        actor.user,
        event.event_id,
        chain(item.name),
        _AUDITED_AS,
        CALENDAR_IMPORTED,
        actor_text,
        payload_text,
        snapshot,
    )
    return row is not None


async def _imported(
    source: Source, name: str, version: int, did: Literal["imported", "unchanged"]
) -> Imported:
    row = await source.fetchrow(OLDER, name, version)
    assert row is not None
    return Imported(name, version, did, row["tasks"], row["requests"])


# --- lists ---------------------------------------------------------------------------------------

_COLUMNS = """
c.name, c.version, c.sha256, c.calendar, c.imported_at, c.imported_by,
(SELECT array_agg(o.version ORDER BY o.version DESC) FROM calendars o WHERE o.name = c.name) AS versions"""
LIST = f"""
SELECT {_COLUMNS}
  FROM (SELECT name, max(version) AS version FROM calendars WHERE name > $1
         GROUP BY name ORDER BY name LIMIT $2) newest
  JOIN calendars c USING (name, version) ORDER BY c.name
"""
SHOW = f"""
SELECT {_COLUMNS} FROM calendars c
 WHERE c.name = $1 AND ($2::int IS NULL OR c.version = $2) ORDER BY c.version DESC LIMIT 1
"""


async def newest(source: Source, after: str, limit: int) -> list[asyncpg.Record]:
    """The newest version of each calendar, by name."""
    return await source.fetch(LIST, after, limit)


async def show(source: Source, name: str, version: int | None) -> asyncpg.Record | None:
    """One version; without `version` the newest."""
    return await source.fetchrow(SHOW, name, version)


def read(row: asyncpg.Record) -> Calendar:
    """The calendar of a row."""
    return _CALENDAR.validate_python(row["calendar"])


async def names(source: Source) -> frozenset[str]:
    """The calendars there are."""
    rows = await source.fetch("SELECT DISTINCT name FROM calendars")
    return frozenset(row["name"] for row in rows)


# --- what is timed -------------------------------------------------------------------------------

CLOCK = """
SELECT c.version, c.calendar, (SELECT p.time_zone FROM people p WHERE p.id = $2) AS assignee_zone
  FROM calendars c WHERE c.name = $1 ORDER BY c.version DESC LIMIT 1
"""


async def times(source: Source, timing: Timing, assignee: str | None = None) -> Times:
    """When what is so timed is due, by the calendar as it is now. LookupError if there is none, or no
    such time zone on this machine: publication and imports have made sure of both."""
    row = await source.fetchrow(CLOCK, timing.calendar, assignee)
    if row is None:
        raise LookupError(f"there is no calendar {timing.calendar}")
    clock = business.clock(read(row), row["version"], zone, row["assignee_zone"])
    return business.times(timing, clock)


async def timed(source: Source, ask: SeatAsk | AskTimes, found: Answer) -> Answer:
    """`found`, with the times that `ask` asks for beside whom it is for."""
    if ask.timing is None or found.refusal is not None:
        return found
    assignee = None if found.assignment is None else found.assignment.user
    return replace(found, times=await times(source, ask.timing, assignee))
