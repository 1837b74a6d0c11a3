"""Explain: the same answer as live, without a turn being taken; and the past as it was."""

from uuid import UUID

import pytest

from api import org_shapes
from storage.org import PersonRow
from tests.integration.delegating import TICK, delegate, end, soon
from tests.integration.house import House


async def _explained(house: House, who: str, *roles: str, **query: str) -> org_shapes.Explained:
    response = await house.get("/v1/org/explain", who, *roles, params=query)
    assert response.status_code == 200, response.text
    return org_shapes.Explained.model_validate(response.json())


async def test_every_hop_and_rule(house: House) -> None:
    made = await delegate(house, "carol", "frank", scope="workflow:leave")
    query = {"approver": "{{ employee.manager.manager }}", "workflow": "leave"}
    found = await _explained(house, "alice", **query)
    assert (found.user, found.on_behalf_of, found.employee) == ("frank", "carol", "alice")
    assert [(hop.rule, hop.user) for hop in found.chain] == [
        ("employee_manager", "bob"),
        ("employee_manager", "carol"),
        ("person", "carol"),
        ("delegation", "frank"),
    ]
    assert str(found.chain[-1].delegation) == made
    assert found.chain[-1].text.startswith(
        "Frank Weber decides on behalf of Carol Diaz, who delegated workflow leave to Frank Weber"
    )
    assert (found.members, found.refusal) == (None, None)
    without = await _explained(house, "alice", approver="employee.manager.manager")
    assert without.user == "carol"


async def test_before_during_and_after(house: House) -> None:
    made = await delegate(house, "bob", "dave")
    await end(house, "bob", made)
    span = await house.pool.fetchval("SELECT valid FROM delegations WHERE id = $1", UUID(made))
    begun, ended = span.lower, span.upper
    moments = {begun - TICK: "bob", begun: "dave", ended - TICK: "dave", ended: "bob"}
    for at, who in (moments | {soon(): "bob"}).items():
        found = await _explained(house, "alice", approver="bob", at=at.isoformat())
        assert (found.user, found.at) == (who, at)


async def test_a_role_shows_whose_turn_it_would_be_and_takes_none(house: House) -> None:
    await delegate(house, "dave", "frank", scope="role:hr")
    for _ in range(3):
        found = await _explained(house, "alice", approver="role:hr")
        assert (found.user, found.role, found.chain[0].turn) == ("erin", "hr", 0)
        assert found.members is not None
        assert [(m.id, m.away) for m in found.members] == [("dave", True), ("erin", False)]
    assert await house.pool.fetchval("SELECT turn FROM roles WHERE name = 'hr'") == 0
    mine = await _explained(house, "erin", approver="hr")
    assert mine.members is not None
    assert [member.id for member in mine.members] == ["dave"]


async def test_nobody_and_why(house: House) -> None:
    for approver, why in (
        ("role:empty", "role empty has no member"),
        ("zoe", "no person named zoe"),
        ("role:no\tbody", "there is no role named"),
        (
            "employee.manager.manager.manager",
            "alice has nobody at employee.manager.manager.manager",
        ),
    ):
        found = await _explained(house, "alice", approver=approver)
        assert found.user is None
        assert found.refusal is not None
        assert found.refusal.kind == "NoApproverFound"
        assert why in found.refusal.detail


async def test_for_the_person_concerned_administrators_and_auditors(house: House) -> None:
    for who, roles, status in (
        ("alice", (), 200),
        ("bob", (), 403),
        ("root", ("admin",), 200),
        ("aud", ("auditor",), 200),
    ):
        query = {"approver": "bob", "employee": "alice"}
        response = await house.get("/v1/org/explain", who, *roles, params=query)
        assert response.status_code == status


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"approver": ""},
        {"approver": "bob", "at": "2026-01-01"},
        {"approver": "bob", "at": "yesterday"},
        {"approver": "bob", "at": "0001-01-01T00:00:00+05:00"},
        {"approver": "bob", "employee": "zoe"},
    ],
)
async def test_what_is_not_understood(house: House, query: dict[str, str]) -> None:
    response = await house.get("/v1/org/explain", "root", "admin", params=query)
    assert response.status_code == 422, response.text


async def test_a_live_assignment_is_explained_as_it_was(house: House) -> None:
    await delegate(house, "bob", "dave")
    flow = await house.begun()
    [task] = flow.state.tasks
    await house.import_org((PersonRow("alice", "Alice", manager="carol"),), ())
    found = await _explained(
        house,
        "alice",
        approver="employee.manager",
        workflow="leave",
        at=task.opened_at.isoformat(),
    )
    assert (found.user, found.on_behalf_of) == ("dave", "bob")
    assert (await _explained(house, "alice", approver="employee.manager")).user == "carol"
