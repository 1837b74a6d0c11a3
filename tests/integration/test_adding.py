"""Approvers by hand over HTTP: who may, whom, what is recorded and shown; and at the same instant."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from api import requests, schemas
from contract.messages import Message
from recipes import parse
from recipes.happenings import Commanded, Together
from recipes.model import Json
from storage.org import PersonRow
from tests.integration.delegating import delegate
from tests.integration.house import House, Workflow, leave, opened

WHY = "Dave negotiated it"
BOARD = """
workflow: board
version: 1
owner: house
steps:
  - id: board
    branches: [{id: a, approver: bob}, {id: b, approver: carol}, {id: c, approver: dave}, {id: law, approver: erin}]
    weights: {a: 2}
    veto: [law]
    groups: [{id: two, branches: [b, c], quorum: any}]
    quorum: 2
"""


async def add(
    house: House, who: str, task: str, to: str, where: str, *roles: str, comment: Json = WHY
) -> httpx.Response:
    body = {"add": to, "where": where, "comment": comment}
    return await house.post(f"/v1/tasks/{task}/approvers", who, *roles, json=body)


class Carried:
    """A request that is carried on as soon as its workflow is told of something, one after the other."""

    def __init__(self, house: House, flow: Workflow) -> None:
        self.flow = flow
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        house.delivery.on_signal = lambda _, message: self.inbox.put_nowait(message)
        self.loop = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            message = await self.inbox.get()
            result = await self.flow.befall(message)
            if result.lost:
                await self.flow.befall(Together(result.lost))
                await self.flow.befall(message)
            self.inbox.task_done()

    async def __aenter__(self) -> "Carried":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.inbox.join()
        self.loop.cancel()

    def task(self, who: str) -> str:
        tasks = self.flow.state.tasks
        return next(task.id for task in tasks if task.assignment.user == who)


def carried(house: House, flow: Workflow) -> Carried:
    return Carried(house, flow)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PATIENCE", 0.01)


# --- what comes of it -----------------------------------------------------------------------------


async def test_before(house: House) -> None:
    async with carried(house, await house.begun()) as run:
        own = run.flow.task
        response = await add(house, "bob", own, "dave", "before")
        assert response.status_code == 200, response.text
        shown = schemas.Request.model_validate(response.json())
        first, second = shown.tasks
        assert (first.state, first.where, first.added_by) == ("superseded", None, None)
        assert (second.state, second.assignee) == ("open", "dave")
        assert (second.where, second.added_by, second.due_at) == ("before", "bob", None)
        assert shown.waiting_for == ["user:dave"]
        [listed] = shown.added_approvers
        assert (listed.person, listed.step, listed.where) == ("dave", "manager", "before")
        assert (listed.added_by, listed.comment) == ("bob", WHY)
        late = await house.decide("bob", own)
        assert (late.status_code, late.json()["state"]) == (409, "superseded")
        why = await house.get(f"/v1/org/explain?task={second.id}", "dave")
        texts = [hop["text"] for hop in why.json()["chain"]]
        assert texts[0] == f"Bob Tanaka added this approver by hand: {WHY}"
        assert why.json()["stale"] is False
        assert (await house.decide("dave", str(second.id))).status_code == 200
        await run.inbox.join()
        again = run.flow.task
        assert again != own
        assert (await house.decide("bob", again)).status_code == 200
    assert run.flow.state.state == "approved"
    events = await house.pool.fetch(
        "SELECT event_type, actor, payload, snapshot FROM audit WHERE event_type = ANY($1) ORDER BY seq",
        ["approver.added", "task.superseded", "command.received"],
    )
    received, added, withdrawn = await opened(house.pool, run.flow.state.request_id, events)
    assert received["payload"] | {"command_id": ""} == {
        "command_id": "",
        "command": "add_approver",
        "comment": WHY,
        "seat": "manager",
        "to": "dave",
        "where": "before",
    }
    assert added["actor"]["user"] == "bob"
    assert (added["payload"]["person"], added["payload"]["where"]) == ("dave", "before")
    assert added["payload"]["comment"] == WHY
    assert added["snapshot"]["added"] == {"manager/+1": "before"}
    assert withdrawn["payload"]["why"] == "waits for dave, added by hand"


async def test_beside_and_after(house: House) -> None:
    async with carried(house, await house.begun()) as run:
        own = run.flow.task
        assert (await add(house, "frank", own, "dave", "beside")).status_code == 200
        answer = await add(house, "root", own, "erin", "after", "admin")
        assert answer.json()["waiting_for"] == ["user:bob", "user:dave"]
        assert [it["person"] for it in answer.json()["added_approvers"]] == ["dave", "erin"]
        assert (await house.decide("bob", own)).status_code == 200
        await run.inbox.join()
        assert run.flow.state.state == "pending"
        assert (await house.decide("dave", run.task("dave"))).status_code == 200
        await run.inbox.join()
        assert [task.assignment.user for task in run.flow.state.tasks] == ["erin"]
        assert (await house.decide("erin", run.task("erin"), "reject", comment="no")).is_success
    assert run.flow.state.state == "rejected"
    actors = await house.pool.fetch(
        "SELECT actor FROM audit WHERE event_type = 'approver.added' ORDER BY seq"
    )
    assert [row["actor"]["role"] for row in actors] == ["house", "admin"]


async def test_whoever_decides_for_them_is_asked(house: House) -> None:
    await delegate(house, "dave", "erin")
    async with carried(house, await house.begun()) as run:
        answer = await add(house, "bob", run.flow.task, "dave", "before")
        assert answer.json()["waiting_for"] == ["user:erin"]
        assert answer.json()["tasks"][-1]["on_behalf_of"] == "dave"
        again = await add(house, "erin", run.task("erin"), "dave", "beside")
        assert (again.status_code, again.json()["detail"]) == (
            409,
            "dave already has a seat in step manager",
        )


async def test_those_added_decide_no_other_part_of_the_step(house: House) -> None:
    """Also of a shared task, and of a step whose quorum one person could reach."""
    async with carried(house, await house.begun("alice", "shared", {})) as run:
        pool = run.flow.task
        assert (await add(house, "bob", pool, "dave", "beside")).status_code == 200
        [mine] = (await house.get("/v1/tasks", "dave")).json()["items"]
        assert mine["where"] == "beside"
        refused = await house.decide("dave", pool)
        assert refused.status_code == 403
        assert "another part of this step" in refused.json()["detail"]
        assert (await house.decide("erin", pool)).status_code == 200
        await run.inbox.join()
        more = await add(house, "dave", str(mine["id"]), "erin", "after")
        assert more.json()["detail"] == "erin already has a seat in step pool"
        assert (await house.decide("dave", str(mine["id"]))).status_code == 200
    assert run.flow.state.state == "approved"


async def test_a_board_votes(house: House) -> None:
    """Weights, a veto and a group, in storage and audit; and somebody added beside them."""
    await house.publish(parse.parse(BOARD).recipe)
    async with carried(house, await house.begun("alice", "board", {})) as run:
        for who in ("bob", "dave"):
            assert (await house.decide(who, run.task(who))).status_code == 200
            await run.inbox.join()
        assert run.flow.state.state == "pending"  # law is not heard
        assert (await add(house, "erin", run.task("erin"), "frank", "beside")).status_code == 200
        assert (await house.decide("erin", run.task("erin"), "reject")).status_code == 200
    assert run.flow.state.state == "rejected"
    count = await house.pool.fetchval(
        "SELECT payload FROM audit WHERE event_type = 'step.completed'"
    )
    assert count == {
        "step": "board",
        "outcome": "rejected",
        "approvals": 2,
        "needed": 2,
        "seats": 2,
        "weight": 3,
        "groups": {"two": {"approvals": 1, "needed": 1, "seats": 2}},
        "vetoed_by": "law",
        "added": {"approvals": 0, "needed": 1},
    }
    assert await house.pool.fetchval("SELECT bool_and(several) FROM tasks WHERE added_by IS NULL")


# --- who, and whom --------------------------------------------------------------------------------


@pytest.mark.usefixtures("_impatient")
async def test_who_may(house: House) -> None:
    flow = await house.begun()
    for who, roles, status in (
        ("alice", (), 403),  # the requester
        ("alice", ("admin",), 403),
        ("aud", ("auditor",), 403),
        ("erin", (), 404),
        ("bob", (), 202),
        ("frank", (), 202),
        ("root", ("admin",), 202),
    ):
        response = await add(house, who, flow.task, "dave", "after", *roles)
        assert response.status_code == status, (who, response.text)
    [_, (_, message), _] = house.delivery.signals
    assert isinstance(message, Commanded)
    assert (message.command, message.where, message.actor.role) == (
        "add_approver",
        "after",
        "house",
    )
    gone = await add(house, "bob", "0b7c8a52-6d0e-5c55-8d0b-7f0a1c6a2e90", "dave", "after")
    assert (gone.status_code, gone.json()["detail"]) == (404, "there is no such task")


@pytest.mark.usefixtures("_impatient")
async def test_a_claimed_task(house: House) -> None:
    await house.publish(leave(2))
    flow = await house.begun("alice", "shared", {})
    assert (await house.post(f"/v1/tasks/{flow.task}/claim", "dave")).status_code == 200
    refused = await add(house, "erin", flow.task, "carol", "after")
    assert (refused.status_code, refused.json()["claimed_by"]) == (409, "dave")
    assert (await add(house, "erin", flow.task, "carol", "after", "admin")).status_code == 202
    assert (await add(house, "dave", flow.task, "carol", "after")).status_code == 202


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("alice", "alice is the requester"),
        ("zoe", "does not know zoe"),
        ("erin", "erin has left"),
        ("bob", "bob has this task already"),
        ("carol", "carol took part in an earlier step"),
        ("role:hr", "should match"),
    ],
)
async def test_whom_not(house: House, to: str, said: str) -> None:
    flow = await house.begun()
    await house.import_org((PersonRow("erin", "Erin Novak", left=True),), ())
    await house.pool.execute("UPDATE tasks SET excluded = '{carol}'")
    response = await add(house, "frank", flow.task, to, "before")
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["pointer"] == "/add"
    assert said in response.json()["detail"]
    assert house.delivery.signals == []


@pytest.mark.parametrize(
    ("where", "comment", "pointer"),
    [("before", " ", "/comment"), ("before", None, "/comment"), ("above", WHY, "/where")],
)
async def test_what_it_has_to_say(house: House, where: str, comment: Any, pointer: str) -> None:
    flow = await house.begun()
    response = await add(house, "bob", flow.task, "dave", where, comment=comment)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


async def test_too_late(house: House) -> None:
    flow = await house.begun()
    task = flow.task
    assert (await house.decide("bob", task)).status_code == 200
    late = await add(house, "bob", task, "dave", "after")
    assert (late.status_code, late.json()["winner"]["user"]) == (409, "bob")
    await flow.befall(house.delivery.signals[-1][1])
    late = await add(house, "frank", task, "dave", "after")
    assert late.status_code == 409


# --- at the same instant --------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["before", "beside", "after"])
async def test_an_approver_is_added_while_the_task_is_decided(house: House, where: str) -> None:
    """Whatever is first: either it came too late, or the request waits for who was added."""
    for number in range(12):
        async with carried(house, await house.begun()) as run:
            task = run.flow.task

            async def decided(task: str = task, number: int = number) -> httpx.Response:
                await asyncio.sleep(0.002 * (number % 6))
                return await house.decide("bob", task)

            added, decision = await asyncio.gather(
                add(house, "frank", task, "dave", where), decided()
            )
            await run.inbox.join()
            state = run.flow.state
            asked = [open_.assignment.user for open_ in state.tasks]
            if added.status_code == 409:
                assert (decision.status_code, state.state) == (200, "approved")
            elif decision.status_code == 409:
                assert (added.status_code, where, asked) == (200, "before", ["dave"])
            else:
                assert (added.status_code, decision.status_code) == (200, 200)
                assert (asked, state.state) == (["dave"], "pending")
                assert (await house.decide("dave", run.task("dave"))).status_code == 200
                await run.inbox.join()
                assert run.flow.state.state == "approved"
        open_tasks = await house.pool.fetchval(
            "SELECT count(*) FROM tasks WHERE request_id = $1 AND state = 'open'",
            UUID(run.flow.state.request_id),
        )
        assert open_tasks == len(run.flow.state.tasks)


async def test_two_add_at_the_same_instant(house: House) -> None:
    async with carried(house, await house.begun()) as run:
        task = run.flow.task
        same = await asyncio.gather(
            add(house, "bob", task, "dave", "beside"),
            add(house, "frank", task, "dave", "beside"),
        )
        assert sorted(answer.status_code for answer in same) == [200, 409]
        refused = next(answer for answer in same if answer.status_code == 409)
        assert refused.json()["detail"] == "dave already has a seat in step manager"
        others = await asyncio.gather(
            add(house, "bob", task, "erin", "after"),
            add(house, "frank", task, "carol", "beside"),
        )
        assert [answer.status_code for answer in others] == [200, 200]
        seats = {seat.key: seat.person for seat in run.flow.state.seats if seat.added}
        assert sorted(seats) == ["manager/+1", "manager/+2", "manager/+3"]
        assert set(seats.values()) == {"dave", "erin", "carol"}


async def test_who_shared_the_task_decides_it_while_they_are_added(house: House) -> None:
    """Nobody has two parts, and nobody waits in silence: an incident says who has to help."""
    flow = await house.begun("alice", "shared", {})
    task = flow.task
    told = asyncio.Event()
    house.delivery.on_signal = lambda _, __: told.set()
    added = asyncio.create_task(add(house, "bob", task, "dave", "beside"))
    await told.wait()
    assert (await house.decide("dave", task)).status_code == 200
    command, decision = (message for _, message in house.delivery.signals)
    await flow.befall(command)
    assert (await added).status_code == 200
    await flow.befall(decision)
    [incident] = flow.state.incidents
    assert incident.detail == "dave already has a seat in step pool"
    own = flow.task
    assert (await house.decide("dave", own)).status_code == 403
