"""Questions to the directory in Postgres. Every fact is asked as of a moment: `valid @> at`."""

from dataclasses import dataclass
from datetime import datetime

from recipes.model import Json
from storage.pool import Source


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the directory knows them at the moment asked for. `manager` is an id."""

    id: str
    name: str
    email: str | None
    attributes: dict[str, Json]
    employed: bool
    manager: str | None


# The person and the line of managers above, nearest first, at most $3 of them.
LINE = """
WITH RECURSIVE line AS (
    SELECT $1::text AS id, 0 AS height
    UNION ALL
    SELECT m.manager, line.height + 1
      FROM line JOIN manager_lines m ON m.person = line.id AND m.valid @> $2::timestamptz
     WHERE line.height < $3
)
SELECT p.id, p.name, p.email, p.attributes, p.employed @> $2::timestamptz AS employed,
       (SELECT m.manager FROM manager_lines m
         WHERE m.person = p.id AND m.valid @> $2::timestamptz) AS manager
  FROM line JOIN people p ON p.id = line.id ORDER BY line.height
"""


async def line(source: Source, person: str, at: datetime, height: int) -> list[Person]:
    """The person, their manager, and so on up to `height` managers. Empty if there is no such person.

    A cycle in the lines repeats people; it ends at `height`.
    """
    rows = await source.fetch(LINE, person, at, height)
    return [Person(*row) for row in rows]


ROLE_EXISTS = "SELECT EXISTS (SELECT 1 FROM roles WHERE name = $1)"


async def role_exists(source: Source, role: str) -> bool:
    return bool(await source.fetchval(ROLE_EXISTS, role))


MEMBERS = """
SELECT m.person FROM role_members m JOIN people p ON p.id = m.person
 WHERE m.role = $1 AND m.valid @> $2::timestamptz AND p.employed @> $2::timestamptz
 ORDER BY m.person
"""


async def members(source: Source, role: str, at: datetime) -> list[str]:
    """The people who hold a role, by id; those who have left do not."""
    return [row["person"] for row in await source.fetch(MEMBERS, role, at)]


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
