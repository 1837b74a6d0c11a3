"""People leave, go away, come back, roles change hands: on the whole product, while tasks are open."""

import asyncio
import json
from typing import Any

import httpx

from tests.acceptance.product import People, Product, until

RECIPE = """
workflow: {name}
version: 1
owner: role:workflow-admins
inputs: {{type: object, properties: {{}}}}
steps:
  - id: who
    approver: "{approver}"
    timeout: 3h
    on_timeout: escalate
"""
AT_ONCE_SECONDS = 10
WITHIN_SECONDS = 60


async def _publish(people: People, name: str, approver: str) -> None:
    response = await people("zoe", "admin").http.post(
        "/v1/recipes",
        content=RECIPE.format(name=name, approver=approver),
        headers={"Content-Type": "application/yaml"},
    )
    assert response.status_code == httpx.codes.CREATED, response.text


async def _import(people: People, directory: dict[str, Any]) -> None:
    """The whole file is JSON, and so it is YAML."""
    response = await people("zoe", "admin").http.post(
        "/v1/org/import",
        content=json.dumps(directory),
        headers={"Content-Type": "application/yaml"},
    )
    assert response.status_code == httpx.codes.OK, response.text


async def _task(people: People, request: str, assignee: str) -> dict[str, Any]:
    """The open task, as soon as it is `assignee`'s."""

    async def look() -> dict[str, Any] | None:
        tasks = (await people("alice").request(request))["tasks"]
        found = [task for task in tasks if task["state"] == "open"]
        return found[0] if found and found[0]["assignee"] == assignee else None

    return dict(await until(look, f"{assignee} is asked"))


async def _states(people: People, request: str) -> list[tuple[str, str]]:
    tasks = (await people("alice").request(request))["tasks"]
    return [(task["assignee"], task["state"]) for task in tasks]


async def test_whoever_goes_away_and_comes_back(product: Product, people: People) -> None:
    await _publish(people, "away", "{{ employee.manager }}")
    alice, bob = people("alice"), people("bob")
    request = await alice.submit("away", {})
    await _task(people, request, "bob")
    async with asyncio.timeout(AT_ONCE_SECONDS):
        given = await bob.call("POST", "/v1/org/delegations", {"delegate": "grace"})
        moved = await _task(people, request, "grace")
    assert moved["on_behalf_of"] == "bob"
    async with asyncio.timeout(AT_ONCE_SECONDS):
        ended = await bob.call("POST", f"/v1/org/delegations/{given.json()['id']}/end")
        assert ended.status_code == httpx.codes.OK
        back = await _task(people, request, "bob")
    assert await people("grace").decide(moved["id"]) != httpx.codes.OK
    assert await bob.decide(back["id"]) == httpx.codes.OK
    assert await alice.final(request) == "approved"
    assert await _states(people, request) == [
        ("bob", "reassigned"),
        ("grace", "reassigned"),
        ("bob", "decided"),
    ]
    assert product.process is not None


async def test_a_role_changes_hands(people: People) -> None:
    await _publish(people, "held", "role:hr-leave-admin")
    alice = people("alice")
    request = await alice.submit("held", {})
    await _task(people, request, "grace")
    async with asyncio.timeout(AT_ONCE_SECONDS):
        await _import(people, {"roles": {"hr-leave-admin": ["nina"]}})
        task = await _task(people, request, "nina")
    assert task["role"] == "hr-leave-admin"
    assert await people("nina").decide(task["id"]) == httpx.codes.OK
    assert await alice.final(request) == "approved"


async def test_somebody_leaves_while_nothing_runs_that_could_tell(
    product: Product, people: People
) -> None:
    """The worker and the relay are killed around the departure; it comes about all the same."""
    await _publish(people, "left", "{{ employee.manager }}")
    alice = people("alice")
    request = await alice.submit("left", {})
    old = await _task(people, request, "bob")
    async with asyncio.timeout(WITHIN_SECONDS):
        for part in ("worker", "relay"):
            product.kill(part)
        await _import(
            people, {"people": [{"id": "bob", "name": "Bob", "manager": "erin", "left": True}]}
        )
        task = await _task(people, request, "erin")
    assert await people("bob").decide(old["id"]) != httpx.codes.OK
    assert await people("erin").decide(task["id"]) == httpx.codes.OK
    assert await alice.final(request) == "approved"
    assert await _states(people, request) == [("bob", "reassigned"), ("erin", "decided")]
