"""The sample state machine on the whole product: by command line, at the same instant, through kill -9."""

import asyncio
import json

from tests.acceptance.product import People, Product, until

DOCUMENT = {"document": "Opening hours", "reviewer": "grace"}
PATIENT = """
workflow: patient
version: 1
owner: role:workflow-admins
kind: state_machine
inputs: {type: object}
states:
  - {id: asleep, initial: true, timers: [{after: 4s, fire: wake}]}
  - {id: awake, final: true}
actions:
  - {id: wake, from: asleep, to: awake, who: role:workflow-admins}
"""


async def test_a_document_by_the_command_line(product: Product, people: People) -> None:
    made = product.cli(
        "request", "submit", "document_review", "document=Hours", "reviewer=grace", "--json"
    )
    assert made.returncode == 0, made.stderr
    request = json.loads(made.stdout)["id"]
    for person, action, *more in (
        ("alice", "submit"),
        ("ivan", "request_changes", "--comment", "Sundays?"),
        ("alice", "submit"),
        ("grace", "approve"),
        ("bob", "publish"),
    ):
        fired = product.cli("fire", request, action, *more, person=person)
        assert fired.returncode == 0, fired.stderr
    shown = await people("alice").request(request)
    assert (shown["state"], shown["status"], shown["moves"]) == ("approved", "published", 5)
    assert [move["user"] for move in shown["history"]] == ["alice", "ivan", "alice", "grace", "bob"]
    late = product.cli("fire", request, "submit")
    assert late.returncode == 3
    assert "`published` is a final state" in late.stderr
    listed = product.cli("actions", request)
    assert "approve" in listed.stdout


async def test_of_many_at_once_exactly_one_moves_it(people: People) -> None:
    alice = people("alice")
    request = await alice.submit("document_review", DOCUMENT)
    path = f"/v1/requests/{request}/actions"
    assert (await alice.call("POST", f"{path}/submit", {})).status_code == 200
    reviewers = [people(name) for name in ("grace", "heidi", "ivan")]
    tried = [(person, action) for person in reviewers for action in ("approve", "request_changes")]
    answers = await asyncio.gather(
        *(person.call("POST", f"{path}/{a}", {"comment": "x", "moves": 1}) for person, a in tried)
    )
    codes = [answer.status_code for answer in answers]
    assert (codes.count(200), codes.count(409)) == (1, 5), codes
    winner = tried[codes.index(200)][0].name
    shown = await alice.request(request)
    assert shown["moves"] == 2
    assert shown["history"][-1]["user"] == winner
    for answer in answers:
        if answer.status_code == 409:
            assert f"; {winner} moved it there by " in answer.json()["detail"]


async def test_a_timer_rings_though_the_worker_was_killed(product: Product, people: People) -> None:
    admin = people("zoe", "admin")
    headers = {"Content-Type": "application/yaml"}
    response = await admin.http.post("/v1/recipes", content=PATIENT, headers=headers)
    assert response.status_code == 201, response.text
    alice = people("alice")
    request = await alice.submit("patient", {})

    async def begun() -> bool:
        return bool((await alice.request(request))["status"] == "asleep")

    await until(begun, "it is asleep")
    product.kill("worker")
    assert await alice.final(request) == "approved"
    [move] = (await alice.request(request))["history"]
    assert (move["action"], move["user"]) == ("wake", "system:engine")
