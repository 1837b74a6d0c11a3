"""The inbox narrowed, the counts of it, and filters that people save."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recipes.model import Confidential, Json
from storage.pool import Pool
from tests.integration.house import House, Workflow, leave


async def _titles(house: House, who: str, **query: Json) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        asked = query if cursor is None else query | {"cursor": cursor}
        answered = await house.get("/v1/tasks", who, params=asked)
        assert answered.status_code == 200, answered.text
        found += [item["title"] for item in answered.json()["items"]]
        cursor = answered.json()["next_cursor"]
        if cursor is None:
            return found


async def _due(pool: Pool, flow: Workflow, at: datetime) -> None:
    """As if its time ended then."""
    await pool.execute("UPDATE tasks SET due_at = $2 WHERE id = $1::text::uuid", flow.task, at)


async def test_an_inbox_narrowed(house: House, pool: Pool) -> None:
    now = datetime.now(UTC)
    mine = [await house.begun(inputs={"days": days}) for days in (1, 2, 3)]
    for flow, hours in zip(mine, (-1, 1, 48), strict=True):
        await _due(pool, flow, now + timedelta(hours=hours))
    pool_task = await house.begun("dave", "shared", {"what": "100% of it"})
    one, two, three = (f"{days} days for Alice Moreau" for days in (1, 2, 3))
    assert await _titles(house, "bob") == [one, two, three, "Shared"]
    nobody: list[str] = []
    for query, expected in (
        ({"due": "overdue"}, [one]),
        ({"due": "soon"}, [two]),
        ({"shared": True}, ["Shared"]),
        ({"shared": False}, [one, two, three]),
        ({"workflow": "leave"}, [one, two, three]),
        ({"requester": "dave"}, ["Shared"]),
        ({"q": "2 DAYS"}, [two]),
        ({"q": "moreau", "limit": 1}, [one, two, three]),
        ({"q": "dave singh"}, ["Shared"]),
        ({"q": "%%"}, nobody),
        ({"claimed": "nobody"}, ["Shared"]),
        ({"claimed": "me"}, nobody),
    ):
        assert await _titles(house, "bob", **query) == expected, query
    await house.post(f"/v1/tasks/{pool_task.task}/claim", "erin")
    for who, claimed in (("bob", "others"), ("erin", "me")):
        assert await _titles(house, who, claimed=claimed) == ["Shared"]
    await house.decide("bob", mine[0].task)
    for query, expected in (
        ({"state": "closed", "q": "alice"}, [one]),
        ({"state": "closed", "workflow": "shared"}, nobody),
        ({"state": "all", "q": "days for"}, [two, three, one]),
    ):
        assert await _titles(house, "bob", **query) == expected, query
    refused = await house.get("/v1/tasks", "bob", params={"state": "closed", "due": "soon"})
    assert refused.json()["errors"][0]["parameter"] == "due"


async def test_what_is_confidential_is_found_by_those_who_see_it(house: House) -> None:
    """By its title; for others the title is the recipe's name, and so is what they search."""
    await house.publish(leave(2, confidential=Confidential(("hr",)), title="{{ why }}"))
    await house.begun(inputs={"days": 2, "why": "a secret"})
    assert await _titles(house, "bob", q="SECRET") == ["a secret"]
    assert await _titles(house, "bob", q="elsewhere") == []


async def test_my_requests_say_whom_they_wait_for(house: House) -> None:
    flow = await house.begun()
    done = await house.begun(inputs={"days": 1})
    await house.decide("bob", done.task)
    [told] = [message for _, message in house.delivery.signals[-1:]]
    await done.befall(told)

    async def listed(**query: Json) -> list[dict[str, Any]]:
        answered = await house.get("/v1/requests", "alice", params={"mine": True, **query})
        found: list[dict[str, Any]] = answered.json()["items"]
        return found

    [waiting] = await listed(open=True)
    assert waiting["waiting_for"] == ["user:bob"]
    assert waiting["due_at"] is not None
    assert flow.task is not None
    [ended] = await listed(open=False)
    assert (ended["state"], ended["waiting_for"], ended["due_at"]) == ("approved", [], None)
    assert len(await listed()) == 2


async def test_counts_are_of_what_the_lists_hold(house: House, pool: Pool) -> None:
    nothing = (await house.get("/v1/me/counts", "bob")).json()
    assert nothing == {
        "needs_me": 0,
        "overdue": 0,
        "due_soon": 0,
        "by_workflow": {},
        "questions": 0,
        "to_resubmit": 0,
        "waiting": 0,
        "unread": 0,
    }
    late, _ = [await house.begun() for _ in range(2)]
    await _due(pool, late, datetime.now(UTC) - timedelta(hours=1))
    await house.begun("bob", "shared", {})
    await house.begun("dave", "shared", {})
    counts = (await house.get("/v1/me/counts", "bob")).json()
    assert (counts["needs_me"], counts["overdue"], counts["due_soon"]) == (3, 1, 1)
    assert counts["by_workflow"] == {"leave": 2, "shared": 1}
    assert counts["waiting"] == 1
    # Nobody decides their own: dave's is for erin and bob, bob's for erin and dave.
    assert (await house.get("/v1/me/counts", "dave")).json()["needs_me"] == 1


async def test_filters_are_saved_by_each_for_themselves(house: House) -> None:
    body = {"name": "Late", "narrowed": {"due": "overdue", "q": "sea"}}
    saved = (await house.post("/v1/me/filters", "bob", json=body)).json()
    assert saved["narrowed"] == {"due": "overdue", "q": "sea"}
    again = await house.post("/v1/me/filters", "bob", json=body | {"list": "done"})
    assert (again.json()["id"], again.json()["list"]) == (saved["id"], "done")
    assert (await house.get("/v1/me/filters", "dave")).json() == {"items": []}
    path = f"/v1/me/filters/{saved['id']}"
    assert (await house.call("DELETE", path, "dave")).status_code == 404
    assert (await house.call("DELETE", path, "bob")).json() == {"items": []}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "x", "list": "all"}, "/list"),
        ({"name": "x", "narrowed": {"due": "later"}}, "/narrowed/due"),
        ({"name": "x", "narrowed": {"q": "a\x00"}}, "/narrowed/q"),
    ],
)
async def test_a_filter_that_is_none(house: House, body: Json, pointer: str) -> None:
    refused = await house.post("/v1/me/filters", "bob", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_nobody_saves_without_end(house: House) -> None:
    for number in range(50):
        await house.post("/v1/me/filters", "bob", json={"name": f"{number}"})
    refused = await house.post("/v1/me/filters", "bob", json={"name": "one more"})
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "too_many")
    assert (await house.post("/v1/me/filters", "bob", json={"name": "7"})).status_code == 200
