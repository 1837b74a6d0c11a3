"""The inbox and the decision by one rule: both against plain Python, for many random organisations."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.auth import Caller
from api.authorize import authorize, task_object
from api.errors import Problem
from recipes.happenings import Actor
from storage import tasks
from storage.pool import Pool
from tests.integration.house import House, shared

PEOPLE = tuple("abcdefg")
ROLES = ("r1", "r2")
WORKFLOWS = ("w1", "w2")
SCOPES = ("all", *(f"role:{role}" for role in ROLES), *(f"workflow:{name}" for name in WORKFLOWS))
NOW = datetime.now(UTC)
SPANS = ((-9, 9), (-9, 9), (-9, None), (-9, -1), (1, 9))
"""Hours from now: most are so now, one was, one will be."""


@dataclass(frozen=True)
class Given:
    """A delegation valid now."""

    delegator: str
    delegate: str
    scope: str


@dataclass
class Shared:
    """A task of a request; `holder` decided it, or is asked in person; without candidates, in person."""

    id: UUID
    request: UUID
    requester: str
    workflow: str
    several: bool
    candidates: tuple[str, ...]
    excluded: tuple[str, ...]
    holder: str | None
    decided: bool


class Office:
    """A random organisation with its open and decided tasks, and who may decide by the plain rule."""

    def __init__(self, seed: int) -> None:
        dice = self.dice = random.Random(seed)
        self.employed = {person: dice.random() < 0.9 for person in PEOPLE}
        self.roles = {role: dice.sample(PEOPLE, dice.randint(0, 3)) for role in ROLES}
        self.given: list[Given] = []
        self.rows: list[tuple[Any, ...]] = []
        for _ in range(dice.randint(4, 16)):
            self._delegate()
        self.tasks = [task for _ in range(8) for task in self._request()]

    def _delegate(self) -> None:
        delegator, delegate = self.dice.sample(PEOPLE, 2)
        scope, (begins, ends) = self.dice.choice(SCOPES), self.dice.choice(SPANS)
        if any(row[1:4:2] == (delegator, scope) for row in self.rows):
            return  # one delegate at a time
        span = (_hours(begins), None if ends is None else _hours(ends))
        self.rows.append((self._id(), delegator, delegate, scope, *span))
        if begins < 0 and (ends is None or ends > 0):
            self.given.append(Given(delegator, delegate, scope))

    def _request(self) -> list[Shared]:
        dice = self.dice
        request, requester = self._id(), dice.choice(PEOPLE)
        workflow, several = dice.choice(WORKFLOWS), dice.random() < 0.5
        names = [*(f"user:{person}" for person in PEOPLE), *(f"role:{role}" for role in ROLES * 3)]
        made: list[Shared] = []
        for _ in range(dice.randint(1, 3)):
            pool = dice.random() < 0.8
            decided = dice.random() < 0.25
            made.append(
                Shared(
                    self._id(),
                    request,
                    requester,
                    workflow,
                    several,
                    tuple(dict.fromkeys(dice.sample(names, dice.randint(1, 3)))) if pool else (),
                    tuple(dice.sample(PEOPLE, dice.choice((0, 0, 1)))),
                    dice.choice(PEOPLE) if decided or not pool else None,
                    decided,
                )
            )
        return made

    def _id(self) -> UUID:
        return UUID(int=self.dice.getrandbits(128))

    # --- the rule ---

    def deciding(self, person: str, task: Shared) -> Actor | None:
        """In what capacity `person` may decide a shared task now."""
        if person in self.barred(task) or not self.employed[person]:
            return None
        if f"user:{person}" in task.candidates:
            return Actor(person)
        for principal in task.candidates:
            if person in self.roles.get(principal.removeprefix("role:"), ()):
                return Actor(person, principal.removeprefix("role:"))
        for member in PEOPLE:
            for principal in (f"user:{member}", *(f"role:{role}" for role in ROLES)):
                kind, _, name = principal.partition(":")
                if principal not in task.candidates:
                    continue
                if kind == "role" and member not in self.roles[name]:
                    continue
                role = name if kind == "role" else None
                path = self.path(member, role, task)
                if len(path) > 1 and path[-1] == person:
                    return Actor(person, role, member, tuple(path[1:-1]))
        return None

    def path(self, member: str, role: str | None, task: Shared) -> list[str]:
        """From the member to whoever decides for them; empty if that is nobody."""
        never = self.barred(task)
        path = [member]
        while True:
            if path[-1] in never or not self.employed[path[-1]]:
                return []
            found = {given.scope: given for given in self.given if given.delegator == path[-1]}
            covering = (f"workflow:{task.workflow}", f"role:{role}", "all")
            following = next((found[scope] for scope in covering if scope in found), None)
            if following is None:
                return path
            if following.delegate in path or len(path) == 6:
                return []
            path.append(following.delegate)

    def barred(self, task: Shared) -> set[str]:
        others = {
            other.holder
            for other in self.tasks
            if task.several and other.request == task.request and other.id != task.id
        }
        return {task.requester, *task.excluded, *(person for person in others if person)}


def _hours(number: int) -> datetime:
    return NOW + timedelta(hours=number)


async def _furnish(admin_pool: Pool, office: Office) -> None:
    """Write it down; so many years of history in one statement takes a directory without triggers."""
    always, over = "[2020-01-01,)", "[2020-01-01,2021-01-01)"
    async with admin_pool.acquire() as connection, connection.transaction():
        run = connection.executemany
        await connection.execute(
            "SET LOCAL session_replication_role = replica;"
            "DELETE FROM decisions; DELETE FROM task_candidates; DELETE FROM tasks;"
            "DELETE FROM requests; DELETE FROM delegations; DELETE FROM role_members;"
            "DELETE FROM roles; DELETE FROM people"
        )
        await run("INSERT INTO roles (name) VALUES ($1)", [(role,) for role in ROLES])
        await run(
            "INSERT INTO people (id, name, employed)"
            " VALUES ($1, $1, tstzmultirange($2::text::tstzrange))",
            [(person, always if here else over) for person, here in office.employed.items()],
        )
        await run(
            "INSERT INTO role_members VALUES ($1, $2, $3::text::tstzrange)",
            [(role, who, always) for role, members in office.roles.items() for who in members],
        )
        await run(
            "INSERT INTO delegations (id, delegator, delegate, scope, valid, created_by)"
            " VALUES ($1, $2, $3, $4, tstzrange($5, $6), $2)",
            office.rows,
        )
        await run(
            "INSERT INTO requests (id, workflow, version, requester, title, inputs, digest)"
            " VALUES ($1, $2, 1, $3, 't', '{}', 'd') ON CONFLICT DO NOTHING",
            [(task.request, task.workflow, task.requester) for task in office.tasks],
        )
        for number, task in enumerate(office.tasks):
            await _write(connection, task, f"seat{number}")


async def _write(connection: Any, task: Shared, seat: str) -> None:
    await connection.execute(
        "INSERT INTO tasks (id, request_id, step, seat, assignee, candidates, excluded, several,"
        "                   digest, state, opened_at, closed_at, due_at)"
        " VALUES ($1, $2, 's', $3, $4, $5, $6, $7, 'd', $8, now(), $9, $10)",
        task.id,
        task.request,
        seat,
        None if task.candidates else task.holder,
        task.candidates or None,
        task.excluded,
        task.several,
        "decided" if task.decided else "open",
        NOW if task.decided else None,
        None if task.id.int % 2 else NOW + timedelta(minutes=task.id.int % 5),
    )
    if task.decided:
        await connection.execute(
            "INSERT INTO decisions (id, task_id, request_id, decision, actor, decided_at)"
            " VALUES ($1, $1, $2, 'approve', $3, now())",
            task.id,
            task.request,
            task.holder,
        )
    else:
        await connection.executemany(
            "INSERT INTO task_candidates SELECT $1, coalesce(due_at, 'infinity'), id FROM tasks"
            " WHERE id = $2",
            [(principal, task.id) for principal in task.candidates],
        )


async def _decidable(house: House, person: str, task: Shared) -> Actor | None:
    """What the decide path says."""
    row = await tasks.load(house.pool, task.id, person)
    assert row is not None
    try:
        return authorize(Caller(person, frozenset()), "decide", task_object(row))
    except Problem:
        return None


async def _inbox(house: House, person: str) -> dict[UUID, list[str] | None]:
    """The shared tasks in somebody's inbox, and the path to them."""
    first = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
    found = await tasks.inbox(house.pool, person, 201, first)
    ids = [row["id"] for row in found]
    assert len(ids) == len(set(ids))
    return {row["id"]: row["standing_path"] for row in found if row["candidates"]}


@pytest.mark.parametrize("seeds", [range(75), range(75, 150)], ids=str)
async def test_inbox_and_decision_are_of_one_rule(
    house: House, admin_pool: Pool, seeds: range
) -> None:
    for workflow in WORKFLOWS:
        await house.publish(shared("role:hr", workflow=workflow))
    stood_in, between = 0, 0
    for seed in seeds:
        office = Office(seed)
        await _furnish(admin_pool, office)
        open_tasks = [task for task in office.tasks if task.candidates and not task.decided]
        for person in PEOPLE:
            expected = {task.id: office.deciding(person, task) for task in open_tasks}
            for task in open_tasks:
                found = await _decidable(house, person, task)
                assert found == expected[task.id], (seed, person, task)
            inbox = await _inbox(house, person)
            wanted = {task_id: actor for task_id, actor in expected.items() if actor is not None}
            assert inbox.keys() == wanted.keys(), (seed, person)
            for task_id, actor in wanted.items():
                path = [actor.on_behalf_of, *actor.via, person] if actor.on_behalf_of else None
                assert inbox[task_id] == path, (seed, person, task_id)
                stood_in += path is not None
                between += len(actor.via)
    assert (stood_in > 50, between > 10) == (True, True), (stood_in, between)
