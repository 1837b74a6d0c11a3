"""Exactly one purchase order for each of 10,000 approved, in a NetSuite that is as unreliable as such are.

Through everything: submitted over HTTP, approved by a manager (in bulk), carried by the workflow, made by the recipe's
task.

NetSuite is the local server of the tests, in this process. Half of the orders go to one that would take the same order
twice, so that only the look-up keeps it from that; half to one that takes an external id once, as NetSuite does, and
also does what was given up after it was looked up.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

import asyncpg

from bench import office, report, stack
from bench.stack import Stack
from tests.integration.netsuite_server import NetSuite, netsuite_server

ORDERS = 10_000
TELL = 500
"""After so many more it says how far it is."""
AT_ONCE = 16
REQUESTERS = 100
TROUBLE = {"plain": 0.07, "ruled": 0.09}
"""Seven and nine ways, so that each is met by 1 % of the orders."""
TOKEN_USES = 500
PATIENCE = 3600.0

RECIPE = """\
workflow: vendor_order
version: 1
owner: hr-leave-admin
inputs:
  type: object
  required: [erp]
  properties: {erp: {type: string}}
steps:
  - {id: manager, approver: "{{ employee.manager }}", timeout: 48h, on_timeout: escalate}
on_approved:
  - id: order
    run: netsuite_purchase_order
    with:
      connection: "{{ erp }}"
      record: {entity: {id: "42"}, memo: "{{ request.id }}"}
    retry: {attempts: 20, first: 1s, most: 10s}
    output: {type: object, required: [id, url]}
"""
CONNECTION = """\
{name}:
  url: {url}
  auth: oauth2
  token_url: {token_url}
  client_id: countersign
  secret_file: {folder}/netsuite.secret
  timeout: 5s
  idempotency_header: X-NetSuite-Idempotency-Key
"""

OPEN = "SELECT id, assignee FROM tasks WHERE state = 'open' LIMIT 200"
ENDED = "SELECT count(*) FROM jobs WHERE state <> 'running'"
MADE = """
SELECT r.id::text AS id, r.inputs ->> 'erp' AS erp, j.output ->> 'id' AS number, j.attempts
  FROM requests r JOIN jobs j ON j.request_id = r.id
 WHERE r.state = 'approved' AND j.state = 'succeeded'
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of all that were to be made, and the orders there are. `wrong`: another number than the order has."""

    asked: int
    orders: int
    twice: int
    lost: int
    wrong: int
    tried_again: int
    seconds: float
    did: dict[str, Counter[str]]

    @property
    def right(self) -> bool:
        return self.asked == self.orders and not (self.twice or self.lost or self.wrong)


async def run() -> None:
    """Measure and write the section of RESULTS.md. AssertionError if an order is missing or there twice."""
    async with stack.servers() as machine, netsuites(machine) as (erps, file):
        outcome = await ordered(machine, erps, file)
    print(outcome)
    report.write("connector", _section(outcome))
    assert outcome.right, outcome


@asynccontextmanager
async def netsuites(machine: Stack) -> AsyncIterator[tuple[dict[str, NetSuite], Path]]:
    """Both of them, and the file of connections that names them."""
    secret, file = token_urlsafe(16), machine.folder / "connections.yaml"
    (machine.folder / "netsuite.secret").write_text(secret)
    async with AsyncExitStack() as keeping:
        erps: dict[str, NetSuite] = {}
        for name, share in TROUBLE.items():
            server = netsuite_server(
                trouble=share, strict=name == "ruled", secret=secret, uses=TOKEN_USES
            )
            erps[name] = await keeping.enter_async_context(server)
        names = {"folder": machine.folder}
        file.write_text(
            "".join(
                CONNECTION.format(name=name, url=erp.url, token_url=erp.token_url, **names)
                for name, erp in erps.items()
            )
        )
        yield erps, file


# ------------------------------------------------------------------------------------ the orders ----


async def ordered(machine: Stack, erps: dict[str, NetSuite], file: Path) -> Outcome:
    await office.hire(machine.superuser_url(), people=3 * REQUESTERS, apart=REQUESTERS)
    await machine.countersign(extra={"COUNTERSIGN_CONNECTIONS": str(file)})
    await office.publish(machine.client(f"p{3 * REQUESTERS}", "admin"), RECIPE)
    began = time.monotonic()
    await asyncio.gather(submit(machine), approve(machine))
    seconds = time.monotonic() - began
    connection = await asyncpg.connect(machine.superuser_url())
    try:
        rows = await connection.fetch(MADE)
    finally:
        await connection.close()
    made = [(row["erp"], f"{row['id']}-order", row["number"], row["attempts"]) for row in rows]
    return compared(erps, made, seconds)


async def submit(machine: Stack) -> None:
    """A request each, of a hundred people in turn."""
    left = iter(range(ORDERS))
    clients = [machine.client(f"p{number + 1}") for number in range(REQUESTERS)]

    async def person() -> None:
        for number in left:
            body = {
                "workflow": "vendor_order",
                "inputs": {"erp": list(TROUBLE)[number % len(TROUBLE)]},
            }
            (await clients[number % REQUESTERS].post("/v1/requests", body)).expect(201)

    await asyncio.gather(*(person() for _ in range(AT_ONCE)))


async def approve(machine: Stack) -> None:
    """Managers approve what waits for them, until every request's job has ended."""
    connection = await asyncpg.connect(machine.superuser_url())
    give_up, told = time.monotonic() + PATIENCE, 0
    try:
        while (ended := await connection.fetchval(ENDED)) < ORDERS and time.monotonic() < give_up:
            if ended - told >= TELL:
                told = ended
                print(f"{ended:,} ended", flush=True)
            waiting: dict[str, list[str]] = {}
            for row in await connection.fetch(OPEN):
                waiting.setdefault(row["assignee"], []).append(str(row["id"]))
            for manager, tasks in waiting.items():
                items = [{"task_id": task, "decision": "approve"} for task in tasks]
                (await machine.client(manager).post("/v1/decisions", {"items": items})).expect(200)
            await asyncio.sleep(0.2)
    finally:
        await connection.close()


# ------------------------------------------------------------------------------------ the whole ----


def compared(
    erps: dict[str, NetSuite], made: list[tuple[str, str, str, int]], seconds: float
) -> Outcome:
    """What was said to be made (where, external id, number, attempts), with the orders there are."""
    there = Counter(
        (name, order["externalId"]) for name, erp in erps.items() for order in erp.orders
    )
    numbers = {
        (name, order["externalId"]): order["id"]
        for name, erp in erps.items()
        for order in erp.orders
    }
    said = {(erp, external_id): number for erp, external_id, number, _ in made}
    return Outcome(
        asked=ORDERS,
        orders=there.total(),
        twice=there.total() - len(there),
        lost=ORDERS - len(said.keys() & there.keys()),
        wrong=sum(numbers.get(which) != number for which, number in said.items()),
        tried_again=sum(attempts > 1 for *_, attempts in made),
        seconds=seconds,
        did={name: erp.did for name, erp in erps.items()},
    )


def _section(found: Outcome) -> str:
    bold = " | ".join(
        f"**{count:,}**" for count in (found.orders, found.twice, found.lost, found.wrong)
    )
    lines = [
        "Through everything: HTTP, a manager, workflow, task.",
        "",
        "| approved | orders in NetSuite | there twice | lost | another than was said | tried again | seconds |",
        "|---|---|---|---|---|---|---|",
        f"| {found.asked:,} | {bold} | {found.tried_again:,} | {found.seconds:.0f} |",
        "",
        "How often what went wrong, where only the look-up keeps from a second order / where NetSuite takes an id once:",
        "",
        "| | orders |",
        "|---|---|",
    ]
    ways = dict.fromkeys(way for did in found.did.values() for way in did)
    counts = {way: " / ".join(str(found.did[name][way]) for name in TROUBLE) for way in ways}
    return "\n".join([*lines, *(f"| {way} | {count} |" for way, count in counts.items())])
