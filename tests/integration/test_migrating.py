"""Moving requests in flight to another version, over HTTP and in storage."""

import asyncio
import json
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest

from api import life_shapes, migrating
from contract.messages import Message
from recipes.happenings import Actor, Commanded
from recipes.model import ApprovalStep, Ballot, Quorum, Recipe
from storage import history, outbox, requests
from storage.pool import Pool
from tests.integration.house import SCHEMA, House, Recorder, Workflow, leave

PATH = "/v1/recipes/leave/versions/1/migrate"
[STEP] = leave().steps
assert isinstance(STEP, ApprovalStep)
CFO = ApprovalStep("cfo", (Ballot("cfo", approver="user:erin"),))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers behind a call of these tests: do not wait for it."""
    monkeypatch.setattr(migrating, "PATIENCE", 0.01)


async def move(house: House, *roles: str, **more: Any) -> life_shapes.Migrated:
    query = more.pop("params", {})
    body = {"to": 2, "comment": "a better one"} | more
    response = await house.post(PATH, "root", *(roles or ("admin",)), json=body, params=query)
    assert response.status_code == 200, response.text
    return life_shapes.Migrated.model_validate(response.json())


def commands_of(delivery: Recorder) -> list[Commanded]:
    return [told for _, told in delivery.signals if isinstance(told, Commanded)]


async def moved(house: House) -> Workflow:
    """A request that was moved to version 2, which asks erin behind the manager."""
    flow = await house.begun()
    await house.publish(leave(2, steps=(STEP, CFO)))
    [item] = (await move(house)).items
    assert item.outcome == "recorded"
    [told] = commands_of(house.delivery)
    await flow.befall(told)
    return flow


async def test_a_dry_run_says_what_would_become_of_each_and_changes_nothing(house: House) -> None:
    first, second = await house.begun(), await house.begun("dave")
    await house.publish(leave(2, steps=(replace(STEP, id="boss"), CFO)))
    found = await move(house, params={"dry_run": "true"})
    assert (found.dry_run, found.counts, found.next_cursor) == (True, {"refused": 2}, None)
    assert [str(item.request_id) for item in found.items] == [
        second.state.request_id,
        first.state.request_id,
    ]
    assert found.items[0].reasons == ["it is at step manager, which version 2 does not have"]
    await house.publish(leave(3, steps=(STEP, CFO)))
    found = await move(house, to=3, params={"dry_run": "true"})
    assert found.counts == {"possible": 2}
    assert not house.delivery.signals
    assert await house.pool.fetchval("SELECT count(*) FROM commands") == 0


async def test_it_goes_on_with_the_other_version(house: House) -> None:
    flow = await moved(house)
    request_id = flow.state.request_id
    shown = (await house.get(f"/v1/requests/{request_id}", "alice")).json()
    assert (shown["version"], shown["step"], shown["state"]) == (2, "manager", "pending")
    [task] = shown["tasks"]
    sha = await house.pool.fetchval("SELECT sha256 FROM recipes WHERE version = 2")
    bound = await requests.digest(house.pool, UUID(request_id), sha, {"days": 5})
    assert task["digest"] == bound == flow.state.digest
    assert (await house.decide("bob", task["id"])).status_code == 200
    await flow.befall(house.delivery.signals[-1][1])
    assert [it.assignment.user for it in flow.state.tasks] == ["erin"]
    trail = (await house.get(f"/v1/requests/{request_id}/events", "alice")).json()["items"]
    versions = {event["type"]: json.loads(event["body"])["workflow_version"] for event in trail}
    assert versions["command.received"] == 1
    assert versions["request.migrated"] == versions["task.rebound"] == 2
    said = next(event for event in trail if event["type"] == "request.migrated")
    assert said["payload"]["from"] == 1
    assert said["actor"]["user"] == "root"
    assert said["payload"]["comment"] == "a better one"


async def test_a_decision_by_what_was_seen_of_the_old_version_is_refused(house: House) -> None:
    flow = await house.begun()
    seen = flow.state.digest
    await house.publish(leave(2, steps=(STEP, CFO)))
    await move(house)
    await flow.befall(commands_of(house.delivery)[0])
    refused = await house.decide("bob", flow.task, digest=seen)
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (
        409,
        "digest_mismatch",
    )
    assert (await house.decide("bob", flow.task, digest=flow.state.digest)).status_code == 200


async def test_a_decision_at_the_same_instant_is_bound_to_what_was_seen(
    house: House, admin_pool: Pool
) -> None:
    """Whoever looked at the task before it was moved does not decide it after."""
    flow = await house.begun()
    seen, other = flow.state.digest, "0" * 32
    async with admin_pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE tasks SET digest = $1", other)
        deciding = asyncio.create_task(house.decide("bob", flow.task, digest=seen))
        waiting = (
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database())"
        )
        for _ in range(200):
            if await admin_pool.fetchval(waiting):
                break
            await asyncio.sleep(0.02)
    response = await deciding
    assert (response.status_code, response.json().get("digest")) == (409, other)
    assert await house.pool.fetchval("SELECT count(*) FROM decisions") == 0


def board(version: int, quorum: Literal["any", "all"]) -> Recipe:
    ballots = tuple(Ballot(name, candidates=("role:hr",)) for name in ("first", "second"))
    step = ApprovalStep("board", ballots, Quorum(quorum), type="parallel")
    return Recipe("leave", version, (step,), inputs=SCHEMA)


@pytest.mark.parametrize(("before", "after"), [("any", "all"), ("all", "any")])
async def test_who_may_decide_two_parts_follows_the_new_version(
    house: House, before: Literal["any", "all"], after: Literal["any", "all"]
) -> None:
    await house.publish(board(2, before))
    flow = await house.begun()
    await house.publish(board(3, after))
    first, second = (task.id for task in flow.state.tasks)
    body = {"to": 3, "comment": "one was too few, or two too many"}
    path = PATH.replace("/1/", "/2/")
    assert (await house.post(path, "root", "admin", json=body)).is_success
    await flow.befall(commands_of(house.delivery)[0])
    assert (await house.decide("dave", first, "reject" if after == "any" else "approve")).is_success
    expected = 403 if after == "all" else 200
    assert (await house.decide("dave", second)).status_code == expected


async def test_nobody_moves_their_own_request(house: House) -> None:
    await house.begun()
    await house.publish(leave(2, steps=(STEP, CFO)))
    response = await house.post(PATH, "alice", "admin", json={"to": 2, "comment": "easier"})
    [item] = response.json()["items"]
    assert (item["outcome"], item["reasons"]) == (
        "refused",
        ["it is your own: nobody chooses who decides their own request"],
    )
    assert not house.delivery.signals


async def test_who_decided_meanwhile_counts_and_the_move_comes_after(house: House) -> None:
    flow = await house.begun()
    other = replace(STEP, ballots=(Ballot("manager", approver="user:erin"),))
    await house.publish(leave(2, steps=(other, CFO)))
    await move(house)
    [told] = commands_of(house.delivery)
    assert (await house.decide("bob", flow.task)).status_code == 200
    result = await flow.befall(told)
    assert [decision.actor.user for decision in result.lost] == ["bob"]
    await flow.befall(result.lost[0])
    assert flow.state.state == "approved"
    await flow.befall(told)
    [row] = await house.pool.fetch("SELECT applied, detail FROM commands")
    assert tuple(row) == (False, "the request is already approved")


async def test_a_lost_history_is_found_again_from_the_version_it_began_on(house: House) -> None:
    flow = await moved(house)
    request_id = UUID(flow.state.request_id)
    start = await outbox.start_input(house.pool, request_id)
    assert (start.recipe.version, start.state.seq) == (1, 0)
    assert start.state.digest != flow.state.digest
    first = (await house.pool.fetchval("SELECT first_version FROM requests"), start.recipe_sha256)
    assert first == (1, await house.pool.fetchval("SELECT sha256 FROM recipes WHERE version = 1"))
    past = await history.state_at(
        house.pool, request_id, await house.pool.fetchval("SELECT clock_timestamp()")
    )
    assert (past.recipe.version, past.state) == (2, flow.state)


async def test_it_can_move_on_and_on(house: House) -> None:
    flow = await moved(house)
    await house.publish(leave(3, steps=(STEP,)))
    body = {"to": 3, "comment": "on"}
    path = PATH.replace("/1/", "/2/")
    found = (await house.post(path, "root", "admin", json=body)).json()
    assert found["counts"] == {"recorded": 1}
    await flow.befall(commands_of(house.delivery)[-1])
    row = await house.pool.fetchrow("SELECT version, first_version FROM requests")
    assert tuple(row or ()) == (3, 1)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_the_workflow_says_in_time_is_the_answer(
    house: House, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    monkeypatch.setattr(migrating, "PATIENCE", 5.0)
    flow = await house.begun()
    await house.publish(leave(2, steps=(STEP, CFO)))
    at = await house.pool.fetchval("SELECT clock_timestamp()")
    under_way: list[asyncio.Task[None]] = []

    async def carry_out(told: Message) -> None:
        if cancelled:
            await flow.befall(Commanded(str(uuid4()), "cancel", Actor("alice"), at))
        await flow.befall(told)

    def on_signal(_: UUID, told: Message) -> None:
        under_way.append(asyncio.create_task(carry_out(told)))

    house.delivery.on_signal = on_signal
    [item] = (await move(house)).items
    await asyncio.gather(*under_way)
    late = ["the request is already cancelled"] if cancelled else []
    assert (item.outcome, item.reasons) == ("refused" if cancelled else "moved", late)


async def test_each_request_that_is_named_gets_a_verdict(house: House) -> None:
    flow, ended = await house.begun(), await house.begun("dave")
    await house.decide("carol", ended.task)
    await ended.befall(house.delivery.signals[-1][1])
    other = await house.submit("alice", "shared", {})
    await house.publish(leave(2, steps=(STEP, CFO)))
    nobody = uuid4()
    ids = [flow.state.request_id, ended.state.request_id, other["id"], str(nobody)]
    found = await move(house, requests=[*ids, ids[0]], params={"dry_run": "true"})
    assert [(item.outcome, item.reasons) for item in found.items] == [
        ("possible", []),
        ("refused", ["the request is already approved"]),
        ("refused", ["it is on shared version 1"]),
        ("refused", ["there is no such request"]),
    ]


async def test_inputs_must_fit_the_other_version(house: House) -> None:
    await house.begun()
    schema = {
        "type": "object",
        "properties": {"days": {"type": "number", "maximum": 3}},
        "required": ["days", "why"],
    }
    await house.publish(leave(2, inputs=schema))
    [item] = (await move(house)).items
    assert item.outcome == "refused"
    assert sorted(reason.partition(":")[0] for reason in item.reasons) == [
        "inputs/days",
        "inputs/why",
    ]


async def test_it_goes_page_by_page(house: House) -> None:
    flows = [await house.begun() for _ in range(3)]
    await house.publish(leave(2, steps=(STEP, CFO)))
    first = await move(house, params={"limit": 2})
    assert len(first.items) == 2
    assert first.next_cursor is not None
    second = await move(house, params={"limit": 2, "cursor": first.next_cursor})
    assert second.next_cursor is None
    told = {str(request_id) for request_id, _ in house.delivery.signals}
    assert told == {flow.state.request_id for flow in flows}


async def test_who_and_where_to(house: House) -> None:
    await house.publish(leave(2))
    body = {"to": 2, "comment": "why not"}
    assert (await house.post(PATH, "frank", json=body)).status_code == 403
    same = await house.post(PATH, "root", "admin", json=body | {"to": 1})
    assert (same.status_code, same.json()["errors"][0]["pointer"]) == (422, "/to")
    gone = await house.post(PATH, "root", "admin", json=body | {"to": 9})
    assert (gone.status_code, "leave has no version 9" in gone.json()["detail"]) == (404, True)
    silent = await house.post(PATH, "root", "admin", json=body | {"comment": " "})
    assert silent.status_code == 422
    off = await house.post(
        "/v1/recipes/leave/versions/2/disable", "root", "admin", json={"reason": "wrong"}
    )
    assert off.status_code == 200
    refused = await house.post(PATH, "root", "admin", json=body)
    assert (refused.status_code, refused.json()["detail"]) == (409, "leave version 2 is disabled")
