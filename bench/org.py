"""The directory of a large organisation (`bench.company`): import, who decides, and the sweep.

1. Import: the JSON file read as the API reads it, and loaded by the loader; the same rows copied bare,
   by COPY, into the same tables of a second database; the same file loaded again.
2. Who decides, warm: each question in turn with one query by primary key, on the same connection. And
   cold: both on a connection of their own, for people whom nobody has asked about, after a restart of
   Postgres.
3. The sweep over 200,000 open tasks: a pass that finds nothing; 1,000 people leave in one import, and
   whose tasks that are is found at once as far as one batch goes, the rest by passes.
"""

import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from statistics import median

import asyncpg

from api import org_file
from bench import company, report, stack
from bench.measure import Spread
from bench.stack import Stack
from recipes.asks import Ask, AskApprover, AskCandidates, AskEmployee, AskManager, Limit
from recipes.happenings import Actor
from storage import org, org_import, resolution, sweep
from storage.migrate import migrate
from storage.org import PersonRow
from storage.org_import import Loaded
from storage.org_plan import Manner
from storage.pool import Connection, create_pool
from storage.references import About

WARM = 500
WARMING = 50
COLD = 40
ROUNDS = 5
PASSES = 10
DEPARTURES = 1_000
BARE = "bare"
TABLES = (
    *("people", "departments", "roles"),
    *("manager_lines", "department_members", "approval_limits", "role_members"),
)
ONE_QUERY = "SELECT id, name, email FROM people WHERE id = $1"
_ADMIN = Actor("p1", "admin")


@dataclass(slots=True)
class Found:
    """What was measured; seconds where nothing else is said."""

    read: float = 0.0
    load: float = 0.0
    again: float = 0.0
    bare: float = 0.0
    rows: int = 0
    delegations: int = 0
    warm: dict[str, list[tuple[Spread, Spread]]] = field(default_factory=dict)
    cold: dict[str, tuple[Spread, Spread]] = field(default_factory=dict)
    departure: float = 0.0
    departure_no_tasks: float = 0.0
    at_once: int = 0
    later: int = 0
    affected: int = 0
    passes: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    core: float = 0.0
    """Of Postgres, a pass that finds nothing."""


async def run() -> None:
    """Load, measure and write the section of RESULTS.md."""
    found = Found()
    async with stack.servers() as machine:
        superuser = await asyncpg.connect(machine.superuser_url())
        await imports(machine, found)
        await bare(machine, found)
        found.delegations = await company.delegate(superuser)
        print(found)
        await warm(machine, found)
        await superuser.close()
        await machine.restart_postgres()
        await cold(machine, found)
        await sweeps(machine, found)
    report.write("org", _section(found))


# ----------------------------------------------------------------------------------- import ----


async def imports(machine: Stack, found: Found) -> None:
    """The whole file, and the whole file again."""
    source = company.file()
    began = time.perf_counter()
    reading = org_file.read(source, "json")
    found.read = time.perf_counter() - began
    manner = reading.manner(
        sha256(source).hexdigest(), whole=False, allow_mass_departure=False, dry_run=False
    )
    pool = await create_pool(machine.app_url(), max_size=1)
    async with pool.acquire() as connection:
        for again in (False, True):
            took, loaded = await _load(connection, reading.people, reading.roles, manner)
            assert loaded.differing == 0 if again else loaded.changes.people_added == company.PEOPLE
            found.load, found.again = (found.load, took) if again else (took, 0.0)
    await pool.close()


async def _load(
    connection: Connection,
    people: list[PersonRow],
    roles: list[org.RoleRow],
    manner: Manner,
) -> tuple[float, Loaded]:
    began = time.perf_counter()
    async with connection.transaction():
        at = await org.lock(connection)
        loaded = await org_import.load(connection, at, people, roles, _ADMIN, manner=manner)
    return time.perf_counter() - began, loaded


async def bare(machine: Stack, found: Found) -> None:
    """The rows of the import by COPY into an empty database, every index and constraint in place but
    foreign keys and triggers."""
    await machine.create_database(BARE)
    await migrate(machine.superuser_url(BARE))
    source = await asyncpg.connect(machine.superuser_url())
    target = await asyncpg.connect(machine.superuser_url(BARE))
    await target.execute("SET session_replication_role = replica")
    copies = {table: machine.folder / f"{table}.copy" for table in TABLES}
    for table, path in copies.items():
        await source.copy_from_table(table, output=path)
    began = time.perf_counter()
    async with target.transaction():
        for table, path in copies.items():
            said = await target.copy_to_table(table, source=path)
            found.rows += int(said.removeprefix("COPY "))
    found.bare = time.perf_counter() - began
    await source.close()
    await target.close()


# ------------------------------------------------------------------------------ who decides ----


def questions() -> Mapping[str, Callable[[int], Ask]]:
    """The questions by their names; each about person or role number so and so."""

    def by_authority(number: int) -> Ask:
        """Of somebody below whom nobody is: four managers up."""
        needed = Limit(str(company.limit(2)), company.CURRENCY)
        return AskApprover("ask", f"user:p{_plain(number)}", limit=needed)

    def in_turn(number: int) -> Ask:
        return AskApprover("ask", f"role:r{number % company.ROLES}")

    def kept(number: int) -> Ask:
        person = number % company.HERE + 1
        return AskApprover("ask", f"role:{company.role(person)}", keep=f"p{person}")

    return {
        "`user:x`": lambda number: AskApprover("ask", f"user:p{_plain(number)}"),
        "`employee.manager.manager`": lambda _: AskEmployee(("manager.manager",)),
        "the manager of x (an escalation)": lambda number: AskManager("ask", f"p{_plain(number)}"),
        "`role:y`, the next in turn": in_turn,
        "`role:y`, again its holder": kept,
        "`authority`, four managers up": by_authority,
        "a chain of five delegations": lambda number: AskApprover(
            "ask", f"user:p{company.first_of_chain(number)}"
        ),
        "`candidates` of a role": lambda number: AskCandidates(
            "ask", (f"role:r{number % company.ROLES}",)
        ),
    }


def _plain(number: int) -> int:
    """Somebody who is not away, with nobody below."""
    return 70_001 + number % 20_000


def _about(number: int, at: datetime) -> About:
    return About(f"p{90_001 + number % 10_000}", "bulk", at)


async def warm(machine: Stack, found: Found) -> None:
    """Each question, each time in turn with one query, in rounds; people drawn at random."""
    pool = await create_pool(machine.app_url(), min_size=1, max_size=1)
    draw = random.Random(1)
    for number in range(ROUNDS + 1):
        for name, question in questions().items():
            numbers = [draw.randrange(company.PEOPLE) for _ in range(WARM if number else WARMING)]
            async with pool.acquire() as connection:
                pairs = [await _both(connection, question, each) for each in numbers]
            if number:  # the first one warms up
                ours, one = zip(*pairs, strict=True)
                found.warm.setdefault(name, []).append((Spread.of(ours), Spread.of(one)))
    await pool.close()


async def cold(machine: Stack, found: Found) -> None:
    """Each question and the query, on connections on which nothing has run, each about others."""
    numbers = itertools.count(random.Random(2).randrange(1_000), 13)
    for name, question in questions().items():
        pairs = list[tuple[float, float]]()
        for _ in range(COLD):
            pool = await create_pool(machine.app_url(), min_size=1, max_size=1)
            async with pool.acquire() as connection:
                ours = await _ours(connection, question, next(numbers))
            await pool.close()
            pool = await create_pool(machine.app_url(), min_size=1, max_size=1)
            async with pool.acquire() as connection:
                one = await _one_query(connection, next(numbers))
            await pool.close()
            pairs.append((ours, one))
        ours_s, one_s = zip(*pairs, strict=True)
        found.cold[name] = (Spread.of(ours_s), Spread.of(one_s))


async def _both(
    connection: Connection, question: Callable[[int], Ask], number: int
) -> tuple[float, float]:
    return await _ours(connection, question, number), await _one_query(connection, number)


async def _ours(connection: Connection, question: Callable[[int], Ask], number: int) -> float:
    ask, about = question(number), _about(number, datetime.now(UTC))
    began = time.perf_counter()
    [answer] = await resolution.answers(connection, (ask,), about)
    took = time.perf_counter() - began
    assert answer.refusal is None, answer.refusal
    return took


async def _one_query(connection: Connection, number: int) -> float:
    began = time.perf_counter()
    row = await connection.fetchrow(ONE_QUERY, f"p{_plain(number * 7)}")
    took = time.perf_counter() - began
    assert row is not None
    return took


# --------------------------------------------------------------------------------- the sweep ----

# Whose task it is, or whose turn it was: the sweep's own statement knows many more reasons.
_AFFECTED = """
SELECT count(*) FROM tasks
 WHERE state = 'open' AND (assignee = ANY($1::text[]) OR on_behalf_of = ANY($1::text[]))
"""


class _Undone(Exception):
    """Ends a transaction without a trace."""


async def sweeps(machine: Stack, found: Found) -> None:
    """Passes that find nothing, the departures, and passes until all are told."""
    superuser = await asyncpg.connect(machine.superuser_url())
    leaving = _leaving()
    pool = await create_pool(machine.app_url(), max_size=1)
    async with pool.acquire() as connection:
        found.departure_no_tasks = await _departure(connection, leaving, undo=True)
        await company.open_tasks(superuser)
        print("open tasks loaded")
        await _pass(connection)
        before = machine.processor()["postgres"]
        for _ in range(PASSES):
            took, told = await _pass(connection)
            assert told.tasks == 0, told
            found.idle.append(took)
        found.core = (machine.processor()["postgres"] - before) / PASSES
        found.affected = await superuser.fetchval(_AFFECTED, [row.id for row in leaving])
        found.departure = await _departure(connection, leaving)
        found.at_once = await _told(superuser)
        told = sweep.Swept(sweep.BATCH)
        while told.more:
            took, told = await _pass(connection)
            found.passes.append(took)
            found.later += told.tasks
        assert await _told(superuser) == found.at_once + found.later
    await pool.close()
    await superuser.close()


def _leaving() -> list[PersonRow]:
    """Of those who are asked, drawn at random: in step with the tasks they would miss whole kinds."""
    drawn = sorted(random.Random(3).sample(range(1, company.HERE + 1), DEPARTURES))
    return [
        PersonRow(f"p{n}", f"Person {n}", f"p{n}@example.org", _boss(n), left=True) for n in drawn
    ]


def _boss(number: int) -> str | None:
    above = company.manager(number)
    return None if above is None else f"p{above}"


async def _departure(
    connection: Connection, leaving: list[PersonRow], *, undo: bool = False
) -> float:
    """Seconds until the import was carried out, its commit aside if it is undone."""
    if not undo:
        took, loaded = await _load(connection, leaving, [], Manner())
        assert loaded.changes.people_left == DEPARTURES, loaded.changes
        return took
    took = 0.0
    try:
        async with connection.transaction():
            took, _ = await _load(connection, leaving, [], Manner())
            raise _Undone
    except _Undone:
        return took


async def _pass(connection: Connection) -> tuple[float, sweep.Swept]:
    began = time.perf_counter()
    told = await sweep.sweep(connection)
    return time.perf_counter() - began, told


async def _told(superuser: company.Superuser) -> int:
    """In how many tasks' names messages wait in the outbox."""
    told: int = await superuser.fetchval(
        "SELECT coalesce(sum(jsonb_array_length(message->'task_ids')), 0)::int FROM outbox"
        " WHERE message->>'kind' = 'rechecked'"
    )
    return told


# ------------------------------------------------------------------------------- the section ----


def _section(found: Found) -> str:
    return "\n".join([*_import_part(found), "", *_resolve_part(found), "", *_sweep_part(found)])


def _import_part(found: Found) -> Iterator[str]:
    yield (
        f"{company.PEOPLE:,} people, {company.ROLES:,} roles, {found.delegations:,} delegations. "
        f"Their JSON file (without delegations) makes {found.rows:,} rows; seconds:"
    )
    yield ""
    yield "| reading the file | importing it | COPY of the same rows | ratio | importing it again |"
    yield "|---|---|---|---|---|"
    yield (
        f"| {found.read:.1f} | {found.load:.1f} | {found.bare:.1f} "
        f"| **{found.load / found.bare:.1f}** | {found.again:.1f} |"
    )


def _resolve_part(found: Found) -> Iterator[str]:
    yield (
        f"Who decides, {ROUNDS} rounds of {WARM:,} each warm, {COLD} each cold, in turn with one indexed "
        "query on the same connection; milliseconds, median of the rounds:"
    )
    yield ""
    yield "| | warm p50 / p99 | / one query (target 3) | cold p50 / p99 | / one query |"
    yield "|---|---|---|---|---|"
    for name, rounds in found.warm.items():
        ours, one = found.cold[name]
        p50 = median(mine.p50 for mine, _ in rounds)
        p99 = median(mine.p99 for mine, _ in rounds)
        ratio = median(mine.p50 / other.p50 for mine, other in rounds)
        tail = median(mine.p99 / other.p99 for mine, other in rounds)
        yield (
            f"| {name} | {p50:.2f} / {p99:.2f} | **{ratio:.2f}** / {tail:.2f} "
            f"| {ours.p50:.1f} / {ours.p99:.1f} | {ours.p50 / one.p50:.2f} / {ours.p99 / one.p99:.2f} |"
        )
    singles = [one for rounds in found.warm.values() for _, one in rounds]
    colds = [one for _, one in found.cold.values()]
    yield (
        f"| one query | {median(each.p50 for each in singles):.2f} / "
        f"{median(each.p99 for each in singles):.2f} | 1 | {median(each.p50 for each in colds):.1f} / "
        f"{median(each.p99 for each in colds):.1f} | 1 |"
    )


def _sweep_part(found: Found) -> Iterator[str]:
    whole = sum(found.passes)
    yield (
        f"{company.OPEN:,} open tasks. A pass that finds nothing takes {median(found.idle):.2f} s and "
        f"**{found.core:.2f} s** of one core (target 1)."
    )
    yield (
        f"{DEPARTURES:,} people leave in one import: {found.departure:.2f} s "
        f"({found.departure_no_tasks:.2f} s without any open task), in which {found.at_once:,} tasks are "
        f"found and their requests told; {found.later:,} more by the {len(found.passes)} passes after "
        f"it, {whole:.2f} s. Together {found.at_once + found.later:,} of {found.affected:,}."
    )
