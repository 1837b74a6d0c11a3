"""Out of office on pages: set, refused at the field, ended."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.integration.browsing import ORIGIN, shown, signed_in
from tests.integration.house import House

LATER = (datetime.now(UTC) + timedelta(days=40)).date()


async def leave_it(house: House, token: str, **said: Any) -> httpx.Response:
    return await house.client.post("/absence", data={"csrf": token, **said}, headers=ORIGIN)


def problems(text: str) -> dict[str, str]:
    """What is said at which field."""
    found = re.findall(r'<p class="problem" id="([^"]+)-problem">([^<]+)</p>', text)
    return {name: html.unescape(message) for name, message in found}


async def test_somebody_decides_instead_until_one_is_back(house: House) -> None:
    token = await signed_in(house, "bob")
    empty = await shown(house, "/absence")
    assert 'type="date"' in empty
    assert "For whom you decide" not in empty
    days = {"from": LATER.isoformat(), "to": (LATER + timedelta(days=3)).isoformat()}
    made = await leave_it(
        house, token, delegate="Dave Singh", scope="workflow:leave", reason="<sun>", **days
    )
    assert made.status_code == 303, made.text
    text = await shown(house, made.headers["location"])
    assert "Saved: Dave Singh decides instead of you from" in text
    assert "only requests of the kind Leave. “&lt;sun&gt;”" in text
    [item] = (await house.get("/v1/org/delegations", "bob")).json()["items"]
    assert (item["delegate"], item["scope"]) == ("dave", "workflow:leave")
    assert item["from"][:10] == LATER.isoformat()

    await signed_in(house, "dave")
    assert "Bob Tanaka" in (await shown(house, "/absence")).partition("For whom you decide")[2]
    token = await signed_in(house, "bob")
    end = {"data": {"csrf": token}, "headers": ORIGIN}
    ended = await house.client.post(f"/absence/{item['id']}/end", **end)
    assert (ended.status_code, ended.headers["location"]) == (303, "/absence?done=ended")
    assert "Dave Singh" not in await shown(house, ended.headers["location"])
    again = await house.client.post(f"/absence/{item['id']}/end", **end)
    assert (again.status_code, "it ended at" in again.text) == (409, True)


async def test_what_cannot_be_is_said_at_its_field(house: House) -> None:
    token = await signed_in(house, "bob")

    async def refused(status: int = 422, **said: Any) -> dict[str, str]:
        answered = await leave_it(house, token, **{"scope": "all", **said})
        assert answered.status_code == status, answered.text
        for text in (text for name, text in said.items() if name != "scope"):
            assert html.escape(text) in answered.text
        return problems(answered.text)

    assert await refused(delegate="") == {"delegate": "name somebody"}
    assert list(await refused(delegate="example.org")) == ["delegate"]
    assert await refused(delegate="bob") == {"delegate": "nobody delegates to themselves"}
    assert await refused(delegate="dave", **{"from": "soon"}) == {
        "from": "write a day such as 2026-12-21"
    }
    assert "past" in (await refused(delegate="dave", **{"from": "2020-01-01"}))["from"]
    assert list(await refused(delegate="dave", to="2020-01-01")) == ["to"]
    assert list(await refused(delegate="dave", **{"from": "9999-12-31"})) == ["from"]
    assert (
        "no workflow named nothing"
        in (await refused(delegate="dave", scope="workflow:nothing"))["scope"]
    )
    assert (await leave_it(house, token, delegate="dave")).status_code == 303
    taken = await leave_it(house, token, delegate="erin")
    assert (taken.status_code, "end that first" in taken.text) == (409, True)


async def test_a_circle_is_found_before_somebody_is_stuck_in_it(house: House) -> None:
    token = await signed_in(house, "erin")
    assert (await leave_it(house, token, delegate="dave")).status_code == 303
    token = await signed_in(house, "dave")
    refused = await leave_it(house, token, delegate="erin")
    assert problems(refused.text) == {
        "delegate": "this would go in a circle: dave -> erin -> dave; name somebody else, or have erin's"
        " delegation to dave ended first"
    }
    # Once erin is back it is none.
    [item] = (await house.get("/v1/org/delegations", "erin")).json()["items"]
    ended = await house.post(f"/v1/org/delegations/{item['id']}/end", "erin")
    assert ended.status_code == 200
    assert (await leave_it(house, token, delegate="erin")).status_code == 303
