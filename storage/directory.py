"""Questions to the directory in Postgres. Every fact is asked as of a moment: `valid @> at`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from recipes.model import Json
from storage.pool import Source


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the directory knows them at the moment asked for. `manager` is an id; `away` is
    whether somebody else decides for them then, in one of the scopes asked about."""

    id: str
    name: str
    email: str | None
    attributes: dict[str, Json]
    employed: bool
    manager: str | None
    away: bool


def scopes(workflow: str, role: str | None = None) -> tuple[str, ...]:
    """The scopes of delegations that cover a task, the one that counts first coming first."""
    by_role = (f"role:{role}",) if role is not None else ()
    return (f"workflow:{workflow}", *by_role, "all")


# Whether {person} has delegated at $2, in one of the scopes $4. A moment and scopes are all it needs:
# so whoever reads people learns it on the way.
_AWAY = """
EXISTS (SELECT 1 FROM delegations d
         WHERE d.delegator = {person} AND d.valid @> $2::timestamptz AND d.scope = ANY($4::text[]))"""

# The person and the line of managers above, nearest first, at most $3 of them.
LINE = f"""
WITH RECURSIVE line AS (
    SELECT $1::text AS id, 0 AS height
    UNION ALL
    SELECT m.manager, line.height + 1
      FROM line JOIN manager_lines m ON m.person = line.id AND m.valid @> $2::timestamptz
     WHERE line.height < $3
)
SELECT p.id, p.name, p.email, p.attributes, p.employed @> $2::timestamptz AS employed,
       (SELECT m.manager FROM manager_lines m
         WHERE m.person = p.id AND m.valid @> $2::timestamptz) AS manager,
       {_AWAY.format(person="p.id")} AS away
  FROM line JOIN people p ON p.id = line.id ORDER BY line.height
"""


async def line(
    source: Source, person: str, at: datetime, height: int, scopes: Sequence[str] = ()
) -> list[Person]:
    """The person, their manager, and so on up to `height` managers. Empty if there is no such person.

    A cycle in the lines repeats people; it ends at `height`.
    """
    rows = await source.fetch(LINE, person, at, height, scopes)
    return [Person(*row) for row in rows]


ROLE_EXISTS = "SELECT EXISTS (SELECT 1 FROM roles WHERE name = $1)"


async def role_exists(source: Source, role: str) -> bool:
    return bool(await source.fetchval(ROLE_EXISTS, role))


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who holds a role; `away` as of a `Person`."""

    id: str
    away: bool


# $3 is the requester, who is not among them.
MEMBERS = f"""
SELECT m.person, {_AWAY.format(person="m.person")} AS away
  FROM role_members m JOIN people p ON p.id = m.person
 WHERE m.role = $1 AND m.valid @> $2::timestamptz AND p.employed @> $2::timestamptz
   AND m.person <> $3
 ORDER BY m.person
"""


async def members(
    source: Source, role: str, at: datetime, requester: str, scopes: Sequence[str] = ()
) -> list[Member]:
    """The people other than `requester` who hold a role, by id; those who have left do not."""
    return [Member(*row) for row in await source.fetch(MEMBERS, role, at, requester, scopes)]


@dataclass(frozen=True, slots=True)
class Link:
    """A delegation in a chain of them; `employed` is of the delegate."""

    id: UUID
    delegate: str
    employed: bool


# From $1 on, each one's delegation at $2: of several that cover the task the one whose scope comes
# first in $3. It ends where somebody comes again, or with the $4th.
DELEGATED = """
WITH RECURSIVE chain AS (
    SELECT 0 AS depth, NULL::uuid AS id, $1::text AS delegate, ARRAY[$1::text] AS visited, false AS again
    UNION ALL
    SELECT c.depth + 1, d.id, d.delegate, c.visited || d.delegate, d.delegate = ANY(c.visited)
      FROM chain c CROSS JOIN LATERAL (
           SELECT e.id, e.delegate FROM delegations e
            WHERE e.delegator = c.delegate AND e.valid @> $2::timestamptz AND e.scope = ANY($3::text[])
            ORDER BY array_position($3::text[], e.scope) LIMIT 1) d
     WHERE NOT c.again AND c.depth < $4
)
SELECT c.id, c.delegate, p.employed @> $2::timestamptz AS employed
  FROM chain c JOIN people p ON p.id = c.delegate WHERE c.depth > 0 ORDER BY c.depth
"""


async def delegated(
    source: Source, person: str, at: datetime, scopes: Sequence[str], depth: int
) -> list[Link]:
    """To whom `person` has delegated, to whom they have, and so on: at most `depth` of them."""
    return [Link(*row) for row in await source.fetch(DELEGATED, person, at, scopes, depth)]


UNKNOWN = """
SELECT 'user:' || n AS principal FROM unnest($1::text[]) n
 WHERE NOT EXISTS (SELECT 1 FROM people WHERE id = n)
UNION ALL
SELECT 'role:' || n FROM unnest($2::text[]) n WHERE NOT EXISTS (SELECT 1 FROM roles WHERE name = n)
"""


async def unknown(source: Source, people: list[str], roles: list[str]) -> set[str]:
    """Those of them that the directory has never had, as `user:x` and `role:y`."""
    return {row["principal"] for row in await source.fetch(UNKNOWN, people, roles)}


TAKE_TURN = "UPDATE roles SET turn = turn + 1 WHERE name = $1 RETURNING turn - 1"


async def take_turn(source: Source, role: str) -> int:
    """The number of the turn, counted from 0, that is now this caller's alone."""
    turn = await source.fetchval(TAKE_TURN, role)
    if turn is None:
        raise LookupError(f"role {role} was removed")
    return int(turn)


NEXT_TURN = "SELECT turn FROM roles WHERE name = $1"


async def next_turn(source: Source, role: str) -> int:
    """The turn that would be taken now, taking none."""
    turn = await source.fetchval(NEXT_TURN, role)
    return int(turn or 0)


# Whether anybody but $2 can act on one of these principals.
ANYBODY_ELSE = """
SELECT EXISTS (
    SELECT 1 FROM people p WHERE p.id = ANY($3::text[]) AND p.id <> $2 AND p.employed @> $1::timestamptz
    UNION ALL
    SELECT 1 FROM role_members m JOIN people p ON p.id = m.person
     WHERE m.role = ANY($4::text[]) AND m.person <> $2
       AND m.valid @> $1::timestamptz AND p.employed @> $1::timestamptz)
"""


async def anybody_else(
    source: Source, at: datetime, requester: str, people: list[str], roles: list[str]
) -> bool:
    return bool(await source.fetchval(ANYBODY_ELSE, at, requester, people, roles))
