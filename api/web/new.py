"""Asking for something: what one may request, the form of it, and the way it would take; and again after it came back."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api import errors
from api.web import preview, request_form
from api.web.called import called
from api.web.desk import Desk, Refused
from api.web.pages import page
from api.web.people import myself
from api.web.preview import Preview
from api.web.request_form import RequestForm
from api.web.visitors import PageRoute, form_of, visitor
from recipes.model import Json

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_MOST_LISTED = 1000
_AT_THE_FORM = frozenset((409, 413, 422, 429, 503))
"""Refusals after which one goes on in the form."""


@dataclass(frozen=True, slots=True)
class _Asking:
    """Whoever asks, of which recipe; `came_back` is the request to be sent again, if it is one."""

    request: Request
    recipe: dict[str, Any]
    zone: str
    came_back: dict[str, Any] | None = None

    @property
    def desk(self) -> Desk:
        return visitor(self.request).desk

    def shown(self, form: RequestForm, status: int = 200, way: Preview | None = None) -> Response:
        """The page with its form."""
        said = {"form": form.padded(), "way": way, "came_back": self.came_back}
        return page(self.request, "request_form.html", status, **said)


@router.get("/new")
async def choose(request: Request) -> Response:
    """What one may request."""
    again = request.query_params.get("resubmit")
    if again is not None:
        return RedirectResponse(f"/requests/{_id(again)}/resubmit", 303)
    desk = visitor(request).desk
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        part = await desk.get("/v1/recipes", startable=True, limit=200, cursor=cursor)
        found += part["items"]
        cursor = part["next_cursor"]
        if cursor is None or len(found) >= _MOST_LISTED:
            return page(request, "new.html", recipes=found)


@router.get("/new/{workflow}")
async def show_form(request: Request, workflow: str) -> Response:
    """The form of a request."""
    desk = visitor(request).desk
    recipe, may, zone = await asyncio.gather(
        desk.get(f"/v1/recipes/{workflow}"),
        desk.get("/v1/recipes", startable=True, workflow=workflow),
        _zone(request),
    )
    if not may["items"]:
        raise errors.forbidden(_why_not(recipe))
    return _Asking(request, recipe, zone).shown(request_form.fresh(recipe, zone))


@router.post("/new/{workflow}")
async def use_form(request: Request, workflow: str) -> Response:
    """Send it, look at its way first, or change its rows."""
    version = str((await form_of(request)).get("version", ""))
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise errors.invalid("this form does not say of which version it is: open it anew")
    asking = await _asking(request, workflow, version)

    async def send(inputs: dict[str, Json], form: RequestForm) -> str:
        body = {"workflow": workflow, "version": int(version), "inputs": inputs, **form.about()}
        key = {"Idempotency-Key": f"web-{form.key}"}
        made = await asking.desk.post("/v1/requests", body, headers=key)
        return str(made["id"])

    return await _use(asking, send)


@router.get("/requests/{request_id}/resubmit")
async def show_again(request: Request, request_id: str) -> Response:
    """The form of a request that came back, with what it said."""
    came_back = await _came_back(request, _id(request_id))
    if came_back["state"] != "rewound":
        return RedirectResponse(f"/requests/{request_id}", 303)
    asking = await _asking(request, came_back["workflow"], came_back["version"], came_back)
    return asking.shown(request_form.of_request(asking.recipe, asking.zone, came_back))


@router.post("/requests/{request_id}/resubmit")
async def send_again(request: Request, request_id: str) -> Response:
    """The same for it: send it again, look at its way first, or change its rows."""
    came_back = await _came_back(request, _id(request_id))
    if came_back["state"] != "rewound":
        return RedirectResponse(f"/requests/{request_id}", 303)
    asking = await _asking(request, came_back["workflow"], came_back["version"], came_back)

    async def send(inputs: dict[str, Json], form: RequestForm) -> str:
        body = {"inputs": inputs, "comment": form.comment or None}
        await asking.desk.post(f"/v1/requests/{request_id}/resubmit", body)
        return request_id

    return await _use(asking, send)


_Send = Callable[[dict[str, Json], RequestForm], Awaitable[str]]
"""Sends the inputs of a form: the id of the request. Refused."""


async def _use(asking: _Asking, send: _Send) -> Response:
    said = await form_of(asking.request)
    do = str(said.get("do", "preview"))
    look_at_it = do in ("send", "preview")
    form = request_form.sent(asking.recipe, asking.zone, said, tidy=look_at_it)
    if asking.came_back is not None:
        form = replace(form, entity=asking.came_back["entity"] or form.entity)
    if not look_at_it:
        return asking.shown(form.altered(do))
    inputs, form = form.read()
    if form.wrong:
        return asking.shown(form, 422)
    try:
        if do == "preview":
            return asking.shown(form, way=await _way(asking, form, inputs))
        made = await send(inputs, form)
    except Refused as refusal:
        if refusal.status not in _AT_THE_FORM:
            raise
        form = form.refused(refusal)
        if refusal.kind == "idempotency_key_reused":
            # Sent, gone back to, changed: what is sent now is another request.
            said_so = "This form was sent before, and says something else now. Send it once more to make another request."
            form = replace(form, key=request_form.new_key(), amiss=(said_so,))
        return asking.shown(form, refusal.status)
    return RedirectResponse(f"/requests/{made}", 303)


async def _way(asking: _Asking, form: RequestForm, inputs: dict[str, Json]) -> Preview:
    """Whom it would ask. Refused."""
    recipe, desk = asking.recipe, asking.desk
    path = f"/v1/recipes/{recipe['workflow']}/versions/{recipe['version']}/simulate"
    simulated = await desk.post(path, {"inputs": inputs, **form.about()})
    names = await called(desk, preview.people(simulated))
    if recipe["machine"] is not None:
        return preview.beginning(simulated, names, recipe["machine"]["states"])
    return preview.preview(simulated, names, recipe["steps"])


async def _asking(
    request: Request, workflow: str, version: str | int, came_back: dict[str, Any] | None = None
) -> _Asking:
    desk = visitor(request).desk
    recipe, zone = await asyncio.gather(
        desk.get(f"/v1/recipes/{workflow}/versions/{version}"), _zone(request)
    )
    return _Asking(request, recipe, zone, came_back)


async def _came_back(request: Request, request_id: str) -> dict[str, Any]:
    """The request, of which one is the requester, and the `names` of those who decided on it."""
    guest = visitor(request)
    found: dict[str, Any] = await guest.desk.get(f"/v1/requests/{request_id}")
    if found["requester"] != guest.caller.id:
        raise errors.forbidden("only its requester sends a request again")
    names = await called(guest.desk, (each["user"] for each in found["decisions"]))
    return found | {"names": names}


async def _zone(request: Request) -> str:
    """The time zone of whoever asks."""
    return str((await myself(visitor(request)))["time_zone"])


def _why_not(recipe: dict[str, Any]) -> str:
    workflow = recipe["workflow"]
    if recipe["disabled"] is not None:
        return f"{workflow} takes no new requests now: {recipe['disabled']['reason']}"
    who = (recipe["start"] or {}).get("who")
    if who:
        return f"you may not ask for {workflow}: its recipe leaves that to {', '.join(who)}"
    if (recipe["start"] or {}).get("events"):
        return f"{workflow} is started by events of other systems"
    return "you are not, or no longer, in the directory: an administrator adds people"


def _id(text: str) -> str:
    """A request's id as it stands in an address. Problem 404."""
    try:
        return str(UUID(text))
    except ValueError:
        raise errors.not_found("request") from None
