"""A request as a picture: its recipe, with the way that the request took."""

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Caller
from api.http import Route
from api.requests import allowed
from api.services import Services, caller_of, services
from api.versions import PICTURE, STILL
from recipes import picture
from recipes.machine_chart import MachineWay
from recipes.model import Json
from recipes.way_taken import Way

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
    """Its recipe, in which each step that the request came through says what came of it, or each state and
    action of a state machine how often; all of it is said in `desc`."""
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
    if row["import_id"] is not None:
        ended = row["state"]
        return picture.svg(
            recipe, Way(ended=ended) if recipe.machine is None else MachineWay(ended=ended)
        )
    events: list[tuple[str, dict[str, Json]]] = []
    after: int | None = 0
    while after is not None and len(events) < _MOST:
        found = await house.trail.kept(house.pool, request_id, after=after, limit=_AT_ONCE)
        events += [(each.event_type, each.payload) for each in found]
        after = found[-1].seq if len(found) == _AT_ONCE else None
    at = row["step"] if recipe.machine is None else row["status"]
    return picture.svg(recipe, picture.way(recipe, events, at))
