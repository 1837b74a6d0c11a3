"""Watchers: who may be made one, what they see by it, and that it ends."""

import httpx

from api import people_shapes, schemas
from storage.org import PersonRow
from tests.integration.house import House


async def watch(
    house: House, request: str, who: str, *roles: str, person: str | None = None
) -> httpx.Response:
    body = {"person": person}
    return await house.post(f"/v1/requests/{request}/watchers", who, *roles, json=body)


async def end(house: House, request: str, who: str, person: str, *roles: str) -> httpx.Response:
    return await house.call("DELETE", f"/v1/requests/{request}/watchers/{person}", who, *roles)


async def test_a_watcher_sees_the_request(house: House) -> None:
    flow = await house.begun()
    request = flow.state.request_id
    path = f"/v1/requests/{request}"
    assert (await house.get(path, "erin")).status_code == 404
    made = await watch(house, request, "alice", person="erin")
    assert made.status_code == 200, made.text
    [watcher] = people_shapes.Watchers.model_validate(made.json()).items
    assert (watcher.person, watcher.added_by) == ("erin", "alice")
    shown = schemas.Request.model_validate((await house.get(path, "erin")).json())
    assert shown.watchers == [watcher]
    assert len((await house.get("/v1/requests", "erin")).json()["items"]) == 1
    comment = await house.post(f"{path}/comments", "erin", json={"text": "I see"})
    assert comment.status_code == 201
    assert (await house.decide("erin", flow.task)).status_code == 403
    assert (await watch(house, request, "erin", person="dave")).status_code == 403
    # Again changes nothing.
    assert (await watch(house, request, "frank", person="erin")).json() == made.json()
    assert (await end(house, request, "erin", "erin")).json()["items"] == []
    assert (await house.get(path, "erin")).status_code == 404
    assert (await house.get("/v1/requests", "erin")).json()["items"] == []
    assert (await end(house, request, "alice", "erin")).status_code == 200
    events = (await house.get(f"{path}/events", "alice")).json()["items"]
    found = [
        (event["type"], event["actor"]["user"], event["payload"])
        for event in events
        if event["type"].startswith("watcher.")
    ]
    assert found == [
        ("watcher.added", "alice", {"person": "erin"}),
        ("watcher.removed", "erin", {"person": "erin"}),
    ]


async def test_who_names_watchers(house: House) -> None:
    request = (await house.begun()).state.request_id
    for who, roles, status in (
        ("alice", (), 200),
        ("frank", (), 200),
        ("root", ("admin",), 200),
        ("bob", (), 403),
        ("aud", ("auditor",), 403),
        ("erin", (), 404),
    ):
        assert (await watch(house, request, who, *roles, person="dave")).status_code == status, who
        assert (await end(house, request, who, "dave", *roles)).status_code == status, who
    await house.import_org((PersonRow("dave", "Dave Singh", manager="carol", left=True),), ())
    for person, said in (("dave", "has left"), ("nobody", "is not known to the directory")):
        refused = await watch(house, request, "alice", person=person)
        assert (refused.status_code, refused.json()["detail"]) == (422, f"{person} {said}")


async def test_whoever_watches_by_themselves_sees_no_more_than_before(house: House) -> None:
    flow = await house.begun("alice", "shared", {})
    request = flow.state.request_id
    assert (await watch(house, request, "carol")).status_code == 404
    assert (await watch(house, request, "bob")).status_code == 200
    await house.pool.execute("UPDATE tasks SET candidates = '{user:dave}'")
    await house.pool.execute("DELETE FROM task_candidates WHERE principal = 'user:bob'")
    assert (await house.get(f"/v1/requests/{request}", "bob")).status_code == 404
    # Named by somebody who may, it is another matter.
    made = await watch(house, request, "alice", person="bob")
    assert made.json()["items"][0]["added_by"] == "alice"
    assert (await house.get(f"/v1/requests/{request}", "bob")).status_code == 200
    assert (await watch(house, request, "bob")).json() == made.json()


async def test_nobody_named_so(house: House) -> None:
    request = (await house.begun()).state.request_id
    assert (await end(house, request, "alice", "a%00b")).status_code == 422
    assert (await watch(house, request, "alice", person="a b")).status_code == 422
