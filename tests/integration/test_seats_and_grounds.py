"""Several people, each with a seat; and what a decision rests on that is so no more."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from recipes.model import ApprovalStep, Authority, Ballot, Json, Level, Quorum, Recipe
from storage.org import PersonRow, RoleRow
from storage.sweep import sweep
from tests.integration.delegating import delegate
from tests.integration.house import House
from tests.integration.sweeping import carry, found, swept
from tests.stack import Database


def both(*ballots: Ballot) -> Recipe:
    step = ApprovalStep("both", ballots, Quorum("all"), type="parallel")
    return Recipe("both", 1, (step,))


def one(ballot: Ballot, **more: Any) -> Recipe:
    return Recipe("one", 1, (ApprovalStep("one", (ballot,)),), **more)


async def leaves(house: House, person: str) -> None:
    row = PersonRow(person, person.title(), manager="carol", left=True)
    await house.import_org((row,), ())


async def test_who_leaves_while_waiting_for_their_turn_to_decide(
    house: House, database: Database
) -> None:
    await house.publish(both(Ballot("a", approver="user:dave"), Ballot("b", approver="user:erin")))
    flow = await house.begun("alice", "both", {})
    [task] = [task.id for task in flow.state.tasks if task.assignment.user == "dave"]
    other = await asyncpg.connect(database.url)
    async with other.transaction():
        await other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 3))",
            f"deciding:{flow.state.request_id}",
        )
        deciding = asyncio.create_task(house.decide("dave", task))
        await asyncio.sleep(0.3)
        await leaves(house, "dave")
    response = await deciding
    assert (response.status_code, "in the directory" in response.text) == (403, True)
    await other.close()


async def test_a_pool_of_those_who_have_another_seat_is_an_incident(house: House) -> None:
    await house.import_org((), (RoleRow("solo", ("dave",)), RoleRow("lone", ("dave",))))
    for ballot in (Ballot("a", approver="user:dave"), Ballot("a", candidates=("role:lone",))):
        other = Ballot("b", candidates=("role:solo",))
        step = ApprovalStep("both", (ballot, other), Quorum("all"), type="parallel")
        workflow = "pools" if ballot.candidates else "pool"
        await house.publish(Recipe(workflow, 1, (step,)))
        flow = await house.begun("alice", workflow, {})
        first, second = flow.state.tasks
        assert (await house.decide("dave", first.id)).status_code == 200
        await flow.befall(house.delivery.signals[-1][1])
        assert (await house.decide("dave", second.id)).status_code == 403
        await sweep(house.pool)
        await carry(house, flow)
        [incident] = flow.state.incidents
        assert (incident.kind, incident.seat) == ("NoApproverFound", "both/b")
        assert "another part" in incident.detail
        assert await swept(house) == set()


async def test_an_incident_keeps_nobody_in_a_role_that_they_have_lost(house: House) -> None:
    await house.publish(
        one(Ballot("r", approver="role:hr", levels=(Level(60, "reassign", "role:empty"),)))
    )
    flow = await house.begun("alice", "one", {})
    await flow.tick(datetime.now(UTC) + timedelta(hours=1))
    assert flow.state.incidents
    [task] = flow.state.tasks
    who = str(task.assignment.user)
    await house.import_org((), (RoleRow("hr", ("frank",), "People"),))
    response = await house.decide(who, task.id)
    assert response.status_code == 403
    assert f"{who} does not hold the role hr now" in response.text


async def test_nobody_decides_on_behalf_of_who_has_left(house: House) -> None:
    await house.publish(one(Ballot("r", approver="user:bob")))
    await delegate(house, "bob", "erin")
    flow = await house.begun("alice", "one", {})
    await leaves(house, "bob")
    response = await house.decide("erin", flow.task)
    assert response.status_code == 403
    assert "bob has left" in response.text


async def test_who_was_fixed_could_not_approve_it_and_has_left(house: House) -> None:
    """A task that was moved up for the amount rests on who was fixed; found once, and not for ever."""
    inputs: dict[str, Json] = {"amount": 10}
    limit = PersonRow("carol", "Carol Diaz", limits={"EUR": Decimal(1000)})
    await house.import_org((limit,), ())
    ballot = Ballot("r", approver="user:bob", authority=Authority("amount", "'EUR'"))
    recipe = one(ballot, resolve="at_submit", implied=("amount",))
    await house.publish(recipe)
    flow = await house.begun("alice", "one", inputs)
    assert flow.state.tasks[0].assignment.user == "carol"
    await leaves(house, "bob")
    await carry(house, flow)
    assert flow.state.tasks[0].assignment.user == "carol"
    assert await found(house) == set()
    await house.import_org((PersonRow("bob", "Bob Tanaka", manager="carol"),), ())
    await carry(house, flow)
    assert await found(house) == set()
