"""Pages of the site as a browser asks for them, without one."""

import re
from html import unescape
from typing import Any

import httpx

from tests.integration.house import House

ORIGIN = {"origin": "http://api"}
HTML = {"accept": "text/html"}


async def signed_in(house: House, person: str, *roles: str) -> str:
    """The token that forms of somebody who has just signed in must repeat."""
    answered = await house.client.post(
        "/sign-in", data={"person": person, "role": list(roles), "next": "/"}, headers=ORIGIN
    )
    assert (answered.status_code, answered.headers["location"]) == (303, "/"), answered.text
    [found] = re.findall(r'data-csrf="([^"]+)"', (await house.client.get("/")).text)
    return str(found)


async def shown(house: House, path: str, status: int = 200) -> str:
    """A page's HTML."""
    answered = await house.client.get(path, headers=HTML)
    assert answered.status_code == status, answered.text
    return answered.text


async def sent(
    house: House, path: str, csrf: str, files: Any = None, **fields: Any
) -> httpx.Response:
    """What a form is answered."""
    return await house.client.post(
        path, data={"csrf": csrf, **fields}, files=files, headers=ORIGIN | HTML
    )


def words(page: str) -> str:
    """What a page says: no tags, one blank between words."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r"</?(strong|span|small|a|time|code|em|b)\b[^>]*>", "", text)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def fields(page: str) -> dict[str, str]:
    """The hidden fields of a page's forms, by name, but for the token; the last one of a name."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    return {name: unescape(value) for name, value in found if name != "csrf"}
