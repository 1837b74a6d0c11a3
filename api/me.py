"""Mine: how much there is for me, and the filters that I saved."""

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import errors, me_shapes
from api.http import Route, answer, read, takes
from api.services import caller_of, services
from storage import filters, tasks

router = APIRouter(prefix="/v1/me", tags=["me"], route_class=Route)


@router.get("/counts", response_model=me_shapes.MyCounts, summary="How much there is for me")
async def my_counts(request: Request) -> Response:
    """Each number up to 500; 501 stands for more."""
    caller = await caller_of(request)
    row = await tasks.counts(services(request).pool, caller.id)
    return answer(dict(row))


@router.get("/filters", response_model=me_shapes.Filters, summary="My saved filters")
async def my_filters(request: Request) -> Response:
    """By name."""
    caller = await caller_of(request)
    found = await filters.of_person(services(request).pool, caller.id)
    return answer({"items": [dict(row) for row in found]})


@router.post(
    "/filters",
    response_model=me_shapes.Filter,
    summary="Save a filter",
    openapi_extra=takes(me_shapes.FilterBody),
)
async def save_filter(request: Request) -> Response:
    """In the place of mine of the same name, if there is one. At most 50."""
    caller = await caller_of(request)
    body = await read(request, me_shapes.FilterBody)
    narrowed = body.narrowed.model_dump(exclude_none=True)
    row = await filters.save(services(request).pool, caller.id, body.name, body.list, narrowed)
    if row is None:
        raise errors.conflict("too_many", f"there are {filters.MOST} already: remove one first")
    return answer(dict(row))


@router.delete(
    "/filters/{filter_id}", response_model=me_shapes.Filters, summary="Remove a saved filter"
)
async def remove_filter(request: Request, filter_id: UUID) -> Response:
    """What is left of mine."""
    caller = await caller_of(request)
    pool = services(request).pool
    if not await filters.forget(pool, caller.id, filter_id):
        raise errors.not_found("filter")
    found = await filters.of_person(pool, caller.id)
    return answer({"items": [dict(row) for row in found]})
