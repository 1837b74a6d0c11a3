"""What I am told of by mail and Slack, how and when: one form, all of it at once. And who I am here."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.web.called import called
from api.web.desk import Desk, Refused
from api.web.pages import page
from api.web.people import myself
from api.web.visitors import PageRoute, texts_of, visitor
from contract.preferences import CHANNELS, KINDS
from recipes.model import Json

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_PLACE = "/v1/me/preferences"
_KINDS = {
    "task": "Something waits for my decision",
    "reminder": "It still waits",
    "question": "I am asked something",
    "answer": "My question was answered",
    "rewound": "My request was sent back to me",
    "outcome": "A request of mine, or that I watch, has ended",
    "incident": "A request that I look after needs help",
    "notice": "A request tells me something",
}
_WAYS = {"mail": "Mail", "slack": "Slack"}
_FIELDS = {
    "digest_at": "Time of the daily digest",
    "quiet_from": "Quiet from",
    "quiet_to": "Quiet until",
    "time_zone": "Time zone",
    "gather_minutes": "Minutes to gather for",
}
_AT = {"quiet_hours": "quiet_to", "quiet_hours/from": "quiet_from", "quiet_hours/to": "quiet_to"}
"""The fields of what the API has under another name."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is ticked, as `task.mail` and `task.digest`; what stands in the fields, and what is wrong with them."""

    ticked: frozenset[str]
    texts: Mapping[str, str]
    wrong: Mapping[str, str]
    amiss: str | None = None

    @property
    def problems(self) -> list[tuple[str, str, str]]:
        """The name, label and message of each field that is wrong."""
        return [(name, _FIELDS[name], text) for name, text in self.wrong.items()]


@router.get("/preferences")
async def show_preferences(request: Request) -> Response:
    """What I said, or how it is for everybody."""
    found, known = await asyncio.gather(visitor(request).desk.get(_PLACE), _known(request))
    hours = found["quiet_hours"] or {"from": "", "to": ""}
    ticked = {f"{kind}.{way}" for kind, ways in found["channels"].items() for way in ways}
    texts = {
        "digest_at": found["digest_at"],
        "quiet_from": hours["from"],
        "quiet_to": hours["to"],
        "time_zone": found["time_zone"] or "",
        "gather_minutes": str(found["gather_minutes"]),
    }
    daily = {f"{kind}.digest" for kind in found["digest"]}
    return _shown(request, found, known, Form(frozenset(ticked | daily), texts, {}))


@router.post("/preferences")
async def say_preferences(request: Request) -> Response:
    """All of it, instead of what I said before."""
    desk = visitor(request).desk
    said = await texts_of(request)
    texts = {name: said.get(name, "").strip() for name in _FIELDS}
    ticked = frozenset(name for name in said if name.partition(".")[0] in KINDS)
    minutes = texts["gather_minutes"]
    if not (minutes.isdecimal() and len(minutes) < 10):
        wrong = {"gather_minutes": "write a number of minutes, such as 10"}
        return await _again(request, desk, Form(ticked, texts, wrong))
    try:
        await desk.put(_PLACE, _body(ticked, texts))
    except Refused as refusal:
        if refusal.status != 422:
            raise
        return await _again(request, desk, _refused(ticked, texts, refusal))
    return RedirectResponse("/preferences?done=1", 303)


def _body(ticked: frozenset[str], texts: Mapping[str, str]) -> dict[str, Json]:
    channels: dict[str, Json] = {
        kind: [way for way in CHANNELS if f"{kind}.{way}" in ticked] for kind in KINDS
    }
    hours: dict[str, Json] | None = None
    if texts["quiet_from"] or texts["quiet_to"]:
        hours = {"from": texts["quiet_from"], "to": texts["quiet_to"]}
    return {
        "channels": channels,
        "digest": [kind for kind in KINDS if f"{kind}.digest" in ticked],
        "digest_at": texts["digest_at"],
        "quiet_hours": hours,
        "time_zone": texts["time_zone"] or None,
        "gather_minutes": int(texts["gather_minutes"]),
    }


def _refused(ticked: frozenset[str], texts: Mapping[str, str], refusal: Refused) -> Form:
    at = {place.removeprefix("/"): text for place, text in refusal.at().items()}
    named = {_AT.get(name, name): text for name, text in at.items()}
    wrong = {name: _plainly(name, text) for name, text in named.items() if name in _FIELDS}
    return Form(ticked, texts, wrong, None if wrong else refusal.detail)


def _plainly(name: str, text: str) -> str:
    """What the API says of a pattern tells nobody anything."""
    return "write a time such as 08:00" if "pattern" in text and name != "time_zone" else text


async def _again(request: Request, desk: Desk, form: Form) -> Response:
    found, known = await asyncio.gather(desk.get(_PLACE), _known(request))
    return _shown(request, found, known, form, 422)


async def _known(request: Request) -> dict[str, Any]:
    """Whoever looks, as the directory knows them, with their manager's name."""
    guest = visitor(request)
    me = await myself(guest)
    manager = me["manager"]
    names = await called(guest.desk, [manager] if manager else [])
    return me | {"manager": manager and names.of(manager)}


def _shown(
    request: Request,
    found: Mapping[str, Any],
    known: Mapping[str, Any],
    form: Form,
    status: int = 200,
) -> Response:
    used = {way for ways in found["channels"].values() for way in ways}
    ways = {way: name for way, name in _WAYS.items() if way in found["ways"] or way in used}
    return page(
        request,
        "preferences.html",
        status,
        found=found,
        me=known,
        form=form,
        kinds=_KINDS,
        ways=ways,
        done="done" in request.query_params and not form.wrong,
    )
