"""Deciding: who may, what is checked, and that the first decision alone counts."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest

from api import problem_shapes, schemas, task_shapes
from recipes.happenings import Actor, Commanded, Decided
from storage.org import PersonRow, RoleRow
from storage.pool import Pool
from tests.integration.house import House, shared, unboxed

Value = TypeVar("Value")


async def test_one_time_stands_in_answer_row_signal_and_audit(house: House) -> None:
    flow = await house.begun()
    response = await house.decide("bob", flow.task, comment="Enjoy", reason="covered")
    assert response.status_code == 200, response.text
    task = task_shapes.Task.model_validate(response.json())
    assert (task.state, task.assignee) == ("decided", "bob")
    assert task.decision is not None
    assert (task.decision.user, task.decision.decision) == ("bob", "approve")
    row = await house.pool.fetchrow("SELECT * FROM decisions WHERE task_id = $1", task.id)
    assert row is not None
    [(request_id, message)] = house.delivery.signals
    assert isinstance(message, Decided)
    at = row["decided_at"]
    assert at == task.closed_at == task.decision.decided_at == message.at
    assert (request_id, message.task_id, message.comment) == (task.request_id, flow.task, "Enjoy")
    event = await house.pool.fetchrow(
        "SELECT * FROM audit WHERE event_type = 'decision.recorded' AND request_id = $1", request_id
    )
    assert event is not None
    assert event["occurred_at"] == at
    assert event["actor"]["user"] == "bob"
    assert event["payload"]["digest"] == task.digest
    outbox = await house.pool.fetchrow("SELECT * FROM outbox WHERE kind = 'signal'")
    assert outbox is not None
    told = await unboxed(house.pool, request_id, outbox["message"])
    assert told["task_id"] == flow.task
    assert datetime.fromisoformat(told["at"]) == at
    shown = (await house.get(f"/v1/tasks/{flow.task}", "bob")).json()
    assert (shown.pop("may"), shown.pop("why_not")[:22]) == ([], "already decided by bob")
    assert {**response.json(), "inputs": {"days": 5}} == shown


async def test_the_whole_way_to_approved(house: House) -> None:
    flow = await house.begun()
    await house.decide("bob", flow.task)
    [(request_id, message)] = house.delivery.signals
    assert isinstance(message, Decided)
    await flow.befall(message)
    shown = schemas.Request.model_validate(
        (await house.get(f"/v1/requests/{request_id}", "alice")).json()
    )
    assert shown.state == "approved"
    assert shown.waiting_for == []
    assert [decision.user for decision in shown.decisions] == ["bob"]


async def test_the_winner_may_say_it_again_and_nobody_else(house: House) -> None:
    flow = await house.begun(workflow="shared", inputs={})
    first = await house.decide("bob", flow.task)
    again = await house.decide("bob", flow.task)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    changed = await house.decide("bob", flow.task, "reject")
    late = await house.decide("dave", flow.task)
    for response in (changed, late):
        assert response.status_code == 409
        problem = response.json()
        assert problem["winner"]["user"] == "bob"
        assert problem["winner"]["decided_at"] == first.json()["closed_at"]
        problem_shapes.AlreadyClosed.model_validate(problem)
    assert late.json()["detail"].startswith("already decided by bob at 2")
    assert len(house.delivery.signals) == 1


async def test_nobody_decides_their_own_request(house: House) -> None:
    flow = await house.begun("dave", "shared", {})
    response = await house.decide("dave", flow.task)
    assert response.status_code == 403
    assert response.json()["detail"] == "nobody decides their own request"
    assert (await house.decide("erin", flow.task)).status_code == 200


async def test_admins_and_onlookers_do_not_decide(house: House) -> None:
    flow = await house.begun()
    path = f"/v1/tasks/{flow.task}/decisions"
    for who, roles, status in (
        ("root", ("admin",), 403),
        ("root", ("auditor",), 403),
        ("frank", (), 403),  # the recipe's owner sees it
        ("alice", (), 403),
        ("erin", (), 404),
    ):
        response = await house.post(path, who, *roles, json={"decision": "approve"})
        assert response.status_code == status, (who, response.text)
    assert await house.pool.fetchval("SELECT count(*) FROM decisions") == 0
    assert (await house.decide("bob", str(uuid4()))).status_code == 404


async def test_the_role_by_which_somebody_decided_is_kept(house: House) -> None:
    flow = await house.begun(workflow="shared", inputs={})
    response = await house.decide("erin", flow.task)
    assert response.json()["decision"]["role"] == "hr"


async def test_a_role_lost_is_a_right_lost(house: House) -> None:
    flow = await house.begun(workflow="shared", inputs={})
    await house.import_org((), (RoleRow("hr", ("dave",)),))
    assert (await house.decide("erin", flow.task)).status_code == 404
    assert (await house.decide("dave", flow.task)).status_code == 200


async def test_who_has_left_does_not_decide(house: House) -> None:
    flow = await house.begun()
    await house.import_org((PersonRow("bob", "Bob Tanaka", manager="carol", left=True),), ())
    response = await house.decide("bob", flow.task)
    assert response.status_code == 403
    assert "directory" in response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"decision": "maybe"}, 422, "/decision"),
        ({}, 422, "/decision"),
        ({"decision": "approve", "extra": 1}, 422, "/extra"),
        ({"decision": "reject"}, 422, "/comment"),
        ({"decision": "reject", "comment": "  "}, 422, "/comment"),
        ({"decision": "approve", "comment": "a\x00b"}, 422, "/comment"),
        ({"decision": "approve", "comment": "x" * 10_001}, 422, "/comment"),
        ([], 422, ""),
    ],
)
async def test_bodies_that_are_refused(
    house: House, body: object, status: int, pointer: str
) -> None:
    flow = await house.begun()
    response = await house.post(f"/v1/tasks/{flow.task}/decisions", "bob", json=body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["pointer"] == pointer


async def test_a_decision_is_bound_to_what_was_seen(house: House) -> None:
    flow = await house.begun()
    response = await house.decide("bob", flow.task, digest="0" * 32)
    assert response.status_code == 409
    assert response.json()["type"].endswith("digest_mismatch")
    digest = response.json()["digest"]
    assert (await house.decide("bob", flow.task, digest=digest)).status_code == 200


async def test_a_task_closed_by_the_clock_says_so(house: House) -> None:
    flow = await house.begun()
    task = flow.task
    await flow.tick(datetime.now(UTC) + timedelta(hours=2))
    response = await house.decide("bob", task)
    assert response.status_code == 409
    problem = response.json()
    assert (problem["state"], "winner" in problem) == ("expired", False)
    assert "closed (expired) at" in problem["detail"]


async def test_a_hundred_people_on_one_task(house: House) -> None:
    crowd = tuple(PersonRow(f"p{n}", f"Person {n}") for n in range(100))
    await house.import_org(crowd, (RoleRow("crowd", tuple(p.id for p in crowd)),))
    await house.publish(shared("role:crowd", workflow="crowd"))
    flow = await house.begun("alice", "crowd", {})
    responses = await asyncio.gather(*(house.decide(p.id, flow.task) for p in crowd))
    won = [response for response in responses if response.status_code == 200]
    lost = [response for response in responses if response.status_code == 409]
    assert (len(won), len(lost)) == (1, 99)
    decision = won[0].json()["decision"]
    for response in lost:
        winner = response.json()["winner"]
        assert winner["user"] == decision["user"]
        assert winner["decided_at"] == decision["decided_at"]
        assert decision["user"] in response.json()["detail"]
    assert len(house.delivery.signals) == 1
    for table in ("decisions", "task_candidates"):
        rows = await house.pool.fetchval(f"SELECT count(*) FROM {table}")
        assert rows == (table == "decisions")


async def test_decision_against_clock_closes_once(house: House) -> None:
    """Whoever is first: exactly one closing, and never a 200 that the workflow does not use."""
    outcomes = {"decided": 0, "expired": 0}
    head_start = 0.0  # of the clock, in seconds; whoever won starts later the next time
    for _ in range(80):
        flow = await house.begun()
        task, later = flow.task, datetime.now(UTC) + timedelta(hours=2)
        response, result = await asyncio.gather(
            _after(head_start, house.decide("bob", task)), _after(-head_start, flow.tick(later))
        )
        state = await house.pool.fetchval("SELECT state FROM tasks WHERE id = $1", UUID(task))
        closings = await house.pool.fetchval(
            "SELECT count(*) FROM audit WHERE request_id = $1 AND payload->>'task_id' = $2"
            " AND event_type IN ('decision.recorded', 'task.expired')",
            UUID(flow.state.request_id),
            task,
        )
        assert closings == 1
        assert (response.status_code, state) in ((200, "decided"), (409, "expired"))
        if response.status_code == 200:
            assert [item.task_id for item in result.lost] == [task]
        outcomes[state] += 1
        head_start += 0.0005 if state == "decided" else -0.0005
    assert all(outcomes.values()), outcomes


async def _after(seconds: float, doing: Coroutine[Any, Any, Value]) -> Value:
    if seconds > 0:
        await asyncio.sleep(seconds)
    return await doing


async def test_decision_against_cancellation(house: House) -> None:
    for _ in range(20):
        flow = await house.begun()
        task, request_id = flow.task, flow.state.request_id
        command = Commanded(str(uuid4()), "cancel", Actor("alice"), datetime.now(UTC))
        response, result = await asyncio.gather(house.decide("bob", task), flow.befall(command))
        state = await house.pool.fetchval(
            "SELECT state FROM requests WHERE id = $1", UUID(request_id)
        )
        if response.status_code == 200:
            assert (len(result.lost), state) == (1, "pending")
        else:
            assert (response.json()["state"], state) == ("cancelled", "cancelled")


async def test_the_database_itself_refuses_a_second_decision(
    house: House, admin_pool: Pool
) -> None:
    flow = await house.begun()
    await house.decide("bob", flow.task)
    with pytest.raises(asyncpg.UniqueViolationError):
        await admin_pool.execute(
            "INSERT INTO decisions (id, task_id, request_id, decision, actor, decided_at)"
            " SELECT gen_random_uuid(), task_id, request_id, 'reject', 'erin', now() FROM decisions"
        )
