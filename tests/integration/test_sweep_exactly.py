"""What a sweep finds is what asking again would change: no task more and none less, whatever happened
to people, roles and delegations; and once its workflows have heard, there is nothing left to find."""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from recipes.model import ApprovalStep, Authority, Ballot, Json, Quorum, Recipe
from storage import org
from storage.org import PersonRow, RoleRow
from storage.sweep import sweep
from tests.integration.delegating import end, posted
from tests.integration.house import House, Workflow
from tests.integration.sweeping import carry, changed, found

LINES = {"a": "c", "b": "c", "c": "g", "d": "g", "e": "d", "f": "d", "g": "h", "h": None}
ROLES = {"r1": {"a", "b", "c"}, "r2": {"d", "e"}, "r3": {"f"}}
SCOPES = ("all", "all", "workflow:one", "role:r1", "role:r2")
LIMITS = (100, 1000, 10000)
ONE = Recipe(
    "one", 1, (ApprovalStep("who", (Ballot("who", approver="{{ who }}"),)),), implied=("who",)
)
POOL = Recipe(
    "pool",
    1,
    (
        ApprovalStep(
            "who", (Ballot("who", candidates=("{{ who }}", "{{ or_who }}")),), Quorum("all")
        ),
    ),
    implied=("who", "or_who"),
)
LIMITED = Recipe(
    "limited",
    1,
    (
        ApprovalStep(
            "who", (Ballot("who", approver="{{ who }}", authority=Authority("amount", "'EUR'")),)
        ),
    ),
    implied=("who", "amount"),
)
FIXED = replace(ONE, workflow="fixed", resolve="at_submit")


@dataclass
class History:
    """An organisation to which things happen at random, and its requests."""

    house: House
    seed: int
    here: set[str] = field(default_factory=lambda: set(LINES))
    roles: dict[str, set[str]] = field(
        default_factory=lambda: {r: set(m) for r, m in ROLES.items()}
    )
    given: list[tuple[str, str]] = field(default_factory=list)
    flows: list[Workflow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    async def begin(self) -> None:
        for recipe in (ONE, POOL, LIMITED, FIXED):
            await self.house.publish(recipe)
        await self._told_of(*LINES)
        await self.house.import_org((), tuple(map(self._role, self.roles)))
        for _ in range(8):
            await self._limit()
        for _ in range(3):
            await self.happen()
        for _ in range(20):
            await self._submit()

    async def _submit(self) -> None:
        pick, people, roles = self.random.choice, sorted(self.here), sorted(self.roles)
        who = pick([f"user:{pick(people)}", f"role:{pick(roles)}"])
        inputs: dict[str, Json] = {"who": who}
        workflow = pick(["one", "one", "pool", "limited", "fixed"])
        if workflow == "pool":
            inputs["or_who"] = "role:r3"
        elif workflow == "limited":
            inputs["amount"] = pick([10, 500, 5000])
        self.flows.append(await self.house.begun(pick(people), workflow, inputs))

    async def happen(self) -> None:
        """One change of the directory."""
        await self.random.choice(
            [
                self._leave,
                self._return,
                self._role_changes,
                self._delegate,
                self._delegate,
                self._end,
                self._limit,
            ]
        )()

    async def _leave(self) -> None:
        if len(self.here) > 4:
            person = self.random.choice(sorted(self.here))
            self.here.discard(person)
            await self._told_of(person)

    async def _return(self) -> None:
        gone = sorted(set(LINES) - self.here)
        if gone:
            person = self.random.choice(gone)
            self.here.add(person)
            await self._told_of(person)

    async def _role_changes(self) -> None:
        role = self.random.choice(sorted(self.roles))
        self.roles[role] ^= {self.random.choice(sorted(LINES))}
        await self.house.import_org((), (self._role(role),))

    async def _delegate(self) -> None:
        who, to = self.random.sample(sorted(self.here), 2)
        response = await posted(self.house, who, to, scope=self.random.choice(SCOPES))
        if response.status_code == 201:
            self.given.append((who, response.json()["id"]))

    async def _end(self) -> None:
        if self.given:
            _, delegation = self.given.pop(self.random.randrange(len(self.given)))
            await end(self.house, "zoe", delegation, "admin")

    async def _limit(self) -> None:
        person, amount = self.random.choice(sorted(LINES)), self.random.choice(LIMITS)
        async with self.house.pool.acquire() as connection, connection.transaction():
            at = await org.lock(connection)
            await connection.execute(
                "UPDATE approval_limits SET valid = tstzrange(lower(valid), $2)"
                " WHERE person = $1 AND valid @> $2::timestamptz",
                person,
                at,
            )
            await connection.execute(
                "INSERT INTO approval_limits VALUES ($1, 'EUR', $2, tstzrange($3, NULL))",
                person,
                Decimal(amount),
                at,
            )

    async def _told_of(self, *people: str) -> None:
        rows = (PersonRow(p, p, manager=LINES[p], left=p not in self.here) for p in people)
        await self.house.import_org(tuple(rows), ())

    def _role(self, role: str) -> RoleRow:
        return RoleRow(role, tuple(sorted(self.roles[role])))


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_found_is_what_would_change(bare_house: House, seed: int) -> None:
    history = History(bare_house, seed)
    await history.begin()
    assert sum(bool(flow.state.tasks) for flow in history.flows) > len(history.flows) / 2
    for _ in range(12):
        for _ in range(history.random.randint(1, 3)):
            await history.happen()
        now = datetime.now(UTC)
        assert await found(bare_house) == await changed(bare_house, now)
        if history.random.random() < 0.6:
            await bare_house.pool.execute("UPDATE tasks SET rechecked_at = NULL")
            await sweep(bare_house.pool)
            await carry(bare_house, *history.flows)
            assert await found(bare_house) == set()
