"""Out of office: who decides instead of me, from when until when, and for whom I do."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.days import start_of
from api.web import typed
from api.web.called import called
from api.web.desk import Refused
from api.web.names import Names
from api.web.pages import page
from api.web.people import Unclear, myself, person_meant
from api.web.visitors import PageRoute, texts_of, visitor
from contract import words
from recipes.model import Json

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_FIELDS = {
    "delegate": "Who decides instead of you",
    "from": "First day",
    "to": "Last day",
    "scope": "What they decide",
    "reason": "Why",
}
_AT_THE_FORM = frozenset((409, 413, 422, 429, 503))
"""Refusals after which one goes on in the form."""


@dataclass(frozen=True, slots=True)
class Absence:
    """A delegation as it is shown: `who` is the other one; `begun` whether it holds now."""

    id: str
    who: str
    what: str
    when: str
    reason: str | None
    begun: bool


@dataclass(frozen=True, slots=True)
class Typed:
    """The form: what stands in its fields, what is wrong with them, and what is amiss with no field alone."""

    texts: Mapping[str, str]
    wrong: Mapping[str, str]
    amiss: str | None = None

    def type(self, name: str) -> str:
        """Of the input of a day: a browser would drop a text that is none."""
        return "date" if typed.fits("date", self.texts[name]) else "text"

    @property
    def problems(self) -> list[tuple[str, str, str]]:
        """The name, label and message of each field that is wrong."""
        return [(name, _FIELDS[name], text) for name, text in self.wrong.items()]


EMPTY = Typed({"delegate": "", "from": "", "to": "", "scope": "all", "reason": ""}, {})


@router.get("/absence")
async def show_absence(request: Request) -> Response:
    """Who decides instead of whom, and the form."""
    return await _shown(request, EMPTY)


@router.post("/absence")
async def set_absence(request: Request) -> Response:
    """Somebody decides instead of me from now on, or from a day on."""
    guest = visitor(request)
    said = {**EMPTY.texts, **await texts_of(request)}
    texts = {name: said[name] for name in _FIELDS}
    wrong = _unread(texts)
    delegate = ""
    try:
        delegate = await person_meant(guest.desk, texts["delegate"])
    except Unclear as unclear:
        wrong["delegate"] = str(unclear)
    if wrong:
        return await _shown(request, Typed(texts, wrong), 422)
    body: dict[str, Json] = {name: text for name, text in texts.items() if text}
    try:
        made = await guest.desk.post("/v1/org/delegations", body | {"delegate": delegate})
    except Refused as refusal:
        if refusal.status not in _AT_THE_FORM:
            raise
        return await _shown(request, _refused(texts, refusal), refusal.status)
    return RedirectResponse(f"/absence?done={made['id']}", 303)


@router.post("/absence/{delegation_id}/end")
async def end_absence(request: Request, delegation_id: str) -> Response:
    """Back, or not going at all."""
    try:
        await visitor(request).desk.post(f"/v1/org/delegations/{delegation_id}/end", {})
    except Refused as refusal:
        if refusal.status != 409:
            raise
        return await _shown(request, Typed(EMPTY.texts, {}, refusal.detail), 409)
    return RedirectResponse("/absence?done=ended", 303)


def _refused(texts: Mapping[str, str], refusal: Refused) -> Typed:
    at = {place.removeprefix("/"): text for place, text in refusal.at().items()}
    wrong = {name: text for name, text in at.items() if name in _FIELDS}
    return Typed(texts, wrong, None if wrong else refusal.detail)


def _unread(texts: Mapping[str, str]) -> dict[str, str]:
    """What of the days is none."""
    return {
        name: "write a day such as 2026-12-21"
        for name in ("from", "to")
        if texts[name] and words.day(texts[name]) is None
    }


# --- showing --------------------------------------------------------------------------------------


async def _shown(request: Request, form: Typed, status: int = 200) -> Response:
    guest = visitor(request)
    me, found, recipes = await asyncio.gather(
        myself(guest),
        guest.desk.get("/v1/org/delegations", limit=200),
        guest.desk.get("/v1/recipes", limit=200),
    )
    items = found["items"]
    others = {person for each in items for person in (each["delegator"], each["delegate"])}
    names = await called(guest.desk, others)
    given = [
        _absence(each, each["delegate"], names, me)
        for each in items
        if each["delegator"] == me["id"]
    ]
    received = [
        _absence(each, each["delegator"], names, me)
        for each in items
        if each["delegate"] == me["id"]
    ]
    return page(
        request,
        "absence.html",
        status,
        me=me,
        form=form,
        given=given,
        received=received,
        done=request.query_params.get("done"),
        workflows=[each["workflow"] for each in recipes["items"]],
    )


def _absence(item: Mapping[str, Any], other: str, names: Names, me: Mapping[str, Any]) -> Absence:
    begins = words.moment(item["from"])
    return Absence(
        item["id"],
        names.of(other),
        what(item["scope"]),
        when(item, ZoneInfo(me["time_zone"])),
        item["reason"],
        begins <= datetime.now(UTC),
    )


def what(scope: str) -> str:
    """A delegation's scope in words."""
    kind, _, name = scope.partition(":")
    if kind == "workflow":
        return f"only requests of the kind {words.label(name)}"
    return f"only what is asked of {name}" if kind == "role" else "everything"


def when(item: Mapping[str, Any], zone: ZoneInfo) -> str:
    """From when until when, by the clocks of `zone`: as days where it is whole ones."""
    begins = words.moment(item["from"]).astimezone(zone)
    first = f"from {_edge(begins, begins, zone)}"
    if item["to"] is None:
        return f"{first} until it is ended"
    ends = words.moment(item["to"]).astimezone(zone)
    return f"{first} to {_edge(ends, ends - timedelta(seconds=1), zone)}"


def _edge(at: datetime, within: datetime, zone: ZoneInfo) -> str:
    """A moment as the day `within` that begins or ends then, or with its time."""
    if at == start_of(at.date(), zone):
        return str(words.day(within.date().isoformat()))
    return f"{words.day(at.date().isoformat())}, {at:%H:%M}"
