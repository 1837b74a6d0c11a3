"""What comes of a sweep once workflows have heard: the old task is reassigned, the new one has its chain
and keeps the time that was left. Through the real activity."""

from collections.abc import Sequence
from typing import Any

import pytest

from recipes.happenings import Decided
from recipes.model import ApprovalStep, Ballot, Level, Quorum, Recipe, Reminder
from storage.org import PersonRow, RoleRow
from tests.integration.delegating import delegate, end, rules
from tests.integration.house import House, Workflow, shared
from tests.integration.sweeping import carry, found, told

BOB = PersonRow("bob", "Bob Tanaka", manager="carol")
BOB_LEFT = PersonRow("bob", "Bob Tanaka", manager="carol", left=True)


@pytest.fixture
async def flow(house: House) -> Workflow:
    """alice's request, waiting for bob."""
    return await house.begun()


def who(flow: Workflow) -> tuple[str | None, str | None]:
    """Whose the only open task is, and on whose behalf."""
    [task] = flow.state.tasks
    return task.assignment.user, task.assignment.on_behalf_of


async def states(house: House, flow: Workflow) -> list[tuple[Any, ...]]:
    rows = await house.pool.fetch(
        "SELECT assignee, state FROM tasks WHERE request_id = $1::text::uuid ORDER BY opened_at, closed_at NULLS LAST",
        flow.state.request_id,
    )
    return [tuple(row) for row in rows]


async def moved(house: House, *flows: Workflow) -> None:
    """Carried on, there is nothing left to find."""
    await carry(house, *flows)
    assert await found(house) == set()


async def test_whoever_leaves(house: House, flow: Workflow) -> None:
    before = flow.state.tasks[0]
    await house.import_org((BOB_LEFT,), ())
    await moved(house, flow)
    after = flow.state.tasks[0]
    assert who(flow) == ("carol", None)
    assert rules(after.assignment.chain)[-2:] == [("has_left", "bob"), ("manager", "carol")]
    assert (after.due_at, after.remind_at, after.level) == (before.due_at, before.remind_at, 0)
    assert await states(house, flow) == [("bob", "reassigned"), ("carol", "open")]
    assert (await house.decide("bob", before.id)).status_code in (403, 404, 409)
    assert (await house.decide("carol", after.id)).status_code == 200


async def test_whoever_leaves_and_comes_back(house: House, flow: Workflow) -> None:
    await house.import_org((BOB_LEFT,), ())
    await moved(house, flow)
    await house.import_org((BOB,), ())
    await moved(house, flow)
    assert who(flow) == ("bob", None)


async def test_there_and_back_before_anybody_heard(house: House, flow: Workflow) -> None:
    await house.import_org((BOB_LEFT,), ())
    await house.import_org((BOB,), ())
    task = flow.task
    await moved(house, flow)
    assert flow.task == task


async def test_away_and_back_early(house: House, flow: Workflow) -> None:
    given = await delegate(house, "bob", "dave")
    await moved(house, flow)
    assert who(flow) == ("dave", "bob")
    await end(house, "bob", given)
    assert (await house.decide("dave", flow.task)).status_code == 403
    await moved(house, flow)
    assert who(flow) == ("bob", None)
    assert (await house.decide("bob", flow.task)).status_code == 200


async def test_another_delegation_to_the_same_person(house: House, flow: Workflow) -> None:
    """A task rests on the delegation it was given by: with that one gone it could not be decided."""
    first = await delegate(house, "bob", "dave")
    await moved(house, flow)
    await end(house, "bob", first)
    await delegate(house, "bob", "dave")
    await moved(house, flow)
    assert who(flow) == ("dave", "bob")
    assert (await house.decide("dave", flow.task)).status_code == 200


async def test_a_role_changes_hands(house: House) -> None:
    recipe = Recipe("by", 1, (ApprovalStep("who", (Ballot("who", approver="role:hr"),)),))
    await house.publish(recipe)
    flows = [await house.begun(workflow="by") for _ in range(4)]
    kept = [one.task for one in flows if who(one)[0] == "erin"]
    await house.import_org((), (RoleRow("hr", ("erin", "frank")),))
    await moved(house, *flows)
    assert {who(one)[0] for one in flows} <= {"erin", "frank"}
    assert set(kept) <= {one.task for one in flows}


async def test_nobody_is_left_and_people_are_needed(house: House) -> None:
    await house.publish(shared("role:house", workflow="housed"))
    flow = await house.begun(workflow="housed", inputs={})
    await house.import_org((PersonRow("frank", "Frank", manager="carol", left=True),), ())
    await moved(house, flow)
    [incident] = flow.state.incidents
    assert incident.kind == "NoApproverFound"
    assert flow.state.tasks


async def test_a_decision_that_was_first_counts(house: House, flow: Workflow) -> None:
    """bob goes away, and decides before his workflow has heard of it."""
    await delegate(house, "bob", "dave")
    [message] = await told(house.pool)
    assert (await house.decide("bob", flow.task)).status_code == 200
    result = await flow.befall(message)
    [decided] = result.lost
    assert isinstance(decided, Decided)
    await flow.befall(decided)
    assert flow.state.state == "approved"
    await flow.befall(message)
    assert await states(house, flow) == [("bob", "decided")]


async def test_told_twice_it_counts_once(house: House, flow: Workflow) -> None:
    await house.import_org((BOB_LEFT,), ())
    [message] = await told(house.pool)
    await flow.befall(message)
    task = flow.task
    await flow.befall(message)
    assert flow.task == task


async def test_an_escalated_task_stays_with_the_question_it_came_by(
    house: House, flow: Workflow
) -> None:
    due = flow.state.tasks[0].due_at
    assert due is not None
    await flow.tick(due)
    assert who(flow) == ("carol", None)
    await delegate(house, "carol", "erin")
    await moved(house, flow)
    assert who(flow) == ("erin", "carol")
    assert flow.state.tasks[0].level == 1


async def test_branches_move_each_for_itself(house: House) -> None:
    await house.publish(_two("two", ("user:dave", "user:erin")))
    flow = await house.begun(workflow="two")
    before = {task.seat: task.id for task in flow.state.tasks}
    await delegate(house, "dave", "frank")
    await moved(house, flow)
    after = {task.seat: task for task in flow.state.tasks}
    assert after["both/b1"].id == before["both/b1"]
    assert after["both/b0"].assignment.user == "frank"
    assert after["both/b0"].remind_at
    # erin's delegate would have two seats: people are needed, and erin's task stays.
    await delegate(house, "erin", "frank")
    await moved(house, flow)
    assert [incident.seat for incident in flow.state.incidents] == ["both/b1"]


def _two(workflow: str, approvers: Sequence[str]) -> Recipe:
    ballots = tuple(
        Ballot(f"b{n}", approver=one, levels=(Level(7200, "escalate"),), remind=(Reminder(3600),))
        for n, one in enumerate(approvers)
    )
    step = ApprovalStep("both", ballots, Quorum("all"), type="parallel")
    return Recipe(workflow, 1, (step,))


async def test_the_manager_of_the_moment_is_asked(house: House, flow: Workflow) -> None:
    """alice has another manager from the day her old one leaves."""
    alice = PersonRow("alice", "Alice Moreau", manager="dave")
    await house.import_org((alice,), ())
    assert await found(house) == set()
    await house.import_org((BOB_LEFT,), ())
    await moved(house, flow)
    assert who(flow) == ("dave", None)
