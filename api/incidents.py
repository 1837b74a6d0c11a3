"""Incidents: what waits for people, for those who can help."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, schemas, views
from api.authorize import possible, request_object
from api.http import Route, answer, read_cursor
from api.http import cursor as next_page
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from storage import incidents, sight

router = APIRouter(prefix="/v1/incidents", tags=["incidents"], route_class=Route)

_BEGINNING = incidents.Place(datetime.min.replace(tzinfo=UTC), UUID(int=0), "", "")


@router.get("", response_model=schemas.IncidentPage, summary="Incidents that need people")
async def list_incidents(
    request: Request,
    *,
    workflow: Annotated[str | None, Query(max_length=63)] = None,
    kind: Annotated[
        str | None, Query(max_length=63, description="Such as `NoApproverFound`.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Of the recipes whose owner role I hold now; all of them for administrators and auditors. The
    oldest request first. `actions` says what I may do about it."""
    caller = await caller_of(request)
    found = await incidents.waiting(
        services(request).pool,
        caller.id,
        incidents.Filter(workflow, kind),
        limit + 1,
        _place(cursor),
        everything=caller.sees_all,
    )
    more, found = len(found) > limit, found[:limit]
    rows = await sight.seen_by(services(request).pool, caller.reader, found, sight.TITLED)
    items = [
        views.incident(row, possible(caller, ("retry", "reassign"), request_object(row)))
        for row in rows
    ]
    following = None
    if more:
        last = found[-1]
        key = [last["created_at"], last["request_id"], last["seat"] or "", last["kind"]]
        following = next_page(key)
    return answer({"items": items, "next_cursor": following})


def _place(cursor: str | None) -> incidents.Place:
    if cursor is None:
        return _BEGINNING
    created_at, request_id, seat, kind = read_cursor(cursor, "time", "uuid", "text", "text")
    if created_at is None:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    return incidents.Place(created_at, request_id, seat, kind)
