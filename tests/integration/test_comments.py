"""Comments: who may say something about a request, who reads it, and what of it is recorded."""

from uuid import uuid4

from api import people_shapes, schemas
from tests.integration.house import House


async def test_whoever_sees_a_request_comments_on_it(house: House) -> None:
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}"
    people = (("alice", ()), ("bob", ()), ("frank", ()), ("aud", ("auditor",)))
    for who, roles in people:
        made = await house.post(f"{path}/comments", who, *roles, json={"text": f"{who} says"})
        assert made.status_code == 201, made.text
        assert people_shapes.Comment.model_validate(made.json()).user == who
    assert (await house.decide("bob", flow.task)).status_code == 200
    late = await house.post(f"{path}/comments", "alice", json={"text": "thank you"})
    assert late.status_code == 201
    said = [f"{who} says" for who, _ in people] + ["thank you"]
    shown = schemas.Request.model_validate((await house.get(path, "bob")).json())
    assert [item.text for item in shown.comments] == said
    first = (await house.get(f"{path}/comments?limit=2", "bob")).json()
    people_shapes.CommentPage.model_validate(first)
    more = (await house.get(f"{path}/comments?cursor={first['next_cursor']}", "bob")).json()
    assert [item["text"] for item in first["items"] + more["items"]] == said
    assert more["next_cursor"] is None


async def test_nobody_else_does_nor_reads(house: House) -> None:
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}/comments"
    for response in (
        await house.post(path, "erin", json={"text": "me, too"}),
        await house.get(path, "erin"),
        await house.get(f"/v1/requests/{uuid4()}/comments", "root", "admin"),
    ):
        assert (response.status_code, response.json()["detail"]) == (
            404,
            "there is no such request",
        )
    for text in (None, "", " \n", "a\x00", "x" * 10_001):
        body = {"text": text}
        assert (await house.post(path, "alice", json=body)).status_code == 422
    assert (await house.get(f"{path}?cursor=W251bGwsbnVsbF0", "alice")).status_code == 422
    assert await house.pool.fetchval("SELECT count(*) FROM comments") == 0


async def test_it_is_on_the_record(house: House) -> None:
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}"
    made = (await house.post(f"{path}/comments", "bob", json={"text": "Monday?"})).json()
    event = (await house.get(f"{path}/events", "alice")).json()["items"][-1]
    assert (event["type"], event["actor"]["user"]) == ("comment.added", "bob")
    assert event["payload"] == {"comment_id": made["id"], "text": "Monday?"}
    assert event["occurred_at"] == made["made_at"]
    # The workflow has nothing to do with it.
    assert house.delivery.signals == []
    assert (await house.decide("bob", flow.task)).status_code == 200


async def test_a_request_shows_the_last_ones(house: House) -> None:
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}"
    for number in range(53):
        await house.post(f"{path}/comments", "bob", json={"text": str(number)})
    shown = (await house.get(path, "bob")).json()["comments"]
    assert [item["text"] for item in shown] == [str(number) for number in range(3, 53)]
