"""`GET /v1/tasks` with 2,000 open tasks, and with 200,000 beside 2,000,000 closed ones.

Two databases on one Postgres, loaded by COPY, an API process before each; asked in turn, 50 times a
second, whatever each answer takes (open loop: a late answer counts from when it was due to be
asked). The organisation has 20,000 people; everybody asked has ten open tasks, so that both answer
the same amount: 200 people in the small database, all 20,000 in the large one.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from uuid import UUID

import asyncpg

from bench import report, stack
from bench.client import Client
from bench.measure import Spread, median_ratio
from bench.stack import Stack
from storage.migrate import migrate

PEOPLE = 20_000
EACH = 10
ROLES = 200
"""Each has 100 members and shares one open task, the first ROLES of them; everybody has one role."""
PER_SECOND = 50
SECONDS = 20.0
ROUNDS = 5
_MASK = 2**128 - 1
_NOW = datetime.now(UTC).replace(microsecond=0)
_LONG_AGO = "2020-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Size:
    """How much a database holds; `askers` are p1 to p<askers>."""

    database: str
    open: int
    closed: int

    @property
    def askers(self) -> int:
        return self.open // EACH


SMALL = Size("small", 2_000, 0)
LARGE = Size("large", 200_000, 2_000_000)


async def run() -> None:
    """Load, measure and write the section of RESULTS.md."""
    async with stack.servers() as machine:
        for size in (SMALL, LARGE):
            began = time.monotonic()
            await machine.create_database(size.database)
            await migrate(machine.superuser_url(size.database))
            await load(machine, size)
            print(f"{size.database} loaded in {time.monotonic() - began:.0f} s")
            await machine.api(size.database)
        rounds: dict[str, list[Spread]] = {SMALL.database: [], LARGE.database: []}
        for number in range(ROUNDS + 1):
            for size in (SMALL, LARGE):
                spread = Spread.of(await ask(machine, size, number, SECONDS if number else 5.0))
                print(size.database, spread)
                if number:  # the first one warms up
                    rounds[size.database].append(spread)
    report.write("inbox", _section(rounds))


# --------------------------------------------------------------------------------- asking ----


async def ask(machine: Stack, size: Size, number: int, seconds: float) -> list[float]:
    """Seconds each answer took, from the moment it was to be asked. Others are asked every round.

    Everybody has called before: the first call with a token costs a signature check, and more people
    make more of them, which says nothing about inboxes.
    """
    clients = await _known(machine, size, number, int(PER_SECOND * seconds))
    began, running = time.perf_counter(), list[asyncio.Task[float]]()
    for turn, client in enumerate(clients):
        due = began + turn / PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        running.append(asyncio.create_task(_once(client, due)))
    found = await asyncio.gather(*running)
    await clients[0].close()
    return list(found)


async def _known(machine: Stack, size: Size, number: int, count: int) -> list[Client]:
    """Clients of people drawn at random, over the same connections, their tokens known."""
    people = random.Random(number).choices(range(1, size.askers + 1), k=count)
    first = machine.client("p1", port=machine.ports[size.database])
    clients = {person: first.bearing(machine.token(f"p{person}")) for person in set(people)}
    for client in clients.values():
        (await client.get(f"/v1/requests/{UUID(int=0)}")).expect(404)
    return [clients[person] for person in people]


async def _once(client: Client, due: float) -> float:
    items = (await client.get("/v1/tasks")).expect(200)["items"]
    took = time.perf_counter() - due
    assert len(items) >= EACH - 2, len(items)
    return took


# -------------------------------------------------------------------------------- loading ----


async def load(machine: Stack, size: Size) -> None:
    connection = await asyncpg.connect(machine.superuser_url(size.database))
    try:
        await connection.execute("SET session_replication_role = replica")  # no foreign key checks
        await connection.execute(
            "INSERT INTO recipes VALUES ('bulk', 1, repeat('0', 64), '', '{}', now(), 'bench')"
        )
        for table, columns, rows in _tables(size):
            await connection.copy_to_table(
                table, source=_batches(rows), columns=columns.split(), format="csv", null=""
            )
        await connection.execute("RESET session_replication_role")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _batches(rows: Iterator[str]) -> AsyncIterator[bytes]:
    batch = list[str]()
    for row in rows:
        batch.append(row)
        if len(batch) == 2000:
            yield "".join(batch).encode()
            batch.clear()
    yield "".join(batch).encode()


def _tables(size: Size) -> list[tuple[str, str, Iterator[str]]]:
    everybody = range(1, PEOPLE + 1)
    always = f'"[{_LONG_AGO},)"'
    here = f'"{{[{_LONG_AGO},)}}"'
    task = "id request_id step seat assignee candidates digest state opened_at due_at closed_at"
    request = "id workflow version requester title inputs digest state step created_at finalized_at"
    return [
        ("people", "id name employed", (f"p{n},Person {n},{here}\n" for n in everybody)),
        ("roles", "name", (f"r{n}\n" for n in range(ROLES))),
        ("role_members", "role person valid", (f"r{n % ROLES},p{n},{always}\n" for n in everybody)),
        ("requests", request, _requests(size)),
        ("tasks", task, _open_tasks(size)),
        ("task_candidates", "principal due task_id", _candidates(size)),
        ("tasks", task, _closed_tasks(size)),
    ]


def _requests(size: Size) -> Iterator[str]:
    """One for each open task, one for four closed ones."""
    inputs = '"{""days"": 5, ""reason"": ""a week at the sea""}"'
    for n in range(size.open):
        yield (
            f"{_id('r', n)},bulk,1,p{_other(n)},Leave request {n},{inputs},{n:032x},pending,ask,"
            f"{_at(n)},\n"
        )
    for n in range(size.closed // 4):
        done = _at(n + 200_000)
        yield (
            f"{_id('c', n)},bulk,1,p{_other(n)},Leave request {n},{inputs},{n:032x},expired,,"
            f"{done},{done}\n"
        )


def _open_tasks(size: Size) -> Iterator[str]:
    for n in range(size.open):
        whose = f",{{role:r{n}}}" if n < ROLES else f"p{n % size.askers + 1},"
        yield (f"{_id('t', n)},{_id('r', n)},ask,ask,{whose},{n:032x},open,{_at(n)},{_due(n)},\n")


def _candidates(size: Size) -> Iterator[str]:
    for n in range(min(ROLES, size.open)):
        yield f"role:r{n},{_due(n) or 'infinity'},{_id('t', n)}\n"


def _closed_tasks(size: Size) -> Iterator[str]:
    for n in range(size.closed):
        done = _at(n // 4 + 200_000)
        yield (
            f"{_id('d', n)},{_id('c', n // 4)},ask,s{n % 4},p{n * 7 % PEOPLE + 1},,{n:032x},expired,"
            f"{done},{done},{done}\n"
        )


def _id(kind: str, n: int) -> str:
    """A UUID that looks random, as real ones do to an index, and is the same each time."""
    mixed = (n * 4 + "rctd".index(kind) + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835
    return f"{mixed & _MASK:032x}"


def _other(n: int) -> int:
    """Somebody who is not asked about it."""
    return (n * 13 + 10_007) % PEOPLE + 1


def _at(n: int) -> str:
    return (_NOW - timedelta(seconds=n * 7 % 8_000_000)).isoformat()


def _due(n: int) -> str:
    """One in ten is never due."""
    return "" if n % 10 == 3 else (_NOW + timedelta(seconds=n * 11 % 172_800)).isoformat()


# ------------------------------------------------------------------------------- the section ----


def _section(rounds: dict[str, list[Spread]]) -> str:
    def middle(size: Size, of: Callable[[Spread], float]) -> float:
        return median(of(each) for each in rounds[size.database])

    p99 = [[each.p99 for each in rounds[size.database]] for size in (LARGE, SMALL)]
    lines = [
        f"`GET /v1/tasks`, {PER_SECOND}/s for {SECONDS:.0f} s, {ROUNDS} rounds in turn; milliseconds:",
        "",
        "| open | closed | p50 | p95 | p99 |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {size.open:,} | {size.closed:,} | {middle(size, lambda s: s.p50):.1f} "
        f"| {middle(size, lambda s: s.p95):.1f} | **{middle(size, lambda s: s.p99):.1f}** |"
        for size in (SMALL, LARGE)
    ]
    large, small = (", ".join(f"{value:.1f}" for value in each) for each in p99)
    ratio = f"**{median_ratio(*p99):.2f}** (target 1.5; and p99 below 50)"
    lines += ["", f"p99 by round: {small} with 2,000 open; {large} with 200,000."]
    lines += [f"Ratio, median of the rounds: {ratio}."]
    return "\n".join(lines)
