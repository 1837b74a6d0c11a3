"""What a decision costs of a wide step, and of a request that has had hundreds of them.

1. A step with 200 branches, all of which must approve.
2. A request of five steps, each asking a hundred people: 500 decisions, and four comments before each of
   them, 2,000 altogether.

One decision at a time: from its 200 to the transition that follows from it standing in Postgres. The
first ones are held against the last ones: a request must not become slower with its past. Temporal
says how long its histories became.
"""

import asyncio
import time
from dataclasses import dataclass
from statistics import median
from uuid import UUID, uuid4

import asyncpg
from temporalio.client import WorkflowExecutionStatus

import temporal_client
from bench import office, report, stack
from bench.stack import Stack

BRANCHES = 200
STEPS, APPROVERS = 5, 100
COMMENTS = 4
"""Before each decision of the long life."""
FIRST = 101
"""The number of the first person who decides."""
PEOPLE = FIRST + BRANCHES
SAMPLE = 50
"""So many first decisions are held against as many last ones."""
LOOK = 0.002
PATIENCE = 30.0

WIDE = f"""\
workflow: wide
version: 1
owner: hr-leave-admin
inputs: {{type: object}}
steps:
  - id: everybody
    type: parallel
    quorum: all
    branches: [{", ".join(f'{{approver: "user:p{FIRST + n}"}}' for n in range(BRANCHES))}]
"""
LONG = """\
workflow: long_life
version: 1
owner: hr-leave-admin
inputs: {type: object, required: [people], properties: {people: {type: array, items: {type: string}}}}
steps:
""" + "".join(
    f'  - {{id: round_{n}, approvers: "{{{{ people }}}}", quorum: all}}\n' for n in range(STEPS)
)


@dataclass(frozen=True, slots=True)
class Life:
    """Of one request: seconds of each advance and of each answer, events of each of its histories."""

    advances: list[float]
    answers: list[float]
    histories: list[int]

    def ratio(self) -> float:
        """The last advances over the first."""
        return median(self.advances[-SAMPLE:]) / median(self.advances[:SAMPLE])


async def run() -> None:
    """Measure and write the section of RESULTS.md."""
    async with stack.servers() as machine:
        await office.hire(machine.superuser_url(), people=PEOPLE, apart=100)
        await machine.countersign()
        await office.publish(machine.client("p300", "admin"), WIDE, LONG)
        wide = await live(machine, "wide", {}, BRANCHES, comments=0)
        print(f"wide: {wide.ratio():.2f}, {wide.histories}")
        names = [f"p{FIRST + n}" for n in range(APPROVERS)]
        long = await live(machine, "long_life", {"people": names}, STEPS * APPROVERS, COMMENTS)
        print(f"long: {long.ratio():.2f}, {long.histories}")
    report.write("wide", _section(wide, long))


async def live(
    machine: Stack, workflow: str, inputs: dict[str, list[str]], decisions: int, comments: int
) -> Life:
    """One request from its submission to its end, everybody approving."""
    requester = machine.client("p1")
    body = {"workflow": workflow, "inputs": inputs}
    key = f"Idempotency-Key: {uuid4()}\r\n"
    request_id = UUID((await requester.post("/v1/requests", body, key)).expect(201)["id"])
    connection = await asyncpg.connect(machine.superuser_url())
    advances, answers = list[float](), list[float]()
    try:
        await _reached(connection, request_id, 1)
        for number in range(decisions):
            for count in range(comments):
                text = {"text": f"comment {count} before decision {number}"}
                (await requester.post(f"/v1/requests/{request_id}/comments", text)).expect(201)
            task_id, person = await _task(connection, request_id)
            began = time.perf_counter()
            path = f"/v1/tasks/{task_id}/decisions"
            (await machine.client(person).post(path, {"decision": "approve"})).expect(200)
            answered = time.perf_counter()
            await _reached(connection, request_id, number + 2)
            advances.append(time.perf_counter() - answered)
            answers.append(answered - began)
        state = await connection.fetchval("SELECT state FROM requests WHERE id = $1", request_id)
        assert state == "approved", state
    finally:
        await connection.close()
    return Life(advances, answers, await _histories(machine, request_id))


async def _task(connection: asyncpg.Connection, request_id: UUID) -> tuple[UUID, str]:
    row = await connection.fetchrow(
        "SELECT id, assignee FROM tasks WHERE request_id = $1 AND state = 'open' ORDER BY id LIMIT 1",
        request_id,
    )
    assert row is not None
    return row["id"], row["assignee"]


async def _reached(connection: asyncpg.Connection, request_id: UUID, seq: int) -> None:
    """Wait until a request's transition `seq` is written."""
    give_up = time.monotonic() + PATIENCE
    while await connection.fetchval("SELECT seq FROM requests WHERE id = $1", request_id) < seq:
        assert time.monotonic() < give_up, f"transition {seq} is not written"
        await asyncio.sleep(LOOK)


async def _histories(machine: Stack, request_id: UUID) -> list[int]:
    """How many events each run of the request's workflow had, the first run first."""
    client = await temporal_client.connect(machine.temporal_address, "default", None)
    handle = client.get_workflow_handle(str(request_id))
    while (told := await handle.describe()).status is WorkflowExecutionStatus.RUNNING:  # noqa: ASYNC110 -- the server ends it
        await asyncio.sleep(LOOK)
    events: list[int] = []
    run_id: str | None = told.raw_description.workflow_execution_info.first_run_id
    while run_id:
        history = await client.get_workflow_handle(str(request_id), run_id=run_id).fetch_history()
        events.append(len(history.events))
        last = history.events[-1].workflow_execution_continued_as_new_event_attributes
        run_id = last.new_execution_run_id
    return events


def _section(wide: Life, long: Life) -> str:
    rows = [
        _row(f"a step with {BRANCHES} branches", wide),
        _row(f"{STEPS * APPROVERS} decisions, {STEPS * APPROVERS * COMMENTS:,} comments", long),
    ]
    return f"""\
From a decision's 200 to the transition that follows from it, one at a time; the first {SAMPLE} of a
request against its last {SAMPLE}; milliseconds, medians:

| | answer, first | last | advance, first | last | last / first | events of its histories |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}
"""


def _row(name: str, life: Life) -> str:
    figures = [
        f"{median(part) * 1000:.1f}"
        for values in (life.answers, life.advances)
        for part in (values[:SAMPLE], values[-SAMPLE:])
    ]
    histories = ", ".join(f"{events:,}" for events in life.histories)
    return f"| {name} | {' | '.join(figures)} | **{life.ratio():.2f}** (target 1.5) | {histories} |"
