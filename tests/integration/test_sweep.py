"""Open tasks that the directory would not give to whom they were given any more are found, and no
others; once at the change itself, and again by the sweep for as long as nothing came of it."""

import asyncio
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.sweep import Sweeping
from recipes.model import ApprovalStep, Ballot, Recipe
from storage import org, sweep
from storage.org import PersonRow, RoleRow
from storage.sweep import Touched
from tests.integration.delegating import delegate, end, soon
from tests.integration.house import House, Workflow, shared
from tests.integration.sweeping import found, swept, tasks_of, told

BOB_LEFT = (PersonRow("bob", "Bob Tanaka", "bob@example.org", "carol", left=True),)
BOB = (PersonRow("bob", "Bob Tanaka", "bob@example.org", "carol"),)


def leave_by(reference: str, **changes: Any) -> Recipe:
    """The recipe `by`: one person for `reference` decides."""
    ballot = Ballot("who", approver=reference, **changes)
    return Recipe("by", 1, (ApprovalStep("who", (ballot,)),))


@pytest.fixture
async def flow(house: House) -> Workflow:
    """alice's request, waiting for bob."""
    return await house.begun()


async def test_nothing_is_stale_while_nothing_changes(house: House, flow: Workflow) -> None:
    await house.begun(workflow="shared", inputs={})
    await house.import_org()
    assert await told(house.pool) == []
    assert await found(house) == set()
    assert flow.task


async def test_whoever_leaves_is_told_of_in_the_same_transaction(
    house: House, flow: Workflow
) -> None:
    await house.import_org(BOB_LEFT, ())
    [message] = await told(house.pool)
    assert message.task_ids == (flow.task,)
    employed = await house.pool.fetchval("SELECT upper(employed) FROM people WHERE id = 'bob'")
    assert message.at == employed
    assert await house.pool.fetchval("SELECT rechecked_at FROM tasks") == employed


async def test_what_was_told_is_told_again_after_five_minutes(house: House, flow: Workflow) -> None:
    await house.import_org(BOB_LEFT, ())
    assert tasks_of(await told(house.pool)) == {flow.task}
    assert await swept(house) == set()
    await house.pool.execute("UPDATE tasks SET rechecked_at = rechecked_at - interval '6 minutes'")
    assert await swept(house) == {flow.task}
    assert await swept(house) == set()


async def test_what_changed_since_is_told_at_once(house: House, flow: Workflow) -> None:
    await house.import_org(BOB_LEFT, ())
    await house.import_org(BOB, ())
    assert await found(house) == set()
    await told(house.pool)
    await house.import_org(BOB_LEFT, ())
    assert tasks_of(await told(house.pool)) == {flow.task}


async def test_a_delegation_begins_and_ends(house: House, flow: Workflow) -> None:
    given = await delegate(house, "bob", "dave")
    assert tasks_of(await told(house.pool)) == {flow.task}
    assert await found(house) == {flow.task}
    await end(house, "bob", given)
    assert await found(house) == set()


async def test_a_delegation_that_is_to_begin_is_noticed_when_it_does(
    house: House, flow: Workflow
) -> None:
    await delegate(house, "bob", "dave", from_=soon())
    assert await told(house.pool) == []
    assert await found(house) == set()
    later = await house.pool.fetchval("SELECT now() + interval '2 hours'")
    row = await house.pool.fetchrow(sweep.SWEEP, later)
    assert row is not None
    assert (row["requests"], row["tasks"]) == (1, 1)
    assert tasks_of(await told(house.pool)) == {flow.task}


@pytest.mark.parametrize("scope", ["workflow:shared", "role:hr"])
async def test_a_delegation_of_another_scope(house: House, flow: Workflow, scope: str) -> None:
    await delegate(house, "bob", "dave", scope=scope)
    assert flow.task
    assert await found(house) == set()


async def test_a_delegate_has_it_until_the_delegation_ends(house: House) -> None:
    given = await delegate(house, "bob", "dave")
    flow = await house.begun()
    assert await found(house) == set()
    await end(house, "bob", given)
    assert tasks_of(await told(house.pool)) == {flow.task}
    assert await found(house) == {flow.task}


async def test_a_delegation_ends_by_itself(house: House) -> None:
    await delegate(house, "bob", "dave", to_=soon())
    flow = await house.begun()
    assert await found(house) == set()
    later = await house.pool.fetchval("SELECT now() + interval '2 hours'")
    await house.pool.fetchrow(sweep.SWEEP, later)
    assert tasks_of(await told(house.pool)) == {flow.task}


async def test_a_more_specific_delegation(house: House) -> None:
    await delegate(house, "bob", "dave")
    flow = await house.begun()
    await delegate(house, "bob", "erin", scope="role:hr")
    assert await found(house) == set()
    await delegate(house, "bob", "erin", scope="workflow:leave")
    assert tasks_of(await told(house.pool)) == {flow.task}
    assert await found(house) == {flow.task}


async def test_a_delegate_of_a_delegate_and_those_between(house: House) -> None:
    await delegate(house, "bob", "dave")
    further = await delegate(house, "dave", "erin")
    flow = await house.begun()
    await house.import_org((PersonRow("dave", "Dave", manager="carol", left=True),), ())
    assert await found(house) == {flow.task}
    await house.import_org((PersonRow("dave", "Dave", manager="carol"),), ())
    assert await found(house) == set()
    await end(house, "dave", further)
    assert await found(house) == {flow.task}


async def test_the_delegate_who_is_the_requester_is_passed_over_only_so_long(house: House) -> None:
    """bob's delegate is alice herself, so carol is asked; when bob is back, it is his."""
    given = await delegate(house, "bob", "alice")
    flow = await house.begun()
    assert flow.state.tasks[0].assignment.user == "carol"
    assert await found(house) == set()
    await end(house, "bob", given)
    assert tasks_of(await told(house.pool)) == {flow.task}
    assert await found(house) == {flow.task}


async def test_a_role_changes_hands(house: House) -> None:
    await house.publish(leave_by("role:hr"))
    first = await house.begun(workflow="by")
    second = await house.begun(workflow="by")
    holders = [flow.state.tasks[0].assignment.user for flow in (first, second)]
    assert sorted(map(str, holders)) == ["dave", "erin"]
    flows = dict(zip(holders, (first, second), strict=True))
    await house.import_org((), (RoleRow("hr", ("erin", "frank")),))
    assert tasks_of(await told(house.pool)) == {flows["dave"].task}
    assert await found(house) == {flows["dave"].task}


async def test_everybody_was_away_and_somebody_is_back(house: House) -> None:
    await house.publish(leave_by("role:hr"))
    given = {name: await delegate(house, name, "frank") for name in ("dave", "erin")}
    flow = await house.begun(workflow="by")
    holder = flow.state.tasks[0].assignment.on_behalf_of
    [other] = {"dave", "erin"} - {holder}
    assert await found(house) == set()
    await end(house, other, given[other])
    assert tasks_of(await told(house.pool)) == {flow.task}
    assert await found(house) == {flow.task}


async def test_a_shared_task_is_stale_when_nobody_can_decide_it(house: House) -> None:
    await house.publish(shared("role:house", workflow="housed"))
    flow = await house.begun(workflow="housed", inputs={})
    own = await house.begun("frank", workflow="shared", inputs={})
    assert await found(house) == set()
    gone = PersonRow("frank", "Frank Weber", manager="carol", left=True)
    await house.import_org((gone,), ())
    assert tasks_of(await told(house.pool)) == {flow.task}
    assert await found(house) == {flow.task}
    everybody = tuple(
        PersonRow(name, name, manager="carol", left=True) for name in ("bob", "dave", "erin")
    )
    await house.import_org(everybody, ())
    assert await found(house) == {flow.task, own.task}


async def test_a_seat_with_an_incident_waits_for_people(house: House, flow: Workflow) -> None:
    await house.pool.execute(
        "UPDATE requests SET incidents = $1", [{"kind": "NoApproverFound", "seat": "other"}]
    )
    await house.import_org(BOB_LEFT, ())
    assert await found(house) == {flow.task}
    await house.pool.execute(
        "UPDATE requests SET incidents = $1", [{"kind": "NoApproverFound", "seat": "manager"}]
    )
    assert await found(house) == set()


async def test_many_at_once_are_looked_for_among_all(house: House, flow: Workflow) -> None:
    many = tuple(PersonRow(f"p{n}", f"P{n}") for n in range(sweep.FEW + 1))
    await house.import_org((*many, *BOB_LEFT), ())
    assert tasks_of(await told(house.pool)) == {flow.task}


async def test_more_than_a_batch_is_told_in_several(
    house: House, flow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows = [flow, *[await house.begun() for _ in range(4)]]
    await house.import_org(BOB_LEFT, ())
    await told(house.pool)
    await house.pool.execute("UPDATE tasks SET rechecked_at = NULL")
    monkeypatch.setattr(sweep, "BATCH", 2)
    monkeypatch.setattr(sweep, "SWEEP", sweep.SWEEP.replace("LIMIT 2000", "LIMIT 2"))
    rounds = [await sweep.sweep(house.pool) for _ in range(4)]
    assert [(one.tasks, one.more) for one in rounds] == [
        (2, True),
        (2, True),
        (1, False),
        (0, False),
    ]
    assert tasks_of(await told(house.pool)) == {one.task for one in flows}


async def test_the_activity_tells_of_all_and_counts_them(house: House, flow: Workflow) -> None:
    sweeping = Sweeping(house.pool)
    await house.import_org(BOB_LEFT, ())
    assert await ActivityEnvironment().run(sweeping.sweep) == 0
    await house.pool.execute("UPDATE tasks SET rechecked_at = NULL")
    assert await ActivityEnvironment().run(sweeping.sweep) == 1
    assert tasks_of(await told(house.pool)) == {flow.task}


# --- at the same time ----------------------------------------------------------------------------


async def test_two_sweeps_at_once_tell_each_request_once(house: House) -> None:
    flows = [await house.begun() for _ in range(20)]
    await house.import_org(BOB_LEFT, ())
    await told(house.pool)
    await house.pool.execute("UPDATE tasks SET rechecked_at = NULL")
    results = await asyncio.gather(*(sweep.sweep(house.pool) for _ in range(4)))
    assert sum(one.tasks for one in results) == len(flows)
    messages = await told(house.pool)
    assert sorted(task for message in messages for task in message.task_ids) == sorted(
        flow.task for flow in flows
    )


async def test_a_task_that_is_being_decided_is_not_waited_for(house: House, flow: Workflow) -> None:
    async with house.pool.acquire() as deciding, deciding.transaction():
        await deciding.execute("UPDATE tasks SET state = 'decided', closed_at = now()")
        async with asyncio.timeout(5):
            await house.import_org(BOB_LEFT, ())
    assert await told(house.pool) == []
    assert await found(house) == set()
    assert flow.task


async def test_the_departed_cannot_decide_before_the_workflow_has_heard(
    house: House, flow: Workflow
) -> None:
    await house.import_org(BOB_LEFT, ())
    response = await house.decide("bob", flow.task)
    assert response.status_code in (403, 404), response.text
    assert tasks_of(await told(house.pool)) == {flow.task}


async def test_a_task_opened_for_somebody_who_has_just_left_is_found_by_the_next_sweep(
    house: House,
) -> None:
    """The directory was asked before bob left, the task is written after it."""
    flow = await house.begun()
    async with house.pool.acquire() as late, late.transaction():
        await late.execute("UPDATE tasks SET digest = digest")
        await house.import_org(BOB_LEFT, ())
        assert await told(house.pool) == []
    assert await swept(house) == {flow.task}


async def test_two_changes_at_once_are_both_seen(house: House, flow: Workflow) -> None:
    """Each waits for the other's end, so whichever is second sees what the first has done."""
    other = await house.begun("dave")  # carol's
    carol = PersonRow("carol", "Carol Diaz", left=True)
    await asyncio.gather(
        house.import_org(BOB_LEFT, ()),
        house.import_org((carol,), ()),
        delegate(house, "erin", "dave"),
    )
    assert tasks_of(await told(house.pool)) == {flow.task, other.task}


async def test_many_decisions_and_sweeps_at_once_do_not_lock_each_other_out(house: House) -> None:
    flows = [await house.begun() for _ in range(40)]

    async def sweeps() -> None:
        for _ in range(10):
            await house.pool.execute("UPDATE tasks SET rechecked_at = NULL WHERE state = 'open'")
            await sweep.sweep(house.pool)

    given = await delegate(house, "carol", "erin")
    answers = await asyncio.gather(*(house.decide("bob", flow.task) for flow in flows), sweeps())
    assert {answer.status_code for answer in answers if answer is not None} == {200}
    assert given


async def test_a_change_that_is_rolled_back_tells_nobody(house: House, flow: Workflow) -> None:
    async with house.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        at = await org.lock(connection)
        await connection.execute(
            "UPDATE people SET employed = employed * tstzmultirange(tstzrange(NULL, $1)) WHERE id = 'bob'",
            at,
        )
        result = await sweep.sweep_touched(connection, at, Touched(("bob",)))
        assert result.tasks == 1
        await transaction.rollback()
    assert await told(house.pool) == []
    assert await found(house) == set()
    assert flow.task
