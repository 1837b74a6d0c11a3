"""Slack: messages with buttons, brought up to date, and decisions by the one function as whoever pressed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from contract.preferences import KINDS
from slack_client import Slack, SlackAway
from storage.pool import Pool
from tests.integration.house import House, Recorder, leave, make_settings, shared
from tests.integration.post_office import PAGES, STAFF, Relay
from tests.integration.slack_server import (
    SECRET,
    TOKEN,
    SlackServer,
    buttons,
    filling,
    pressing,
    sends,
    signed,
    slack_server,
    slacking,
)
from tests.stack import Database, free_ports

BOB, DAVE, ERIN = "U0BOB", "U0DAVE", "U0ERIN"


@pytest.fixture
async def slack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlackServer]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with slack_server() as server:
        server.users = {"bob@example.org": BOB, "dave@example.org": DAVE, "erin@example.org": ERIN}
        yield server


@pytest.fixture
async def house(
    database: Database, pool: Pool, tmp_path: Any, slack: SlackServer
) -> AsyncIterator[House]:
    """The API with a Slack app, people with addresses, who want to be told by Slack."""
    settings = make_settings(
        tmp_path,
        database.url,
        slack_token=SecretStr(TOKEN),
        slack_signing_secret=SecretStr(SECRET),
        slack_url=slack.url,
    )
    delivery = Recorder()

    async def recorded(_: Any, __: Pool) -> Recorder:
        return delivery

    app = create_app(settings, recorded)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            house = House(client, pool, delivery, settings, app)
            await house.import_org(STAFF)
            await house.publish(leave())
            await house.publish(shared("role:hr", "user:bob"))
            for person in ("bob", "dave", "erin"):
                said = {"channels": {kind: ["slack"] for kind in KINDS}}
                told = await house.call("PUT", "/v1/me/preferences", person, json=said)
                assert told.status_code == 200, told.text
            yield house


@pytest.fixture
async def relay(house: House, slack: SlackServer) -> Relay:
    relay = slacking(house.pool, slack)
    await relay.listen()
    return relay


async def decided(house: House, task: str) -> tuple[str, str | None]:
    row = await house.pool.fetchrow(
        """SELECT t.state, d.actor || ' ' || d.decision || coalesce(': ' || d.comment, '') AS made
             FROM tasks t LEFT JOIN decisions d ON d.task_id = t.id WHERE t.id = $1""",
        UUID(task),
    )
    assert row is not None
    return row["state"], row["made"]


async def test_a_button_decides_as_who_pressed_it_and_everybodys_message_says_so(
    house: House, relay: Relay, slack: SlackServer
) -> None:
    flow = await house.begun("alice", "shared", {})
    await relay.deliver()
    told = slack.of("chat.postMessage")
    assert sorted(it["channel"] for it in told) == [BOB, DAVE, ERIN]
    assert f"<{PAGES}/tasks/{flow.task}|Shared>" in told[0]["blocks"][0]["text"]["text"]
    assert list(buttons(told[0])) == ["Approve", "Reject", "Request changes"]
    pressed = await sends(house, pressing(DAVE, buttons(told[0])["Approve"]))
    assert (pressed.status_code, pressed.content) == (200, b"")
    assert await decided(house, flow.task) == ("decided", "dave approve")
    await relay.refresh()
    changed = slack.of("chat.update")
    assert {it["channel"] for it in changed} == {f"D{BOB}", f"D{DAVE}", f"D{ERIN}"}
    for it in changed:
        assert buttons(it) == {}
        assert "Dave Singh decided: Approve" in str(it["blocks"])
    # Who comes too late is told, and nothing is decided.
    late = await sends(house, pressing(ERIN, buttons(told[0])["Reject"]))
    assert late.status_code == 200
    [window] = slack.of("views.open")
    assert "already decided by dave" in str(window["view"])
    # The same message once more, replayed by whoever caught it: it changes nothing.
    await sends(house, pressing(DAVE, buttons(told[0])["Approve"]))
    assert await decided(house, flow.task) == ("decided", "dave approve")
    assert await house.pool.fetchval("SELECT count(*) FROM decisions") == 1


async def test_what_a_decision_needs_besides_is_asked_for_in_a_window(
    house: House, relay: Relay, slack: SlackServer
) -> None:
    flow = await house.begun()
    await relay.deliver()
    [told] = slack.of("chat.postMessage")
    await sends(house, pressing(BOB, buttons(told)["Reject"]))
    assert (await decided(house, flow.task))[0] == "open"
    [asked] = slack.of("views.open")
    window = asked["view"]
    assert [block["block_id"] for block in window["blocks"]] == ["comment"]
    blank = await sends(house, filling(BOB, window, comment="  "))
    assert blank.json() == {
        "response_action": "errors",
        "errors": {"comment": "a comment is needed to reject this task"},
    }
    done = await sends(house, filling(BOB, window, comment="Not in May"))
    assert done.json() == {"response_action": "clear"}
    assert await decided(house, flow.task) == ("decided", "bob reject: Not in May")
    again = await sends(house, filling(DAVE, window, comment="I, too"))
    assert again.json()["response_action"] == "update"


async def test_back_to_the_requester_asks_where_to_and_why(
    house: House, relay: Relay, slack: SlackServer
) -> None:
    flow = await house.begun()
    await relay.deliver()
    [told] = slack.of("chat.postMessage")
    await sends(house, pressing(BOB, buttons(told)["Request changes"]))
    [asked] = slack.of("views.open")
    window = asked["view"]
    assert [block["block_id"] for block in window["blocks"]] == ["to", "comment"]
    done = await sends(house, filling(BOB, window, to="requester", comment="Three days"))
    assert done.json() == {"response_action": "clear"}
    assert await decided(house, flow.task) == ("decided", "bob request_changes: Three days")


async def test_what_is_not_signed_by_slack_now_is_refused(
    house: House, relay: Relay, slack: SlackServer
) -> None:
    flow = await house.begun()
    await relay.deliver()
    payload = pressing(BOB, buttons(slack.of("chat.postMessage")[0])["Approve"])
    forged = await sends(house, payload, secret="another secret")
    old = await sends(house, payload, ago=301)
    coming = await sends(house, payload, ago=-400)
    bare = await house.client.post("/slack/interactivity", content=b"payload={}")
    strange = await house.client.post(
        "/slack/interactivity",
        content=b"payload={}",
        headers={"X-Slack-Request-Timestamp": "now", "X-Slack-Signature": "v0=0"},
    )
    assert {it.status_code for it in (forged, old, coming, bare, strange)} == {401}
    got = await house.client.get("/slack/interactivity")
    assert got.status_code == 405
    assert await decided(house, flow.task) == ("open", None)
    odd: list[Any] = [
        {},
        {"type": "block_actions"},
        {"type": "view_submission", "view": {"state": 1}},
    ]
    odd += [{"type": "block_actions", "user": 7, "actions": [{"action_id": 1}]}, {"type": "else"}]
    for each in odd:
        assert (await sends(house, each)).status_code == 200


async def test_who_may_not_decide_may_not_by_slack_either(
    house: House, relay: Relay, slack: SlackServer
) -> None:
    """Nobody known, somebody else, who claimed it, who has seen another request, the requester."""
    flow = await house.begun("alice", "shared", {})
    await relay.deliver()
    approve = buttons(slack.of("chat.postMessage")[0])["Approve"]

    async def said_to(user: str) -> str:
        slack.calls.clear()
        assert (await sends(house, pressing(user, approve))).status_code == 200
        [window] = slack.of("views.open")
        return str(window["view"]["blocks"][0]["text"]["text"])

    assert "not known here" in await said_to("U0STRANGER")
    for person, user in (("alice", "U0ALICE"), ("frank", "U0FRANK")):
        named = await house.post(
            "/v1/slack/people", "oscar", "admin", json={"person": person, "slack_user": user}
        )
        assert named.status_code == 200, named.text
    assert await said_to("U0ALICE") == "nobody decides their own request"
    assert await said_to("U0FRANK") == "there is no such task"
    await house.post(f"/v1/tasks/{flow.task}/claim", "erin")
    assert "claimed by erin" in await said_to(DAVE)
    await house.post(f"/v1/tasks/{flow.task}/release", "erin")
    stale = approve | {"value": approve["value"].replace(flow_digest(approve), "0" * 32)}
    slack.calls.clear()
    await sends(house, pressing(DAVE, stale))
    [window] = slack.of("views.open")
    assert "not the request that was looked at" in str(window["view"])
    assert await decided(house, flow.task) == ("open", None)
    taken = await house.post(
        "/v1/slack/people", "oscar", "admin", json={"person": "carol", "slack_user": BOB}
    )
    assert (taken.status_code, taken.json()["detail"]) == (409, f"{BOB} is bob: forget that first")
    gone = await house.call("DELETE", "/v1/slack/people/bob", "oscar", "admin")
    assert gone.json() == {"person": "bob", "forgotten": True}
    assert "not known here" in await said_to(BOB)
    listed = await house.get("/v1/slack/people", "oscar", "admin")
    assert [it["person"] for it in listed.json()["items"]] == ["alice", "dave", "erin", "frank"]
    assert (await house.get("/v1/slack/people", "bob")).status_code == 403


def flow_digest(button: dict[str, Any]) -> str:
    from contract.buttons import read

    pressed = read(button["value"])
    assert pressed is not None
    return pressed.digest


async def test_slack_limits_us_is_down_or_does_not_know_somebody(
    house: House, relay: Relay, slack: SlackServer
) -> None:
    del slack.users["dave@example.org"]
    await house.begun("alice", "shared", {})
    await relay.listen()
    nowhere = SlackServer(f"http://127.0.0.1:{free_ports(1)[0]}/api/")
    at = await slacking(house.pool, nowhere).send()
    assert await _states(house) == ["sending", "sending", "sending"]
    # Nobody was there to hear of any: all of them go out with the first that does.
    kept = await house.pool.fetchrow(
        "SELECT max(due_at) AS due, max(attempts) AS most FROM messages"
    )
    assert kept is not None
    assert kept["due"] - at <= timedelta(seconds=6)
    assert kept["most"] == 0
    slack.answers = [(429, {"Retry-After": "7200"}, '{"ok": false, "error": "ratelimited"}')]
    at = await relay.send(timedelta(hours=1))
    assert len(slack.calls) == 1
    assert relay.sender.breaker.until == at + timedelta(hours=2)
    await relay.send(timedelta(hours=2))
    assert len(slack.calls) == 1
    slack.answers = [(503, {}, "<html>"), (200, {}, '{"ok": false, "error": "invalid_auth"}')]
    for hours in (4, 5, 6):
        await relay.send(timedelta(hours=hours))
    assert await _states(house) == ["dead", "sent", "sent"]
    dead = await house.get("/v1/messages", "oscar", "admin")
    assert dead.json()["items"][0]["last_error"] == "users_not_found"
    posted = {str(it["metadata"]["event_payload"]["id"]) for it in slack.of("chat.postMessage")}
    assert len(posted) == 2


async def _states(house: House) -> list[str]:
    rows = await house.pool.fetch("SELECT state FROM messages ORDER BY state")
    return [row["state"] for row in rows]


async def test_slack_lies(house: House, relay: Relay, slack: SlackServer) -> None:
    await house.begun()
    await relay.listen()
    known = json.dumps({"ok": True, "user": {"id": BOB}})
    slack.answers = [(200, {}, "[1]"), (200, {}, "null"), (200, {}, "<html>")]
    for hours in (1, 2, 3):
        await relay.send(timedelta(hours=hours))
        assert await _states(house) == ["sending"]
    # It may have posted it, wherever: sending it again would be worse.
    slack.answers = [(200, {}, known), (200, {}, '{"ok": true}')]
    await relay.send(timedelta(hours=5))
    assert await _states(house) == ["sent"]


def _form(payload: bytes | str) -> bytes:
    return urlencode({"payload": payload}).encode()


NO_USER: dict[str, Any] = {"type": "block_actions", "user": {"id": "\0"}, "actions": []}
STRANGE: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "no form": (b'{"payload": {}}', 400),
    "no payload": (b"other=1", 400),
    "two of them": (b"payload={}&payload={}", 400),
    "bytes": (b"payload=%ff%fe", 400),
    "no JSON": (_form("{"), 400),
    "no object": (_form("[1]"), 400),
    "half a character": (_form(json.dumps({"type": "\ud800"})), 400),
    "deeper than anybody reads": (_form("[" * 5000 + "]" * 5000), 400),
    "more than anybody sends": (b"payload=" + b"x" * (1024 * 1024), 413),
    "a member with a zero": (_form(json.dumps(NO_USER)), 200),
    "a member longer than any": (_form(json.dumps({**NO_USER, "user": {"id": "U" * 9999}})), 200),
    "members in a list": (_form(json.dumps({**NO_USER, "user": [1]})), 200),
}


async def test_slack_says_what_it_never_says(house: House) -> None:
    """Signed as it should be, each is answered, and none is a mistake of ours."""
    found = {}
    for name, (body, _) in STRANGE.items():
        _, headers = signed({}, body=body)
        told = await house.client.post("/slack/interactivity", content=body, headers=headers)
        found[name] = told.status_code
    assert found == {name: status for name, (_, status) in STRANGE.items()}


@pytest.mark.parametrize("what", ["pressed", "filled in"])
async def test_what_slack_said_counts_once_and_only_as_it_said_it(
    house: House, relay: Relay, slack: SlackServer, what: str
) -> None:
    """Bit by bit, and again, it is the same; changed, for another moment, or without its end, it is nothing."""
    flow = await house.begun()
    await relay.deliver()
    [told] = slack.of("chat.postMessage")
    said = pressing(BOB, buttons(told)["Approve"])
    if what == "filled in":
        await sends(house, pressing(BOB, buttons(told)["Reject"]))
        said = filling(BOB, slack.of("views.open")[0]["view"], comment="No")
    body, headers = signed(said)
    later = headers | {"X-Slack-Request-Timestamp": str(int(time.time()) + 60)}
    changed = ((it, headers) for it in (body + b"&a=b", body[:-1], body + b"\xff"))
    for content, head in (*changed, (body, later)):
        refused = await house.client.post("/slack/interactivity", content=content, headers=head)
        assert refused.status_code == 401
    assert await decided(house, flow.task) == ("open", None)

    async def bits() -> AsyncIterator[bytes]:
        for bit in body:
            yield bytes([bit])
            await asyncio.sleep(0)

    for content in (bits(), body, body):
        taken = await house.client.post("/slack/interactivity", content=content, headers=headers)
        assert taken.status_code == 200
    assert (await decided(house, flow.task))[0] == "decided"
    assert await house.pool.fetchval("SELECT count(*) FROM decisions") == 1


async def test_slack_drips_while_a_window_is_opened(
    house: House, relay: Relay, slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else waits for it; it is answered in time, nothing is decided, and the next press opens the window."""
    monkeypatch.setattr("api.slack._PATIENCE", 1)
    flow = await house.begun("alice", "shared", {})
    await relay.deliver()
    told = buttons(slack.of("chat.postMessage")[0])
    slack.drips = True
    began = time.monotonic()
    pressed = [
        asyncio.create_task(sends(house, pressing(user, told["Request changes"])))
        for user in (BOB, DAVE, ERIN) * 3
    ]
    while len(slack.of("views.open")) < len(pressed):
        assert (await house.get("/v1/tasks", "bob")).status_code == 200
    other = await house.begun()
    assert (await house.decide("bob", other.task)).status_code == 200
    assert not any(task.done() for task in pressed)
    assert {it.status_code for it in await asyncio.gather(*pressed)} == {200}
    assert time.monotonic() - began < 5  # with a patience of one second
    assert await decided(house, flow.task) == ("open", None)
    slack.drips = False
    slack.calls.clear()
    await sends(house, pressing(DAVE, told["Request changes"]))
    assert len(slack.of("views.open")) == 1


async def test_slack_answers_and_does_not_end(slack: SlackServer) -> None:
    slack.drips = True
    with pytest.raises(SlackAway, match="did not answer within 1 s"):
        await Slack(TOKEN, slack.url, patience=1).call("chat.postMessage", channel=BOB)
    slack.drips = False
