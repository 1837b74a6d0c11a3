"""Simulations over HTTP: answered by the real directory, nothing written, no turn taken."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import life_shapes
from recipes.model import Json
from recipes.parse import parse
from tests.integration.house import PEOPLE, ROLES, House, leave

DRAFT = """
workflow: leave
version: 2
owner: house
inputs: {type: object, properties: {days: {type: number}}, required: [days]}
steps:
  - {id: short, when: days < 1, action: approve}
  - {id: manager, approver: "{{ employee.manager }}", timeout: 1h, on_timeout: escalate}
  - id: hr
    branches: [{id: one, approver: role:hr}, {id: two, candidates: [role:hr, user:bob]}]
  - {id: again, approver: role:hr}
"""
PATH = "/v1/recipes/leave/versions/1/simulate"


async def _simulated(house: House, path: str, who: str, *roles: str, **body: Json) -> Any:
    response = await house.post(path, who, *roles, json=body)
    assert response.status_code == 200, response.text
    return life_shapes.Simulated.model_validate(response.json())


async def _counts(house: House) -> list[Any]:
    tables = ("requests", "tasks", "audit", "outbox", "decisions", "commands")
    turns = await house.pool.fetch("SELECT name, turn FROM roles ORDER BY name")
    return [await house.pool.fetchval(f"SELECT count(*) FROM {name}") for name in tables] + [
        tuple(row) for row in turns
    ]


async def test_what_would_become_of_my_request(house: House) -> None:
    before = await _counts(house)
    found = await _simulated(house, PATH, "alice", inputs={"days": 5})
    assert (found.workflow, found.version, found.requester) == ("leave", 1, "alice")
    assert (found.state, found.step, found.unused) == ("approved", None, [])
    [step] = found.path
    [task] = step.tasks
    assert (task.assignee, task.decided_by, task.when_due) == ("bob", "bob", "escalate")
    assert [hop.text for hop in task.chain] == ["Bob Tanaka is asked for"]
    assert await _counts(house) == before


async def test_a_draft_with_turns_pools_and_time(house: House) -> None:
    before = await _counts(house)
    decisions = [
        {"step": "manager", "who": "bob", "decision": "wait"},
        {"branch": "two", "decision": "approve", "after": "2h"},
    ]
    path = "/v1/recipes/simulate"
    found = await _simulated(
        house,
        path,
        "root",
        "admin",
        recipe=DRAFT,
        inputs={"days": 5},
        requester="alice",
        at="2030-01-07T09:00:00+01:00",
        decisions=decisions,
    )
    assert (found.version, found.state) == (2, "approved")
    assert found.at == datetime(2030, 1, 7, 8, tzinfo=UTC)
    short, manager, hr, again = found.path
    assert (short.outcome, short.when) == ("skipped", "days < 1")
    assert [(task.assignee, task.state) for task in manager.tasks] == [
        ("bob", "expired"),
        ("carol", "decided"),
    ]
    one, two = hr.tasks
    # Turns are counted on for this simulation alone.
    assert [one.assignee, again.tasks[0].assignee] == ["dave", "erin"]
    assert two.could_decide == ["bob", "dave", "erin"]
    assert two.decided_by == "bob"
    assert [hop.text for hop in two.chain] == [
        "anybody of role hr may decide it",
        "Bob Tanaka may decide it",
    ]
    assert found.ended_at == found.at + timedelta(hours=3)
    assert await _counts(house) == before


async def test_the_directory_is_asked_as_of_each_supposed_moment(house: House) -> None:
    start = datetime.now(UTC) + timedelta(days=30)
    body = {"delegate": "erin", "from": start.isoformat()}
    assert (await house.post("/v1/org/delegations", "bob", json=body)).status_code == 201
    for moment, whom in ((start - timedelta(days=1), "bob"), (start + timedelta(days=1), "erin")):
        found = await _simulated(house, PATH, "alice", inputs={"days": 1}, at=moment.isoformat())
        assert found.path[0].tasks[0].assignee == whom
    assert found.path[0].tasks[0].on_behalf_of == "bob"


async def test_it_waits_where_people_are_needed(house: House) -> None:
    found = await _simulated(house, PATH, "alice", inputs={"days": 1}, otherwise="wait")
    assert (found.state, found.step, found.waiting_for) == ("pending", "manager", ["carol"])
    assert [incident.kind for incident in found.incidents] == ["NoApproverFound"]
    assert [task.assignee for task in found.path[0].tasks] == ["bob", "carol"]


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"inputs": {}}, "/inputs/days", "is required"),
        ({"requester": "nobody"}, "/requester", "there is no person nobody"),
        ({"at": "1999-01-01T00:00:00Z"}, "/requester", "is not in the directory at 1999-01-01"),
        ({"at": "2026-01-01T00:00:00"}, "/at", "timezone"),
        ({"decisions": [{"decision": "maybe"}]}, "/decisions/0/decision", "approve"),
        ({"decisions": [{"step": "x"}]}, "/decisions/0/decision", "required"),
        (
            {"decisions": [{"decision": "wait", "step": "x"}]},
            "/decisions/0/step",
            "there are: manager",
        ),
        (
            {"decisions": [{"decision": "wait", "step": "manager", "branch": "b"}]},
            "/decisions/0/branch",
            "leave `branch` out",
        ),
        (
            {"decisions": [{"decision": "wait", "who": "nobody"}]},
            "/decisions/0/who",
            "there is no person nobody",
        ),
        (
            {"decisions": [{"decision": "approve", "after": "2"}]},
            "/decisions/0/after",
            "write `2h`",
        ),
        ({"otherwise": "x"}, "/otherwise", "wait"),
        ({"unknown": 1}, "/unknown", "not permitted"),
    ],
)
async def test_wrong_suppositions_name_their_place(
    house: House, body: dict[str, Json], pointer: str, words: str
) -> None:
    asked = {"inputs": {"days": 1}} | body
    response = await house.post(PATH, "root", "admin", json={"requester": "alice"} | asked)
    assert response.status_code == 422, response.text
    errors = response.json()["errors"]
    assert errors[0]["pointer"].startswith(pointer)
    assert any(words in error["message"] for error in errors), errors


async def test_all_that_is_wrong_with_a_draft_is_told(house: House) -> None:
    draft = DRAFT.replace("approver: role:hr", "aprover: role:hr")
    body = {"recipe": draft, "file": "leave.v2.yaml", "inputs": {"days": 1}, "requester": "alice"}
    response = await house.post("/v1/recipes/simulate", "root", "admin", json=body)
    assert (response.status_code, response.json()["type"][-14:]) == (422, "recipe_invalid")
    assert {error["file"] for error in response.json()["errors"]} == {"leave.v2.yaml"}


async def test_who_may_simulate(house: House) -> None:
    mine = {"inputs": {"days": 1}}
    others = mine | {"requester": "bob"}
    assert (await house.post(PATH, "alice", json=mine)).status_code == 200
    assert (await house.post(PATH, "alice", json=others)).status_code == 403
    assert (await house.post(PATH, "root", "auditor", json=others)).status_code == 200
    draft = mine | {"recipe": DRAFT}
    response = await house.post("/v1/recipes/simulate", "alice", json=draft)
    assert response.status_code == 403
    missing = PATH.replace("/1/", "/9/")
    assert (await house.post(missing, "alice", json=mine)).status_code == 404


async def test_who_has_left_cannot_submit(house: House) -> None:
    await house.import_org(
        tuple(p if p.id != "alice" else replace(p, left=True) for p in PEOPLE),
        ROLES,
    )
    response = await house.post(
        PATH, "root", "admin", json={"requester": "alice", "inputs": {"days": 1}}
    )
    assert response.status_code == 422


async def test_a_disabled_version_can_be_simulated(house: House) -> None:
    await house.publish(leave(2))
    body = {"reason": "audit"}
    await house.post("/v1/recipes/leave/versions/1/disable", "root", "admin", json=body)
    found = await _simulated(house, PATH, "alice", inputs={"days": 1})
    assert found.version == 1


async def test_of_a_state_machine_it_says_who_might_begin(house: House) -> None:
    await house.publish(parse(REVIEW).recipe)
    path = "/v1/recipes/review/versions/1/simulate"
    before = await _counts(house)
    found = await _simulated(house, path, "alice", inputs={"document": "Hours", "reader": "dave"})
    assert (found.state, found.status, found.path) == ("pending", "draft", [])
    first = {action.id: action for action in found.actions}
    assert list(first) == ["submit", "skim", "check", "share", "cease"]
    assert first["submit"].could_fire == ["alice"]
    assert first["skim"].could_fire == ["dave", "erin"]
    assert (first["check"].could_fire, first["check"].nobody) == (
        [], "nobody is user:alice but the requester",
    )  # fmt: skip
    assert (first["share"].who, first["share"].could_fire, first["share"].nobody) == ([], [], None)
    assert first["cease"].nobody == "nobody is role:empty"
    assert first["cease"].fires_at == found.at + timedelta(days=2)
    assert found.waiting_for == ["alice", "dave", "erin"]
    assert found.deadline_at == found.at + timedelta(days=9)
    # What only steps have is refused, each at its place.
    supposed = {"decisions": [{"decision": "approve"}], "otherwise": "wait"}
    body = {"inputs": {"document": "Hours"}, **supposed}
    refused = await house.post(path, "alice", json=body)
    assert refused.status_code == 422
    assert [it["pointer"] for it in refused.json()["errors"]] == ["/decisions", "/otherwise"]
    assert "leave this out" in refused.json()["detail"]
    # Of a draft that names somebody through the reader's manager, whom alice as requester has.
    text = REVIEW.replace("who: role:hr", 'who: "{{ employee.manager.manager.manager }}"')
    body = {"recipe": text, "inputs": {"document": "Hours"}, "requester": "alice"}
    response = await house.post("/v1/recipes/simulate", "root", "admin", json=body)
    drafted = life_shapes.Simulated.model_validate(response.json())
    [skim] = [action for action in drafted.actions if action.id == "skim"]
    assert skim.nobody is not None
    assert "manager" in skim.nobody
    tried = await house.post("/v1/recipes/backtest", "root", "admin", json={"recipe": text})
    assert (tried.status_code, tried.json()["errors"][0]["pointer"]) == (422, "/recipe")
    assert await _counts(house) == before


REVIEW = """
workflow: review
version: 1
kind: state_machine
owner: house
deadline: 9d
inputs: {type: object, required: [document], properties: {document: {type: string}, reader: {type: string}}}
states:
  - {id: draft, initial: true, timers: [{after: 2d, fire: cease}]}
  - {id: read}
  - {id: done, final: true}
actions:
  - {id: submit, from: draft, to: read, who: "user:{{ request.requester }}"}
  - {id: skim, from: draft, to: read, who: role:hr}
  - {id: check, from: draft, to: read, who: "user:{{ request.requester }}", not_requester: true}
  - {id: share, from: draft, to: read}
  - {id: cease, from: draft, to: done, who: role:empty}
  - {id: publish, from: read, to: done}
"""
