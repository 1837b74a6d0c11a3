"""Questions to the directory in Postgres. Every fact is asked as of a moment: `valid @> at`.

Most asks of a request are one of these queries: who somebody is at a moment, what they may approve and
who decides for them come together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from uuid import UUID

import asyncpg

from recipes.asks import Limit
from recipes.model import Json
from storage.pool import Source

_EXACT = Decimal("0.0001")
_MORE_THAN_ANY = Decimal(10) ** 17
"""Approval limits have four places, and are smaller."""


def scopes(workflow: str, role: str | None = None) -> tuple[str, ...]:
    """The scopes of delegations that cover a task, the one that counts first coming first."""
    by_role = (f"role:{role}",) if role is not None else ()
    return (f"workflow:{workflow}", *by_role, "all")


@dataclass(frozen=True, slots=True)
class Link:
    """The delegate `id` of a delegation in a chain of them."""

    delegation: UUID
    id: str
    employed: bool


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the directory knows them at the moment asked for.

    `covers`: whether their own approval limit covers what was asked for, true if nothing was.
    `delegated`: to whom they have delegated in one of the scopes asked about, to whom those have, and
    so on; it ends where somebody comes again, or with one more than asked for. Empty: not away.
    """

    id: str
    employed: bool
    covers: bool
    delegated: tuple[Link, ...]


class TooOld(Exception):
    """The directory can't say what is so at that moment: `stale` says why."""


# Whether `stale` has something to say of $2. Asked with the question itself, it costs no round trip.
TOO_OLD = """EXISTS (SELECT 1 FROM directory_mirror
                WHERE stale_after < least(clock_timestamp(), $2::timestamptz)) AS too_old"""


def _current(rows: list[asyncpg.Record]) -> list[asyncpg.Record]:
    """The rows, if the directory is not too old for them. Where there are none, that is not known."""
    if rows and rows[0]["too_old"]:
        raise TooOld
    return rows


# The person and the line of managers above, nearest first, at most $3 of them. Beside each: whether
# their limit in $5 covers $6; and from them on, each one's delegation: of several that cover the task
# the one whose scope comes first in $4, at most $7 of them. A line is a few people, whatever the planner
# guesses: LIMIT and the limit's own subquery keep it from reading everybody.
LINE = f"""
WITH RECURSIVE line AS (
    SELECT $1::text AS id, 0 AS height
    UNION ALL
    SELECT m.manager, line.height + 1
      FROM line JOIN manager_lines m ON m.person = line.id AND m.valid @> $2::timestamptz
     WHERE line.height < $3
)
SELECT p.id, p.employed @> $2::timestamptz AS employed,
       $5::text IS NULL OR coalesce(
           (SELECT l.amount >= $6::numeric FROM approval_limits l
             WHERE l.person = p.id AND l.currency = $5 AND l.valid @> $2::timestamptz), false) AS covers,
       d.ids, d.delegates, d.here, {TOO_OLD}
  FROM line CROSS JOIN LATERAL (SELECT * FROM people WHERE id = line.id LIMIT 1) p CROSS JOIN LATERAL (
       WITH RECURSIVE chain AS (
           SELECT 0 AS depth, NULL::uuid AS id, p.id AS delegate, ARRAY[p.id] AS visited, false AS again
           UNION ALL
           SELECT c.depth + 1, n.id, n.delegate, c.visited || n.delegate, n.delegate = ANY(c.visited)
             FROM chain c CROSS JOIN LATERAL (
                  SELECT e.id, e.delegate FROM delegations e
                   WHERE e.delegator = c.delegate AND e.valid @> $2::timestamptz
                     AND e.scope = ANY($4::text[])
                   ORDER BY array_position($4::text[], e.scope) LIMIT 1) n
            WHERE NOT c.again AND c.depth < $7
       )
       SELECT array_agg(c.id ORDER BY c.depth) AS ids,
              array_agg(c.delegate ORDER BY c.depth) AS delegates,
              array_agg(h.employed @> $2::timestamptz ORDER BY c.depth) AS here
         FROM chain c JOIN people h ON h.id = c.delegate WHERE c.depth > 0) d
 ORDER BY line.height
"""


async def line(
    source: Source,
    person: str,
    at: datetime,
    height: int,
    *,
    scopes: Sequence[str] = (),
    limit: Limit | None = None,
    depth: int = 0,
    current: bool = False,
) -> list[Person]:
    """The person, their manager, and so on up to `height` managers, each with at most `depth`
    delegations. Empty if there is no such person. With `current`, TooOld if the directory is.

    A cycle in the lines repeats people; it ends at `height`.
    """
    currency, amount = (limit.currency, _amount(limit)) if limit else (None, None)
    rows = await source.fetch(LINE, person, at, height, scopes, currency, amount, depth)
    found = _current(rows) if current else rows
    return [Person(name, here, covers, _links(*links)) for name, here, covers, *links, _ in found]


def _amount(limit: Limit) -> Decimal:
    """The amount as limits are kept: what covers the one covers the other."""
    within = max(Decimal(0), min(Decimal(limit.amount), _MORE_THAN_ANY))
    return within.quantize(_EXACT, ROUND_CEILING)


def _links(
    ids: list[UUID] | None, delegates: list[str] | None, here: list[bool] | None
) -> tuple[Link, ...]:
    return tuple(map(Link, ids or (), delegates or (), here or ()))


# The department used to be an attribute, and still is where a directory knows no membership.
EMPLOYEE = f"""
WITH RECURSIVE line AS (
    SELECT $1::text AS id, 0 AS height
    UNION ALL
    SELECT m.manager, line.height + 1
      FROM line JOIN manager_lines m ON m.person = line.id AND m.valid @> $2::timestamptz
     WHERE line.height < $3
)
SELECT p.id, p.name, p.email, p.attributes, p.time_zone, p.attributes->'title' AS title,
       coalesce((SELECT to_jsonb(d.department) FROM department_members d
                  WHERE d.person = p.id AND d.valid @> $2::timestamptz),
                p.attributes->'department') AS department, {TOO_OLD}
  FROM line CROSS JOIN LATERAL (SELECT * FROM people WHERE id = line.id LIMIT 1) p
 ORDER BY line.height
"""


async def employee(
    source: Source, person: str, at: datetime, height: int, *, current: bool = False
) -> list[dict[str, Json]]:
    """What expressions may read of a person, of their manager, and so on up to `height` managers.
    Empty if there is no such person. With `current`, TooOld if the directory is."""
    rows = await source.fetch(EMPLOYEE, person, at, height)
    found = [dict(row) for row in (_current(rows) if current else rows)]
    for row in found:
        del row["too_old"]
    return found


# A bare name is a role from when there is one of that name: who was asked before stays who it was.
ROLES_AMONG = """
SELECT name FROM roles WHERE name = ANY($1::text[]) AND known_since <= $2::timestamptz
"""


async def roles_among(source: Source, names: Sequence[str], at: datetime) -> set[str]:
    """Those of `names` that are a role at a moment."""
    return {row["name"] for row in await source.fetch(ROLES_AMONG, names, at)}


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who holds a role; `away` is whether somebody else decides for them, in one of the scopes
    asked about."""

    id: str
    away: bool


# A row with a null stands for a role that nobody holds. $3 are not among its members. Looked up member
# by member, not by reading everybody's delegations: most roles are small.
MEMBERS = f"""
SELECT m.person, m.away, {TOO_OLD} FROM roles r LEFT JOIN LATERAL (
       SELECT m.person,
              (SELECT true FROM delegations d
                WHERE d.delegator = m.person AND d.valid @> $2::timestamptz
                  AND d.scope = ANY($4::text[]) LIMIT 1) IS NOT NULL AS away
         FROM role_members m
        WHERE m.role = r.name AND m.valid @> $2::timestamptz AND m.person <> ALL($3::text[])
          AND (SELECT p.employed @> $2::timestamptz FROM people p WHERE p.id = m.person)) m ON true
 WHERE r.name = $1 AND (NOT $5 OR r.known_since <= $2::timestamptz) ORDER BY m.person
"""


async def members(
    source: Source,
    role: str,
    at: datetime,
    without: Sequence[str],
    scopes: Sequence[str] = (),
    *,
    bare: bool = False,
    current: bool = False,
) -> list[Member] | None:
    """The people other than `without` who hold a role, by id; those who have left do not. None if there
    is no such role; with `bare`, none yet. With `current`, TooOld if the directory is."""
    rows = await source.fetch(MEMBERS, role, at, without, scopes, bare)
    if not rows:
        return None
    found = _current(rows) if current else rows
    return [Member(row["person"], row["away"]) for row in found if row["person"] is not None]


# Given as they are, lists are looked at to plan each statement anew, which takes longer than it.
UNKNOWN = """
SELECT 'user:' || n AS principal FROM unnest((SELECT $1::text[])) n
 WHERE NOT EXISTS (SELECT 1 FROM people WHERE id = n)
UNION ALL
SELECT 'role:' || n FROM unnest((SELECT $2::text[])) n
 WHERE NOT EXISTS (SELECT 1 FROM roles WHERE name = n)
"""


async def unknown(source: Source, people: Sequence[str], roles: Sequence[str]) -> set[str]:
    """Those of them that the directory has never had, as `user:x` and `role:y`."""
    return {row["principal"] for row in await source.fetch(UNKNOWN, people, roles)}


# Who holds one of these principals at $1: those of $2 who are here, and the members of $3; not $4.
HOLDERS = """
SELECT p.id FROM people p
 WHERE p.id = ANY($2::text[]) AND p.id <> ALL($4::text[]) AND p.employed @> $1::timestamptz
UNION ALL
SELECT m.person FROM role_members m JOIN people p ON p.id = m.person
 WHERE m.role = ANY($3::text[]) AND m.person <> ALL($4::text[])
   AND m.valid @> $1::timestamptz AND p.employed @> $1::timestamptz
"""


async def holders(
    source: Source,
    at: datetime,
    people: Sequence[str],
    roles: Sequence[str],
    without: Sequence[str],
) -> list[str]:
    """Everybody who can act on one of the principals, by id."""
    everybody = f"SELECT DISTINCT id FROM ({HOLDERS}) h ORDER BY id"
    found = await source.fetch(everybody, at, people, roles, without)
    return [row["id"] for row in found]


async def anybody(
    source: Source,
    at: datetime,
    people: Sequence[str],
    roles: Sequence[str],
    without: Sequence[str],
) -> bool:
    """Whether `holders` would give anybody."""
    found = await source.fetchval(f"SELECT EXISTS ({HOLDERS})", at, people, roles, without)
    return bool(found)


# Its commit need not reach the disk by itself: what comes of the turn is committed after it, and Postgres
# writes commits in their order. Within a transaction that is for the transaction to say.
TAKE_TURN = """
WITH setting AS MATERIALIZED (
    SELECT set_config('synchronous_commit', CASE WHEN $2 THEN 'off'
                      ELSE current_setting('synchronous_commit') END, true))
UPDATE roles SET turn = turn + 1 FROM setting WHERE name = $1 RETURNING turn - 1
"""


async def take_turn(source: Source, role: str) -> int:
    """The number of the turn, counted from 0, that is now this caller's alone."""
    alone = isinstance(source, asyncpg.Pool) or not source.is_in_transaction()
    turn = await source.fetchval(TAKE_TURN, role, alone)
    if turn is None:
        raise LookupError(f"role {role} was removed")
    return int(turn)


NEXT_TURN = "SELECT turn FROM roles WHERE name = $1"


async def next_turn(source: Source, role: str) -> int:
    """The turn that would be taken now, taking none."""
    turn = await source.fetchval(NEXT_TURN, role)
    return int(turn or 0)


@dataclass(frozen=True, slots=True)
class Stale:
    """A mirror of another system's directory that is too old to be asked."""

    source: str
    synced_at: datetime | None
    failing: str | None


# The past that a mirror has seen can be asked even while it is old.
STALE = """
SELECT source, synced_at, failing FROM directory_mirror
 WHERE stale_after < least(clock_timestamp(), $1::timestamptz)
"""


async def stale(source: Source, at: datetime) -> Stale | None:
    """Why the directory can't say what is so `at`; None if it can."""
    row = await source.fetchrow(STALE, at)
    return None if row is None else Stale(*row)
