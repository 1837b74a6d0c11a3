"""A request as a picture: its recipe, with the way that the request took."""

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Caller
from api.http import Route
from api.requests import allowed
from api.services import Services, caller_of, services
from api.versions import PICTURE, STILL, check_drawable
from recipes.diagram_svg import svg
from recipes.model import Json
from recipes.way_taken import Way, way

router = APIRouter(prefix="/v1/requests", tags=["requests"], route_class=Route)

_AT_ONCE = 1000
_MOST = 10_000


@router.get(
    "/{request_id}/diagram.svg",
    response_class=Response,
    responses=PICTURE,
    summary="A request as a picture",
)
async def request_diagram(request: Request, request_id: UUID) -> Response:
    """Its recipe, in which each step that the request came through says what came of it; all of it is said
    in `desc`. 409 for a state machine."""
    caller = await caller_of(request)
    return Response(
        await _drawn(services(request), caller, request_id),
        headers=STILL,
        media_type="image/svg+xml",
    )


async def _drawn(house: Services, caller: Caller, request_id: UUID) -> str:
    row, _ = await allowed(house.pool, caller, "see", request_id)
    recipe = await house.catalogue.recipe(
        house.pool, row["workflow"], row["version"], row["sha256"]
    )
    check_drawable(recipe)
    if row["import_id"] is not None:
        return svg(recipe, Way({}, row["state"]))
    events: list[tuple[str, dict[str, Json]]] = []
    after: int | None = 0
    while after is not None and len(events) < _MOST:
        found = await house.trail.kept(house.pool, request_id, after=after, limit=_AT_ONCE)
        events += [(each.event_type, each.payload) for each in found]
        after = found[-1].seq if len(found) == _AT_ONCE else None
    return svg(recipe, way(recipe, events, row["step"]))
