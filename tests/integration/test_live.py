"""What happens, told to open pages: to whom it concerns, at once, and nothing of what people wrote."""

import asyncio
import json
import time
from typing import Any

from starlette.types import Message

from api.auth import Caller
from api.live import LOOK_AGAIN, Live, Mailbox
from api.web import live as stream
from recipes.model import Json
from storage import feed
from storage.pool import Pool
from tests.integration.house import House, Workflow


async def _never() -> bool:
    return False


def _live(house: House) -> Live:
    found: Live = house.app.state.live
    return found


async def _next(mailbox: Mailbox) -> dict[str, Any]:
    """The next event, read as browsers do."""
    async with asyncio.timeout(60):
        said = await mailbox.letters.get()
    assert said is not None
    return _read(said)


def _read(said: bytes) -> dict[str, Any]:
    lines = dict(line.split(": ", 1) for line in said.decode().strip().splitlines())
    return {"id": int(lines["id"]), "event": lines["event"], **json.loads(lines["data"])}


async def test_whom_it_concerns_hears_of_it(house: House, pool: Pool) -> None:
    live = _live(house)
    (bob, begin), (erin, _), (alice, _) = [
        await live.enter(Caller(person), None) for person in ("bob", "erin", "alice")
    ]
    assert _read(begin[0])["event"] == "ready"
    flow = await house.begun(inputs={"days": 5, "why": "a secret"})
    await feed.sequence(pool)
    assert [(await _next(bob))["type"] for _ in range(2)] == ["request.created", "task.assigned"]
    await house.decide("bob", flow.task, comment="a secret, too")
    await feed.sequence(pool)
    told = await _next(bob)
    request_id = str(flow.state.request_id)
    assert told | {"id": 0, "at": ""} == {
        "id": 0,
        "event": "happened",
        "request_id": request_id,
        "type": "decision.recorded",
        "by": "bob",
        "called": "Bob Tanaka",
        "at": "",
        "task_id": flow.task,
    }
    heard = [await _next(alice) for _ in range(3)]
    assert [each["type"] for each in heard][-1] == "decision.recorded"
    assert "secret" not in json.dumps(heard)
    assert erin.letters.empty()

    # Who comes back says what they saw last, and misses nothing.
    live.leave(bob)
    again, missed = await live.enter(Caller("bob"), heard[0]["id"])
    assert [_read(each).get("type") for each in missed] == [
        "task.assigned",
        "decision.recorded",
        None,
    ]
    assert again.letters.empty()


async def test_pools_and_who_stands_in_hear_of_it(house: House, pool: Pool) -> None:
    body: dict[str, Json] = {"delegate": "frank"}
    assert (await house.post("/v1/org/delegations", "dave", json=body)).status_code == 201
    live = _live(house)
    boxes = {
        who: (await live.enter(Caller(who), None))[0] for who in ("bob", "erin", "frank", "carol")
    }
    flow = await house.begun("alice", "shared", {})
    await feed.sequence(pool)
    for who in ("bob", "erin", "frank"):
        assert (await _next(boxes[who]))["request_id"] == str(flow.state.request_id)
    assert boxes["carol"].letters.empty()
    assert isinstance(flow, Workflow)


async def test_who_watches_hears_of_it_as_long_as_they_may_see_it(house: House, pool: Pool) -> None:
    """An administrator, and one of the recipe's owners, who is none any more later."""
    flow = await house.begun()
    request_id = str(flow.state.request_id)
    watch = f"/v1/requests/{request_id}/watchers"
    assert (await house.post(watch, "root", "admin", json={})).status_code == 200
    assert (await house.post(watch, "frank", json={})).status_code == 200
    await feed.sequence(pool)
    live = _live(house)
    callers = {who: Caller(who) for who in ("frank", "carol")}
    callers["root"] = Caller("root", frozenset({"admin"}))
    boxes = {who: (await live.enter(caller, None))[0] for who, caller in callers.items()}
    start = (await feed.ends(pool))[1]
    comment = f"/v1/requests/{request_id}/comments"
    assert (await house.post(comment, "alice", json={"text": "Soon?"})).status_code == 201
    await feed.sequence(pool)
    for who in ("root", "frank"):
        told = await _next(boxes[who])
        assert (told["request_id"], told["type"], told["called"]) == (
            request_id, "comment.added", "Alice Moreau",
        )  # fmt: skip
    assert boxes["carol"].letters.empty()

    await pool.execute(
        "UPDATE role_members SET valid = valid * tstzrange(NULL, now()) WHERE person = 'frank'"
    )
    assert (await house.post(comment, "alice", json={"text": "Soon!"})).status_code == 201
    await feed.sequence(pool)
    assert (await _next(boxes["root"]))["type"] == "comment.added"
    assert boxes["frank"].letters.empty()
    for who, missed in (("root", 2), ("frank", 0)):
        _, said = await live.enter(callers[who], start)
        assert len(said) == missed + 1, who


async def test_who_is_far_behind_is_told_to_look_again(house: House, pool: Pool) -> None:
    await house.begun()
    await feed.sequence(pool)
    await pool.execute("UPDATE feed_state SET position = position + 5000")
    _, missed = await _live(house).enter(Caller("bob"), 0)
    assert missed[0] == LOOK_AGAIN


async def test_who_does_not_keep_up_is_closed() -> None:
    mailbox = Mailbox(Caller("bob"))
    for number in range(101):
        mailbox.put(b"%d" % number)
    assert mailbox.closed
    assert await mailbox.letters.get() is None
    mailbox.put(b"too late")
    assert mailbox.letters.empty()


async def test_it_ends_with_the_session_and_with_the_page(house: House) -> None:
    live = _live(house)

    async def streamed(until: float, *, hangs_up: bool) -> bytes:
        mailbox, before = await live.enter(Caller("bob"), None)
        sent: list[Message] = []

        async def receive() -> Message:
            if not hangs_up:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        async with asyncio.timeout(60):
            await stream._Stream(live, mailbox, before, until, _never)({}, receive, send)
        return b"".join(each.get("body", b"") for each in sent)

    ended = await streamed(time.time() - 1, hangs_up=False)
    assert ended.startswith(b"retry: 3000\n")
    assert ended.endswith(b"event: ended\ndata: {}\n\n")
    assert b"ended" not in await streamed(time.time() + 3600, hangs_up=True)
    assert live.pages == 0


async def test_a_process_that_ends_sends_all_away(house: House) -> None:
    live = _live(house)
    mailbox, _ = await live.enter(Caller("bob"), None)
    live.close()
    assert await mailbox.letters.get() is None


async def test_nobody_listens_without_a_session(house: House) -> None:
    answered = await house.client.get("/live")
    assert (answered.status_code, answered.headers["location"]) == (303, "/sign-in?next=/live")


async def test_who_stands_in_for_one_workflow_hears_of_no_other(house: House, pool: Pool) -> None:
    for delegate, scope in (("frank", "workflow:leave"), ("erin", "workflow:shared")):
        body: dict[str, Json] = {"delegate": delegate, "scope": scope}
        assert (await house.post("/v1/org/delegations", "bob", json=body)).status_code == 201
    live = _live(house)
    boxes = {who: (await live.enter(Caller(who), None))[0] for who in ("frank", "erin")}
    flow = await house.begun("alice", "leave", {"days": 5})
    await feed.sequence(pool)
    request = f"/v1/requests/{flow.state.request_id}"
    assert (await _next(boxes["frank"]))["request_id"] == str(flow.state.request_id)
    assert boxes["erin"].letters.empty()
    # Nor who is delegated to when somebody has been asked in person: what they have is theirs until it is handed on.
    assert (await house.get(request, "frank")).status_code == 200
    body = {"delegate": "dave"}
    assert (await house.post("/v1/org/delegations", "frank", json=body)).status_code == 201
    boxes["dave"] = (await live.enter(Caller("dave"), None))[0]
    assert (await house.get(request, "dave")).status_code == 404
    said = await house.post(f"{request}/comments", "alice", json={"text": "Soon?"})
    assert said.status_code == 201
    await feed.sequence(pool)
    while (await _next(boxes["frank"]))["type"] != "comment.added":
        pass
    assert boxes["dave"].letters.empty()


async def test_who_claimed_or_decided_hears_of_it_as_long_as_they_may_see_it(
    house: House, pool: Pool
) -> None:
    """Dave, who claimed, loses the role by which he did; Erin, who decided, leaves with the role still hers."""
    claimed, decided = [await house.begun("alice", "shared", {}) for _ in range(2)]
    said = await house.post(f"/v1/tasks/{claimed.task}/claim", "dave")
    assert said.status_code == 200
    await house.decide("erin", decided.task)
    await feed.sequence(pool)
    live = _live(house)
    bob, dave, erin = [(await live.enter(Caller(who), None))[0] for who in ("bob", "dave", "erin")]
    start = (await feed.ends(pool))[1]

    async def comment() -> None:
        """On both; once Bob, who may decide them too, has heard of it, so has everybody."""
        for flow in (claimed, decided):
            where = f"/v1/requests/{flow.state.request_id}/comments"
            said = await house.post(where, "alice", json={"text": "Soon?"})
            assert said.status_code == 201
        await feed.sequence(pool)
        assert [(await _next(bob))["type"] for _ in range(2)] == ["comment.added"] * 2

    await comment()
    both = {str(flow.state.request_id) for flow in (claimed, decided)}
    for mailbox in (dave, erin):
        assert {(await _next(mailbox))["request_id"] for _ in range(2)} == both
    await pool.execute(
        "UPDATE role_members SET valid = valid * tstzrange(NULL, now()) WHERE person = 'dave'"
    )
    await pool.execute(
        "UPDATE people SET employed = employed * tstzmultirange(tstzrange(NULL, now())) WHERE id = 'erin'"
    )
    await comment()
    for who, mailbox, before in (("dave", dave, claimed), ("erin", erin, decided)):
        assert (await house.get(f"/v1/requests/{before.state.request_id}", who)).status_code == 404
        assert mailbox.letters.empty(), who
        _, missed = await live.enter(Caller(who), start)
        assert len(missed) == 1, who
