"""What a decision costs, and how soon the next person sees their task.

1. `POST /v1/tasks/{id}/decisions`, one at a time, in turn with one asyncpg transaction of the same
   two statements by the same client process on the same database. After each there is a pause, in
   which the workflow takes up what was decided.
2. 500 in one `POST /v1/decisions` against 500 one after another, each once.
3. 20 requests a second, each thought about for 1 to 3 seconds: from the 200 of the first decision to
   the moment `GET /v1/tasks` of the next approver shows the next task, looked for every 5 ms (after 100 ms, every 50). And the
   bare workflow's counterpart: from the answered signal to the row of its second activity.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from statistics import median
from uuid import UUID, uuid4

import asyncpg
from pydantic import TypeAdapter

import temporal_client
from bench import bare, office, report, stack
from bench.bare_rows import Rows
from bench.client import Client
from bench.lifecycle import start_bare
from bench.measure import Spread
from bench.stack import Stack
from contract.messages import Message
from recipes.happenings import Actor, Decided
from storage import decisions, tasks
from storage.pool import Connection, create_pool

PAIRS = 200
PAUSE = 0.04
BULK = 500
PEOPLE, APART = 300, 100
PER_SECOND = 20
SECONDS = 20.0
ROUNDS = 3
LOOK = 0.005
PATIENT = 0.1
"""Who has waited this many seconds looks ten times more seldom: looks must not be the load."""

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


async def run() -> None:
    """Measure and write the section of RESULTS.md."""
    async with stack.servers() as machine:
        await office.hire(machine.superuser_url(), people=PEOPLE, apart=APART)
        await machine.countersign()
        await start_bare(machine)
        await office.publish(machine.client("p300", "admin"), office.LEAVE, office.TWO_IN_TURN)
        http, raw = await one_by_one(machine)
        bulk = await in_bulk(machine)
        print(f"500 one by one {bulk[0]:.2f} s, in bulk {bulk[1]:.3f} s")
        rounds: dict[str, list[Spread]] = {"ours": [], "bare": []}
        for _ in range(ROUNDS):
            rounds["ours"].append(Spread.of(await next_task(machine)))
            rounds["bare"].append(Spread.of(await next_row(machine)))
            print(f"ours {rounds['ours'][-1]}, bare {rounds['bare'][-1]}")
    report.write("decide", _section(http, raw, bulk, rounds))


# ------------------------------------------------------------------------------- one decision ----


async def one_by_one(machine: Stack) -> tuple[Spread, Spread]:
    """Latencies of the endpoint and of the bare transaction."""
    pool = await create_pool(machine.app_url(), min_size=1, max_size=1)
    requester = machine.client("p1")
    waiting = await _open_tasks(machine, requester, 2 * PAIRS + 20)
    approver, person = machine.client("p101"), "p101"
    over_http, in_sql = list[float](), list[float]()
    async with pool.acquire() as connection:
        for number, task_id in enumerate(waiting):
            began = time.perf_counter()
            if number % 2:
                await _decide_over_http(approver, task_id)
                over_http.append(time.perf_counter() - began)
            else:
                await _decide_in_sql(connection, task_id, person)
                in_sql.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE)
    await pool.close()
    return Spread.of(over_http[10:]), Spread.of(in_sql[10:])


async def _open_tasks(machine: Stack, requester: Client, count: int) -> list[UUID]:
    for _ in range(count):
        await _submit(requester, "leave_request", {"days": 5})
    connection = await asyncpg.connect(machine.superuser_url())
    try:
        while True:
            rows = await connection.fetch("SELECT id FROM tasks WHERE state = 'open'")
            if len(rows) >= count:
                return [row["id"] for row in rows]
            await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def _decide_over_http(approver: Client, task_id: UUID) -> None:
    body = {"decision": "approve", "comment": "fine"}
    (await approver.post(f"/v1/tasks/{task_id}/decisions", body)).expect(200)


async def _decide_in_sql(connection: Connection, task_id: UUID, person: str) -> None:
    async with connection.transaction():
        row = await tasks.load(connection, task_id, person)
        assert row is not None
        message = Decided(str(task_id), "approve", Actor(person), row["now"], "fine")
        made = decisions.Deciding(
            decision_id=uuid4(),
            task_id=task_id,
            request_id=row["request_id"],
            workflow=row["workflow"],
            version=row["version"],
            decision="approve",
            actor=Actor(person),
            comment="fine",
            reason=None,
            at=row["now"],
            payload={"task_id": str(task_id), "decision": "approve", "comment": "fine"},
            snapshot={"state": row["request_state"], "seq": row["seq"]},
            message=_MESSAGE.dump_python(message, mode="json"),
            digest=row["digest"],
        )
        await decisions.record(connection, [made])


# ------------------------------------------------------------------------------------- in bulk ----


async def in_bulk(machine: Stack) -> tuple[float, float]:
    """Seconds that BULK decisions take one after another, and in one call."""
    waiting = await _open_tasks(machine, machine.client("p1"), 2 * BULK)
    approver = machine.client("p101")
    began = time.perf_counter()
    for task_id in waiting[:BULK]:
        await _decide_over_http(approver, task_id)
    alone = time.perf_counter() - began
    await asyncio.sleep(5)  # until the workflows have taken up what was decided
    decision = {"decision": "approve", "comment": "fine"}
    items = [{"task_id": str(task_id), **decision} for task_id in waiting[BULK : 2 * BULK]]
    began = time.perf_counter()
    answer = (await approver.post("/v1/decisions", {"items": items})).expect(200)
    together = time.perf_counter() - began
    assert answer["decided"] == BULK
    return alone, together


# -------------------------------------------------------------------------------- the next task ----


async def at_a_steady_rate(once: Callable[[int], Awaitable[float]]) -> list[float]:
    """What `once` gives, begun PER_SECOND times a second however long each takes."""
    began, running = time.monotonic(), list[asyncio.Task[float]]()

    async def one(number: int) -> float:
        return await once(number)

    for number in range(int(PER_SECOND * SECONDS)):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        running.append(asyncio.create_task(one(number)))
    return list(await asyncio.wait_for(asyncio.gather(*running), 60))


async def next_task(machine: Stack) -> list[float]:
    """Seconds from each first decision's 200 to the next approver's inbox showing their task."""
    people = {f"p{number}": machine.client(f"p{number}") for number in range(1, PEOPLE + 1)}

    async def once(number: int) -> float:
        place = number % APART + 1
        requester, first, second = (people[f"p{place + level * APART}"] for level in range(3))
        request_id = await _submit(requester, "two_in_turn", {})
        await asyncio.sleep(random.uniform(1, 3))
        task_id = await _shown(first, request_id)
        body = {"decision": "approve"}
        (await first.post(f"/v1/tasks/{task_id}/decisions", body)).expect(200)
        began = time.perf_counter()
        await _shown(second, request_id)
        return time.perf_counter() - began

    return await at_a_steady_rate(once)


async def _submit(requester: Client, workflow: str, inputs: dict[str, int]) -> str:
    body = {"workflow": workflow, "inputs": inputs}
    answer = await requester.post("/v1/requests", body, f"Idempotency-Key: {uuid4()}\r\n")
    request_id: str = answer.expect(201)["id"]
    return request_id


async def _shown(approver: Client, request_id: str) -> str:
    """The task of a request, as soon as the approver's inbox has it."""
    began = time.monotonic()
    while True:
        for item in (await approver.get("/v1/tasks")).expect(200)["items"]:
            if item["request_id"] == request_id:
                task_id: str = item["id"]
                return task_id
        await asyncio.sleep(_pause(began))


def _pause(began: float) -> float:
    return LOOK if time.monotonic() - began < PATIENT else 10 * LOOK


async def next_row(machine: Stack) -> list[float]:
    """Seconds from each answered signal to the row of the bare workflow's second activity."""
    client = await temporal_client.connect(machine.temporal_address, "default", None)
    rows = await Rows.connect(machine.superuser_url("bare"))

    async def once(_: int) -> float:
        request_id = str(uuid4())
        await bare.start(client, request_id)
        await asyncio.sleep(random.uniform(1, 3))
        await client.get_workflow_handle(request_id).signal("decide", "approve")
        began = time.perf_counter()
        waiting = time.monotonic()
        while not await rows.written("closed", [request_id]):  # noqa: ASYNC110 -- another process writes it
            await asyncio.sleep(_pause(waiting))
        return time.perf_counter() - began

    found = await at_a_steady_rate(once)
    await rows.close()
    return found


def _section(
    http: Spread, raw: Spread, bulk: tuple[float, float], rounds: dict[str, list[Spread]]
) -> str:
    ours, theirs = (
        (median(each.p50 for each in rounds[arm]), median(each.p95 for each in rounds[arm]))
        for arm in ("ours", "bare")
    )
    return f"""\
One decision at a time, {http.count} of each, in turn; milliseconds:

| | p50 | p99 |
|---|---|---|
| `POST /v1/tasks/{{id}}/decisions` | {http.p50:.2f} | {http.p99:.2f} |
| one asyncpg transaction, same statements | {raw.p50:.2f} | {raw.p99:.2f} |
| ratio | **{http.p50 / raw.p50:.2f}** (target 3) | {http.p99 / raw.p99:.2f} |

{BULK} decisions one after another took {bulk[0]:.2f} s, in one `POST /v1/decisions` {bulk[1]:.3f} s:
**{bulk[0] / bulk[1]:.0f}** times as long.

From its 200 to the next task in the next approver's inbox, {PER_SECOND} requests/s, 1 to 3 s of
thinking, {ROUNDS} rounds of {SECONDS:.0f} s in turn, median of the rounds; milliseconds:

| | p50 | p95 |
|---|---|---|
| ours | **{ours[0]:.0f}** (target 30) | **{ours[1]:.0f}** (target 100) |
| bare workflow: signal to second row | {theirs[0]:.0f} | {theirs[1]:.0f} |
"""
