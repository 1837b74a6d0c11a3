"""Explain: the same answer as live, without a turn being taken; and the past as it was."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import schemas
from contract.events import assigned
from recipes import parse
from recipes.state import Actor, Answer, Assignment
from storage import delegations, org, org_import, resolution
from storage.org import PersonRow, RoleRow
from storage.pool import Pool, Source
from storage.resolution import About
from tests.integration.delegating import delegate, end, soon
from tests.integration.house import House, Workflow


async def _explained(house: House, who: str, *roles: str, **query: str) -> schemas.Explained:
    response = await house.get("/v1/org/explain", who, *roles, params=query)
    assert response.status_code == 200, response.text
    return schemas.Explained.model_validate(response.json())


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
    before = datetime.now(UTC)
    made = await delegate(house, "bob", "dave")
    during = datetime.now(UTC)
    await end(house, "bob", made)
    moments = {before: "bob", during: "dave", datetime.now(UTC): "bob", soon(): "bob"}
    for at, who in moments.items():
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


# --- random histories ----------------------------------------------------------------------------

BY_ROLE = """
workflow: by_role
version: 1
steps:
  - {id: m, approver: "role:hr"}
"""
PEOPLE = "abcdef"
ROLES = ("r", "s")
_person = st.sampled_from(PEOPLE)
_scope = st.sampled_from(["all", "workflow:leave", "role:r"])
_move = st.one_of(
    st.tuples(st.just("delegate"), _person, _person, _scope, st.sampled_from([None, 2, 20, 200])),
    st.tuples(st.just("later"), _person, _person, _scope, st.sampled_from([1, 5])),
    st.tuples(st.just("end"), st.integers(0, 20)),
    st.tuples(st.just("manager"), _person, st.none() | _person),
    st.tuples(st.just("role"), st.sampled_from(ROLES), st.sets(_person, max_size=4)),
    st.tuples(
        st.just("assign"),
        st.sampled_from([*(f"user:{name}" for name in PEOPLE), "role:r", "role:s"]),
        _person,
        st.sampled_from(["leave", "other"]),
    ),
)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """An assignment as it was made, with the turn that was taken, if one was."""

    reference: str
    about: About
    answer: Answer


class History:
    """Moves of one office, in real time: whatever is told the directory, it is told now."""

    def __init__(self, pool: Pool, prefix: str) -> None:
        self.pool = pool
        self.prefix = prefix
        self.set: list[UUID] = []
        self.asked: list[Asked] = []

    async def begin(self) -> None:
        await self.load([PersonRow(self.prefix + name, name) for name in PEOPLE], [])

    async def load(self, people: list[PersonRow], roles: list[RoleRow]) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            at = await org.lock(connection)
            await org_import.load(connection, at, people, roles, Actor("x"))

    async def delegate(self, who: str, to: str, scope: str, after: int, length: int | None) -> None:
        scope = scope.replace("role:", f"role:{self.prefix}")
        async with self.pool.acquire() as connection, connection.transaction():
            at = await org.lock(connection)
            begins = at + after * _MILLISECOND
            item = delegations.Setting(
                id=uuid4(),
                delegator=self.prefix + who,
                delegate=self.prefix + to,
                scope=scope,
                begins=begins,
                ends=None if length is None else begins + length * _MILLISECOND,
                reason=None,
            )
            found = await delegations.prepare(connection, item, at)
            if who != to and found["id"] is None:
                await delegations.insert(connection, item, Actor(item.delegator), at)
                self.set.append(item.id)

    async def end(self, number: int) -> None:
        if self.set:
            async with self.pool.acquire() as connection, connection.transaction():
                at = await org.lock(connection)
                await delegations.end(connection, self.set[number % len(self.set)], Actor("x"), at)

    async def assign(self, reference: str, requester: str, workflow: str) -> None:
        kind, _, name = reference.partition(":")
        at = await self.pool.fetchval("SELECT clock_timestamp()")
        about = About(self.prefix + requester, workflow, at)
        reference = f"{kind}:{self.prefix}{name}"
        self.asked.append(
            Asked(reference, about, await resolution.approver(self.pool, reference, about))
        )

    async def move(self, move: tuple[Any, ...]) -> None:
        match move:
            case ("delegate", who, to, scope, length):
                await self.delegate(who, to, scope, 0, length)
            case ("later", who, to, scope, after):
                await self.delegate(who, to, scope, after, 50)
            case ("end", number):
                await self.end(number)
            case ("manager", who, boss):
                above = None if boss in (None, who) else self.prefix + boss
                await self.load([PersonRow(self.prefix + who, who, manager=above)], [])
            case ("role", role, members):
                held = tuple(self.prefix + name for name in sorted(members))
                await self.load([], [RoleRow(self.prefix + role, held)])
            case ("assign", reference, requester, workflow):
                await self.assign(reference, requester, workflow)
            case _:
                raise AssertionError(move)


def _turn(assignment: Assignment) -> int:
    return next((hop.turn for hop in assignment.chain if hop.turn is not None), 0)


def _again(turn: int) -> resolution.TakeTurn:
    """Gives a role the turn that was taken."""

    async def take(_: Source, __: str) -> int:
        return turn

    return take


_NUMBERS = count()


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(moves=st.lists(_move, min_size=5, max_size=25))
async def test_replaying_an_assignment_at_its_time_gives_the_assignee_again(
    pool: Pool, moves: list[tuple[Any, ...]]
) -> None:
    history = History(pool, f"h{next(_NUMBERS)}-")
    await history.begin()
    for move in moves:
        await history.move(move)
        if move[0] != "assign":
            await history.assign("user:a", "b", "leave")
    for item in history.asked:
        made = item.answer.assignment
        if made is None and item.reference.startswith("role:"):
            continue  # a refusal does not keep the turn it took
        turn = _again(_turn(made) if made else 0)
        assert await resolution.approver(pool, item.reference, item.about, turn) == item.answer
        if made is not None:
            assert made.user != item.about.requester


async def test_what_audit_shows_is_what_replaying_gives(house: House) -> None:
    await house.publish(parse.parse(BY_ROLE).recipe)
    flows: list[Workflow] = []
    for held in (("bob", "dave"), ("erin",), ("dave", "frank")):
        await house.import_org((), (RoleRow("hr", held),))
        flows += [await house.begun(workflow="by_role", inputs={}) for _ in range(2)]
        await delegate(house, held[0], "carol", scope="workflow:by_role")
        flows += [await house.begun(workflow="by_role", inputs={}) for _ in range(2)]
    rows = await house.pool.fetch(
        "SELECT occurred_at, payload FROM audit WHERE event_type = 'task.assigned'"
    )
    assert len(rows) == len(flows)
    for row in rows:
        payload = row["payload"]
        about = About("alice", "by_role", row["occurred_at"])
        turn = _again(payload["chain"][0]["turn"])
        again = (await resolution.approver(house.pool, "role:hr", about, turn)).assignment
        assert again is not None
        shown = assigned(again)
        assert {name: payload[name] for name in shown} == shown
    assert {row["payload"]["on_behalf_of"] for row in rows} == {None, "erin"}
