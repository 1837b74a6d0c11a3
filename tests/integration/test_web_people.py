"""Naming people on pages."""

import re

import pytest

from api.auth import Caller
from api.web.desk import Desk
from api.web.people import Unclear, person_meant
from tests.integration.browsing import signed_in
from tests.integration.house import House


async def test_a_field_suggests_whom_is_meant(house: House) -> None:
    assert (await house.client.get("/people?q=da")).status_code == 303
    await signed_in(house, "alice")

    async def suggested(query: str) -> list[str]:
        shown = await house.client.get(f"/people?{query}")
        assert shown.status_code == 200
        return re.findall(r'value="([^"]*)"', shown.text)

    assert await suggested("q=da") == ["dave"]
    assert await suggested("of=to&to=EXAMPLE.ORG") == ["alice", "bob"]
    for nothing in ("", "q=", "of=to", "q=%00", "q=" + "x" * 300, "q=%25"):
        assert await suggested(nothing) == []


@pytest.mark.parametrize(
    ("text", "person"),
    [("bob", "bob"), (" Bob Tanaka ", "bob"), ("BOB@example.org", "bob"), ("novak", "erin")],
)
async def test_people_are_named_as_one_likes(house: House, text: str, person: str) -> None:
    assert await person_meant(Desk(house.app, Caller("alice")), text) == person


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name somebody"),
        ("zoe/x", "nobody here is called zoe/x"),
        ("example.org", r"Alice Moreau \(alice\), Bob Tanaka \(bob\)"),
    ],
)
async def test_whoever_is_unclear_is_asked_for(house: House, text: str, message: str) -> None:
    with pytest.raises(Unclear, match=message):
        await person_meant(Desk(house.app, Caller("alice")), text)
