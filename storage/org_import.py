"""Makes the directory say what rows say: read what is so, plan, write the differences, all or nothing.

Everything is set-based: an import of a whole company is some dozen statements.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from contract.events import ORG_IMPORTED
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit, org_checks, org_plan
from storage.org import CHAIN, PersonRow, RoleRow
from storage.org_checks import DirectoryRefused
from storage.org_plan import Before, Changes, Difference, Known, Manner, Plan
from storage.pool import Connection
from storage.sweep import Touched, sweep_touched

_PATIENCE = 300.0
"""Seconds that one statement of an import may take."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an import changed, or would. `differences` are the first of `differing`; `left_out` the
    rows (counted from 0) of those who had left before they were known; `touched` whose tasks may be
    somebody else's now."""

    changes: Changes
    differences: tuple[Difference, ...]
    differing: int
    left_out: tuple[int, ...]
    touched: Touched


async def load(
    connection: Connection,
    at: datetime,
    people: Sequence[PersonRow],
    roles: Sequence[RoleRow],
    actor: Actor,
    *,
    manner: Manner = Manner(),  # noqa: B008 - frozen
) -> Loaded:
    """Make the directory say what is given, from `at` on; people and roles not named stay as they are.

    Runs in the transaction of `storage.org.lock`, which gave `at`. Whoever has open tasks by what is
    no longer so is asked for anew. With `manner.dry_run` nothing is written, and no lock is needed.
    DirectoryRefused with everything that is wrong; MassDeparture.
    """
    before = await read(connection, at, people, roles, manner)
    findings = org_checks.check(before, at, people, roles, manner)
    if findings:
        raise DirectoryRefused(findings)
    planned = org_plan.plan(before, at, people, roles, manner)
    touched = planned.touched()
    if planned.differing and not manner.dry_run:
        await _write(connection, planned)
        counted: dict[str, Json] = asdict(planned.changes())
        origin = {"format": manner.format, "sha256": manner.sha256}
        event = audit.event(ORG_IMPORTED, at, counted | origin, {}, actor)
        await audit.append_plain(connection, CHAIN, "org", 1, [event])
        await sweep_touched(connection, at, touched)
    return Loaded(
        planned.changes(),
        tuple(planned.differences),
        planned.differing,
        tuple(planned.left_out),
        touched,
    )


# ------------------------------------------------------------------------------ what is so ----

# $1 at, $2 ids, $3 also all others who are here. Who comes later is here from then on.
PEOPLE = """
SELECT p.id, p.name, p.email, p.attributes, p.time_zone, NOT isempty(rest) AS here,
       lower(rest) AS begins, upper(rest) AS ends, d.department
  FROM people p
  CROSS JOIN LATERAL (SELECT p.employed * tstzmultirange(tstzrange($1::timestamptz, NULL)) AS rest) r
  LEFT JOIN department_members d ON d.person = p.id AND d.valid @> $1::timestamptz
 WHERE p.id = ANY($2::text[]) OR $3 AND NOT isempty(rest)
"""
LIMITS = """
SELECT person, currency, amount FROM approval_limits
 WHERE person = ANY($2::text[]) AND valid @> $1::timestamptz
"""
EXISTING = "SELECT id FROM people WHERE id = ANY($1::text[])"
LINES = "SELECT person, manager FROM manager_lines WHERE valid @> $1::timestamptz"
ROLES = "SELECT name, description FROM roles"
MEMBERS = """
SELECT role, person FROM role_members
 WHERE valid @> $1::timestamptz AND ($4 OR role = ANY($2::text[]) OR person = ANY($3::text[]))
"""
HERE = "SELECT count(*) FROM people WHERE employed @> $1::timestamptz"


async def read(
    connection: Connection,
    at: datetime,
    people: Sequence[PersonRow],
    roles: Sequence[RoleRow],
    manner: Manner,
) -> Before:
    """What is so at `at` of all that the rows speak of."""
    ids = [row.id for row in people]
    whole = manner.whole and bool(people)
    rows = await _fetch(connection, PEOPLE, at, ids, whole)
    limits: dict[str, dict[str, Any]] = {}
    for row in await _fetch(connection, LIMITS, at, ids):
        limits.setdefault(row["person"], {})[row["currency"]] = row["amount"]
    lines = {row["person"]: row["manager"] for row in await _fetch(connection, LINES, at)}
    known = {
        row["id"]: Known(
            name=row["name"],
            email=row["email"],
            attributes=row["attributes"],
            time_zone=row["time_zone"],
            here=(row["begins"], row["ends"]) if row["here"] else None,
            manager=lines.get(row["id"]),
            department=row["department"],
            limits=limits.get(row["id"], {}),
        )
        for row in rows
    }
    named = {row.manager for row in people if row.manager is not None}
    named |= {member for role in roles for member in role.members}
    others = await _fetch(connection, EXISTING, list(named - known.keys()))
    holders = [row.id for row in people if row.roles is not None]
    everything = manner.whole and bool(roles or holders)
    names = [role.name for role in roles]
    members = await _fetch(connection, MEMBERS, at, names, holders, everything)
    return Before(
        people=known,
        others=frozenset(row["id"] for row in others),
        lines=lines,
        roles={row["name"]: row["description"] for row in await _fetch(connection, ROLES)},
        members=frozenset((row["role"], row["person"]) for row in members),
        here=await connection.fetchval(HERE, at),
    )


async def _fetch(connection: Connection, query: str, *arguments: Any) -> list[Any]:
    return await connection.fetch(query, *arguments, timeout=_PATIENCE)


# ------------------------------------------------------------------------------- writing it ----

ADD_PEOPLE = """
INSERT INTO people (id, name, email, attributes, time_zone, employed)
SELECT f.id, f.name, f.email, f.attributes, f.time_zone, tstzmultirange(tstzrange(f.begins, f.ends))
  FROM jsonb_to_recordset($1::jsonb) AS f(id text, name text, email text, attributes jsonb,
       time_zone text, begins timestamptz, ends timestamptz)
"""

CHANGE_PEOPLE = """
UPDATE people p SET name = f.name, email = f.email, attributes = f.attributes, time_zone = f.time_zone
  FROM jsonb_to_recordset($1::jsonb) AS f(id text, name text, email text, attributes jsonb, time_zone text)
 WHERE p.id = f.id
"""

# What was so before $1 stays; from then on it is [begins, ends), or nothing.
EMPLOY = """
UPDATE people p
   SET employed = p.employed * tstzmultirange(tstzrange(NULL, $1)) + CASE
       WHEN f.begins IS NULL THEN '{}'::tstzmultirange
       ELSE tstzmultirange(tstzrange(f.begins, f.ends)) END
  FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS f(person, begins, ends)
 WHERE p.id = f.person
"""

END_LINES = """
UPDATE manager_lines l SET valid = tstzrange(lower(l.valid), $1)
  FROM unnest($2::text[]) AS f(person) WHERE l.person = f.person AND l.valid @> $1::timestamptz
"""

BEGIN_LINES = """
INSERT INTO manager_lines (person, manager, valid)
SELECT f.person, f.manager, tstzrange($1, NULL) FROM unnest($2::text[], $3::text[]) AS f(person, manager)
"""

NAME_DEPARTMENTS = """
INSERT INTO departments SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING
"""

END_DEPARTMENTS = """
UPDATE department_members d SET valid = tstzrange(lower(d.valid), $1)
  FROM unnest($2::text[]) AS f(person) WHERE d.person = f.person AND d.valid @> $1::timestamptz
"""

BEGIN_DEPARTMENTS = """
INSERT INTO department_members (department, person, valid)
SELECT f.department, f.person, tstzrange($1, NULL)
  FROM unnest($2::text[], $3::text[]) AS f(person, department)
"""

END_LIMITS = """
UPDATE approval_limits a SET valid = tstzrange(lower(a.valid), $1)
  FROM unnest($2::text[], $3::text[]) AS f(person, currency)
 WHERE a.person = f.person AND a.currency = f.currency AND a.valid @> $1::timestamptz
"""

BEGIN_LIMITS = """
INSERT INTO approval_limits (person, currency, amount, valid)
SELECT f.person, f.currency, f.amount, tstzrange($1, NULL)
  FROM unnest($2::text[], $3::text[], $4::numeric[]) AS f(person, currency, amount)
"""

NAME_ROLES = """
INSERT INTO roles (name, description) SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT (name) DO UPDATE SET description = excluded.description
"""

END_MEMBERS = """
UPDATE role_members m SET valid = tstzrange(lower(m.valid), $1)
  FROM unnest($2::text[], $3::text[]) AS f(role, person)
 WHERE m.role = f.role AND m.person = f.person AND m.valid @> $1::timestamptz
"""

BEGIN_MEMBERS = """
INSERT INTO role_members (role, person, valid)
SELECT f.role, f.person, tstzrange($1, NULL) FROM unnest($2::text[], $3::text[]) AS f(role, person)
"""


async def _write(connection: Connection, planned: Plan) -> None:
    """What is said no more ends before what is said now begins: no two intervals meet."""
    await _write_people(connection, planned)
    at = planned.at
    ended = [person for person, _ in planned.lines]
    begun = [(person, boss) for person, boss in planned.lines if boss is not None]
    await _run(connection, END_LINES, at, columns=[ended])
    await _run(connection, BEGIN_LINES, at, columns=_columns(begun, 2))
    ended = [person for person, _ in planned.departments]
    begun = [(person, name) for person, name in planned.departments if name is not None]
    await _run(connection, NAME_DEPARTMENTS, columns=[_columns(begun, 2)[1]])
    await _run(connection, END_DEPARTMENTS, at, columns=[ended])
    await _run(connection, BEGIN_DEPARTMENTS, at, columns=_columns(begun, 2))
    limits = [limit for limit in planned.limits if limit[2] is not None]
    await _run(connection, END_LIMITS, at, columns=_columns(planned.limits, 3)[:2])
    await _run(connection, BEGIN_LIMITS, at, columns=_columns(limits, 3))
    await _run(connection, NAME_ROLES, columns=_columns(planned.roles, 2))
    await _run(connection, END_MEMBERS, at, columns=_columns(planned.members_ended, 2))
    await _run(connection, BEGIN_MEMBERS, at, columns=_columns(planned.members_begun, 2))


async def _write_people(connection: Connection, planned: Plan) -> None:
    added = [
        {
            "id": row.id,
            "name": row.name,
            "email": row.email,
            "attributes": row.attributes,
            "time_zone": row.time_zone,
            "begins": begins,
            "ends": ends,
        }
        for row, begins, ends in planned.added
    ]
    if added:
        await connection.execute(ADD_PEOPLE, added, timeout=_PATIENCE)
    names = ("id", "name", "email", "time_zone", "attributes")
    changed = [dict(zip(names, row, strict=True)) for row in planned.changed]
    if changed:
        await connection.execute(CHANGE_PEOPLE, changed, timeout=_PATIENCE)
    await _run(connection, EMPLOY, planned.at, columns=_columns(planned.employment, 3))


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    """The rows as `count` arrays for `unnest`."""
    return [[row[place] for row in rows] for place in range(count)]


async def _run(
    connection: Connection, statement: str, *first: Any, columns: list[list[Any]]
) -> None:
    """One statement over arrays; none if they are empty."""
    if columns[0]:
        await connection.execute(statement, *first, *columns, timeout=_PATIENCE)
