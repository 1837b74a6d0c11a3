"""Notifications: what requests told me."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import automatic_shapes, bodies, errors, views
from api.http import Route, answer, page, read, read_cursor, takes
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from storage import notifications, sight

router = APIRouter(prefix="/v1/notifications", tags=["notifications"], route_class=Route)

_LAST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))


@router.get("", response_model=automatic_shapes.NotificationPage, summary="What I was told")
async def list_notifications(
    request: Request,
    *,
    state: Literal["unread", "all"] = "unread",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """By the `notify` steps of requests, newest first: what I have not read, or all."""
    caller = await caller_of(request)
    before = _LAST
    if cursor is not None:
        at, last = read_cursor(cursor, "time", "uuid")
        if at is None:
            raise errors.invalid_parameter("cursor", "is not one that this list gave")
        before = (at, last)
    found = await notifications.of_person(
        services(request).pool, caller.id, before, limit + 1, unread=state == "unread"
    )
    rows = await sight.seen_by(services(request).pool, caller.reader, found, sight.TITLED)
    items = [views.notification(row) for row in rows]
    return page(items, limit, lambda item: [item["sent_at"], item["id"]])


@router.post(
    "/read",
    response_model=automatic_shapes.Unread,
    summary="I have read them",
    openapi_extra=takes(bodies.ReadBody, required=False),
)
async def mark_read(request: Request) -> Response:
    """Those of `ids`, as far as they are mine, or all of mine; how many are left unread."""
    caller = await caller_of(request)
    body = await read(request, bodies.ReadBody)
    left = await notifications.read(services(request).pool, caller.id, body.ids)
    return answer({"unread": left})
