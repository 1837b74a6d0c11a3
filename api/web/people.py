"""Naming people on pages: what the field of `_people.html` suggests, and whom its text means.

The field is an ordinary one that may hold an id, a name or an e-mail address; suggestions only save typing.
"""

from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.web.desk import Desk, Refused, refused_at
from api.web.pages import page
from api.web.visitors import PageRoute, Visitor, visitor

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_SUGGESTED = 20
_LOOKED_AT = 200
_LONGEST = 128


class Unclear(Exception):
    """A text that names nobody, or several; the message says what to write."""


@router.get("/people")
async def suggest_people(request: Request) -> Response:
    """The options for what is typed so far, in `q` or in the parameter that `of` names."""
    asked = request.query_params
    text = (asked.get("q") or asked.get(asked.get("of") or "") or "").strip()
    found: list[dict[str, Any]] = []
    if text and len(text) <= _LONGEST and "\x00" not in text:
        found = await _found(visitor(request).desk, text, _SUGGESTED)
    return page(request, "_people_options.html", people=found)


async def person_meant(desk: Desk, text: str) -> str:
    """The id of whom a text names: by id, by name, by e-mail address, or by a part that nobody else has.
    Unclear."""
    text = text.strip()
    if not text or len(text) > _LONGEST or "\x00" in text:
        raise Unclear("name somebody")
    if await _is_id(desk, text):
        return text
    found = await _found(desk, text, _LOOKED_AT)
    exact = [each for each in found if text.lower() in _names(each)] or found
    if not exact:
        raise Unclear(
            f"nobody here is called {text}: write a part of the name, the e-mail address or the id"
            " that the directory has (countersign org people tells ids)"
        )
    if len(exact) > 1:
        listed = ", ".join(f"{each['name']} ({each['id']})" for each in exact[:5])
        more = " and others" if len(exact) > 5 else ""
        raise Unclear(f"several people are called so: {listed}{more}. Write the id")
    return str(exact[0]["id"])


async def person_named(desk: Desk, text: str, pointer: str) -> str:
    """The id of whom the field at `pointer` names. Refused, as the API would."""
    try:
        return await person_meant(desk, text)
    except Unclear as error:
        raise refused_at(pointer, str(error)) from None


async def myself(guest: Visitor) -> dict[str, Any]:
    """Whoever looks, as the directory knows them, in a time zone that is known here; not `here` is somebody whom
    it does not have."""
    nobody: dict[str, Any] = {
        "id": guest.caller.id,
        "name": guest.caller.id,
        "here": False,
        "roles": [],
    }
    nobody |= {"time_zone": "UTC", "manager": None, "email": None, "department": None}
    try:
        found: dict[str, Any] = await guest.desk.get(f"/v1/org/people/{guest.caller.id}")
    except Refused as refusal:
        if refusal.status != 404:
            raise
        return nobody
    return found if _is_zone(found["time_zone"]) else found | {"time_zone": "UTC"}


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


async def _is_id(desk: Desk, text: str) -> bool:
    if "/" in text:
        return False
    try:
        await desk.get(f"/v1/org/people/{text}")
    except Refused as refused:
        if refused.status != 404:
            raise
        return False
    return True


async def _found(desk: Desk, text: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await desk.get("/v1/org/people", q=text, limit=limit))["items"]
    return found


def _names(person: dict[str, Any]) -> set[str]:
    said = (person["id"], person["name"], person["email"])
    return {str(each).lower() for each in said if each}
