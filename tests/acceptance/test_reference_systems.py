"""The systems whose jobs this one does, each walked through what it documents, on the whole product."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.acceptance.product import People, Person, Product, until

# --- approvals of entities, started by events ------------------------------------------------------

CANCELLATION = {
    "event": "booking.cancellation_requested",
    "entity_type": "booking",
    "initiated_by": "alice",
    "inputs": {"guest": "R. Byrne", "refund": 120.5, "reason": "illness"},
}


async def cancellation(system: Person, booking: str) -> str:
    """The request that an event starts, which the booking system sends twice."""
    body = {**CANCELLATION, "entity_id": booking, "event_id": f"bookings-{booking}"}
    first = await system.call("POST", "/v1/events", body)
    again = await system.call("POST", "/v1/events", body)
    assert (first.status_code, again.status_code) in {(200, 200), (201, 200), (201, 201)}
    [made] = first.json()["requests"]
    assert again.json()["requests"] == [made]
    return str(made["id"])


async def inbox(person: Person) -> list[str]:
    """The requests of which tasks wait for somebody."""
    items = (await person.call("GET", "/v1/tasks?limit=200")).json()["items"]
    return [item["request_id"] for item in items]


async def test_a_booking_is_cancelled_by_two_roles_one_after_the_other(people: People) -> None:
    system = people("bookings", "events")
    mallory, nina, carol, dave = map(people, ("mallory", "nina", "carol", "dave"))
    request = await cancellation(system, "2001")
    task = await mallory.task_of(request)
    assert request in await inbox(mallory)
    assert request in await inbox(nina)
    assert request not in await inbox(carol)

    both = await asyncio.gather(mallory.decide(task), nina.decide(task))
    assert sorted(both) == [200, 409]
    winner, loser = (mallory, nina) if both[0] == 200 else (nina, mallory)
    late = await loser.call(
        "POST", f"/v1/tasks/{task}/decisions", {"decision": "reject", "comment": "no"}
    )
    assert late.status_code == 409
    assert late.json()["winner"]["user"] == winner.name

    second = await carol.task_of(request)
    silent = await carol.call("POST", f"/v1/tasks/{second}/decisions", {"decision": "reject"})
    assert silent.status_code == 422
    assert await carol.decide(second, "reject", "Finance keeps the fee") == 200
    assert await dave.decide(second) == 409
    assert await people("alice").final(request) == "rejected"

    shown = await people("alice").request(request)
    assert shown["entity"] == {"type": "booking", "id": "2001"}
    assert [(task["step"], task["decision"]["user"]) for task in shown["tasks"]] == [
        ("guest_services", winner.name),
        ("finance", "carol"),
    ]
    assert shown["tasks"][1]["decision"]["comment"] == "Finance keeps the fee"
    listed = await people("alice").call("GET", "/v1/requests?entity_type=booking&entity_id=2001")
    assert [item["id"] for item in listed.json()["items"]] == [request]
    trail = await people("alice").call("GET", f"/v1/requests/{request}/events")
    kinds = [event["type"] for event in trail.json()["items"]]
    assert kinds[0] == "request.created"
    assert kinds[-1] == "request.finalized"
    assert kinds.count("decision.recorded") == 2


async def test_who_holds_a_role_at_the_start_decides_whatever_becomes_of_the_role(
    product: Product, people: People
) -> None:
    request = await cancellation(people("bookings", "events"), "2002")
    task = await people("nina").task_of(request)
    admin = people("oscar", "admin")
    await _hold(admin, "guest-services", ["oscar"])
    try:
        shown = await people("nina").request(request)
        assert shown["state"] == "pending"
        assert request not in await inbox(people("oscar"))
        assert await people("oscar").decide(task) in (403, 404)
        assert await people("nina").decide(task) == 200
        later = await cancellation(people("bookings", "events"), "2003")
        assert await people("oscar").task_of(later)
        assert later not in await inbox(people("nina"))
    finally:
        await _hold(admin, "guest-services", ["mallory", "nina"])
    assert await people("dave").decide(await people("dave").task_of(request)) == 200
    assert await people("alice").final(request) == "approved"


async def _hold(admin: Person, role: str, members: list[str]) -> None:
    """From now on these hold the role, and nobody else."""
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"roles": {role: members}})
    answer = await admin.http.post("/v1/org/import", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_one_cancellation_of_a_booking_is_open_at_a_time(people: People) -> None:
    system = people("bookings", "events")
    request = await cancellation(system, "2004")
    body = {**CANCELLATION, "entity_id": "2004", "event_id": "another"}
    refused = await system.call("POST", "/v1/events", body)
    assert refused.status_code == 409
    assert request in refused.text
    cancelled = await people("alice").call("POST", f"/v1/requests/{request}/cancel", {})
    assert cancelled.status_code == 200
    assert (await system.call("POST", "/v1/events", body)).status_code in (200, 201)


# --- configurable state machines -------------------------------------------------------------------

STATES = [
    {"id": "draft", "initial": True},
    {"id": "review"},
    {"id": "shelf", "enabled": False},
    {"id": "done", "final": True},
]
ACTIONS = [
    {"id": "submit", "from": ["draft"], "to": "review"},
    {"id": "shelve", "from": ["draft", "review"], "to": "shelf"},
    {"id": "shortcut", "from": ["draft"], "to": "done", "enabled": False},
    {"id": "finish", "from": ["review"], "to": "done"},
]


def machine(states: list[Any] = STATES, actions: list[Any] = ACTIONS, version: int = 1) -> str:
    """JSON is YAML."""
    return json.dumps(
        {
            "workflow": "walked_machine",
            "version": version,
            "kind": "state_machine",
            "owner": "role:workflow-admins",
            "inputs": {"type": "object"},
            "states": states,
            "actions": actions,
        }
    )


INVALID = {
    "no states": (machine([], ACTIONS), "states"),
    "no initial state": (machine([{"id": "draft"}, *STATES[1:]]), "initial"),
    "two initial states": (
        machine([STATES[0], {"id": "review", "initial": True}, *STATES[2:]]),
        "initial",
    ),
    "a state twice": (machine([*STATES, {"id": "review"}]), "two states are called `review`"),
    "an action twice": (machine(actions=[*ACTIONS, ACTIONS[0]]), "two actions are called `submit`"),
    "from nowhere": (
        machine(actions=[*ACTIONS, {"id": "x", "from": ["gone"], "to": "done"}]),
        "gone",
    ),
    "to nowhere": (
        machine(actions=[*ACTIONS, {"id": "x", "from": ["draft"], "to": "gone"}]),
        "gone",
    ),
    "out of a final state": (
        machine(actions=[*ACTIONS, {"id": "x", "from": ["done"], "to": "draft"}]),
        "final",
    ),
}


async def publish(admin: Person, text: str) -> httpx.Response:
    headers = {"Content-Type": "application/yaml"}
    return await admin.http.post("/v1/recipes", content=text, headers=headers)


@pytest.mark.parametrize("case", INVALID)
async def test_a_definition_that_is_wrong_is_refused(people: People, case: str) -> None:
    text, word = INVALID[case]
    refused = await publish(people("oscar", "admin"), text)
    assert refused.status_code == 422
    problems = refused.json()["errors"]
    assert any(word in problem["message"] for problem in problems), problems
    assert all(problem["fix"] and problem["line"] for problem in problems)


async def test_a_machine_is_defined_started_and_walked_to_its_end(people: People) -> None:
    admin, alice = people("oscar", "admin"), people("alice")
    assert (await publish(admin, machine())).status_code == 201
    assert (await publish(admin, machine())).status_code == 200
    shown = await alice.call("GET", "/v1/recipes/walked_machine")
    assert shown.json()["version"] == 1
    recipes = (await alice.call("GET", "/v1/recipes?limit=200")).json()["items"]
    assert "walked_machine" in [recipe["workflow"] for recipe in recipes]

    request = await alice.submit("walked_machine", {})
    path = f"/v1/requests/{request}/actions"

    async def available() -> dict[str, str | None]:
        items = (await alice.call("GET", path)).json()["items"]
        return {item["id"]: item["why_not"] for item in items}

    async def begun() -> bool | None:
        return (await alice.request(request))["status"] == "draft" or None

    await until(begun, "it has begun")
    doors = await available()
    assert [name for name, reason in doors.items() if reason is None] == ["submit"]

    async def refused(action: str) -> str:
        answer = await alice.call("POST", f"{path}/{action}", {})
        assert answer.status_code in (404, 409), answer.text
        return str(answer.json()["detail"])

    assert "there is no action of this name; there are submit" in await refused("jump")
    assert "action `shortcut` is disabled" in await refused("shortcut")
    assert "leads out of `review`; the request is in `draft`" in await refused("finish")
    assert "leads into `shelf`, which is disabled" in await refused("shelve")
    for action in ("submit", "finish"):
        assert (await alice.call("POST", f"{path}/{action}", {})).status_code == 200
    assert "`done` is a final state" in await refused("submit")

    ended = await alice.request(request)
    assert (ended["state"], ended["status"]) == ("approved", "done")
    assert [(move["action"], move["user"]) for move in ended["history"]] == [
        ("submit", "alice"),
        ("finish", "alice"),
    ]
    assert all(move["at"] for move in ended["history"])
    listed = await alice.call("GET", "/v1/requests?workflow=walked_machine&status=done")
    assert [item["id"] for item in listed.json()["items"]] == [request]


# --- approvals with delegation, quorum, rewind, expiry --------------------------------------------


async def test_a_long_leave_goes_by_a_delegate_and_needs_both_of_the_next(
    product: Product, people: People
) -> None:
    alice, bob, dave = map(people, ("alice", "bob", "dave"))
    request = await alice.submit("leave_request", {"days": 20})
    await bob.task_of(request)
    away = {"delegate": "dave", "reason": "a week off"}
    delegation = (await bob.call("POST", "/v1/org/delegations", away)).json()["id"]
    try:
        task = await dave.task_of(request)
        shown = (await dave.call("GET", f"/v1/tasks/{task}")).json()
        assert (shown["assignee"], shown["on_behalf_of"]) == ("dave", "bob")
        assert await bob.decide(task) == 403
        assert await dave.decide(task) == 200
    finally:
        ended = await bob.call("POST", f"/v1/org/delegations/{delegation}/end", {})
        assert ended.status_code == 200
    erin, grace = people("erin"), people("grace")
    assert await erin.decide(await erin.task_of(request)) == 200
    assert (await alice.request(request))["state"] == "pending"
    assert await grace.decide(await grace.task_of(request), "reject", "nobody is left here") == 200
    assert await alice.final(request) == "rejected"
    trail = (await alice.call("GET", f"/v1/requests/{request}/events")).json()["items"]
    by = [event["actor"] for event in trail if event["type"] == "decision.recorded"]
    assert (by[0]["user"], by[0]["on_behalf_of"]) == ("dave", "bob")


async def test_a_purchase_is_sent_back_comes_in_again_and_is_approved(people: People) -> None:
    alice, bob = people("alice"), people("bob")
    order = {"item": "a press", "amount": 7200, "currency": "EUR"}
    request = await alice.submit("purchase_order", order)
    first = await bob.task_of(request)
    seen = (await bob.call("GET", f"/v1/tasks/{first}")).json()["digest"]
    path = f"/v1/tasks/{first}/decisions"
    silent = await bob.call("POST", path, {"decision": "request_changes"})
    assert silent.status_code == 422
    assert await bob.decide(first, "request_changes", "two offers, please") == 200

    async def rewound() -> bool | None:
        return (await alice.request(request))["state"] == "rewound" or None

    await until(rewound, "it is sent back")
    again = f"/v1/requests/{request}/resubmit"
    wrong = await alice.call("POST", again, {"inputs": {"item": "", "currency": "XXX"}})
    assert {error["pointer"] for error in wrong.json()["errors"]} == {
        "/inputs/item",
        "/inputs/amount",
        "/inputs/currency",
    }
    assert (await bob.call("POST", again, {"inputs": order})).status_code == 403
    cheaper = {**order, "amount": 6900, "reason": "the second offer"}
    assert (await alice.call("POST", again, {"inputs": cheaper})).status_code == 200

    second = await bob.task_of(request)
    assert second != first
    stale = {"decision": "approve", "digest": seen}
    refused = await bob.call("POST", f"/v1/tasks/{second}/decisions", stale)
    assert refused.status_code == 409
    changed = {
        item["pointer"]: (item.get("from"), item["to"]) for item in refused.json()["changed"]
    }
    assert changed == {
        "/inputs/amount": (7200, 6900),
        "/inputs/reason": (None, "the second offer"),
    }
    assert await bob.decide(second) == 200
    finance = [people("carol"), people("dave")]
    task = await finance[0].task_of(request)
    codes = await asyncio.gather(*(person.decide(task) for person in finance))
    assert sorted(codes) == [200, 409]
    assert await alice.final(request) == "approved"


async def test_nobody_approves_their_own_purchase(people: People) -> None:
    carol = people("carol")
    order = {"item": "a safe", "amount": 9000, "currency": "EUR"}
    request = await carol.submit("purchase_order", order)
    assert await people("frank").decide(await people("frank").task_of(request)) == 200
    task = await people("dave").task_of(request)
    assert request not in await inbox(carol)
    assert await carol.decide(task) == 403
    assert await people("dave").decide(task) == 200
    assert await carol.final(request) == "approved"


HASTY = """
workflow: hasty
version: 1
owner: role:workflow-admins
inputs: {type: object}
steps:
  - id: anybody
    type: parallel
    quorum: any
    branches:
      - {approver: "user:bob", timeout: 3s, on_timeout: expire}
      - {approver: "user:erin", timeout: 3s, on_timeout: expire}
"""


async def test_any_of_several_is_enough_and_time_runs_out_for_all(people: People) -> None:
    assert (await publish(people("oscar", "admin"), HASTY)).status_code == 201
    alice, bob, erin = map(people, ("alice", "bob", "erin"))
    approved, expired = [await alice.submit("hasty", {}) for _ in range(2)]
    tasks = [await bob.task_of(approved), await erin.task_of(approved)]
    await asyncio.gather(bob.decide(tasks[0]), erin.decide(tasks[1]))
    assert await alice.final(approved) == "approved"
    assert await alice.final(expired) == "expired"
