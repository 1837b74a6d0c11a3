"""The organisation of `bench.org`, and open tasks as it would give them.

100,000 people p1 to p100000, ten of whom report to one; p1 reports to nobody. Who has people below may
approve ten times as much as they may. Everybody holds one of 5,000 roles: each has 20 members.
"""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from recipes.asks import Ask, AskApprover, AskCandidates, Assignment, Hop, Limit
from recipes.model import Json

PEOPLE = 100_000
BELOW = 10
ROLES = 5_000
OPEN = 200_000
DEPARTMENTS = 1_000
CURRENCY = "EUR"
OPENED = "2026-01-01T00:00:00Z"

HERE = 20_000
"""p1 to p<HERE> have delegated nothing; tasks that nobody delegated are theirs."""
CHAIN, CHAINS, CHAINS_AT = 5, 2_000, 20_001
"""So many delegations one after the other, so often, from this person on."""
SINGLES, SINGLES_AT, DELEGATES_AT = 10_000, 40_001, 60_001
"""The other delegations: how many, the first who gives one and the first who receives one."""

Superuser: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def manager(number: int) -> int | None:
    return None if number == 1 else (number - 2) // BELOW + 1


def limit(number: int) -> int:
    """What p<number> may approve alone, of CURRENCY; 0 for those with nobody below."""
    levels, first = 0, number
    while (first := BELOW * (first - 1) + 2) <= PEOPLE:
        levels += 1
    return 100 * 10**levels if levels else 0


def role(number: int) -> str:
    """The one that p<number> holds."""
    return f"r{number % ROLES}"


def first_of_chain(chain: int) -> int:
    """Who delegates to the next, who delegates to the next, and so on: CHAIN times."""
    return CHAINS_AT + chain % CHAINS * (CHAIN + 1)


# ---------------------------------------------------------------------------------- the file ----


def file() -> bytes:
    """All of it but the delegations, as JSON."""
    people = [_person(number) for number in range(1, PEOPLE + 1)]
    roles = [
        {"name": f"r{n}", "members": [f"p{m}" for m in range(n or ROLES, PEOPLE + 1, ROLES)]}
        for n in range(ROLES)
    ]
    return to_json({"people": people, "roles": roles})


def _person(number: int) -> dict[str, Json]:
    above, amount = manager(number), limit(number)
    person: dict[str, Json] = {
        "id": f"p{number}",
        "name": f"Person {number}",
        "email": f"p{number}@example.org",
        "department": f"Department {number % DEPARTMENTS}",
    }
    if above is not None:
        person["manager"] = f"p{above}"
    if amount:
        person["limits"] = {CURRENCY: amount}
    return person


# ------------------------------------------------------------------------------- delegations ----

_DELEGATE = """
INSERT INTO delegations (id, delegator, delegate, scope, valid, created_by)
SELECT id, 'p' || delegator, 'p' || delegate, scope, tstzrange(now(), NULL), 'p1'
  FROM unnest($1::uuid[], $2::int[], $3::int[], $4::text[]) AS d(id, delegator, delegate, scope)
"""


def delegations() -> Iterator[tuple[UUID, int, int, str]]:
    """Id, delegator, delegate, scope: those in chains first."""
    scopes = ("all", "workflow:bulk", "all", "workflow:bulk", "all")
    for chain in range(CHAINS):
        for link in range(CHAIN):
            person = first_of_chain(chain) + link
            yield UUID(int=person), person, person + 1, scopes[link]
    for number in range(SINGLES):
        person = SINGLES_AT + number
        scope = ("all", "workflow:bulk", "workflow:another", f"role:{role(person)}")[number % 4]
        yield UUID(int=person), person, DELEGATES_AT + number, scope


async def delegate(connection: Superuser) -> int:
    """Set the delegations, from now on; how many they are."""
    rows = list(delegations())
    await connection.execute(_DELEGATE, *zip(*rows, strict=True))
    await connection.execute("VACUUM ANALYZE")
    return len(rows)


# -------------------------------------------------------------------------------- open tasks ----

_TASK = "id request_id step seat assignee candidates role on_behalf_of delegations chain ask digest opened_at"
_REQUEST = "id workflow version requester title inputs digest state step seq"


async def open_tasks(connection: Superuser) -> None:
    """OPEN requests with a task each, none of which the directory would give to anybody else."""
    await connection.execute("SET session_replication_role = replica")  # no foreign key checks
    await connection.execute(
        "INSERT INTO recipes VALUES ('bulk', 1, repeat('0', 64), '', '{}', now(), 'bench')"
    )
    tables: list[tuple[str, str, Iterable[Iterable[Any]]]] = [
        ("requests", _REQUEST, (_request(n) for n in range(OPEN))),
        ("tasks", _TASK, (_task(n) for n in range(OPEN))),
        ("task_candidates", "principal due task_id", _shared()),
    ]
    for table, columns, rows in tables:
        source = _as_csv(rows)
        await connection.copy_to_table(
            table, source=source, columns=columns.split(), format="csv", null=""
        )
    await connection.execute("RESET session_replication_role")
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")


async def _as_csv(rows: Iterable[Iterable[Any]]) -> AsyncIterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    for number, row in enumerate(rows, 1):
        writer.writerow(row)
        if number % 2000 == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _id(kind: str, number: int) -> UUID:
    """Looks random, as real ones do to an index, and is the same each time."""
    mixed = (number * 2 + "rt".index(kind) + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835
    return UUID(int=mixed & (2**128 - 1))


def _request(number: int) -> tuple[Any, ...]:
    """Of somebody who is asked about nothing."""
    requester = f"p{PEOPLE - number % 10_000}"
    title = f"Leave request {number}"
    inputs = '{"days": 5, "reason": "a week at the sea"}'
    digest = f"{number:032x}"
    return _id("r", number), "bulk", 1, requester, title, inputs, digest, "pending", "ask", 1


def _task(number: int) -> tuple[Any, ...]:
    """Of ten tasks six ask for a person, one for a role, one for somebody who has delegated, one for
    the manager of somebody who may not approve that much, and one for all who hold a role."""
    turn = number // 10
    match number % 10:
        case 6:
            ask, given = _by_role(turn % HERE + 1)
        case 7:
            ask, given = _by_delegation(turn % SINGLES // 4 * 4 + turn % 2)
        case 8:
            ask, given = _by_authority(turn % 8_000 + 2_000)
        case 9:
            name = f"r{turn % ROLES}"
            ask = AskCandidates("ask", (f"role:{name}",))
            given = Assignment(candidates=ask.references, chain=(Hop("candidates", role=name),))
        case _:
            person = f"p{number * 7 % HERE + 1}"
            ask = AskApprover("ask", f"user:{person}")
            given = Assignment(person, chain=(Hop("person", person),))
    return (
        *(_id("t", number), _id("r", number), "ask", "ask"),
        *(given.user, _array(given.candidates), given.role, given.on_behalf_of),
        *(_array(given.delegations) or "{}", to_json(given.chain).decode(), to_json(ask).decode()),
        *(f"{number:032x}", OPENED),
    )


def _by_role(number: int) -> tuple[Ask, Assignment]:
    person, name = f"p{number}", role(number)
    hop = Hop("round_robin", person, name, 1)
    return AskApprover("ask", f"role:{name}"), Assignment(person, (), name, chain=(hop,))


def _by_delegation(number: int) -> tuple[Ask, Assignment]:
    """By one that covers the recipe."""
    person, delegate = f"p{SINGLES_AT + number}", f"p{DELEGATES_AT + number}"
    followed = Hop("delegation", delegate, delegation=str(UUID(int=SINGLES_AT + number)))
    ask = AskApprover("ask", f"user:{person}")
    return ask, Assignment(delegate, on_behalf_of=person, chain=(Hop("person", person), followed))


def _by_authority(number: int) -> tuple[Ask, Assignment]:
    person, above = f"p{number}", f"p{manager(number)}"
    ask = AskApprover("ask", f"user:{person}", limit=Limit(str(limit(number) + 1), CURRENCY))
    chain = (Hop("person", person), Hop("below_limit", person), Hop("manager", above))
    return ask, Assignment(above, chain=chain)


def _array(values: Sequence[str]) -> str | None:
    return f"{{{','.join(values)}}}" if values else None


def _shared() -> Iterator[tuple[Any, ...]]:
    for number in range(9, OPEN, 10):
        yield f"role:r{number // 10 % ROLES}", "infinity", _id("t", number)
