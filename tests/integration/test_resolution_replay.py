"""Replaying: any past assignment asked again as of its recorded time is given again, chain and all."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Annotated, Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from contract.events import assigned
from recipes import parse
from recipes.asks import Answer, AskApprover, AskCandidates, AskManager, Assignment, Limit, SeatAsk
from recipes.happenings import Actor
from storage import delegations, org, org_import, resolution
from storage.org import PersonRow, RoleRow
from storage.org_checks import DirectoryRefused
from storage.pool import Pool, Source
from storage.references import About
from tests.integration.delegating import delegate
from tests.integration.house import House, Workflow

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
_reference = st.sampled_from([*(f"user:{name}" for name in PEOPLE), "role:r", "role:s"])
_without = st.lists(_person, max_size=1).map(tuple)
_limit = st.none() | st.sampled_from([Limit("10", "EUR"), Limit("500", "EUR")])
_ask = st.one_of(
    st.builds(
        AskApprover,
        st.just("s"),
        _reference,
        _without,
        _limit,
        st.none() | _person,
        st.none() | st.none() | _person,
    ),
    st.builds(AskManager, st.just("s"), _person, _without, _limit),
    st.builds(AskCandidates, st.just("s"), st.tuples(_reference, _reference), _without),
)
_move = st.one_of(
    st.tuples(st.just("delegate"), _person, _person, _scope, st.sampled_from([None, 2, 20, 200])),
    st.tuples(st.just("later"), _person, _person, _scope, st.sampled_from([1, 5])),
    st.tuples(st.just("end"), st.integers(0, 20)),
    st.tuples(st.just("manager"), _person, st.none() | _person),
    st.tuples(st.just("limit"), _person, st.none() | st.sampled_from([10, 100, 1000])),
    st.tuples(st.just("comes or goes"), _person),
    st.tuples(st.just("role"), st.sampled_from(ROLES), st.sets(_person, max_size=4)),
    st.tuples(st.just("assign"), _ask, _person, st.sampled_from(["leave", "other"])),
)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """An assignment as it was made, with the turn that was taken, if one was."""

    ask: SeatAsk
    about: About
    answer: Answer


class History:
    """Moves of one office, in real time: whatever is told the directory, it is told now."""

    def __init__(self, pool: Pool, prefix: str) -> None:
        self.pool = pool
        self.prefix = prefix
        self.rows = {name: PersonRow(prefix + name, name) for name in PEOPLE}
        self.set: list[UUID] = []
        self.asked: list[Asked] = []

    async def begin(self) -> None:
        await self.load([*self.rows.values()], [RoleRow(self.prefix + role) for role in ROLES])

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

    async def person(self, name: str, **changes: Any) -> None:
        row = replace(self.rows[name], **changes)
        with suppress(DirectoryRefused):  # a circle of managers
            await self.load([row], [])
            self.rows[name] = row

    def prefixed(self, ask: SeatAsk) -> SeatAsk:
        """The same question about this office's people and roles."""

        def name(plain: str) -> str:
            kind, colon, rest = plain.rpartition(":")
            return f"{kind}{colon}{self.prefix}{rest}"

        changes: dict[str, Any] = {"without": tuple(map(name, ask.without))}
        match ask:
            case AskApprover(_, reference, keep=keep, fixed=fixed):
                changes["reference"] = name(reference)
                changes |= {"keep": keep and name(keep), "fixed": fixed and name(fixed)}
            case AskManager(_, user):
                changes["user"] = name(user)
            case AskCandidates(_, references):
                changes["references"] = tuple(map(name, references))
        return replace(ask, **changes)

    async def assign(self, ask: SeatAsk, requester: str, workflow: str) -> None:
        at = await self.pool.fetchval("SELECT clock_timestamp()")
        about = About(self.prefix + requester, workflow, at)
        ask = self.prefixed(ask)
        [found] = await resolution.answers(self.pool, (ask,), about)
        self.asked.append(Asked(ask, about, found))

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
                await self.person(who, manager=above)
            case ("limit", who, amount):
                await self.person(who, limits={"EUR": Decimal(amount)} if amount else {})
            case ("comes or goes", who):
                await self.person(who, left=not self.rows[who].left)
            case ("role", role, members):
                held = tuple(self.prefix + name for name in sorted(members))
                await self.load([], [RoleRow(self.prefix + role, held)])
            case ("assign", ask, requester, workflow):
                await self.assign(ask, requester, workflow)
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
_ASK: TypeAdapter[SeatAsk] = TypeAdapter(Annotated[SeatAsk, Field(discriminator="kind")])


@settings(
    max_examples=100,
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
            await history.assign(AskApprover("s", "user:a"), "b", "leave")
    for item in history.asked:
        made = item.answer.assignment
        if made is None and isinstance(item.ask, AskApprover) and "role:" in item.ask.reference:
            continue  # a refusal does not keep the turn it took
        turn = _again(_turn(made) if made else 0)
        assert await resolution.answer(pool, item.ask, item.about, turn) == item.answer
        if made is not None:
            barred = {item.about.requester, *item.ask.without}
            assert not barred & {made.user, made.on_behalf_of, *made.via}


async def test_what_audit_shows_is_what_replaying_gives(house: House) -> None:
    await house.publish(parse.parse(BY_ROLE).recipe)
    flows: list[Workflow] = []
    for held in (("bob", "dave"), ("erin",), ("dave", "frank")):
        await house.import_org((), (RoleRow("hr", held),))
        flows += [await house.begun(workflow="by_role", inputs={}) for _ in range(2)]
        await delegate(house, held[0], "carol", scope="workflow:by_role")
        flows += [await house.begun(workflow="by_role", inputs={}) for _ in range(2)]
    rows = await house.pool.fetch(
        """SELECT a.occurred_at, a.payload, t.ask FROM audit a
             JOIN tasks t ON t.id = (a.payload->>'task_id')::uuid
            WHERE a.event_type = 'task.assigned'"""
    )
    assert len(rows) == len(flows)
    for row in rows:
        payload = row["payload"]
        about = About("alice", "by_role", row["occurred_at"])
        turn = _again(payload["chain"][0]["turn"])
        ask = _ASK.validate_python(row["ask"])
        again = (await resolution.answer(house.pool, ask, about, turn)).assignment
        assert again is not None
        shown = assigned(again)
        assert {name: payload[name] for name in shown} == shown
    assert {row["payload"]["on_behalf_of"] for row in rows} == {None, "erin"}
