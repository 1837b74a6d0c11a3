"""One request: where it stands and how it came there, for whoever may see it."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.web import rules, timeline
from api.web.about import about, if_there
from api.web.called import called
from api.web.desk import Refused
from api.web.names import ids_in
from api.web.pages import page
from api.web.visitors import PageRoute, visitor
from contract import facts

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_EVENTS = 100
_NEWEST = 2**31 - 1
"""No event of a request has a higher number."""


@router.get("/requests/{request_id:uuid}")
async def show_request(request: Request, request_id: UUID) -> Response:
    """A request that I may see."""
    return await request_page(request, request_id)


async def request_page(
    request: Request,
    request_id: UUID,
    refusal: Refused | None = None,
    typed: Mapping[str, str] | None = None,
    deed: str = "",
) -> Response:
    """The page of a request; after a refusal of a `deed` with what was `typed`, and what was wrong beside it."""
    desk = visitor(request).desk
    path = f"/v1/requests/{request_id}"
    before = _before(request)
    it, events = await asyncio.gather(
        desk.get(path), desk.get(f"{path}/events", before=before, limit=_EVENTS)
    )
    machine = it["status"] is not None or it["state"] == "created"  # then it may be one yet
    found, fired, names = await asyncio.gather(
        about(desk, it),
        if_there(desk.get(f"{path}/actions")) if machine else _nothing(),
        called(desk, timeline.people_in(events["items"]) | ids_in(it, refusal and refusal.problem)),
    )
    told = timeline.Told(found.recipe, names)
    shown = facts.facts(found.recipe["inputs"], it["inputs"], withheld=it["withheld"])
    told_lines = timeline.lines(events["items"], told)
    revisions = [
        (each, facts.changes(each["changed"], shown.labels)) for each in it["revisions"][1:]
    ]
    return page(
        request,
        "request.html",
        200 if refusal is None else refusal.status,
        it=it,
        found=found,
        names=names,
        facts=shown,
        lines=told_lines,
        **_beside(events),
        next_up=_next_up(it, told),
        actions=[] if fired is None else [each for each in fired["items"] if each["available"]],
        moves=it["moves"],
        way=", ".join(each.said for each in told_lines if each.of_step),
        revisions=revisions,
        refusal=refusal,
        wrong={} if refusal is None else refusal.at(),
        changed=[],
        typed=typed or {},
        deed=deed,
    )


def _before(request: Request) -> int:
    """Before which event those shown stand: what the address says, or the newest."""
    said = request.query_params.get("before", "")
    return int(said) if said.isascii() and said.isdigit() and 0 < int(said) < _NEWEST else _NEWEST


def _beside(events: Mapping[str, Any]) -> dict[str, int | None]:
    """Before which events the pages of `older` and of `newer` ones stand; None where there are none."""
    shown = [each["seq"] for each in events["items"]]
    older = shown[0] if shown and shown[0] > 1 else None
    newer = (shown[-1] if shown else 0) + _EVENTS + 1 if events["next_cursor"] else None
    return {"older": older, "newer": newer}


async def _nothing() -> None:
    return None


def _next_up(it: Mapping[str, Any], told: timeline.Told) -> list[dict[str, Any]]:
    """Whom the request waits for: step, who, and by when."""
    return [
        {
            "id": task["id"],
            "step": rules.step_name(told.recipe, task["step"], task["branch"]),
            "who": ", ".join(map(told.who, task["candidates"] or [task["assignee"]])),
            "claimed_by": task["claimed_by"] and told.who(task["claimed_by"]),
            "due_at": task["due_at"],
        }
        for task in it["tasks"]
        if task["state"] == "open"
    ]
