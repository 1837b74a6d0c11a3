"""Claims of shared tasks: who alone decides, how others hear of it, and when a claim binds nobody."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from api import problem_shapes, task_shapes
from recipes.model import ApprovalStep, Ballot, Quorum, Recipe
from storage.org import PersonRow, RoleRow
from storage.pool import Pool
from tests.integration.delegating import delegate, end
from tests.integration.house import House, Workflow, shared


async def claim(house: House, who: str, task: str) -> httpx.Response:
    return await house.post(f"/v1/tasks/{task}/claim", who)


async def release(house: House, who: str, task: str, *roles: str) -> httpx.Response:
    return await house.post(f"/v1/tasks/{task}/release", who, *roles, json={})


async def claimed(house: House, who: str = "dave") -> Workflow:
    flow = await house.begun("alice", "shared", {})
    response = await claim(house, who, flow.task)
    assert response.status_code == 200, response.text
    return flow


async def _inbox(house: House, who: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await house.get("/v1/tasks", who)).json()["items"]
    return items


async def test_the_claimer_alone_decides(house: House) -> None:
    flow = await claimed(house)
    again = await claim(house, "dave", flow.task)
    assert again.status_code == 200
    shown = task_shapes.Task.model_validate(again.json())
    assert shown.claimed_by == "dave"
    assert shown.claimed_at is not None
    for refused in (await claim(house, "erin", flow.task), await house.decide("bob", flow.task)):
        problem = refused.json()
        assert (refused.status_code, problem["type"]) == (409, "urn:countersign:problem:claimed")
        assert problem["detail"] == f"claimed by dave since {problem['claimed_at']}"
        assert problem["claimed_by"] == "dave"
        problem_shapes.AlreadyClosed.model_validate(problem)
    # Whoever shares it sees who has it; so does the requester.
    [item] = await _inbox(house, "erin")
    assert item["claimed_by"] == "dave"
    request = (await house.get(f"/v1/requests/{flow.state.request_id}", "alice")).json()
    assert [task["claimed_by"] for task in request["tasks"]] == ["dave"]
    body = {"decision": "approve"}
    preview = (await house.post("/v1/decisions/preview", "erin", json=body)).json()
    assert preview["items"] == []
    assert len((await house.post("/v1/decisions/preview", "dave", json=body)).json()["items"]) == 1
    decided = await house.decide("dave", flow.task)
    assert (decided.status_code, decided.json()["claimed_by"]) == (200, "dave")
    late = await claim(house, "erin", flow.task)
    assert late.json()["type"] == "urn:countersign:problem:already_decided"
    assert (await release(house, "dave", flow.task)).status_code == 409


async def test_it_is_on_the_record(house: House) -> None:
    flow = await claimed(house)
    await claim(house, "dave", flow.task)
    assert (await release(house, "dave", flow.task)).json()["claimed_by"] is None
    path = f"/v1/requests/{flow.state.request_id}/events"
    events = [e for e in (await house.get(path, "alice")).json()["items"] if "claim" in e["body"]]
    assert [event["type"] for event in events] == ["task.claimed", "task.released"]
    assert events[0]["actor"] == {"user": "dave", "role": "hr", "on_behalf_of": None, "via": []}
    assert events[0]["payload"] == {"task_id": flow.task, "step": "pool", "branch": None}
    assert events[1]["payload"]["claimed_before_by"] == "dave"
    assert events[1]["payload"]["claimed_before_at"] == events[0]["occurred_at"]
    assert events[1]["snapshot"]["task"]["claimed_by"] is None
    assert (await house.decide("bob", flow.task)).status_code == 200
    assert len(house.delivery.signals) == 1


async def test_who_may_claim(house: House) -> None:
    flow = await house.begun("alice", "shared", {})
    for who, roles, status in (
        ("alice", (), 403),
        ("root", ("admin",), 403),
        ("frank", (), 404),
        ("bob", (), 200),
    ):
        response = await house.post(f"/v1/tasks/{flow.task}/claim", who, *roles)
        assert response.status_code == status, (who, response.text)
    own = await house.begun()
    refused = await claim(house, "bob", own.task)
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "this task is bob's alone: only shared ones are claimed",
    )
    assert (await claim(house, "bob", str(UUID(int=1)))).status_code == 404
    extra = await house.post(f"/v1/tasks/{flow.task}/claim", "bob", json={"for": "me"})
    assert extra.status_code == 422


async def test_who_may_release(house: House) -> None:
    await house.publish(replace(shared("role:hr", "user:bob", workflow="owned"), owner="house"))
    for who, roles, status in (
        ("alice", (), 403),
        ("alice", ("admin",), 403),  # nobody chooses who decides their own
        ("erin", (), 403),
        ("carol", (), 404),
        ("aud", ("auditor",), 403),
        ("frank", (), 200),  # holds the owner role
        ("root", ("admin",), 200),
        ("dave", (), 200),
    ):
        flow = await house.begun("alice", "owned", {})
        await claim(house, "dave", flow.task)
        response = await release(house, who, flow.task, *roles)
        assert response.status_code == status, (who, response.text)
        if status == 200:
            # Once more changes nothing.
            assert (await release(house, "bob", flow.task)).status_code == 200
            events = f"/v1/requests/{flow.state.request_id}/events"
            found = (await house.get(events, "alice")).json()["items"]
            assert [event["type"] for event in found].count("task.released") == 1


async def _binds(house: House, flow: Workflow) -> bool:
    [item] = await _inbox(house, "bob")
    return item["claimed_by"] is not None


async def test_a_claim_of_somebody_away_binds_nobody(house: House) -> None:
    flow = await claimed(house)
    assert await _binds(house, flow)
    for scope, binds in (("workflow:leave", True), ("role:hr", False), ("all", False)):
        made = await delegate(house, "dave", "frank", scope=scope)
        assert await _binds(house, flow) is binds, scope
        assert (await end(house, "dave", made)).status_code == 200
        assert await _binds(house, flow)
    await delegate(house, "dave", "frank", scope="workflow:shared")
    assert (await claim(house, "frank", flow.task)).json()["claimed_by"] == "frank"
    # The one away may decide, but not against whom has it now.
    assert (await house.decide("dave", flow.task)).status_code == 409
    decided = (await house.decide("frank", flow.task)).json()
    assert decided["decision"]["on_behalf_of"] == "dave"
    found = await house.pool.fetch("SELECT payload FROM audit WHERE event_type = 'task.claimed'")
    assert [row["payload"].get("claimed_before_by") for row in found] == [None, "dave"]


@pytest.mark.parametrize("loses", ["role", "job", "delegation"])
async def test_a_claim_of_somebody_who_may_not_decide_binds_nobody(
    house: House, loses: str
) -> None:
    made = await delegate(house, "dave", "frank")
    flow = await claimed(house, "frank" if loses == "delegation" else "erin")
    assert await _binds(house, flow)
    if loses == "role":
        await house.import_org((), (RoleRow("hr", ("dave",)),))
    elif loses == "job":
        await house.import_org((PersonRow("erin", "Erin Novak", manager="carol", left=True),), ())
    else:
        await end(house, "dave", made)
    assert not await _binds(house, flow)
    assert (await house.decide("bob", flow.task)).status_code == 200


async def test_two_parts_of_a_step_claimed_by_one(house: House) -> None:
    ballots = (Ballot("a", candidates=("role:hr",)), Ballot("b", candidates=("role:hr",)))
    step = ApprovalStep("parts", ballots, Quorum("all"), type="parallel")
    await house.publish(Recipe("parts", 1, (step,)))
    flow = await house.begun("alice", "parts", {})
    first, second = (task.id for task in flow.state.tasks)
    for task in (first, second):
        assert (await claim(house, "dave", task)).status_code == 200
    assert (await house.decide("dave", first)).status_code == 200
    assert (await house.decide("dave", second)).status_code == 403
    # What he may not decide any more is no longer his.
    assert (await claim(house, "erin", second)).status_code == 200
    assert (await house.decide("erin", second)).status_code == 200


async def test_many_claim_at_once_and_one_has_it(house: House) -> None:
    flow = await house.begun("alice", "shared", {})
    names = ["dave", "erin", "bob"] * 4
    responses = await asyncio.gather(*(claim(house, who, flow.task) for who in names))
    [row] = await house.pool.fetch("SELECT claimed_by FROM tasks")
    assert {r.status_code for r in responses} == {200, 409}
    for who, response in zip(names, responses, strict=True):
        assert response.status_code == (200 if who == row["claimed_by"] else 409)
    claims = "SELECT count(*) FROM audit WHERE event_type = 'task.claimed'"
    assert await house.pool.fetchval(claims) == 1


async def test_a_claim_that_comes_while_somebody_decides(house: House, admin_pool: Pool) -> None:
    """Whoever looked at the task before it was claimed does not decide it after."""
    flow = await house.begun("alice", "shared", {})
    async with admin_pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE tasks SET claimed_by = 'dave', claimed_at = now() WHERE id = $1",
            UUID(flow.task),
        )
        deciding = asyncio.create_task(house.decide("bob", flow.task))
        waiting = (
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database())"
        )
        for _ in range(200):
            if await admin_pool.fetchval(waiting):
                break
            await asyncio.sleep(0.02)
    response = await deciding
    assert (response.status_code, response.json().get("claimed_by")) == (409, "dave")
    assert await house.pool.fetchval("SELECT count(*) FROM decisions") == 0
