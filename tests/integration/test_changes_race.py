"""What leads back at the same instant as something else: one of them wins, and no 200 is forgotten."""

import asyncio
import random
from typing import Any

import pytest

from recipes.model import Json
from tests.integration.carried import Carried
from tests.integration.house import House
from tests.integration.test_changes import INPUTS, offer, resubmit, shown, task_of

ROUNDS = 40


async def begun(house: House) -> Carried:
    return Carried(house, await house.begun("alice", "offer", INPUTS))


@pytest.fixture
async def offers(house: House) -> House:
    await house.publish(offer())
    return house


async def soon(call: Any, head_start: bool = True) -> Any:
    await asyncio.sleep(random.random() * 0.004 + (0 if head_start else 0.02))
    return await call


async def at_the_money(house: House) -> Carried:
    carried = await begun(house)
    assert (await house.decide("bob", task_of(carried.flow, "bob"))).status_code == 200
    await carried.settled()
    return carried


def cancel(house: House, carried: Carried) -> Any:
    return house.post(f"/v1/requests/{carried.flow.state.request_id}/cancel", "alice")


async def test_a_cancellation_and_the_final_decision(offers: House) -> None:
    ends: dict[str, int] = {}
    for number in range(ROUNDS):
        carried = await at_the_money(offers)
        dave, carol = (task_of(carried.flow, who) for who in ("dave", "carol"))
        assert (await offers.decide("carol", carol)).status_code == 200
        cancelled, decided = await asyncio.gather(
            soon(cancel(offers, carried), number % 4 != 0),
            soon(offers.decide("dave", dave), number % 4 != 1),
        )
        request = await shown(offers, carried)
        ends[request["state"]] = ends.get(request["state"], 0) + 1
        assert (cancelled.status_code == 200) == (request["state"] == "cancelled")
        assert cancelled.status_code in (200, 409)
        [task] = [task for task in request["tasks"] if task["id"] == dave]
        assert (decided.status_code == 200) == (task["state"] == "decided")
        if request["state"] == "approved":
            assert decided.status_code == 200
        assert request["waiting_for"] == []
        await carried.ended()
    assert set(ends) == {"approved", "cancelled"}


async def test_a_resubmission_and_a_cancellation(offers: House) -> None:
    for _ in range(ROUNDS):
        carried = await begun(offers)
        task = task_of(carried.flow, "bob")
        await offers.decide("bob", task, "request_changes", comment="no")
        await carried.settled()
        again, cancelled = await asyncio.gather(
            soon(resubmit(offers, carried, item="oven")), soon(cancel(offers, carried))
        )
        request = await shown(offers, carried)
        # Whether or not it came in again before, it is cancelled after it.
        assert (cancelled.status_code, request["state"]) == (200, "cancelled")
        assert again.status_code in (200, 409)
        came_in = request["inputs"]["item"] == "oven"
        assert len(request["revisions"]) == 1 + came_in
        assert came_in == (again.status_code == 200)
        await carried.ended()


async def test_two_resubmissions(offers: House) -> None:
    for _ in range(ROUNDS):
        carried = await begun(offers)
        task = task_of(carried.flow, "bob")
        await offers.decide("bob", task, "request_changes", comment="no")
        await carried.settled()
        both = await asyncio.gather(
            *(soon(resubmit(offers, carried, item=item)) for item in ("oven", "desk"))
        )
        request = await shown(offers, carried)
        assert sorted(answer.status_code for answer in both) == [200, 409]
        won = "oven" if both[0].status_code == 200 else "desk"
        assert (request["inputs"]["item"], len(request["revisions"])) == (won, 2)
        assert [it["assignee"] for it in request["tasks"] if it["state"] == "open"] == ["bob"]
        await carried.ended()


@pytest.mark.parametrize("sibling", ["approve", "reject"])
async def test_a_decision_and_changes_requested_beside_it(offers: House, sibling: str) -> None:
    more: dict[str, Json] = {"reason": "dear"} if sibling == "reject" else {}
    seen: set[tuple[int, str]] = set()
    for _ in range(ROUNDS):
        carried = await at_the_money(offers)
        dave, carol = (task_of(carried.flow, who) for who in ("dave", "carol"))
        back = {"comment": "no"}
        asked, decided = await asyncio.gather(
            soon(offers.decide("carol", carol, "request_changes", **back)),
            soon(offers.decide("dave", dave, sibling, **more)),
        )
        request = await shown(offers, carried)
        seen.add((asked.status_code, request["state"]))
        tasks = {task["id"]: task["state"] for task in request["tasks"]}
        assert (decided.status_code == 200) == (tasks[dave] == "decided")
        assert (asked.status_code == 200) == (tasks[carol] == "decided")
        if asked.status_code == 200:
            assert request["state"] == "rewound"
        else:
            assert (sibling, request["state"]) == ("reject", "rejected")
        await carried.ended()
    assert (200, "rewound") in seen


async def test_two_who_request_changes(offers: House) -> None:
    both_counted = 0
    for number in range(10 * ROUNDS):
        if number >= ROUNDS and both_counted:
            break
        carried = await at_the_money(offers)
        dave, carol = (task_of(carried.flow, who) for who in ("dave", "carol"))
        here, home = await asyncio.gather(
            soon(offers.decide("dave", dave, "request_changes", comment="here", to="money")),
            soon(offers.decide("carol", carol, "request_changes", comment="home")),
        )
        request = await shown(offers, carried)
        assert 200 in (here.status_code, home.status_code)
        # What leads further back counts, whoever was first; but for whom it was too late.
        furthest = "rewound" if home.status_code == 200 else "pending"
        assert request["state"] == furthest
        both_counted += here.status_code == home.status_code == 200
        opened = [it["assignee"] for it in request["tasks"] if it["state"] == "open"]
        assert sorted(opened) == ([] if furthest == "rewound" else ["carol", "dave"])
        await carried.ended()
    assert both_counted
