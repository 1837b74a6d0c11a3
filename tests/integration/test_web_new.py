"""Asking for something on pages: what one may, the form, the way it would take, sending it, sending it again."""

import html
import re
from typing import Any

import httpx
import pytest

from recipes.parse import parse
from tests.integration.browsing import ORIGIN, signed_in
from tests.integration.carried import Carried
from tests.integration.house import House
from tests.integration.test_actions import REVIEW

OUTING = """
workflow: team_outing
version: 1
title: "To {{ where }}"
description: A day out, paid by the house.
owner: house
start: {who: [role:hr, "user:alice"]}
entity: {one_open: true}
inputs:
  type: object
  required: [where, cost, day, guests]
  additionalProperties: false
  properties:
    where: {type: string, maxLength: 40}
    cost: {type: number, title: Cost in EUR, minimum: 10, maximum: 9000}
    day: {type: string, format: date}
    by: {enum: [bus, train, ship, plane]}
    guests:
      type: array
      minItems: 1
      items: {type: object, required: [name], properties: {name: {type: string}, vegan: {type: boolean}}}
steps:
  - {id: manager, name: The manager, approver: "{{ employee.manager }}", timeout: 48h, on_timeout: escalate}
  - {id: far, when: cost > 1000, approver: "user:carol"}
  - {id: board, when: cost > 5000, candidates: role:empty}
"""
GOOD = {
    "/inputs/where": "Toledo",
    "/inputs/cost": "250.50",
    "/inputs/day": "2026-12-21",
    "/inputs/guests": ["0"],
    "/inputs/guests/0/name": "Dora <b>",
}
VALUE = {
    "where": "Toledo",
    "cost": 250.5,
    "day": "2026-12-21",
    "guests": [{"name": "Dora <b>"}],
}


class Visit:
    """Somebody at one form."""

    def __init__(self, house: House, path: str, token: str) -> None:
        self.house, self.path, self.token = house, path, token
        self.key = ""

    async def open(self) -> str:
        shown = await self.house.client.get(self.path)
        assert shown.status_code == 200, shown.text
        [self.key] = re.findall(r'name="key" value="([0-9a-f]{32})"', shown.text)
        return shown.text

    async def send(self, do: str, said: dict[str, Any], **more: Any) -> httpx.Response:
        data = {"csrf": self.token, "version": "1", "key": self.key, "do": do, **said, **more}
        return await self.house.client.post(self.path, data=data, headers=ORIGIN)


@pytest.fixture
async def outing(house: House) -> House:
    await house.publish(parse(OUTING).recipe)
    return house


async def at_form(house: House, person: str = "alice", path: str = "/new/team_outing") -> Visit:
    visit = Visit(house, path, await signed_in(house, person))
    await visit.open()
    return visit


def stands(text: str, name: str) -> str:
    """What stands in a field."""
    [value] = re.findall(rf'name="{re.escape(name)}"[^>]*? value="([^"]*)"', text)
    return html.unescape(value)


def goes_on(text: str) -> list[str]:
    """What has the focus when the page is there: a field by its name, a button by what it does."""
    tags = re.findall(r"<[a-z][^>]* autofocus[^>]*>", text)
    return [re.findall(r'(?:name="(?!do")|value=")([^"]+)"', tag)[0] for tag in tags]


def problems(text: str) -> dict[str, str]:
    """What is said at which field."""
    found = re.findall(r'<p class="problem" id="([^"]+)-problem">([^<]+)</p>', text)
    return {name: html.unescape(message) for name, message in found}


async def test_one_sees_what_one_may_ask_for(outing: House) -> None:
    event = OUTING.replace("team_outing", "told").replace(
        'who: [role:hr, "user:alice"]', "events: [x.y]"
    )
    await outing.publish(parse(event).recipe)
    expected: list[tuple[str, list[str]]] = [
        ("alice", ["leave", "shared", "team_outing"]),
        ("erin", ["leave", "shared", "team_outing"]),
        ("bob", ["leave", "shared"]),
        ("nobody", []),
    ]
    for person, listed in expected:
        found = (await outing.get("/v1/recipes?startable=true", person)).json()["items"]
        assert [each["workflow"] for each in found] == listed
    one = await outing.get("/v1/recipes?startable=true&workflow=leave", "bob")
    assert [each["workflow"] for each in one.json()["items"]] == ["leave"]
    assert (await outing.get("/v1/recipes?workflow=leave", "bob")).status_code == 422
    page = await outing.get("/v1/recipes?startable=true&limit=2", "alice")
    rest = await outing.get(
        f"/v1/recipes?startable=true&cursor={page.json()['next_cursor']}", "alice"
    )
    assert [each["workflow"] for each in rest.json()["items"]] == ["team_outing"]

    await signed_in(outing, "bob")
    shown = await outing.client.get("/new")
    assert re.findall(r'href="/new/(\w+)"', shown.text) == ["leave", "shared"]
    for workflow, why in (
        ("team_outing", "its recipe leaves that to role:hr, user:alice"),
        ("told", "started by events"),
        ("nothing", "there is no such recipe"),
    ):
        refused = await outing.client.get(f"/new/{workflow}", headers={"accept": "text/html"})
        assert refused.status_code in (403, 404)
        assert why in refused.text
    path = "/v1/recipes/leave/versions/1/disable"
    await outing.post(path, "root", "admin", json={"reason": "audit"})
    assert re.findall(r'href="/new/(\w+)"', (await outing.client.get("/new")).text) == ["shared"]
    disabled = await outing.client.get("/new/leave", headers={"accept": "text/html"})
    assert "takes no new requests now: audit" in disabled.text


async def test_a_form_makes_one_request_of_two_clicks(outing: House) -> None:
    visit = await at_form(outing)
    made = await visit.send("send", GOOD)
    again = await visit.send("send", GOOD)
    assert (made.status_code, again.status_code) == (303, 303), made.text
    assert made.headers["location"] == again.headers["location"]
    request = (await outing.get(f"/v1{made.headers['location']}", "alice")).json()
    assert (request["inputs"], request["entity"]) == (VALUE, None)
    assert len(outing.delivery.starts) == 1
    # Gone back to and changed, it is another request; but not by mistake.
    changed = await visit.send("send", GOOD | {"/inputs/cost": "99"})
    assert changed.status_code == 422
    assert "This form was sent before" in changed.text
    visit.key = stands(changed.text, "key")
    other = await visit.send("send", GOOD | {"/inputs/cost": "99"})
    assert (other.status_code, len(outing.delivery.starts)) == (303, 2)


async def test_what_is_wrong_stands_at_its_field_and_all_that_was_typed_stays(
    outing: House,
) -> None:
    visit = await at_form(outing)
    unread = await visit.send(
        "send", GOOD | {"/inputs/cost": "1,5", "/inputs/day": "", "/entity/type": "bus"}
    )
    assert unread.status_code == 422
    assert problems(unread.text) == {
        "/entity/id": "is needed",
        "/inputs/cost": "write a number with a point and without commas, such as 1250.50",
        "/inputs/day": "is needed",
    }
    assert stands(unread.text, "/inputs/cost") == "1,5"
    assert stands(unread.text, "/inputs/guests/0/name") == "Dora <b>"
    assert "<b>" not in unread.text
    # What the API says, too; and a row that was left blank shifts none of it.
    guests = {
        "/inputs/guests": ["0", "1"],
        "/inputs/guests/0/name": "",
        "/inputs/guests/1/name": "x",
    }
    refused = await visit.send(
        "send", GOOD | guests | {"/inputs/cost": "9001", "/inputs/where": "y" * 41}
    )
    assert refused.status_code == 422
    assert set(problems(refused.text)) == {"/inputs/cost", "/inputs/where"}
    assert stands(refused.text, "/inputs/guests/0/name") == "x"
    assert stands(refused.text, "key") == visit.key
    assert outing.delivery.starts == []


async def test_rows_come_and_go_without_a_script(outing: House) -> None:
    visit = await at_form(outing)
    more = await visit.send("add /inputs/guests", GOOD | {"/inputs/cost": "?"})
    assert more.status_code == 200
    assert re.findall(r'name="/inputs/guests" value="(\d)"', more.text) == ["0", "1"]
    assert (stands(more.text, "/inputs/cost"), problems(more.text)) == ("?", {})
    assert goes_on(more.text) == ["/inputs/guests/1/name"]
    rows = {"/inputs/guests": ["0", "1"], "/inputs/guests/1/name": "Eva"}
    less = await visit.send("remove /inputs/guests/0", GOOD | rows)
    assert stands(less.text, "/inputs/guests/0/name") == "Eva"
    assert goes_on(less.text) == ["add /inputs/guests"]
    none = await visit.send("remove /inputs/guests/7", GOOD)
    assert goes_on(none.text) == ["add /inputs/guests"]


async def test_one_sees_whom_it_would_ask_before_it_is_sent(outing: House) -> None:
    visit = await at_form(outing)

    async def way(cost: str) -> str:
        shown = await visit.send("preview", GOOD | {"/inputs/cost": cost})
        assert shown.status_code == 200, shown.text
        text = re.sub(r"<[^>]+>", " ", shown.text.partition('id="way"')[2])
        return " ".join(html.unescape(text).split())

    small = await way("20")
    assert "The manager Bob Tanaka has 2 days, then their manager is asked" in small
    assert "Far not asked: only if cost > 1000" in small
    assert "Then it is approved." in small
    assert "Carol Diaz" in await way("2000")
    stuck = await way("6000")
    assert "It would wait there until somebody helps." in stuck
    assert "empty" in stuck
    refused = await visit.send("preview", GOOD | {"/inputs/cost": "1"})
    assert (refused.status_code, list(problems(refused.text))) == (422, ["/inputs/cost"])
    assert outing.delivery.starts == []


async def test_one_request_at_a_time_about_the_same(outing: House) -> None:
    visit = await at_form(outing)
    about = {"/entity/type": "bus", "/entity/id": "7"}
    first = await visit.send("send", GOOD | about)
    assert first.status_code == 303, first.text
    await visit.open()
    other = await visit.send("send", GOOD | about)
    assert (other.status_code, "is open" in other.text) == (409, True)
    assert stands(other.text, "/entity/id") == "7"
    odd = await visit.send("send", GOOD | about | {"/entity/type": "4 wheels"})
    assert (odd.status_code, list(problems(odd.text))) == (422, ["/entity/type"])


async def test_a_request_that_came_back_is_sent_again(outing: House) -> None:
    carried = Carried(outing, await outing.begun("alice", "team_outing", VALUE))
    request_id = carried.flow.state.request_id
    back = await outing.decide("bob", carried.flow.task, "request_changes", comment="Too <dear>?")
    assert back.status_code == 200, back.text
    await carried.settled()
    token = await signed_in(outing, "alice")
    moved = await outing.client.get(f"/new?resubmit={request_id}")
    assert (moved.status_code, moved.headers["location"]) == (
        303,
        f"/requests/{request_id}/resubmit",
    )
    visit = Visit(outing, f"/requests/{request_id}/resubmit", token)
    text = await visit.open()
    assert "Too &lt;dear&gt;?" in text
    assert "Bob Tanaka" in text
    assert (stands(text, "/inputs/cost"), stands(text, "/inputs/guests/0/name")) == (
        "250.5",
        "Dora <b>",
    )
    refused = await visit.send("send", GOOD | {"/inputs/cost": "1"})
    assert (refused.status_code, list(problems(refused.text))) == (422, ["/inputs/cost"])
    seen = await visit.send("preview", GOOD | {"/inputs/cost": "40"})
    assert "Bob Tanaka" in seen.text
    sent = await visit.send("send", GOOD | {"/inputs/cost": "40"}, comment="cheaper")
    assert (sent.status_code, sent.headers["location"]) == (303, f"/requests/{request_id}")
    await carried.ended()


async def test_only_the_requester_sends_it_again(outing: House) -> None:
    flow = await outing.begun("alice", "team_outing", VALUE)
    token = await signed_in(outing, "bob")
    path = f"/requests/{flow.state.request_id}/resubmit"
    assert (await outing.client.get(path)).status_code == 403
    sent = await Visit(outing, path, token).send("send", GOOD)
    assert sent.status_code == 403
    assert (await outing.client.get("/requests/x/resubmit")).status_code == 404


async def test_untyped_recipes_and_state_machines_have_forms(outing: House) -> None:
    await outing.publish(parse(REVIEW).recipe)
    await outing.publish(parse(OUTING.replace("team_outing", "free").partition("inputs:")[0] + """
steps:
  - {id: manager, when: days > 3, approver: "{{ employee.manager }}"}
""").recipe)  # fmt: skip
    visit = await at_form(outing, path="/new/free")
    made = await visit.send("send", {"/inputs/days": "4", "/inputs/where": "Rome"})
    assert made.status_code == 303, made.text
    request = (await outing.get(f"/v1{made.headers['location']}", "alice")).json()
    assert request["inputs"] == {"days": 4, "where": "Rome"}
    visit = await at_form(outing, path="/new/review")
    await visit.open()
    preview = await visit.send("preview", {"/inputs/document": "Opening hours"})
    assert "Who can go on first" in preview.text
    assert "It begins as Draft. From there people choose its way." in preview.text
    made = await visit.send("send", {"/inputs/document": "Opening hours"})
    assert made.status_code == 303, made.text
