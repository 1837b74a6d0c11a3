"""Many decisions at once: each as if it were alone, one result each, and no two in each other's way."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
import pytest

from api import task_shapes
from recipes.happenings import Decided, Together
from recipes.model import (
    ApprovalStep,
    Ballot,
    Json,
    Level,
    Quorum,
    Recipe,
    TimeoutAction,
)
from storage import outbox
from storage.org import PersonRow, RoleRow
from tests.integration.delegating import delegate, end
from tests.integration.house import House, Workflow

LATER = timedelta(hours=2)


def _parts(
    quorum: Literal["any", "all"], names: str = "abcde", timeout: TimeoutAction | None = None
) -> Recipe:
    """A step of so many shared tasks of `hr`."""
    levels = () if timeout is None else (Level(3600, timeout),)
    ballots = tuple(Ballot(name, candidates=("role:hr",), levels=levels) for name in names)
    return Recipe("parts", 1, (ApprovalStep("parts", ballots, Quorum(quorum), type="parallel"),))


async def _decide(house: House, who: str, *items: Json, status: int = 200) -> dict[str, Any]:
    response = await house.post("/v1/decisions", who, json={"items": list(items)})
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    if status == 200:
        shown = task_shapes.Decisions.model_validate(found)
        assert len(shown.items) == len(items) == shown.decided + shown.refused
    return found


def _item(task: str, decision: str = "approve", **more: Json) -> dict[str, Json]:
    return {"task_id": task, "decision": decision, **more}


def _statuses(found: dict[str, Any]) -> list[int]:
    return [item["status"] for item in found["items"]]


async def _begun(house: House, count: int, workflow: str = "shared") -> list[Workflow]:
    inputs: Json = {"days": 5} if workflow == "leave" else {}
    return [await house.begun("alice", workflow, inputs) for _ in range(count)]


# --- each as if it were alone -----------------------------------------------------------------------


async def test_one_result_for_each_and_none_harms_another(house: House) -> None:
    mine, foreign = await house.begun(), await house.begun("dave")
    needs, changed, expired, again = await _begun(house, 4, "leave")
    pool, own = (
        await house.begun(workflow="shared", inputs={}),
        await house.begun("bob", "shared", {}),
    )
    late = expired.task
    await expired.tick(datetime.now(UTC) + LATER)
    other = await house.begun(workflow="shared", inputs={})
    await house.decide("dave", other.task)
    await house.decide("bob", again.task)
    unknown = str(uuid4())
    body: list[tuple[Any, int]] = [
        (_item(mine.task, comment="Enjoy", reason="covered"), 200),
        (_item(foreign.task), 404),
        (_item(needs.task, "reject"), 422),
        (_item(changed.task, digest="0" * 32), 409),
        (_item(late), 409),
        (_item(other.task), 409),
        (_item(again.task), 200),
        (_item(again.task, "reject"), 409),
        (_item(own.task), 403),
        (_item(unknown), 404),
        (_item(pool.task, "maybe"), 422),
        (_item(pool.task, extra=1), 422),
        ({"task_id": "nonsense", "decision": "approve"}, 422),
        ("nonsense", 422),
        ({"decision": "approve"}, 422),
        (_item(pool.task), 200),
    ]
    found = await _decide(house, "bob", *(item for item, _ in body))
    assert _statuses(found) == [status for _, status in body]
    assert (found["decided"], found["refused"]) == (3, 13)
    results = found["items"]
    assert results[0]["task"] == (await house.decide("bob", mine.task)).json()
    assert results[0]["task"]["decision"]["comment"] == "Enjoy"
    kinds = [r["problem"]["type"].rpartition(":")[2] for r in results if r["problem"]]
    assert kinds[:6] == [
        "not_found",
        "invalid",
        "digest_mismatch",
        "already_closed",
        "already_decided",
        "already_decided",
    ]
    assert results[5]["problem"]["winner"]["user"] == "dave"
    assert results[2]["problem"]["errors"][0]["pointer"] == "/comment"
    assert results[10]["problem"]["errors"][0]["pointer"] == "/decision"
    assert [results[n]["task_id"] for n in (10, 12, 13, 14)] == [pool.task, None, None, None]
    # Word for word what the call for one says.
    for item, result in zip((item for item, _ in body[:10]), results, strict=False):
        alone = await house.post(
            f"/v1/tasks/{item['task_id']}/decisions",
            "bob",
            json={name: value for name, value in item.items() if name != "task_id"},
        )
        assert (alone.status_code, alone.json()) == (
            result["status"],
            result["task"] or result["problem"],
        )


async def test_the_same_call_again_gives_the_same_results(house: House) -> None:
    flows = await _begun(house, 3)
    items = [_item(flow.task) for flow in flows]
    first = await _decide(house, "dave", *items, _item(str(uuid4())))
    again = await _decide(house, "dave", *items, _item(str(uuid4())))
    assert first["items"][:3] == again["items"][:3]
    assert _statuses(again) == [200, 200, 200, 404]
    assert len(house.delivery.signals) == 3
    assert await house.pool.fetchval("SELECT count(*) FROM decisions") == 3


async def test_a_task_named_twice(house: House) -> None:
    one, two = await _begun(house, 2)
    found = await _decide(
        house, "dave", _item(one.task), _item(two.task), _item(one.task), _item(one.task, "reject")
    )
    assert _statuses(found) == [200, 200, 200, 409]
    assert found["items"][0] == found["items"][2]
    assert found["items"][3]["problem"]["winner"]["decision"] == "approve"
    assert len(house.delivery.signals) == 2
    # One that could not be recorded leaves it to the next.
    third = (await _begun(house, 1))[0]
    found = await _decide(house, "dave", _item(third.task, digest="no"), _item(third.task))
    assert _statuses(found) == [409, 200]
    many = (await _begun(house, 1))[0]
    found = await _decide(house, "dave", *(_item(many.task) for _ in range(500)))
    assert set(_statuses(found)) == {200}
    assert len(house.delivery.signals) == 4


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/items"),
        ({"items": []}, "/items"),
        ({"items": [{}] * 501}, "/items"),
        ({"items": {}}, "/items"),
        ({"items": [{}], "decision": "approve"}, "/decision"),
        ([], ""),
    ],
)
async def test_a_body_that_is_none_decides_nothing(house: House, body: Json, pointer: str) -> None:
    response = await house.post("/v1/decisions", "bob", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


async def test_by_role_and_on_behalf_as_alone(house: House) -> None:
    await delegate(house, "dave", "frank")
    one, two = await _begun(house, 2)
    found = await _decide(house, "frank", _item(one.task), _item(two.task))
    for result in found["items"]:
        made = result["task"]["decision"]
        assert (made["user"], made["role"], made["on_behalf_of"]) == ("frank", "hr", "dave")
    rows = await house.pool.fetch("SELECT actor, via, on_behalf_of FROM decisions")
    assert {(row["actor"], tuple(row["via"]), row["on_behalf_of"]) for row in rows} == {
        ("frank", (), "dave")
    }


async def test_all_on_the_way_of_a_delegation_are_kept(house: House) -> None:
    await delegate(house, "dave", "frank")
    made = await delegate(house, "frank", "carol")
    one, two = await _begun(house, 2)
    found = await _decide(house, "carol", _item(one.task))
    assert found["items"][0]["task"]["decision"]["via"] == ["frank"]
    assert await house.pool.fetchval("SELECT via FROM decisions") == ["frank"]
    await end(house, "frank", made)
    assert _statuses(await _decide(house, "carol", _item(two.task))) == [404]


async def test_an_onlooker_is_told_that_it_is_not_theirs(house: House) -> None:
    """Seen because asked about another task of the request: 403, as alone; the rest is not there."""
    own = Ballot("own", approver="user:carol")
    step = ApprovalStep("p", (own, Ballot("hr", candidates=("role:hr",))), type="parallel")
    await house.publish(Recipe("both", 1, (step,)))
    flow = await house.begun("alice", "both", {})
    other = await house.begun(workflow="shared", inputs={})
    tasks = {task.seat.rpartition("/")[2]: task.id for task in flow.state.tasks}
    found = await _decide(house, "carol", *map(_item, (tasks["own"], tasks["hr"], other.task)))
    assert _statuses(found) == [200, 403, 404]


# --- several of one request -------------------------------------------------------------------------


async def test_decisions_on_one_request_are_told_at_once_and_in_order(house: House) -> None:
    await house.publish(_parts("any"))
    flow = await house.begun("alice", "parts", {})
    alone = (await _begun(house, 1))[0]
    tasks = [task.id for task in flow.state.tasks]
    random.shuffle(tasks)
    items = [_item(task, "reject") for task in tasks]
    found = await _decide(house, "dave", *items[:2], _item(alone.task), *items[2:])
    assert set(_statuses(found)) == {200}
    signals = [message for _, message in house.delivery.signals]
    assert len(signals) == 2
    told = next(message for message in signals if isinstance(message, Together))
    assert [item.task_id for item in told.items] == tasks
    due = await outbox.take(house.pool, most=10, lease_seconds=1, starts=False)
    assert due == []  # told behind the answer; the relay comes later
    await house.pool.execute("DELETE FROM outbox WHERE kind = 'start'")
    await house.pool.execute("UPDATE outbox SET due_at = now()")
    due = await outbox.take(house.pool, most=10, lease_seconds=1, starts=False)
    assert {row.id: row.message() for row in due} == dict(
        zip(house.delivery.rows[-2:], signals, strict=True)
    )
    chain = await house.pool.fetch(
        "SELECT payload->>'task_id' AS task FROM audit WHERE request_id = $1"
        " AND event_type = 'decision.recorded' ORDER BY seq",
        UUID(flow.state.request_id),
    )
    assert [row["task"] for row in chain] == tasks
    await flow.befall(told)
    assert (flow.state.state, flow.state.seq) == ("rejected", 2)


async def test_several_approvals_are_several_people_s_in_one_call_too(house: House) -> None:
    await house.publish(_parts("all", "abc"))
    flow, second = [await house.begun("alice", "parts", {}) for _ in range(2)]
    single = (await _begun(house, 1))[0]
    items = [_item(task.id) for each in (flow, second) for task in each.state.tasks]
    found = await _decide(house, "dave", *items, _item(single.task))
    assert _statuses(found) == [200, 403, 403, 200, 403, 403, 200]
    assert "several people" in found["items"][1]["problem"]["detail"]
    assert len(house.delivery.signals) == 3
    found = await _decide(house, "erin", *reversed(items))
    assert _statuses(found) == [200, 403, 409, 200, 403, 409]


# --- at the same instant ----------------------------------------------------------------------------


async def _at_once(*calls: Any) -> list[Any]:
    return await asyncio.wait_for(asyncio.gather(*calls), 60)


async def test_two_of_the_same_in_opposite_order(house: House) -> None:
    await house.publish(_parts("any"))
    for _ in range(8):
        flows = [*await _begun(house, 5), await house.begun("alice", "parts", {})]
        items = [_item(task.id) for flow in flows for task in flow.state.tasks]
        random.shuffle(items)
        one, two = await _at_once(
            _decide(house, "dave", *items), _decide(house, "erin", *reversed(items))
        )
        pairs = zip(_statuses(one), reversed(_statuses(two)), strict=True)
        assert {tuple(sorted(pair)) for pair in pairs} == {(200, 409)}
    decided = await house.pool.fetchval("SELECT count(*) FROM tasks WHERE state = 'decided'")
    assert decided == await house.pool.fetchval("SELECT count(*) FROM decisions") == 80


async def test_two_that_need_several_people_in_opposite_order(house: House) -> None:
    await house.publish(_parts("all", "ab"))
    for _ in range(8):
        flows = [await house.begun("alice", "parts", {}) for _ in range(3)]
        items = [_item(task.id) for flow in flows for task in flow.state.tasks]
        found = await _at_once(
            _decide(house, "dave", *items), _decide(house, "erin", *reversed(items))
        )
        assert [answer["decided"] for answer in found] == [3, 3]


async def test_against_the_clock_that_closes_all_of_a_request(house: House) -> None:
    """The clock and the person lock the same tasks, named in different orders."""
    await house.publish(_parts("any", timeout="reject"))
    seen = set[int]()
    for turn in range(30):
        flow = await house.begun("alice", "parts", {})
        tasks = [task.id for task in flow.state.tasks]
        random.shuffle(tasks)

        async def clock(flow: Workflow, wait: float) -> Any:
            await asyncio.sleep(wait)
            return await flow.tick(datetime.now(UTC) + LATER)

        wait = turn * 0.0005
        found, result = await _at_once(
            _decide(house, "dave", *map(_item, tasks)), clock(flow, wait)
        )
        assert set(_statuses(found)) in ({200}, {409})
        assert len(result.lost) == found["decided"]
        seen.add(found["decided"])
        if found["decided"]:
            await flow.befall(Together(result.lost))
        assert flow.state.state == ("approved" if found["decided"] else "rejected")
    assert seen <= {0, 5}


async def test_the_clock_and_the_person_lock_tasks_in_the_same_order(
    house: House, admin_pool: Any
) -> None:
    """Both are on their way through the tasks of a request when one in the middle is let go."""
    await house.publish(_parts("any", "abcdefghijkl", timeout="reject"))
    for _ in range(5):
        flow = await house.begun("alice", "parts", {})
        tasks = sorted(UUID(task.id) for task in flow.state.tasks)
        async with admin_pool.acquire() as connection:
            holding = connection.transaction()
            await holding.start()
            await connection.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", tasks[6])
            person = asyncio.create_task(_decide(house, "dave", *(_item(str(t)) for t in tasks)))
            await asyncio.sleep(0.1)
            clock = asyncio.create_task(flow.tick(datetime.now(UTC) + LATER))
            await asyncio.sleep(0.1)
            await holding.rollback()
        found, result = await _at_once(person, clock)
        # Whoever came first has all of them.
        assert found["decided"] == len(result.lost)
        assert found["decided"] in (0, len(tasks))


async def test_against_single_decisions(house: House) -> None:
    await house.publish(_parts("any"))
    for _ in range(5):
        flows = [*await _begun(house, 3), await house.begun("alice", "parts", {})]
        tasks = [task.id for flow in flows for task in flow.state.tasks]
        bulk, *alone = await _at_once(
            _decide(house, "dave", *map(_item, tasks)),
            *(house.decide("erin", task, "reject") for task in reversed(tasks)),
        )
        for here, there in zip(_statuses(bulk), reversed(alone), strict=True):
            assert {here, there.status_code} == {200, 409}


async def test_five_hundred(house: House) -> None:
    """In one statement, one signal for each request."""
    crowd = tuple(PersonRow(f"p{n}", f"Person {n}") for n in range(3))
    await house.import_org(crowd, (RoleRow("crowd", ("p0", "p1", "p2")),))
    names = tuple(f"t{n}" for n in range(100))
    ballots = tuple(Ballot(name, candidates=("role:crowd",)) for name in names)
    step = ApprovalStep("wide", ballots, Quorum("any"), type="parallel")
    await house.publish(Recipe("wide", 1, (step,)))
    flows = [await house.begun("alice", "wide", {}) for _ in range(5)]
    items = [_item(task.id) for flow in flows for task in flow.state.tasks]
    random.shuffle(items)
    found = await _decide(house, "p1", *items)
    assert found["decided"] == 500
    assert len(house.delivery.signals) == 5
    assert await house.pool.fetchval("SELECT count(*) FROM task_candidates") == 0


# --- the preview ------------------------------------------------------------------------------------


async def _preview(house: House, who: str, decision: str = "approve", **only: Json) -> Any:
    body = {"decision": decision, "filter": only}
    response = await house.post("/v1/decisions/preview", who, json=body)
    assert response.status_code == 200, response.text
    task_shapes.DecisionsPreview.model_validate(response.json())
    return response.json()


async def test_the_preview_pins_what_i_may_decide(house: House) -> None:
    leaves = await _begun(house, 2, "leave")
    pools = await _begun(house, 2)
    own = await house.begun("bob", "shared", {})
    ended = (await _begun(house, 1, "leave"))[0]
    await house.decide("bob", ended.task)
    everything = await _preview(house, "bob")
    mine = {flow.task for flow in (*leaves, *pools)}
    assert {item["task_id"] for item in everything["items"]} == mine
    assert own.task not in mine
    assert (everything["need_comment"], everything["more"]) == ([], False)
    assert [task["id"] for task in everything["tasks"]] == [
        item["task_id"] for item in everything["items"]
    ]
    rejecting = await _preview(house, "bob", "reject")
    assert set(rejecting["need_comment"]) == {flow.task for flow in leaves}
    for only, expected in (
        ({"workflow": "leave"}, {flow.task for flow in leaves}),
        ({"workflow": "shared", "requester": "alice", "step": "pool"}, {f.task for f in pools}),
        ({"requester": "carol"}, set()),
        ({"step": "other"}, set()),
        ({"older_than": "1h"}, set()),
    ):
        found = await _preview(house, "bob", **only)
        assert {item["task_id"] for item in found["items"]} == expected, only
    assert await house.pool.fetchval("SELECT count(*) FROM decisions") == 1
    # What came after the preview is not decided by it, and what changed since is refused.
    new = (await _begun(house, 1))[0]
    await house.decide("dave", pools[0].task)
    found = await _decide(house, "bob", *everything["items"])
    assert sorted(_statuses(found)) == [200, 200, 200, 409]
    assert (await _preview(house, "bob"))["items"][0]["task_id"] == new.task


async def test_older_than_and_on_behalf(house: House, admin_pool: Any) -> None:
    await delegate(house, "dave", "frank")
    old, new = await _begun(house, 2)
    await admin_pool.execute(
        "UPDATE tasks SET opened_at = now() - interval '3 days' WHERE id = $1", UUID(old.task)
    )
    found = await _preview(house, "frank", older_than="2d")
    assert [item["task_id"] for item in found["items"]] == [old.task]
    assert found["tasks"][0]["on_behalf_of"] == "dave"
    assert len((await _preview(house, "frank"))["items"]) == 2
    assert new.task in {item["task_id"] for item in (await _preview(house, "erin"))["items"]}


async def test_at_most_five_hundred_and_none_that_may_not_be(house: House, admin_pool: Any) -> None:
    """Many at the head of the inbox that a delegation which is over brought: the rest is found."""
    made = await delegate(house, "bob", "frank")
    template = (await house.begun()).task
    assert made
    await admin_pool.execute(
        "INSERT INTO tasks (id, request_id, step, branch, seat, assignee, candidates, role, on_behalf_of,"
        "                   via, chain, delegations, level, require_comment, digest, state, opened_at,"
        "                   due_at, ask, excluded, fixed, several)"
        " SELECT gen_random_uuid(), request_id, step, branch, 'seat' || n, assignee, candidates, role,"
        "        on_behalf_of, via, chain, CASE WHEN n <= 600 THEN ARRAY[$2::uuid] ELSE '{}' END, level,"
        "        require_comment, digest, state, opened_at, now() + make_interval(mins => n), ask,"
        "        excluded, fixed, several"
        " FROM tasks t, generate_series(1, 1200) n WHERE t.id = $1",
        UUID(template),
        UUID(made),
    )
    who = (await house.get(f"/v1/tasks/{template}", "frank")).json()["assignee"]
    await end(house, "bob", made)
    found = await _preview(house, who)
    assert (len(found["items"]), found["more"]) == (500, True)
    result: httpx.Response = await house.post("/v1/decisions", who, json={"items": found["items"]})
    assert result.json()["decided"] == 500
    [(_, told)] = house.delivery.signals
    assert isinstance(told, Together)
    assert isinstance(told.items[0], Decided)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/decision"),
        ({"decision": "approve", "filter": {"older_than": "2"}}, "/filter/older_than"),
        ({"decision": "approve", "filter": {"who": "bob"}}, "/filter/who"),
        ({"decision": "may be"}, "/decision"),
    ],
)
async def test_a_preview_that_is_none(house: House, body: Json, pointer: str) -> None:
    response = await house.post("/v1/decisions/preview", "bob", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


async def test_nobody_previews_or_decides_without_a_token(house: House) -> None:
    for path in ("/v1/decisions", "/v1/decisions/preview"):
        assert (await house.call("POST", path, json={})).status_code == 401
