"""Shared tasks: delegates of members see and decide them, and whom the recipe wants to be others do not."""

import asyncio
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from recipes.model import ApprovalStep, Ballot, Quorum, Recipe
from storage.org import PersonRow, RoleRow
from storage.pool import Pool
from tests.integration.delegating import delegate, delegated, end, row_of, soon
from tests.integration.house import House, Workflow, shared


async def _inbox(house: House, who: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await house.get("/v1/tasks", who)).json()["items"]
    return items


async def test_a_delegate_sees_and_decides_for_a_member(house: House) -> None:
    await delegate(house, "dave", "frank")
    flow = await house.begun("alice", "shared", {})
    for who, behalf in (("dave", None), ("erin", None), ("frank", "dave")):
        [item] = await _inbox(house, who)
        assert (item["assignee"], item["on_behalf_of"], item["via"]) == (None, behalf, [])
        one = (await house.get(f"/v1/tasks/{flow.task}", who)).json()
        assert ("decide" in one.pop("may"), one.pop("why_not")) == (True, None)
        assert {**item, "inputs": {}} == one
    path = f"/v1/requests/{flow.state.request_id}"
    assert (await house.get(path, "frank")).status_code == 200
    assert len((await house.get("/v1/requests", "frank")).json()["items"]) == 1
    response = await house.decide("frank", flow.task)
    assert response.status_code == 200, response.text
    made = response.json()["decision"]
    assert (made["user"], made["role"], made["on_behalf_of"], made["via"]) == (
        "frank",
        "hr",
        "dave",
        [],
    )
    events = (await house.get(f"{path}/events", "alice")).json()["items"]
    assert events[-1]["actor"] == {
        "user": "frank",
        "role": "hr",
        "on_behalf_of": "dave",
        "via": [],
    }
    late = await house.decide("dave", flow.task)
    assert (late.status_code, late.json()["winner"]["user"]) == (409, "frank")
    assert (await house.decide("frank", flow.task)).status_code == 200


async def test_one_after_the_other_and_only_the_last(house: House) -> None:
    await delegate(house, "dave", "frank")
    made = await delegate(house, "frank", "carol")
    flow = await house.begun("alice", "shared", {})
    assert await _inbox(house, "frank") == []
    assert (await house.decide("frank", flow.task)).status_code == 404
    [item] = await _inbox(house, "carol")
    assert (item["on_behalf_of"], item["via"]) == ("dave", ["frank"])
    await end(house, "frank", made)
    assert await _inbox(house, "carol") == []
    assert (await house.decide("carol", flow.task)).status_code == 404
    decision = (await house.decide("frank", flow.task)).json()["decision"]
    assert (decision["on_behalf_of"], decision["via"]) == ("dave", [])


async def test_own_membership_comes_first_and_then_the_first_member(house: House) -> None:
    await delegate(house, "dave", "erin")
    await delegate(house, "bob", "frank")
    flow = await house.begun("alice", "shared", {})
    [item] = await _inbox(house, "erin")
    assert item["on_behalf_of"] is None
    # By name in the pool, so by no role; before dave's, which is by hr.
    await delegate(house, "dave", "frank", scope="workflow:shared")
    assert [item["on_behalf_of"] for item in await _inbox(house, "frank")] == ["bob"]
    decision = (await house.decide("frank", flow.task)).json()["decision"]
    assert (decision["role"], decision["on_behalf_of"]) == (None, "bob")


async def test_scopes_count_for_each_task_and_principal(house: House) -> None:
    await house.publish(shared("role:hr", "user:dave", workflow="named"))
    await delegate(house, "dave", "carol", scope="role:hr")
    flow = await house.begun("alice", "named", {})
    assert [item["id"] for item in await _inbox(house, "carol")] == [flow.task]
    await delegate(house, "dave", "frank", scope="workflow:named")
    # The workflow's counts before the role's.
    assert await _inbox(house, "carol") == []
    assert [item["id"] for item in await _inbox(house, "frank")] == [flow.task]
    decision = (await house.decide("frank", flow.task)).json()["decision"]
    assert (decision["role"], decision["on_behalf_of"]) == (None, "dave")


@pytest.mark.parametrize("length", [5, 6])
async def test_five_are_followed_and_six_are_not(house: House, length: int) -> None:
    names = "tuvwxyz"[: length + 1]
    await row_of(house, names)
    await house.publish(shared("user:t", workflow="deep"))
    for one, other in pairwise(names):
        await delegate(house, one, other)
    flow = await house.begun("alice", "deep", {})
    expected = [flow.task] if length == 5 else []
    assert [item["id"] for item in await _inbox(house, names[-1])] == expected
    status = 200 if length == 5 else 404
    assert (await house.decide(names[-1], flow.task)).status_code == status


async def test_circles_leaving_and_times_to_come(house: House) -> None:
    await delegate(house, "dave", "frank", from_=soon())
    flow = await house.begun("alice", "shared", {})
    assert await _inbox(house, "frank") == []
    await delegated(house, "erin", "carol")
    await delegated(house, "carol", "erin")
    assert await _inbox(house, "carol") == []
    await delegate(house, "bob", "frank")
    assert len(await _inbox(house, "frank")) == 1
    # A member who left, and a delegate who did.
    await house.import_org((PersonRow("bob", "Bob Tanaka", manager="carol", left=True),), ())
    assert await _inbox(house, "frank") == []
    assert (await house.decide("frank", flow.task)).status_code == 404


async def test_not_for_the_requester_nor_by_them(house: House) -> None:
    await delegate(house, "dave", "frank")
    await delegate(house, "erin", "alice")
    mine = await house.begun("dave", "shared", {})
    assert await _inbox(house, "frank") == []
    assert (await house.decide("frank", mine.task)).status_code == 404
    theirs = await house.begun("alice", "shared", {})
    assert [item["id"] for item in await _inbox(house, "alice")] == [mine.task]
    refused = await house.decide("alice", theirs.task)
    assert refused.json()["detail"] == "nobody decides their own request"


# --- two-person rules ----------------------------------------------------------------------------


def _twice() -> Recipe:
    first = Ballot("first", candidates=("role:hr",))
    second = Ballot("second", candidates=("role:hr", "user:bob"), not_same_as=("first",))
    third = Ballot("third", approver="user:carol", not_same_as=("first",))
    steps = tuple(ApprovalStep(ballot.id, (ballot,)) for ballot in (first, second, third))
    return Recipe("twice", 1, steps)


async def _after_first(house: House, admin_pool: Pool, who: str, *excluded: str) -> Workflow:
    """A request at its second step; `who` decided the first one."""
    await house.publish(_twice())
    flow = await house.begun("alice", "twice", {})
    assert (await house.decide(who, flow.task)).status_code == 200
    await flow.befall(house.delivery.signals[-1][1])  # type: ignore[arg-type]
    await _exclude(admin_pool, flow, *excluded)
    return flow


async def _exclude(admin_pool: Pool, flow: Workflow, *people: str) -> None:
    await admin_pool.execute(
        "UPDATE tasks SET excluded = $2 WHERE id = $1", UUID(flow.task), people
    )


async def test_who_decided_before_does_not_decide_again(house: House, admin_pool: Pool) -> None:
    await delegate(house, "dave", "frank")
    flow = await _after_first(house, admin_pool, "dave", "dave")
    assert await _inbox(house, "dave") == []
    assert await _inbox(house, "frank") == []
    refused = await house.decide("dave", flow.task)
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "you decided step first before: this needs somebody else",
    )
    assert (await house.get(f"/v1/tasks/{flow.task}", "dave")).status_code == 200
    # Frank might have decided the first step for dave: the request is no secret to him.
    assert (await house.decide("frank", flow.task)).status_code == 403
    assert len(await _inbox(house, "erin")) == 1
    # Somebody else's delegate is one of those excluded, too.
    await delegate(house, "bob", "dave")
    assert await _inbox(house, "dave") == []
    assert (await house.decide("dave", flow.task)).status_code == 403
    assert (await house.decide("erin", flow.task)).status_code == 200


async def test_who_was_decided_for_before_is_excluded_as_well(
    house: House, admin_pool: Pool
) -> None:
    await delegate(house, "dave", "frank")
    flow = await _after_first(house, admin_pool, "frank", "frank", "dave")
    for who in ("dave", "frank"):
        refused = await house.decide(who, flow.task)
        assert refused.status_code == 403
        assert refused.json()["detail"].startswith("you decided step first before")
        assert await _inbox(house, who) == []


async def test_an_assignee_who_decided_before(house: House, admin_pool: Pool) -> None:
    made = await delegate(house, "dave", "frank")
    flow = await _after_first(house, admin_pool, "dave")
    await _exclude(admin_pool, flow, "carol")
    assert (await house.decide("erin", flow.task)).status_code == 200
    await flow.befall(house.delivery.signals[-1][1])  # type: ignore[arg-type]
    third = str(await house.pool.fetchval("SELECT id FROM tasks WHERE state = 'open'"))
    for who, behalf, told in (("frank", "dave", "dave"), ("dave", None, "you")):
        await admin_pool.execute(
            "UPDATE tasks SET assignee = $2, on_behalf_of = $3, delegations = $4,"
            " excluded = '{dave}' WHERE id = $1",
            UUID(third),
            who,
            behalf,
            [UUID(made)] if behalf else [],
        )
        refused = await house.decide(who, third)
        assert refused.status_code == 403
        detail = f"{told} decided step first before: this needs somebody else"
        assert refused.json()["detail"] == detail


# --- several approvals are several people's ---------------------------------------------------------


def _parts(quorum: Quorum, *ballots: Ballot) -> Recipe:
    return Recipe("parts", 1, (ApprovalStep("parts", ballots, quorum, type="parallel"),))


def _tasks(flow: Workflow) -> dict[str, str]:
    """Ids of open tasks by branch."""
    return {task.seat.rpartition("/")[2]: task.id for task in flow.state.tasks}


_POOLS = (Ballot("a", candidates=("role:hr",)), Ballot("b", candidates=("role:hr", "user:bob")))


async def test_nobody_decides_two_parts(house: House) -> None:
    await house.publish(_parts(Quorum("all"), *_POOLS))
    flow = await house.begun("alice", "parts", {})
    tasks = _tasks(flow)
    assert {item["id"] for item in await _inbox(house, "dave")} == set(tasks.values())
    assert (await house.decide("dave", tasks["a"])).status_code == 200
    refused = await house.decide("dave", tasks["b"])
    assert refused.status_code == 403
    assert "already have another part of this step" in refused.json()["detail"]
    assert await _inbox(house, "dave") == []
    assert (await house.decide("dave", tasks["a"])).status_code == 200  # the same again
    # Nor does anybody for dave.
    await delegate(house, "dave", "frank")
    assert await _inbox(house, "frank") == []
    assert (await house.decide("erin", tasks["b"])).status_code == 200


async def test_who_is_asked_in_person_leaves_the_rest_to_others(house: House) -> None:
    own = Ballot("own", approver="user:dave")
    await house.publish(_parts(Quorum("all"), own, *_POOLS[1:]))
    flow = await house.begun("alice", "parts", {})
    tasks = _tasks(flow)
    assert [item["id"] for item in await _inbox(house, "dave")] == [tasks["own"]]
    assert (await house.decide("dave", tasks["b"])).status_code == 403
    assert (await house.decide("dave", tasks["own"])).status_code == 200


async def test_where_one_approval_is_enough_anybody_may(house: House) -> None:
    own = Ballot("own", approver="user:dave")
    await house.publish(_parts(Quorum("any"), own, *_POOLS[1:]))
    flow = await house.begun("alice", "parts", {})
    tasks = _tasks(flow)
    assert len(await _inbox(house, "dave")) == 2
    assert (await house.decide("dave", tasks["b"])).status_code == 200


async def test_two_parts_at_the_same_instant(house: House) -> None:
    await delegate(house, "erin", "frank")
    await house.publish(_parts(Quorum("all"), *_POOLS))
    for pair in (("dave", "dave"), ("erin", "frank")):
        for _ in range(10):
            flow = await house.begun("alice", "parts", {})
            tries = (
                house.decide(who, task)
                for who, task in zip(pair, _tasks(flow).values(), strict=True)
            )
            found = sorted(answer.status_code for answer in await asyncio.gather(*tries))
            assert found[0] == 200
            assert found[1] in (403, 404), found


async def test_a_task_of_one_approval_waits_in_no_queue(house: House) -> None:
    await house.import_org((), (RoleRow("hr", ("dave",)),))
    flow = await house.begun("alice", "shared", {})
    several = await house.pool.fetchval("SELECT several FROM tasks WHERE id = $1", UUID(flow.task))
    assert several is False
