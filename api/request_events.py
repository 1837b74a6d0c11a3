"""What happened to a request, as its audit chain has it: from its beginning on, or back from a place in it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, schemas, views
from api.auth import Caller
from api.http import Route, answer, page, read_cursor
from api.http import cursor as cursor_of
from api.requests import allowed
from api.services import Services, caller_of, services
from api.tasks import Cursor, Limit
from storage import asking

router = APIRouter(prefix="/v1/requests", tags=["requests"], route_class=Route)


@router.get("/{request_id}/events", response_model=schemas.EventPage, summary="Its audit trail")
async def list_events(
    request: Request,
    request_id: UUID,
    limit: Limit = 50,
    cursor: Cursor = None,
    last_before: Annotated[
        int | None,
        Query(alias="before", ge=1, lt=2**31, description="The last ones before this `seq`."),
    ] = None,
) -> Response:
    """Everything that happened to a request, in the order of its audit chain: from its beginning on, or
    with `before` the last ones that come before a place in it."""
    caller = await caller_of(request)
    house = services(request)
    await allowed(house.pool, caller, "see", request_id)
    if last_before is not None:
        if cursor is not None:
            raise errors.invalid_parameter("before", "and `cursor` are two ways: leave one out")
        return await _last_events(house, caller, request_id, last_before, limit)
    after = 0 if cursor is None else int(read_cursor(cursor, "number")[0])
    if not 0 <= after < 2**31:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    found = await house.trail.events_of(
        house.pool, caller.reader, request_id, after=after, limit=limit + 1
    )
    return page([views.event(row) for row in found], limit, lambda item: [item["seq"]])


async def _last_events(
    house: Services, caller: Caller, request_id: UUID, end: int, limit: int
) -> Response:
    """The last events before `end`, the oldest of them first; `next_cursor` is of those that follow."""
    length = await asking.length(house.pool, request_id)
    last = min(end - 1, length)
    after = max(0, last - limit)
    found = await house.trail.events_of(
        house.pool, caller.reader, request_id, after=after, limit=last - after
    )
    items = [views.event(row) for row in found]
    following = cursor_of([last]) if last < length else None
    return answer({"items": items, "next_cursor": following})
