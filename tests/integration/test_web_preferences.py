"""What one is told, on its page: shown, said, and refused at the field. Opening it changes nothing."""

import html
import re

from tests.integration.browsing import ORIGIN, shown, signed_in
from tests.integration.house import House

FIELDS = {
    "digest_at": "07:30",
    "quiet_from": "20:00",
    "quiet_to": "07:00",
    "time_zone": "Europe/Madrid",
    "gather_minutes": "5",
}


async def test_preferences_are_said_on_their_page(house: House) -> None:
    token = await signed_in(house, "bob")
    text = await shown(house, "/preferences")
    assert 'name="task.mail" checked' in text
    assert 'name="task.slack"' not in text  # which is not set up here
    assert await house.pool.fetchval("SELECT count(*) FROM preferences") == 0
    said = {
        "csrf": token,
        "task.mail": "on",
        "outcome.mail": "on",
        "outcome.digest": "on",
        **FIELDS,
    }
    saved = await house.client.post("/preferences", data=said, headers=ORIGIN)
    assert (saved.status_code, saved.headers["location"]) == (303, "/preferences?done=1")
    assert "Saved." in await shown(house, "/preferences?done=1")
    found = (await house.get("/v1/me/preferences", "bob")).json()
    assert found["channels"]["task"] == found["channels"]["outcome"] == ["mail"]
    assert found["channels"]["notice"] == []
    assert (found["digest"], found["digest_at"], found["gather_minutes"]) == (
        ["outcome"],
        "07:30",
        5,
    )
    assert found["quiet_hours"] == {"from": "20:00", "to": "07:00"}
    text = await shown(house, "/preferences")
    assert 'name="outcome.digest" checked' in text
    assert 'name="notice.mail">' in text
    assert 'value="20:00"' in text


async def test_what_cannot_be_is_said_at_its_field(house: House) -> None:
    token = await signed_in(house, "bob")
    wrong = {
        "digest_at": ("8 o'clock", "write a time such as 08:00"),
        "quiet_to": ("", "write a time such as 08:00"),
        "time_zone": ("Madrid", "is no time zone"),
        "gather_minutes": ("ten", "write a number of minutes"),
    }
    long = ("gather_minutes", ("9" * 5000, "write a number of minutes"))
    for name, (value, message) in (*wrong.items(), long):
        said = {"csrf": token, **FIELDS, name: value}
        answered = await house.client.post("/preferences", data=said, headers=ORIGIN)
        assert answered.status_code == 422, name
        found = re.findall(r'<p class="problem" id="([^"]+)-problem">([^<]+)</p>', answered.text)
        [(field, told)] = found
        assert (field, message in html.unescape(told)) == (name, True), found
        if value:
            assert f'value="{html.escape(value)}"' in answered.text.replace("&#39;", "&#x27;")
    assert await house.pool.fetchval("SELECT count(*) FROM preferences") == 0
    forged = await house.client.post("/preferences", data=FIELDS, headers=ORIGIN)
    assert forged.status_code == 403


async def test_one_sees_who_one_is_here_and_can_leave(house: House) -> None:
    await signed_in(house, "alice")
    text = await shown(house, "/preferences")
    assert "<dd>Alice Moreau (alice)</dd>" in text
    assert "<dd>Bob Tanaka</dd>" in text
    assert "<dd>Sales</dd>" in text
    assert text.count('action="/sign-out"') == 2
