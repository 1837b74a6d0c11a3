"""The main job on the whole product: from submission to a final state, through kill -9 of any part."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from temporalio.client import Client

from tests.acceptance.product import People, Product, chain_holds, until

QUICK = """
workflow: quick
version: {version}
owner: role:workflow-admins
inputs: {{type: object, properties: {{note: {{type: string}}}}}}
steps:
  - id: manager
    approver: "{{{{ employee.manager }}}}"
    timeout: {timeout}
    on_timeout: {on_timeout}
"""


async def _publish(people: People, version: int, after: str, then: str) -> None:
    text = QUICK.format(version=version, timeout=after, on_timeout=then)
    admin = people("zoe", "admin")
    response = await admin.http.post(
        "/v1/recipes", content=text, headers={"Content-Type": "application/yaml"}
    )
    assert response.status_code in (200, 201), response.text


async def test_a_leave_request_by_http(product: Product, people: People) -> None:
    alice = people("alice")
    request = await alice.submit("leave_request", {"days": 5})
    manager = await _decider(people, await alice.request(request), request)
    bob = people(manager)
    assert await bob.decide(await bob.task_of(request)) == 200
    assert await alice.final(request) == "approved"
    events = (await alice.call("GET", f"/v1/requests/{request}/events")).json()["items"]
    assert [event["type"] for event in events] == [
        "request.created",
        "step.skipped",
        "task.assigned",
        "decision.recorded",
        "step.completed",
        "step.skipped",
        "request.finalized",
    ]


async def test_a_replay_is_compared_with_the_workflow(product: Product, people: People) -> None:
    """While it waits, by what the workflow itself says, which is sealed on its way; and when it has ended."""
    alice = people("alice")
    request = await alice.submit("leave_request", {"days": 5})
    bob = people(await _decider(people, await alice.request(request), request))

    async def compared() -> dict[str, Any] | None:
        replay = ("audit", "replay", request, "--json")
        done = await asyncio.to_thread(product.cli, *replay)
        assert done.returncode == 0, done.stderr + done.stdout
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown if shown["workflow"] == "compared" else None

    waiting = await until(compared, "the workflow answers")
    assert (waiting["state"]["state"], waiting["findings"]) == ("pending", [])
    assert await bob.decide(await bob.task_of(request)) == 200
    assert await alice.final(request) == "approved"
    ended = await until(compared, "the workflow has ended")
    assert (ended["state"]["state"], ended["findings"]) == ("approved", [])


async def _decider(people: People, shown: dict[str, Any], request: str) -> str:
    """Who the open task is assigned to, as soon as there is one."""
    alice = people("alice")

    async def look() -> str | None:
        tasks = (await alice.request(request))["tasks"]
        return next((task["assignee"] for task in tasks if task["state"] == "open"), None)

    return str(await until(look, "somebody is asked"))


async def test_a_purchase_order_by_the_command_line(product: Product, people: People) -> None:
    made = product.cli(
        "request",
        "submit",
        "purchase_order",
        "amount=7200",
        "currency=EUR",
        "item=Laptops",
        "supplier=Acme Corp",
        "--json",
    )
    assert made.returncode == 0, made.stderr
    request = json.loads(made.stdout)["id"]
    alice = people("alice")
    manager = await _decider(people, await alice.request(request), request)
    task = await people(manager).task_of(request)
    approved = product.cli("approve", task, "--json", person=manager)
    assert approved.returncode == 0, approved.stderr
    again = product.cli("reject", task, "--comment", "too late", person=manager)
    assert again.returncode == 3, again.stderr
    assert manager in again.stderr

    async def finance() -> str | None:
        tasks = (await alice.request(request))["tasks"]
        shared = [task for task in tasks if task["state"] == "open" and task["candidates"]]
        return shared[0]["id"] if shared else None

    shared = await until(finance, "finance is asked")
    roles = (await people("zoe", "admin").call("GET", "/v1/org/roles")).json()["items"]
    members = next(role["members"] for role in roles if role["name"] == "finance")
    member = next(person for person in members if person not in ("alice", manager))
    assert product.cli("approve", shared, person=member).returncode == 0
    assert await alice.final(request) == "approved"


async def test_all_that_waits_is_decided_at_once(product: Product, people: People) -> None:
    await _publish(people, 1, "3h", "escalate")
    alice = people("alice")
    made = [await alice.submit("quick", {"note": f"bulk {number}"}) for number in range(5)]
    managers = [await _decider(people, {}, request) for request in made]
    [manager] = set(managers)
    arguments = ("decide-all", "approve", "--workflow", "quick", "--requester", "alice")
    asked = product.cli(*arguments, person=manager)
    assert asked.returncode == 2, asked.stderr
    done = product.cli(*arguments, "--yes", "--json", person=manager)
    assert done.returncode == 0, done.stderr
    assert {item["task"]["request_id"] for item in json.loads(done.stdout)["items"]} >= set(made)
    for request in made:
        assert await alice.final(request) == "approved"


@pytest.mark.parametrize("part", ["worker", "api", "relay", "temporal", "postgres"])
async def test_kill_9_in_mid_flight_loses_nothing(
    product: Product, people: People, part: str
) -> None:
    """Thirty requests under way while `part` is killed: all that was acknowledged counts, once."""
    await _publish(people, 1, "3h", "escalate")
    alice = people("alice")

    async def one(number: int) -> tuple[str, str]:
        request = await alice.submit("quick", {"note": str(number)})
        manager = await _decider(people, {}, request)
        decision = "approve" if number % 3 else "reject"
        bob = people(manager)
        assert await bob.decide(await bob.task_of(request), decision) == 200
        return request, "approved" if decision == "approve" else "rejected"

    async def kill() -> None:
        async def blow() -> bool | None:
            try:
                product.kill(part)
            except ProcessLookupError:
                return None  # not up again since the blow before
            return True

        for _ in range(2):
            await asyncio.sleep(0.4)
            await until(blow, f"{part} to be up, and killed")

    work = asyncio.gather(*(one(number) for number in range(30)))
    made, _ = await asyncio.gather(work, kill())
    for request, expected in made:
        assert await alice.final(request) == expected
    await _evidence(product, [request for request, _ in made])


async def _evidence(product: Product, requests: list[str]) -> None:
    """One decision a request, one finalization, and a chain that holds."""
    facts = json.loads((product.folder / "data" / "dev.json").read_text())
    connection = await asyncpg.connect(facts["database_url"])
    try:
        for request in requests:
            rows = await connection.fetch(
                "SELECT event_type, prev_hash, body, hash FROM audit WHERE request_id = $1 ORDER BY seq",
                request,
            )
            assert chain_holds([(r["prev_hash"], r["body"], r["hash"]) for r in rows])
            types = [row["event_type"] for row in rows]
            assert types.count("decision.recorded") == 1
            assert types.count("request.finalized") == 1
        told = await until(lambda: _empty(connection), "everything is told")
        assert told
    finally:
        await connection.close()


async def _empty(connection: "asyncpg.Connection[asyncpg.Record]") -> bool | None:
    return True if await connection.fetchval("SELECT count(*) FROM outbox") == 0 else None


@pytest.mark.parametrize("part", ["temporal", "worker"])
async def test_without_temporal_or_workers_it_is_accepted_and_arrives_later(
    product: Product, people: People, part: str
) -> None:
    await _publish(people, 1, "3h", "escalate")
    alice = people("alice")
    waiting = await alice.submit("quick", {})
    manager = await _decider(people, {}, waiting)
    bob = people(manager)
    task = await bob.task_of(waiting)
    with product.frozen(part):
        assert await bob.decide(task) == 200
        late = await alice.submit("quick", {})
        assert (await alice.request(late))["state"] == "created"
        assert (await alice.request(waiting))["state"] == "pending"
    assert await alice.final(waiting) == "approved"
    assert await bob.decide(await bob.task_of(late)) == 200
    assert await alice.final(late) == "approved"


async def _logged(product: Product, part: str, request: str, trace: str) -> None:
    """That a part has said something of the request, in that trace."""
    about = {"request_id": request, "trace_id": trace, "part": part}

    async def look() -> bool | None:
        return True if product.logged(part, **about) else None

    await until(look, f"{part} logs {about}")


async def test_a_history_that_is_lost_is_found_again_from_what_was_committed(
    product: Product, people: People
) -> None:
    """Somebody terminates the workflow in the Web UI; the decision that follows counts all the same. Whoever does
    something for it says so in the trace of the call."""
    await _publish(people, 1, "3h", "escalate")
    alice = people("alice")
    request = await alice.submit("quick", {})
    manager = await _decider(people, {}, request)
    client = await Client.connect(f"127.0.0.1:{product.ports[1]}")
    await client.get_workflow_handle(request).terminate()
    bob, trace = people(manager), uuid4().hex
    task = await bob.task_of(request)
    assert await bob.decide(task, traceparent=f"00-{trace}-00f067aa0ba902b7-01") == 200
    assert await alice.final(request) == "approved"
    await _evidence(product, [request])
    for part in ("api", "relay", "worker"):
        await _logged(product, part, request, trace)


async def test_a_request_stays_on_the_version_it_began_with(
    product: Product, people: People
) -> None:
    await _publish(people, 1, "3h", "escalate")
    alice = people("alice")
    old = await alice.submit("quick", {})
    await _decider(people, {}, old)
    await _publish(people, 2, "4h", "reject")
    new = await alice.submit("quick", {})
    await _decider(people, {}, new)
    assert (await alice.request(old))["version"] == 1
    assert (await alice.request(new))["version"] == 2
    admin = people("zoe", "admin")
    other = QUICK.format(version=2, timeout="5h", on_timeout="reject")
    refused = await admin.http.post(
        "/v1/recipes", content=other, headers={"Content-Type": "application/yaml"}
    )
    assert refused.status_code == 409
    for request in (old, new):
        cancelled = await alice.call("POST", f"/v1/requests/{request}/cancel", {})
        assert cancelled.status_code == 200, cancelled.text
        assert await alice.final(request) == "cancelled"


async def test_a_second_start_resumes_everything_timers_included(
    product: Product, people: People
) -> None:
    await _publish(people, 3, "4s", "approve")
    alice = people("alice")
    request = await alice.submit("quick", {})
    await _decider(people, {}, request)
    assert product.stop() == 0
    product.start()
    assert await alice.final(request) == "approved"


def test_a_data_folder_in_use_and_a_port_taken_say_what_to_do(
    product: Product, tmp_path: Path
) -> None:
    locked = product.cli("dev", "--data-dir", str(product.folder / "data"))
    assert locked.returncode != 0
    assert "--data-dir" in locked.stderr
    taken = product.cli(
        "dev", "--data-dir", str(tmp_path / "d"), "--api-port", str(product.api_port)
    )
    assert taken.returncode != 0
    assert "--api-port" in taken.stderr
