"""GET /v1/feed: everything once, in order, for those who may listen, and of each event what they may see."""

import asyncio
import json
from typing import Any

import pytest

from api.feed_shapes import FeedPage
from recipes.model import Confidential, Json
from storage import feed, telling
from storage.pool import Pool
from tests.integration.house import House, Workflow, leave, token

SECRET = "quillfeather"


async def _page(house: House, who: str = "tess", *roles: str, **query: Any) -> dict[str, Any]:
    """A page of the feed, everything committed being in it."""
    await feed.sequence(house.pool)
    response = await house.get("/v1/feed", who, *(roles or ("auditor",)), params=query)
    assert response.status_code == 200, response.text
    FeedPage.model_validate_json(response.text)
    found: dict[str, Any] = response.json()
    return found


async def _end(house: House) -> str:
    cursor = None
    while (page := await _page(house, limit=200, **({} if cursor is None else {"cursor": cursor})))[
        "items"
    ]:
        cursor = page["next_cursor"]
    return str(page["next_cursor"])


async def _decided(house: House, **inputs: Any) -> Workflow:
    flow = await house.begun("alice", "leave", {"days": 5, **inputs})
    said = await house.decide("bob", flow.task, comment=f"{SECRET} comment")
    assert said.status_code == 200, said.text
    await flow.befall(house.delivery.signals[-1][1])
    return flow


async def test_a_request_as_its_events_tell_it(house: House) -> None:
    begin = await _end(house)
    flow = await _decided(house, why="a wedding")
    first = await _page(house, cursor=begin, limit=2)
    rest = await _page(house, cursor=first["next_cursor"])
    events = [*first["items"], *rest["items"]]
    request = flow.state.request_id
    assert [each["type"] for each in events if each["type"] != "approval.timer.set"] == [
        "approval.request.created",
        "approval.task.assigned",
        "approval.decision.recorded",
        "approval.step.completed",
        "approval.request.finalized",
    ]
    assert (
        {each["subject"] for each in events}
        == {each["partitionkey"] for each in events}
        == {request}
    )
    assert [each["data"]["seq"] for each in events] == list(range(1, len(events) + 1))
    assert [each["sequence"] for each in events] == sorted(each["sequence"] for each in events)
    decided = next(each for each in events if each["type"] == "approval.decision.recorded")
    assert decided["data"]["payload"]["comment"] == f"{SECRET} comment"
    assert decided["data"]["title"] == "5 days for Alice Moreau"
    assert decided["data"]["actor"]["user"] == "bob"
    assert events[-1]["data"]["state"] == "approved"
    trail = await house.get(f"/v1/requests/{request}/events", "alice")
    assert {each["event_id"] for each in trail.json()["items"]} == {each["id"] for each in events}
    again = await _page(house, cursor=rest["next_cursor"])
    assert again == {"items": [], "next_cursor": rest["next_cursor"]}


async def test_those_of_a_kind_and_those_of_the_house(house: House) -> None:
    await house.submit()
    created = await _page(house, type=["approval.request.created", "approval.request.cancelled"])
    assert [each["type"] for each in created["items"]] == ["approval.request.created"]
    shared = await _page(house, workflow="shared")
    [published] = shared["items"]
    assert published["type"] == "approval.recipe.published"
    assert "subject" not in published
    assert published["data"]["request_id"] is None
    assert published["data"]["payload"]["version"] == 1
    # What was looked through is not looked through again.
    nothing = await _page(house, workflow="nowhere")
    assert (await _page(house, cursor=nothing["next_cursor"]))["items"] == []


async def test_waiting_for_the_next_event(house: House) -> None:
    begin = await _end(house)
    waiting = asyncio.create_task(
        house.get(
            "/v1/feed", "tess", "auditor", params={"cursor": begin, "wait": 30, "workflow": "leave"}
        )
    )
    async with asyncio.timeout(30):
        await house.publish(leave(2))
        await feed.sequence(house.pool)
        [published] = (await waiting).json()["items"]
    assert published["type"] == "approval.recipe.published"
    end, bell = await _end(house), house.app.state.services.bell
    bell.position = 10**6  # heard before the database was put back to an earlier state
    nothing = await _page(house, cursor=end, wait=1)
    assert nothing["items"] == []
    assert bell.position < 10**6


async def test_who_may_listen(house: House) -> None:
    assert (await house.get("/v1/feed", "alice")).status_code == 403
    assert (await house.get("/v1/feed", "root", "admin")).status_code == 200
    for scope, status in (("feed:read", 200), ("requests:read", 403), ("audit:read", 403)):
        body = {"service": "erp", "scopes": [scope]}
        key = (await house.post("/v1/keys", "oscar", "admin", json=body)).json()["key"]
        headers = {"Authorization": f"Bearer {key}"}
        assert (await house.client.get("/v1/feed", headers=headers)).status_code == status


@pytest.mark.parametrize("fields", [None, ("why",)])
async def test_of_confidential_requests_ids_states_and_types(
    house: House, fields: tuple[str, ...] | None
) -> None:
    """The entitled see it all; a service, and an auditor, neither what was written nor who they are."""
    await house.publish(leave(2, confidential=Confidential(("hr",), fields)))
    begin = await _end(house)
    flow = await _decided(house, why=f"{SECRET} why")
    hidden = await _page(house, cursor=begin)
    text = json.dumps(hidden)
    for word in (SECRET, "alice", "bob", "Moreau"):
        assert word not in text
    assert all(each["data"]["confidential"] for each in hidden["items"])
    decided = next(it for it in hidden["items"] if it["type"] == "approval.decision.recorded")
    assert decided["subject"] == flow.state.request_id
    assert decided["data"]["payload"]["decision"] == "approve"
    assert decided["data"]["payload"]["task_id"]
    assert (await _page(house, "root", "admin", cursor=begin)) == hidden
    seen = await _page(house, "erin", "auditor", cursor=begin)
    assert f"{SECRET} comment" in json.dumps(seen)
    assert f"{SECRET} why" in json.dumps(seen)
    assert [it["id"] for it in seen["items"]] == [it["id"] for it in hidden["items"]]


async def test_of_an_erased_request_ids_alone(house: House) -> None:
    begin = await _end(house)
    flow = await _decided(house, why=f"{SECRET} why")
    assert SECRET in json.dumps(await _page(house, cursor=begin))
    await house.pool.execute("DELETE FROM outbox")
    path = f"/v1/requests/{flow.state.request_id}/erase"
    erased = await house.post(path, "root", "admin", json={"reason": f"{SECRET} reason"})
    assert erased.status_code == 200, erased.text
    left = await _page(house, cursor=begin)
    for word in (SECRET, "alice", "bob"):
        assert word not in json.dumps(left)
    assert all(each["data"]["erased"] for each in left["items"])
    assert left["items"][-1]["type"] == "approval.request.erased"


async def test_what_has_left_postgres_is_told_by_its_ids(house: House, admin_pool: Pool) -> None:
    await house.submit()
    await feed.sequence(house.pool)
    await admin_pool.execute("UPDATE feed SET recorded_at = recorded_at - interval '1 year'")
    [created] = (await _page(house, type="approval.request.created"))["items"]
    assert set(created["data"]) == {"request_id", "seq", "workflow", "version"}


async def test_cursors_that_lead_nowhere(house: House, admin_pool: Pool) -> None:
    await house.submit()
    first = await _page(house, limit=1)
    await admin_pool.execute(
        "UPDATE feed SET fed_at = now() - interval '31 days' WHERE position < 4"
    )
    assert await feed.forget(house.pool, 30) == 3
    gone = await house.get("/v1/feed", "tess", "auditor", params={"cursor": first["next_cursor"]})
    assert gone.status_code == 410
    assert gone.json()["type"] == "urn:countersign:problem:forgotten"
    oldest = (await _page(house))["items"][0]
    [next_one] = (await _page(house, cursor=gone.json()["oldest"], limit=1))["items"]
    assert next_one == oldest
    assert int(oldest["sequence"]) == 4
    end = await _end(house)
    await admin_pool.execute("UPDATE feed_state SET position = position - 1")
    ahead = await house.get("/v1/feed", "tess", "auditor", params={"cursor": end})
    assert (ahead.status_code, ahead.json()["type"].rpartition(":")[2]) == (409, "cursor_ahead")
    for query in (
        {"cursor": "x"},
        {"type": "request.created"},
        {"wait": 31},
        {"type": ["approval.a.b"] * 51},
    ):
        refused = await house.client.get(
            "/v1/feed",
            params=query,
            headers={"Authorization": f"Bearer {token('tess', 'auditor')}"},
        )
        assert refused.status_code == 422, query


async def test_why_somebody_is_away_is_told_to_those_who_look_after_it_alone(
    house: House, pool: Pool
) -> None:
    body: dict[str, Json] = {"delegate": "frank", "reason": "Surgery, then rehab"}
    assert (await house.post("/v1/org/delegations", "dave", json=body)).status_code == 201
    page = await _page(house)
    assert "Surgery" in json.dumps(page)
    fed = await feed.after(pool, 0, 1000)
    told = await telling.told(pool, telling.ANYBODY, fed)
    assert [it["id"] for it in told] == [it["id"] for it in page["items"]]
    assert "Surgery" not in json.dumps(told)
