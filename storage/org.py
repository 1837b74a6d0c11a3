"""The directory as it is kept: import, and lists of people and roles as of now.

Every fact keeps the interval in which it was so: a change ends the old row and begins a new one at
the same instant. `storage.directory` asks about any moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, TypeAlias
from uuid import NAMESPACE_OID, uuid5

import asyncpg

from contract.events import ORG_IMPORTED
from recipes.model import Json
from recipes.state import Actor
from storage import audit
from storage.pool import Connection, Source
from storage.sweep import Touched, sweep_touched

CHAIN = uuid5(NAMESPACE_OID, "countersign:org")
"""Under which id the audit trail keeps what happened to the directory."""


Fact: TypeAlias = Literal["email", "manager", "department", "time_zone", "limits", "attributes"]
"""What a file may leave unsaid of all of its people (`load`): then it stays as it is."""


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


@dataclass(frozen=True, slots=True)
class Changes:
    """How much an import changed."""

    people_added: int = 0
    people_changed: int = 0
    people_left: int = 0
    managers_changed: int = 0
    roles_added: int = 0
    roles_changed: int = 0
    members_added: int = 0
    members_removed: int = 0


async def unknown_people(source: Source, ids: Sequence[str]) -> set[str]:
    """Those of `ids` that the directory does not know."""
    rows = await source.fetch("SELECT id FROM people WHERE id = ANY($1::text[])", ids)
    return set(ids) - {row["id"] for row in rows}


LINES = "SELECT person, manager FROM manager_lines WHERE valid @> $1::timestamptz"


async def managers(source: Source, at: datetime) -> dict[str, str]:
    """Everybody's manager at a moment, by id."""
    return {row["person"]: row["manager"] for row in await source.fetch(LINES, at)}


# One import at a time, and each at a later instant than the one before it.
MOMENT = "SELECT pg_advisory_xact_lock(hashtext('org_import'))"

PEOPLE = """
WITH written AS (
    INSERT INTO people AS p (id, name, email, attributes, employed)
    SELECT f.id, f.name, f.email, coalesce(f.attributes, '{}'), tstzmultirange(tstzrange($1, NULL))
      FROM jsonb_to_recordset($2::jsonb) AS f(id text, name text, email text, attributes jsonb)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email,
                                   attributes = excluded.attributes
     WHERE (p.name, p.email, p.attributes)
           IS DISTINCT FROM (excluded.name, excluded.email, excluded.attributes)
    RETURNING (xmax = 0) AS added
)
SELECT count(*) FILTER (WHERE added) AS added, count(*) FILTER (WHERE NOT added) AS changed FROM written
"""

LEAVE = """
UPDATE people SET employed = employed * tstzmultirange(tstzrange(NULL, $1))
 WHERE id = ANY($2::text[]) AND employed @> $1::timestamptz AND lower(employed) < $1
"""

RETURN = """
UPDATE people SET employed = employed + tstzmultirange(tstzrange($1, NULL))
 WHERE id = ANY($2::text[]) AND NOT employed @> $1::timestamptz
"""

END_LINES = """
UPDATE manager_lines l SET valid = tstzrange(lower(l.valid), $1)
  FROM unnest($2::text[], $3::text[]) AS f(person, manager)
 WHERE l.person = f.person AND l.valid @> $1::timestamptz AND l.manager IS DISTINCT FROM f.manager
"""

BEGIN_LINES = """
INSERT INTO manager_lines (person, manager, valid)
SELECT f.person, f.manager, tstzrange($1, NULL)
  FROM unnest($2::text[], $3::text[]) AS f(person, manager)
 WHERE f.manager IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM manager_lines l
                    WHERE l.person = f.person AND l.valid @> $1::timestamptz)
"""

ROLES = """
WITH written AS (
    INSERT INTO roles AS r (name, description)
    SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT (name) DO UPDATE SET description = excluded.description
     WHERE r.description IS DISTINCT FROM excluded.description
    RETURNING (xmax = 0) AS added
)
SELECT count(*) FILTER (WHERE added) AS added, count(*) FILTER (WHERE NOT added) AS changed FROM written
"""

END_MEMBERS = """
UPDATE role_members m SET valid = tstzrange(lower(m.valid), $1)
 WHERE m.role = ANY($2::text[]) AND m.valid @> $1::timestamptz
   AND NOT EXISTS (SELECT 1 FROM unnest($3::text[], $4::text[]) AS f(role, person)
                    WHERE f.role = m.role AND f.person = m.person)
"""

BEGIN_MEMBERS = """
INSERT INTO role_members (role, person, valid)
SELECT f.role, f.person, tstzrange($1, NULL)
  FROM unnest($2::text[], $3::text[]) AS f(role, person)
 WHERE NOT EXISTS (SELECT 1 FROM role_members m
                    WHERE m.role = f.role AND m.person = f.person AND m.valid @> $1::timestamptz)
"""


async def lock(connection: Connection) -> datetime:
    """Within a transaction: wait for other imports; the instant at which this one's changes begin."""
    await connection.execute(MOMENT)
    moment: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return moment


async def load(
    connection: Connection,
    at: datetime,
    people: Sequence[PersonRow],
    roles: Sequence[RoleRow],
    actor: Actor,
) -> Changes:
    """Make the directory say what is given; people and roles not named stay as they are.

    Runs in the transaction of `lock`, which gave `at`. Everybody named must be known or given. Whoever
    has open tasks by what is no longer so is asked for anew.
    """
    people_changes = await _load_people(connection, at, people)
    changes = Changes(**people_changes, **await _load_roles(connection, at, roles))
    counted = {name: getattr(changes, name) for name in Changes.__slots__}
    if any(counted.values()):
        event = audit.event(ORG_IMPORTED, at, counted, {}, actor)
        await audit.append(connection, CHAIN, "org", 1, [event])
        named = [p.id for p in people] + [member for role in roles for member in role.members]
        await sweep_touched(connection, at, Touched(named, [role.name for role in roles]))
    return changes


async def _load_people(
    connection: Connection, at: datetime, people: Sequence[PersonRow]
) -> dict[str, int]:
    rows = [
        {"id": p.id, "name": p.name, "email": p.email, "attributes": p.attributes} for p in people
    ]
    written = await connection.fetchrow(PEOPLE, at, rows)
    assert written is not None
    left = await connection.execute(LEAVE, at, [p.id for p in people if p.left])
    returned = await connection.execute(RETURN, at, [p.id for p in people if not p.left])
    ids, managers = [p.id for p in people], [p.manager for p in people]
    ended = await connection.execute(END_LINES, at, ids, managers)
    begun = await connection.execute(BEGIN_LINES, at, ids, managers)
    return {
        "people_added": written["added"],
        "people_changed": written["changed"] + _rows(returned),
        "people_left": _rows(left),
        "managers_changed": max(_rows(ended), _rows(begun)),
    }


async def _load_roles(
    connection: Connection, at: datetime, roles: Sequence[RoleRow]
) -> dict[str, int]:
    names = [role.name for role in roles]
    written = await connection.fetchrow(ROLES, names, [role.description for role in roles])
    assert written is not None
    members = [(role.name, person) for role in roles for person in role.members]
    pairs = [role for role, _ in members], [person for _, person in members]
    ended = await connection.execute(END_MEMBERS, at, names, *pairs)
    begun = await connection.execute(BEGIN_MEMBERS, at, *pairs)
    return {
        "roles_added": written["added"],
        "roles_changed": written["changed"],
        "members_added": _rows(begun),
        "members_removed": _rows(ended),
    }


def _rows(status: str) -> int:
    """The number of rows in a command's status: `UPDATE 3`, `INSERT 0 3`."""
    return int(status.rpartition(" ")[2])


LIST_PEOPLE = """
SELECT p.id, p.name, p.email,
       (SELECT l.manager FROM manager_lines l WHERE l.person = p.id AND l.valid @> now()) AS manager
  FROM people p WHERE p.id > $1 AND p.employed @> now() ORDER BY p.id LIMIT $2
"""


async def people(source: Source, after: str, limit: int) -> list[asyncpg.Record]:
    """Those who are here now, by id."""
    return await source.fetch(LIST_PEOPLE, after, limit)


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
