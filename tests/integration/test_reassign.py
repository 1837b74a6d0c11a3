"""Reassign: who may, to whom, and what is recorded and told."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api import requests, schemas
from recipes.happenings import Commanded
from recipes.model import Json
from storage.org import PersonRow
from tests.integration.delegating import delegate
from tests.integration.house import House, Workflow, opened, unboxed
from tests.integration.test_incidents import stuck

WHY = "Bob is on a ship"
EITHER_WAY: tuple[dict[str, str], ...] = ({}, {"seat": "manager"})


async def reassign(
    house: House, who: str, flow: Workflow, to: str, *roles: str, comment: str = WHY, **more: Json
) -> httpx.Response:
    """Of its only task; or with `seat`, of that seat."""
    place = f"requests/{flow.state.request_id}" if "seat" in more else f"tasks/{flow.task}"
    body = {"to": to, "comment": comment, **more}
    return await house.post(f"/v1/{place}/reassign", who, *roles, json=body)


def applied(house: House, flow: Workflow) -> None:
    """Let the workflow take a command up as soon as it is told."""
    waiting: list[asyncio.Task[Any]] = []
    house.delivery.on_signal = lambda _, message: waiting.append(
        asyncio.create_task(flow.befall(message))
    )


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PATIENCE", 0.01)


@pytest.mark.usefixtures("_impatient")
async def test_it_is_recorded_and_told(house: House) -> None:
    flow = await house.begun()
    response = await reassign(house, "frank", flow, "dave")
    assert response.status_code == 202
    pending = schemas.CommandPending.model_validate(response.json())
    request_id = UUID(flow.state.request_id)
    [(to, message)] = house.delivery.signals
    assert isinstance(message, Commanded)
    assert (to, message.command, message.command_id) == (
        request_id,
        "reassign",
        str(pending.command_id),
    )
    assert (message.seat, message.to, message.comment) == ("manager", "dave", WHY)
    assert (message.actor.user, message.actor.role) == ("frank", "house")
    [row] = await house.pool.fetch("SELECT * FROM commands")
    assert (row["command"], row["actor"], row["comment"]) == ("reassign", "frank", WHY)
    assert row["details"] == {"seat": "manager", "to": "dave"}
    rows = await house.pool.fetch("SELECT * FROM audit ORDER BY seq DESC LIMIT 1")
    [event] = await opened(house.pool, flow.state.request_id, rows)
    assert (event["event_type"], event["actor"]["user"]) == ("command.received", "frank")
    assert event["payload"] == {
        "command_id": message.command_id,
        "command": "reassign",
        "comment": WHY,
        "seat": "manager",
        "to": "dave",
    }
    [told] = await house.pool.fetch("SELECT * FROM outbox WHERE kind = 'signal'")
    heard = await unboxed(house.pool, flow.state.request_id, told["message"])
    assert (heard["seat"], heard["to"]) == ("manager", "dave")


@pytest.mark.usefixtures("_impatient")
async def test_a_seat_that_has_no_task(house: House) -> None:
    await house.publish(stuck())
    flow = await house.begun("alice", "stuck", {})
    response = await reassign(house, "root", flow, "dave", "admin", seat="both/two")
    assert response.status_code == 202
    [(_, message)] = house.delivery.signals
    assert isinstance(message, Commanded)
    assert (message.seat, message.to, message.actor.role) == ("both/two", "dave", "admin")
    wrong = await reassign(house, "frank", flow, "dave", seat="both")
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "/seat"
    assert "both/one, both/two" in wrong.json()["detail"]


@pytest.mark.usefixtures("_impatient")
async def test_who_may(house: House) -> None:
    flow = await house.begun()
    own = await house.begun("frank")
    for who, roles, subject, status in (
        ("alice", (), flow, 403),  # the requester
        ("alice", ("admin",), flow, 403),  # is so as an administrator, too
        ("frank", (), own, 403),  # and as an owner
        ("aud", ("auditor",), flow, 403),
        ("erin", (), flow, 404),
        ("frank", (), flow, 202),
        ("root", ("admin",), flow, 202),
    ):
        for more in EITHER_WAY:
            response = await reassign(house, who, subject, "dave", *roles, **more)
            assert response.status_code == status, (who, response.text)
    assert await house.pool.fetchval("SELECT count(*) FROM commands") == 4
    for path in (f"tasks/{uuid4()}", f"requests/{uuid4()}"):
        body = {"to": "dave", "comment": WHY} | ({"seat": "x"} if "requests" in path else {})
        gone = await house.post(f"/v1/{path}/reassign", "root", "admin", json=body)
        assert gone.status_code == 404
    hidden = await reassign(house, "erin", flow, "dave")
    assert hidden.json()["detail"] == "there is no such task"


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
async def test_to_whom_not(house: House, to: str, said: str) -> None:
    flow = await house.begun()
    await house.import_org((PersonRow("erin", "Erin Novak", left=True),), ())
    await house.pool.execute("UPDATE tasks SET excluded = '{carol}'")
    for more in EITHER_WAY:
        response = await reassign(house, "frank", flow, to, **more)
        assert response.status_code == 422, response.text
        assert response.json()["errors"][0]["pointer"] == "/to"
        assert said in response.json()["detail"]
    assert house.delivery.signals == []


@pytest.mark.parametrize("comment", [None, "", "  "])
async def test_a_reason_is_needed(house: House, comment: Any) -> None:
    flow = await house.begun()
    response = await reassign(house, "frank", flow, "dave", comment=comment)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/comment"


async def test_what_is_over_stays_so(house: House) -> None:
    flow = await house.begun()
    task = flow.task
    await flow.tick(datetime(2100, 1, 1, tzinfo=UTC))  # escalated
    body = {"to": "dave", "comment": WHY}
    handed_on = await house.post(f"/v1/tasks/{task}/reassign", "frank", json=body)
    assert handed_on.status_code == 409
    assert handed_on.json()["state"] == "expired"
    await house.decide("carol", flow.task)
    decided = await house.post(f"/v1/tasks/{flow.task}/reassign", "frank", json=body)
    assert (decided.status_code, decided.json()["state"]) == (409, "decided")
    await flow.befall(house.delivery.signals[-1][1])
    path = f"/v1/requests/{flow.state.request_id}/reassign"
    final = await house.post(path, "frank", json={**body, "seat": "manager"})
    assert (final.status_code, final.json()["state"]) == (409, "approved")


async def test_nobody_decides_their_own_request_even_if_it_was_given_to_them(house: House) -> None:
    flow = await house.begun()
    await house.pool.execute("UPDATE tasks SET assignee = 'alice'")
    refused = await house.decide("alice", flow.task)
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "nobody decides their own request",
    )


# --- what comes of it ---------------------------------------------------------------------------


async def test_a_task_goes_to_somebody_else(house: House) -> None:
    flow = await house.begun()
    [before] = flow.state.tasks
    applied(house, flow)
    response = await reassign(house, "frank", flow, "dave")
    assert response.status_code == 200, response.text
    shown = schemas.Request.model_validate(response.json())
    old, new = shown.tasks
    assert (old.state, old.assignee, new.state, new.assignee) == (
        "reassigned",
        "bob",
        "open",
        "dave",
    )
    assert new.due_at == before.due_at
    assert shown.waiting_for == ["user:dave"]
    chain = await house.pool.fetchval("SELECT chain FROM tasks WHERE state = 'open'")
    assert [(hop["rule"], hop["user"]) for hop in chain] == [
        ("reassigned", "frank"),
        ("person", "dave"),
    ]
    assert (await house.decide("bob", str(old.id))).status_code == 409
    house.delivery.on_signal = None
    assert (await house.decide("dave", str(new.id))).status_code == 200
    await flow.befall(house.delivery.signals[-1][1])
    assert flow.state.state == "approved"


async def test_whoever_is_away_is_decided_for(house: House) -> None:
    await delegate(house, "dave", "erin")
    flow = await house.begun()
    applied(house, flow)
    answer = (await reassign(house, "frank", flow, "dave")).json()
    assert answer["waiting_for"] == ["user:erin"]
    assert answer["tasks"][-1]["on_behalf_of"] == "dave"


async def test_an_incident_ends_by_it(house: House) -> None:
    await house.publish(stuck())
    flow = await house.begun("alice", "stuck", {})
    applied(house, flow)
    first = await reassign(house, "root", flow, "dave", "admin", seat="both/one")
    assert first.status_code == 200, first.text
    assert [item["seat"] for item in first.json()["incidents"]] == ["both/two"]
    again = await reassign(house, "frank", flow, "dave", seat="both/two")
    assert (again.status_code, again.json()["detail"]) == (
        409,
        "dave already has a seat in step both",
    )
    second = await reassign(house, "frank", flow, "erin", seat="both/two")
    assert second.json()["incidents"] == []
    assert second.json()["waiting_for"] == ["user:dave", "user:erin"]
    events = await house.pool.fetch(
        "SELECT event_type, actor FROM audit WHERE event_type = 'incident.resolved' ORDER BY seq"
    )
    assert [event["actor"]["user"] for event in events] == ["root", "frank"]


async def test_nobody_gets_their_own_request_by_a_delegation(house: House) -> None:
    await delegate(house, "dave", "alice")
    flow = await house.begun()
    applied(house, flow)
    response = await reassign(house, "frank", flow, "dave")
    assert response.status_code == 409
    assert flow.state.tasks[0].assignment.user == "bob"


# --- whoever has a task hands it on -------------------------------------------------------------------


async def test_an_assignee_hands_on(house: House) -> None:
    flow = await house.begun()
    old = flow.task
    applied(house, flow)
    answer = await reassign(house, "bob", flow, "dave")
    assert answer.status_code == 200, answer.text
    rows = await house.pool.fetch(
        "SELECT payload, actor FROM audit WHERE event_type = 'command.received'"
    )
    [command] = await opened(house.pool, flow.state.request_id, rows)
    assert command["actor"]["user"] == "bob"
    assert command["payload"]["comment"] == WHY
    assert answer.json()["waiting_for"] == ["user:dave"]
    assert (await house.decide("bob", old)).status_code == 409
    again = await house.post(
        f"/v1/tasks/{old}/reassign", "bob", json={"to": "erin", "comment": WHY}
    )
    assert again.status_code == 403
    assert (await reassign(house, "dave", flow, "erin")).status_code == 200
    assert (await house.decide("erin", flow.task)).status_code == 200


async def test_a_delegate_hands_on_for_somebody(house: House) -> None:
    await delegate(house, "bob", "erin")
    flow = await house.begun()
    applied(house, flow)
    assert (await reassign(house, "erin", flow, "dave")).status_code == 200
    actor = "SELECT actor FROM audit WHERE event_type = 'command.received'"
    assert (await house.pool.fetchval(actor))["on_behalf_of"] == "bob"


async def test_whoever_claimed_a_shared_task_hands_it_on(house: House) -> None:
    flow = await house.begun("alice", "shared", {})
    applied(house, flow)
    refused = await reassign(house, "dave", flow, "carol")
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "claim this task first: only who has it alone hands it on",
    )
    assert (await house.post(f"/v1/tasks/{flow.task}/claim", "dave")).status_code == 200
    assert (await reassign(house, "bob", flow, "carol")).status_code == 403
    assert (await reassign(house, "dave", flow, "dave")).status_code == 422
    assert (await reassign(house, "dave", flow, "alice")).status_code == 422
    assert (await reassign(house, "dave", flow, "carol", comment=" ")).status_code == 422
    answer = await reassign(house, "dave", flow, "carol")
    assert answer.json()["waiting_for"] == ["user:carol"]
    assert (await house.decide("carol", flow.task)).status_code == 200


@pytest.mark.usefixtures("_impatient")
async def test_what_is_being_reassigned_is_not_handed_on(house: House) -> None:
    flow = await house.begun()
    assert (await reassign(house, "frank", flow, "dave")).status_code == 202
    late = await reassign(house, "bob", flow, "erin")
    assert (late.status_code, late.json()["type"]) == (
        409,
        "urn:countersign:problem:being_reassigned",
    )


async def test_who_cannot_hand_on(house: House) -> None:
    flow = await house.begun()
    assert (await reassign(house, "bob", flow, "bob")).status_code == 422
    assert (await reassign(house, "bob", flow, "bob", seat="manager")).status_code == 403
    await house.import_org((PersonRow("bob", "Bob Tanaka", manager="carol", left=True),), ())
    left = await reassign(house, "bob", flow, "dave")
    assert left.json()["detail"] == "you are not, or no longer, in the directory"
