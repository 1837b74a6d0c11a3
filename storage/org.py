"""The directory as it is kept: the rows of which it is made, and lists of people and roles.

Every fact keeps the interval in which it was so: a change ends the old row and begins a new one at
the same instant. `storage.org_import` writes; `storage.directory` asks who decides.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias, TypeVar
from uuid import NAMESPACE_OID, uuid5

import asyncpg

from recipes.model import Json
from storage.patterns import containing
from storage.pool import Connection, Pool, Source

T = TypeVar("T")

CHAIN = uuid5(NAMESPACE_OID, "countersign:org")
"""Under which id the audit trail keeps what happened to the directory."""

Fact: TypeAlias = Literal[
    "name", "email", "manager", "department", "time_zone", "limits", "attributes"
]
"""What a file may leave unsaid of all of its people: then it stays as it is."""


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person as the file has them; `manager` None is nobody above; `left` ends their employment.

    `limits` are the amounts they may approve alone, by currency (ISO 4217). `time_zone` is an IANA
    name. `joined` counts for somebody new alone, and may lie in the past. `left` is True for now, an
    instant, or the last day. Days are the person's own. `roles` are all that they hold; None says
    nothing of roles.
    """

    id: str
    name: str
    email: str | None = None
    manager: str | None = None
    attributes: dict[str, Json] = field(default_factory=dict)
    left: bool | date | datetime = False
    department: str | None = None
    time_zone: str = "UTC"
    limits: dict[str, Decimal] = field(default_factory=dict)
    joined: date | datetime | None = None
    roles: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A role with all of its members: whoever is not among them is a member no longer."""

    name: str
    members: tuple[str, ...] = ()
    description: str | None = None


MOMENT = """
UPDATE directory_clock SET at = greatest(clock_timestamp() + $1, at + interval '1 microsecond')
RETURNING at
"""


async def lock(connection: Connection, ahead: timedelta = timedelta()) -> datetime:
    """Within a transaction: wait for other writers; the instant at which this one's changes begin, later
    than that of any before and at least `ahead` of now. Outside of tests `write` calls it."""
    moment: datetime = await connection.fetchval(MOMENT, ahead)
    return moment


AHEAD = timedelta(milliseconds=50)
"""How long a small write may take."""
A_FACT = timedelta(microseconds=150)
"""How much longer for each person or member it names."""
_AT_MOST = 1.0
"""Seconds that a writer waits, at most, until what they wrote is so."""

LEFT = "SELECT $1::timestamptz - clock_timestamp()"


async def write(
    pool: Pool, work: Callable[[Connection, datetime], Awaitable[T]], ahead: timedelta = AHEAD
) -> T:
    """Write to the directory, in one transaction: what `work(connection, at)` gives.

    What is written begins at `at` and must be seen by everybody who asks about `at`: so `at` lies ahead
    of the commit. Work that takes longer than `ahead` is rolled back and done again with more time, so
    it must do nothing but write. Returns when it is so, or a second later.
    """
    while True:
        began = time.monotonic()
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                at = await lock(connection, ahead)
                done = await work(connection, at)
                left: timedelta = await connection.fetchval(LEFT, at)
            except BaseException:
                await transaction.rollback()
                raise
            if left > timedelta():
                await transaction.commit()
                break
            await transaction.rollback()
        ahead = max(2 * ahead, timedelta(seconds=1.5 * (time.monotonic() - began)))
    await asyncio.sleep(min(left.total_seconds(), _AT_MOST))
    return done


async def unknown_people(source: Source, ids: Sequence[str]) -> set[str]:
    """Those of `ids` that the directory does not know."""
    rows = await source.fetch("SELECT id FROM people WHERE id = ANY($1::text[])", ids)
    return set(ids) - {row["id"] for row in rows}


# $1 after, $2 limit, $3 at, $4 what their id, name or email has in it, $5 which ones.
LIST_PEOPLE = """
SELECT p.id, p.name, p.email, p.time_zone,
       (SELECT l.manager FROM manager_lines l WHERE l.person = p.id AND l.valid @> $3::timestamptz) AS manager,
       (SELECT d.department FROM department_members d
         WHERE d.person = p.id AND d.valid @> $3::timestamptz) AS department,
       (SELECT coalesce(jsonb_object_agg(a.currency, trim_scale(a.amount)::text), '{}') FROM approval_limits a
         WHERE a.person = p.id AND a.valid @> $3::timestamptz) AS limits
  FROM people p
 WHERE p.id > $1 AND p.employed @> $3::timestamptz
   AND ($4::text IS NULL OR p.id ILIKE $4 OR p.name ILIKE $4 OR p.email ILIKE $4)
   AND ($5::text[] IS NULL OR p.id = ANY($5))
 ORDER BY p.id LIMIT $2
"""


async def people(
    source: Source,
    after: str,
    limit: int,
    at: datetime,
    *,
    text: str | None = None,
    ids: Sequence[str] | None = None,
) -> list[asyncpg.Record]:
    """Those who are here at a moment, by id; with `text`, those who have it in id, name or email; with
    `ids`, those of them."""
    pattern = None if text is None else containing(text)
    return await source.fetch(LIST_PEOPLE, after, limit, at, pattern, ids)


NAMES = """
SELECT id, name, employed @> now() AS here FROM people WHERE id = ANY($1) ORDER BY id
"""


async def names(source: Source, ids: Sequence[str]) -> list[asyncpg.Record]:
    """What these people are called, also those who have left."""
    return await source.fetch(NAMES, ids)


LIST_ROLES = """
SELECT r.name, r.description,
       ARRAY(SELECT m.person FROM role_members m JOIN people p ON p.id = m.person
              WHERE m.role = r.name AND m.valid @> now() AND p.employed @> now()
              ORDER BY m.person) AS members
  FROM roles r WHERE r.name > $1 ORDER BY r.name LIMIT $2
"""


async def roles(source: Source, after: str, limit: int) -> list[asyncpg.Record]:
    """Roles by name, with those who hold them now."""
    return await source.fetch(LIST_ROLES, after, limit)


# Employment is told by the interval around $2, or else by the latest one before it.
PERSON = """
SELECT p.id, p.name, p.email, p.time_zone, p.attributes, p.employed @> $2::timestamptz AS here,
       (SELECT lower(e) FROM unnest(p.employed) e ORDER BY e @> $2::timestamptz DESC, lower(e) DESC LIMIT 1) AS joined,
       (SELECT upper(e) FROM unnest(p.employed) e ORDER BY e @> $2::timestamptz DESC, lower(e) DESC LIMIT 1) AS "left",
       (SELECT d.department FROM department_members d
         WHERE d.person = p.id AND d.valid @> $2::timestamptz) AS department,
       (SELECT coalesce(jsonb_object_agg(a.currency, trim_scale(a.amount)::text), '{}') FROM approval_limits a
         WHERE a.person = p.id AND a.valid @> $2::timestamptz) AS limits,
       ARRAY(SELECT m.role FROM role_members m
              WHERE m.person = p.id AND m.valid @> $2::timestamptz ORDER BY m.role) AS roles
  FROM people p WHERE p.id = $1
"""


async def person(source: Source, person_id: str, at: datetime) -> asyncpg.Record | None:
    """Somebody as the directory knows them at a moment, here or not; None if it never knew them."""
    return await source.fetchrow(PERSON, person_id, at)


# Nobody comes twice, whatever the lines say.
LINE = """
WITH RECURSIVE line AS (
    SELECT $1::text AS id, 0 AS height, ARRAY[$1::text] AS seen
    UNION ALL
    SELECT m.manager, line.height + 1, line.seen || m.manager
      FROM line JOIN manager_lines m ON m.person = line.id AND m.valid @> $2::timestamptz
     WHERE line.height < $3 AND m.manager <> ALL(line.seen)
)
SELECT id FROM line WHERE height > 0 ORDER BY height
"""


async def line(source: Source, person_id: str, at: datetime, height: int) -> list[str]:
    """The managers above somebody at a moment, the nearest first, at most `height`."""
    return [row["id"] for row in await source.fetch(LINE, person_id, at, height)]
