"""Explain tasks and steps: why it is with this person, who was, is or would be asked, as audit shows."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api import org_shapes
from api.wording import TEXTS
from recipes import parse
from recipes.model import Json
from storage import explanations
from storage.org import PersonRow, RoleRow
from tests.integration.delegating import delegate, end
from tests.integration.house import House, Workflow, leave, shared
from tests.integration.test_reassign import WHY, applied, reassign

TWO_STEPS = """
workflow: spend
version: 1
owner: house
inputs:
  type: object
  required: [amount]
  properties:
    amount: {type: number}
    friend: {type: string}
steps:
  - id: manager
    approver: "{{ employee.manager }}"
  - id: finance
    when: amount > 100
    approver: role:hr
    not_same_as: [manager]
  - id: friends
    approvers: "{{ [friend, 'frank'] }}"
    quorum: all
  - id: anybody
    candidates: [role:hr, user:frank]
"""


@pytest.fixture
async def spend(house: House) -> House:
    await house.publish(parse.parse(TWO_STEPS).recipe)
    return house


async def explained(house: House, who: str, *roles: str, **query: Any) -> dict[str, Json]:
    response = await house.get("/v1/org/explain", who, *roles, params=query)
    assert response.status_code == 200, response.text
    found: dict[str, Json] = response.json()
    shape = org_shapes.ExplainedTask if "task" in query else org_shapes.ExplainedStep
    shape.model_validate(found)
    return found


def texts(found: dict[str, Json]) -> list[str]:
    return [hop["text"] for hop in found["chain"]]


def rules(found: dict[str, Json]) -> list[tuple[str, str | None]]:
    return [(hop["rule"], hop["user"]) for hop in found["chain"]]


async def spending(house: House, **inputs: Json) -> Workflow:
    return await house.begun("alice", "spend", {"amount": 500} | inputs)


async def decided(house: House, flow: Workflow, who: str) -> None:
    answer = await house.decide(who, flow.task)
    assert answer.status_code == 200, answer.text
    await flow.befall(house.delivery.signals[-1][1])


# --- a task -----------------------------------------------------------------------------------------


async def test_why_a_task_is_with_a_delegate(house: House) -> None:
    made = await delegate(house, "bob", "dave", reason="parental leave")
    flow = await house.begun()
    found = await explained(house, "dave", task=flow.task)
    assert (found["user"], found["on_behalf_of"], found["asked"]) == ("dave", "bob", "user:bob")
    named, by = texts(found)
    assert named == "Bob Tanaka is asked for"
    assert by.startswith(
        "Dave Singh decides on behalf of Bob Tanaka, who delegated everything to Dave Singh from 20"
    )
    assert by.endswith("UTC until it is ended")
    assert (found["stale"], found["now"]["user"]) == (False, "dave")
    await end(house, "bob", made)
    later = await explained(house, "alice", task=flow.task)
    assert (later["user"], later["stale"], later["now"]["user"]) == ("dave", True, "bob")
    assert " to 20" in texts(later)[1]  # it ended, and says when


async def test_a_task_that_a_turn_gave_is_not_stale(spend: House) -> None:
    flow = await spending(spend)
    await decided(spend, flow, "bob")
    found = await explained(spend, "alice", task=flow.task)
    assert texts(found) == ["it is the turn of Dave Singh in role hr (turn 0)"]
    assert (found["stale"], rules(found["now"])) == (False, [("round_robin", "dave")])
    assert await spend.pool.fetchval("SELECT turn FROM roles WHERE name = 'hr'") == 1
    await spend.import_org((), (RoleRow("hr", ("erin",)),))
    gone = await explained(spend, "alice", task=flow.task)
    assert (gone["stale"], gone["now"]["user"]) == (True, "erin")


async def test_a_manager_that_changed(house: House) -> None:
    flow = await house.begun()
    await house.import_org((PersonRow("alice", "Alice", manager="carol"),), ())
    found = await explained(house, "root", "auditor", task=flow.task)
    assert (found["user"], found["now"]["user"], found["stale"]) == ("bob", "carol", True)


async def test_who_reassigned_it_and_why(house: House) -> None:
    flow = await house.begun()
    applied(house, flow)
    assert (await reassign(house, "frank", flow, "dave")).status_code == 200
    found = await explained(house, "dave", task=flow.task)
    assert texts(found) == [
        f"Frank Weber gave it to somebody by hand: {WHY}",
        "Dave Singh is asked for",
    ]
    assert not found["stale"]
    await delegate(house, "dave", "erin")
    assert (await explained(house, "dave", task=flow.task))["now"]["user"] == "erin"


async def test_a_shared_task(house: House) -> None:
    flow = await house.begun("alice", "shared", {})
    found = await explained(house, "dave", task=flow.task)
    assert (found["user"], found["candidates"]) == (None, ["role:hr", "user:bob"])
    assert texts(found) == ["anybody of role hr may decide it", "Bob Tanaka may decide it"]
    assert not found["stale"]


async def test_a_task_that_is_closed_is_not_asked_again(house: House) -> None:
    flow = await house.begun()
    task = flow.task
    await decided(house, flow, "bob")
    found = await explained(house, "bob", task=task)
    assert (found["state"], found["now"], found["stale"]) == ("decided", None, False)


async def test_a_task_of_the_earliest_days(house: House) -> None:
    """It does not say what was asked for it, and its request's commits are gone."""
    flow = await house.begun("alice", "shared", {})
    await house.pool.execute("UPDATE tasks SET ask = NULL, level = 1")
    found = await explained(house, "alice", task=flow.task)
    assert (found["asked"], found["now"], found["stale"]) == (None, None, False)


# --- a step of a request ----------------------------------------------------------------------------


async def test_who_would_be_asked_later(spend: House) -> None:
    flow = await spending(spend, friend="erin")
    request = flow.state.request_id
    found = await explained(spend, "alice", request=request, step="finance")
    [seat] = found["seats"]
    assert (seat["user"], seat["task"], found["applies"]) == ("dave", None, True)
    assert found["when"] == "amount > 100"
    assert await spend.pool.fetchval("SELECT turn FROM roles WHERE name = 'hr'") == 0
    friends = await explained(spend, "alice", request=request, step="friends")
    assert [seat["user"] for seat in friends["seats"]] == ["erin", "frank"]
    pool = await explained(spend, "alice", request=request, step="anybody")
    assert pool["seats"][0]["candidates"] == ["role:hr", "user:frank"]
    here = await explained(spend, "alice", request=request)
    assert (here["step"], here["seats"][0]["task"]) == ("manager", flow.task)


async def test_who_decided_before_is_not_asked(spend: House) -> None:
    await spend.import_org((), (RoleRow("hr", ("bob", "erin")),))
    flow = await spending(spend)
    before = datetime.now(UTC)
    await decided(spend, flow, "bob")
    request = flow.state.request_id
    now = await explained(spend, "alice", request=request, step="finance")
    assert now["seats"][0]["user"] == "erin"
    then = await explained(spend, "alice", request=request, step="finance", at=before.isoformat())
    assert then["seats"][0]["user"] in ("bob", "erin")  # nobody had decided yet
    assert then["seats"][0]["task"] is None


async def test_a_list_without_people_and_one_with_somebody_twice(spend: House) -> None:
    flow = await spending(spend)
    none = await explained(spend, "alice", request=flow.state.request_id, step="friends")
    assert none["seats"] == []
    assert "friends" in none["refusal"]["detail"]
    await delegate(spend, "erin", "frank")
    twice = await spending(spend, friend="erin")
    found = await explained(spend, "alice", request=twice.state.request_id, step="friends")
    assert [seat["user"] for seat in found["seats"]] == ["frank", None]
    assert found["seats"][1]["refusal"]["detail"] == "frank already has a seat in step friends"


async def test_a_step_that_does_not_apply(spend: House) -> None:
    flow = await spending(spend, amount=5)
    found = await explained(spend, "alice", request=flow.state.request_id, step="finance")
    assert (found["applies"], found["seats"][0]["user"]) == (False, "dave")


async def test_every_past_assignment_is_explained_as_audit_shows_it(spend: House) -> None:
    flows: list[Workflow] = []
    for *held, to in (
        ("dave", "erin", "bob"),
        ("erin", "frank", "bob"),
        ("frank", "dave", "carol"),
    ):
        await spend.import_org((), (RoleRow("hr", tuple(held)),))
        flows += [await spending(spend) for _ in range(2)]
        await delegate(spend, held[0], to, scope="role:hr")
        for flow in flows[-2:]:
            await decided(spend, flow, flow.state.tasks[0].assignment.user or "")
        if len(flows) == 2:
            await delegate(spend, "bob", "frank", scope="workflow:spend")
    await spend.import_org((), (RoleRow("hr", ("frank",)),))
    rows = await spend.pool.fetch(
        "SELECT request_id, occurred_at, payload FROM audit WHERE event_type = 'task.assigned'"
    )
    assert len(rows) == 2 * len(flows)
    for forgotten in (False, True):
        for row in rows:
            payload = row["payload"]
            found = await explained(
                spend,
                "root",
                "auditor",
                request=str(row["request_id"]),
                step=payload["step"],
                at=row["occurred_at"].isoformat(),
            )
            [seat] = found["seats"]
            assert (seat["task"], seat["assignee"]) == (payload["task_id"], payload["assignee"])
            assert (seat["user"], seat["role"]) == (payload["assignee"], payload["role"])
            assert (seat["on_behalf_of"], seat["via"]) == (payload["on_behalf_of"], payload["via"])
            chain = [{name: hop[name] for name in hop if name != "text"} for hop in seat["chain"]]
            assert chain == payload["chain"]
        if not forgotten:
            await spend.pool.execute("DELETE FROM commits")


async def test_decided_seats_are_not_explained(house: House) -> None:
    flow = await house.begun()
    await decided(house, flow, "bob")
    done = await explained(
        house,
        "alice",
        request=flow.state.request_id,
        step="manager",
        at=(datetime.now(UTC) - timedelta(days=1)).isoformat(),
    )
    assert done["seats"][0]["refusal"] is not None  # nobody of the directory was there yet


# --- a step of a recipe -----------------------------------------------------------------------------


async def test_a_step_without_a_request(spend: House) -> None:
    found = await explained(spend, "alice", workflow="spend", step="manager")
    [seat] = found["seats"]
    assert (found["request"], seat["user"], seat["seat"]) == (None, "bob", "manager")
    of_bob = await explained(
        spend, "root", "admin", workflow="spend", version=1, step="manager", employee="bob"
    )
    assert of_bob["seats"][0]["user"] == "carol"
    unknown = await explained(spend, "alice", workflow="spend", step="finance")
    assert (unknown["applies"], unknown["seats"][0]["user"]) == (None, "dave")


async def test_what_depends_on_inputs(spend: House) -> None:
    query = {"workflow": "spend", "step": "friends"}
    refused = await spend.get("/v1/org/explain", "alice", params=query)
    assert refused.status_code == 422
    assert "depends on friend: give a request, or POST with inputs" in refused.json()["detail"]
    body = {**query, "inputs": {"amount": 5, "friend": "erin"}}
    response = await spend.post("/v1/org/explain", "alice", json=body)
    found = org_shapes.ExplainedStep.model_validate(response.json())
    assert [seat.user for seat in found.seats] == ["erin", "frank"]
    mistakes: tuple[tuple[dict[str, Json], str], ...] = (
        ({"inputs": {}}, "/inputs"),
        ({"inputs": {"amount": "many"}}, "/inputs/amount"),
        ({"workflow": "nothing"}, "/workflow"),
        ({"version": 7}, "/version"),
        ({"step": "nowhere"}, "/step"),
        ({"employee": "zoe"}, "/employee"),
    )
    for changes, pointer in mistakes:
        response = await spend.post("/v1/org/explain", "root", "admin", json=body | changes)
        assert response.status_code == 422, response.text
        assert response.json()["errors"][0]["pointer"].startswith(pointer)


# --- who may, and what is not understood ------------------------------------------------------------


async def test_who_may_see_it(house: House) -> None:
    flow = await house.begun()
    step = {"request": flow.state.request_id, "step": "manager"}
    for who, roles, status in (
        ("alice", (), 200),
        ("bob", (), 200),
        ("frank", (), 200),
        ("root", ("admin",), 200),
        ("aud", ("auditor",), 200),
        ("erin", (), 404),
    ):
        for query in ({"task": flow.task}, step):
            response = await house.get("/v1/org/explain", who, *roles, params=query)
            assert response.status_code == status, (who, response.text)
    absent = await house.get("/v1/org/explain", "root", "admin", params={"task": str(uuid4())})
    assert absent.status_code == 404
    other = {"workflow": "leave", "step": "manager", "employee": "alice"}
    assert (await house.get("/v1/org/explain", "bob", params=other)).status_code == 403
    assert (await house.post("/v1/org/explain", "bob", json=other)).status_code == 403


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"step": "manager"}, "workflow"),
        ({"workflow": "nothing", "step": "manager"}, "workflow"),
        ({"workflow": "leave", "version": 9, "step": "manager"}, "version"),
        ({"workflow": "leave", "step": "nowhere"}, "step"),
        ({"workflow": "leave", "step": "manager", "employee": "zoe"}, "employee"),
        ({"approver": "bob", "version": 1}, "version"),
        ({"approver": "bob", "step": "manager", "workflow": "leave"}, "approver"),
        ({"task": str(uuid4()), "at": "2026-01-01T00:00:00Z"}, "at"),
        ({"request": str(uuid4()), "task": str(uuid4())}, "request"),
        ({"request": str(uuid4()), "employee": "bob"}, "employee"),
        ({"task": "nonsense"}, "task"),
    ],
)
async def test_what_does_not_go_together(
    house: House, query: dict[str, Any], parameter: str
) -> None:
    response = await house.get("/v1/org/explain", "root", "admin", params=query)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["parameter"] == parameter


async def test_a_request_that_is_at_no_step(house: House) -> None:
    flow = await house.begun()
    await decided(house, flow, "bob")
    query = {"request": flow.state.request_id}
    assert (await house.get("/v1/org/explain", "alice", params=query)).status_code == 422
    query["step"] = "nowhere"
    wrong = await house.get("/v1/org/explain", "alice", params=query)
    assert "steps that do: manager" in wrong.json()["detail"]


# --- the words --------------------------------------------------------------------------------------


def test_every_rule_has_a_text() -> None:
    assert set(TEXTS) == {
        "person",
        "round_robin",
        "kept",
        "fixed",
        "candidates",
        "manager",
        "employee_manager",
        "delegation",
        "has_left",
        "not_the_requester",
        "decided_before",
        "below_limit",
        "reassigned",
        "added",
    }


async def test_a_delegate_who_is_not_asked(house: House) -> None:
    await delegate(house, "bob", "alice", scope="workflow:leave")
    flow = await house.begun()
    found = await explained(house, "carol", task=flow.task)
    assert found["user"] == "carol"
    text = texts(found)[1]
    assert text.startswith("Bob Tanaka delegated workflow leave to Alice Moreau from ")
    assert text.endswith(
        ", but Alice Moreau is the requester, who decides nothing of their own: up the line"
    )


async def test_nobody_reassigned_what_the_recipe_gave(house: House) -> None:
    flow = await house.begun()
    nobody = await explanations.reassigned(
        house.pool, UUID(flow.state.request_id), "manager", datetime.now(UTC)
    )
    assert nobody is None


async def test_recipes_of_the_house_are_explained(house: House) -> None:
    await house.publish(leave(2))
    await house.publish(shared("user:erin", workflow="one"))
    found = await explained(house, "alice", workflow="leave", step="manager")
    assert found["version"] == 2
    one = await explained(house, "alice", workflow="one", step="pool")
    assert one["seats"][0]["candidates"] == ["user:erin"]
