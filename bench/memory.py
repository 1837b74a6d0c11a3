"""Resident memory of every process: when nothing happens, and with 10,000 requests waiting."""

import asyncio
import time

import asyncpg

from bench import office, report, stack
from bench.client import Client
from bench.measure import Memory, memory
from bench.stack import Stack

WAITING = 10_000
AT_ONCE = 32
PARTS = ("api", "worker", "relay", "postgres", "temporal")


async def run() -> None:
    """Measure and write the section of RESULTS.md."""
    async with stack.servers() as machine:
        await office.hire(machine.superuser_url(), people=300, apart=100)
        await machine.countersign()
        await office.publish(machine.client("p300", "admin"), office.LEAVE)
        await asyncio.sleep(5)
        idle = sample(machine)
        began = time.monotonic()
        await submit_many(machine, WAITING)
        seconds = time.monotonic() - began
        await asyncio.sleep(10)
        waiting = sample(machine)
    report.write("memory", _section(idle, waiting, seconds))


def sample(machine: Stack) -> dict[str, Memory]:
    return {part: memory(machine.parts[part].pid) for part in PARTS}


async def submit_many(machine: Stack, count: int) -> None:
    """Submit leave requests of 100 people, and wait until each waits for its manager."""
    left = iter(range(count))
    clients = [machine.client(f"p{number + 1}") for number in range(100)]

    async def person() -> None:
        for number in left:
            await _submit(clients[number % len(clients)])

    await asyncio.gather(*(person() for _ in range(AT_ONCE)))
    connection = await asyncpg.connect(machine.superuser_url())
    try:
        opened = 0
        while opened < count:
            await asyncio.sleep(1)
            opened = await connection.fetchval("SELECT count(*) FROM tasks WHERE state = 'open'")
    finally:
        await connection.close()


async def _submit(client: Client) -> None:
    body = {"workflow": "leave_request", "inputs": {"days": 5, "reason": "a week at the sea"}}
    (await client.post("/v1/requests", body)).expect(201)


def _section(idle: dict[str, Memory], waiting: dict[str, Memory], seconds: float) -> str:
    lines = [
        "Resident memory in MiB (Postgres: all its processes, memory they share counted once). The",
        f"{WAITING:,} requests wait for a manager each, with a 48 h timer running; the worker keeps",
        f"1,000 of them in its cache (its setting). They were submitted and taken up in {seconds:.0f} s.",
        "",
        f"| | idle | {WAITING:,} waiting |",
        "|---|---|---|",
    ]
    for part in PARTS:
        before, after = (
            each.share if part == "postgres" else each.resident
            for each in (idle[part], waiting[part])
        )
        lines.append(f"| {part} | {before:.0f} | {after:.0f} |")
    return "\n".join(lines)
