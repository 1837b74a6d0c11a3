"""Who decides for whom: chains of delegations, their scopes and their ends."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from recipes.asks import AskManager
from storage import resolution
from storage.org import PersonRow, RoleRow
from storage.resolution import About
from tests.integration.delegating import (
    TICK,
    ask,
    asked,
    delegate,
    delegated,
    end,
    put_under,
    refused,
    row_of,
    rules,
    soon,
)
from tests.integration.house import House


async def test_both_ends_of_the_interval(house: House) -> None:
    begins, ends = soon(1), soon(2)
    await delegate(house, "bob", "dave", from_=begins, to_=ends)
    moments = {begins - TICK: "bob", begins: "dave", ends - TICK: "dave", ends: "bob"}
    for at, who in moments.items():
        assert (await asked(house, "bob", at=at)).user == who


async def test_intervals_are_instants_whatever_the_zone(house: House) -> None:
    # Across the end of summer time: the same instants, said in the zones before and after it.
    body = {
        "delegate": "dave",
        "from": "2030-10-27T02:30:00+02:00",
        "to": "2030-10-27T02:30:00+01:00",
    }
    response = await house.post("/v1/org/delegations", "bob", json=body)
    assert response.json()["from"] == "2030-10-27T00:30:00Z"
    assert response.json()["to"] == "2030-10-27T01:30:00Z"
    for minute, who in ((29, "bob"), (30, "dave"), (89, "dave"), (90, "bob")):
        at = datetime(2030, 10, 27, tzinfo=UTC) + timedelta(minutes=minute)
        assert (await asked(house, "bob", at=at)).user == who


async def test_one_after_the_other(house: House) -> None:
    ids = [await delegate(house, "bob", "dave"), await delegate(house, "dave", "erin")]
    given = await asked(house, "bob")
    assert (given.user, given.on_behalf_of, given.via) == ("erin", "bob", ("dave",))
    assert rules(given.chain) == [("person", "bob"), ("delegation", "dave"), ("delegation", "erin")]
    assert [hop.delegation for hop in given.chain[1:]] == ids


@pytest.mark.parametrize("length", [2, 3, 4, 5, 6])
async def test_circles_are_told_with_everybody_in_them(house: House, length: int) -> None:
    names = "uvwxyz"[:length]
    await row_of(house, names + "t")
    for one, other in zip(names, names[1:] + names[0], strict=True):
        await delegated(house, one, other)
    why = await refused(house, "u")
    assert why.kind == "DelegationCycle"
    assert why.detail == f"delegations go in a circle: {' -> '.join([*names, 'u'])}"


async def test_a_circle_further_on(house: House) -> None:
    for one, other in (("bob", "dave"), ("dave", "erin"), ("erin", "dave")):
        await delegated(house, one, other)
    why = await refused(house, "bob")
    assert (why.kind, why.detail) == (
        "DelegationCycle",
        "delegations go in a circle: bob -> dave -> erin -> dave",
    )


async def test_five_are_followed_and_six_are_too_many(house: House) -> None:
    names = "uvwxyzt"
    await row_of(house, names)
    for one, other in pairwise(names):
        await delegate(house, one, other)
    given = await asked(house, "v")
    assert (given.user, given.on_behalf_of, given.via) == ("t", "v", tuple("wxyz"))
    why = await refused(house, "u")
    assert why.kind == "DelegationTooDeep"
    assert (
        why.detail == "more than 5 delegations one after the other: u -> v -> w -> x -> y -> z -> t"
    )


async def test_scopes(house: House) -> None:
    await delegate(house, "dave", "erin", scope="role:hr")
    await delegate(house, "dave", "frank", scope="workflow:leave")
    assert (await asked(house, "user:dave")).user == "frank"
    assert (await asked(house, "user:dave", workflow="shared")).user == "dave"
    await delegate(house, "dave", "bob")
    assert (await asked(house, "user:dave", workflow="shared")).user == "bob"
    assert (await asked(house, "user:dave")).user == "frank"
    # In the role: its own workflow first, then the role, then all.
    await house.import_org((), (RoleRow("hr", ("dave",)),))
    assert (await asked(house, "hr")).user == "frank"
    given = await asked(house, "hr", workflow="shared")
    assert (given.user, given.role, given.on_behalf_of) == ("erin", "hr", "dave")


async def test_a_delegation_to_the_requester_counts_for_nothing(house: House) -> None:
    made = await delegate(house, "bob", "alice")
    given = await asked(house, "bob")
    assert (given.user, given.on_behalf_of, given.via) == ("carol", None, ())
    assert rules(given.chain) == [
        ("person", "bob"),
        ("not_the_requester", "alice"),
        ("manager", "carol"),
    ]
    assert given.chain[1].delegation == made
    # Nor does the requester choose who decides.
    await delegate(house, "alice", "dave")
    assert (await asked(house, "bob")).user == "carol"
    assert (await asked(house, "bob", "frank")).user == "dave"
    # Up the line of whose decision it is, however far the delegations went.
    await end(house, "bob", made)
    await delegate(house, "bob", "frank")
    await delegate(house, "frank", "alice")
    given = await asked(house, "bob")
    assert (given.user, given.on_behalf_of) == ("carol", None)


async def test_a_delegate_who_has_left_counts_for_nothing(house: House) -> None:
    await delegate(house, "bob", "dave")
    await house.import_org((PersonRow("dave", "Dave", manager="carol", left=True),), ())
    given = await asked(house, "bob")
    assert (given.user, given.on_behalf_of) == ("carol", None)
    assert ("has_left", "dave") in rules(given.chain)


async def test_a_manager_who_is_away_too(house: House) -> None:
    await delegate(house, "bob", "alice")
    await delegate(house, "carol", "erin")
    given = await asked(house, "bob")
    assert (given.user, given.on_behalf_of, given.via) == ("erin", "carol", ())
    await delegate(house, "erin", "bob")
    why = await refused(house, "bob")
    assert (why.kind, why.detail) == (
        "DelegationCycle",
        "delegations go in a circle: carol -> erin -> bob",
    )


async def test_nobody_is_left(house: House) -> None:
    await delegate(house, "carol", "alice")
    why = await refused(house, "carol")
    assert (why.kind, why.detail) == ("NoApproverFound", "carol has no manager to ask")
    await delegate(house, "bob", "alice")
    assert (await refused(house, "bob")).detail == "carol has no manager to ask"
    # A circle of lines from before imports refused them: nobody is tried twice.
    await put_under(house, "carol", "bob")
    assert (await refused(house, "bob")).detail == "carol has no manager to ask"


async def test_a_role_passes_over_those_away(house: House) -> None:
    await house.import_org((), (RoleRow("hr", ("bob", "dave", "erin")),))
    made = await delegate(house, "dave", "frank")
    turns = [(await asked(house, "hr")).user for _ in range(4)]
    assert turns == ["bob", "erin", "bob", "erin"]
    # For another workflow alone, dave is here.
    await end(house, "dave", made)
    await delegate(house, "dave", "frank", scope="workflow:shared")
    assert {(await asked(house, "hr")).user for _ in range(3)} == {"bob", "dave", "erin"}
    # Everybody is away: a member's delegate, on their behalf.
    for person in ("bob", "erin"):
        await delegate(house, person, "frank")
    for _ in range(3):
        given = await asked(house, "hr", workflow="shared")
        assert (given.user, given.role) == ("frank", "hr")
        assert given.on_behalf_of in {"bob", "dave", "erin"}


async def test_a_role_whose_only_member_delegated_to_the_requester(house: House) -> None:
    await house.import_org((), (RoleRow("hr", ("dave",)),))
    await delegate(house, "dave", "alice", scope="role:hr")
    given = await asked(house, "hr")
    assert (given.user, given.role) == ("carol", None)


async def test_an_escalation_goes_to_the_manager_or_their_delegate(house: House) -> None:
    await delegate(house, "carol", "frank", scope="workflow:leave")
    for workflow, who in (("leave", "frank"), ("shared", "carol")):
        about = About("alice", workflow, datetime.now(UTC))
        [answer] = await resolution.answers(house.pool, (AskManager("s", "bob"),), about)
        assert answer.assignment is not None
        assert answer.assignment.user == who


async def test_a_task_of_a_delegate_escalates_up_the_line_of_whose_it_is(house: House) -> None:
    await house.import_org((PersonRow("frank", "Frank", manager="erin"),), ())
    await delegate(house, "bob", "frank")
    flow = await house.begun()
    [task] = flow.state.tasks
    assert (task.assignment.user, task.assignment.on_behalf_of) == ("frank", "bob")
    assert task.due_at is not None
    await flow.tick(task.due_at)
    [task] = flow.state.tasks
    assert task.assignment.user == "carol"


async def test_circles_become_incidents_that_can_be_put_right(house: House) -> None:
    made = await delegate(house, "bob", "dave")
    await delegated(house, "dave", "bob")
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}"
    [incident] = (await house.get(path, "alice")).json()["incidents"]
    assert incident["kind"] == "DelegationCycle"
    assert "bob -> dave -> bob" in incident["detail"]
    await end(house, "bob", made)
    assert (await ask(house, "bob")).assignment is not None
