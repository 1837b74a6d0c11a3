"""Comments: anybody who may see a request may say something about it, on the record."""

from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, errors, people_shapes, views
from api.http import Route, answer, page, read, read_cursor, takes
from api.requests import allowed
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from storage import comments, sight

router = APIRouter(prefix="/v1/requests", tags=["requests"], route_class=Route)

_BEGINNING = (datetime.min.replace(tzinfo=UTC), UUID(int=0))


@router.post(
    "/{request_id}/comments",
    status_code=201,
    response_model=people_shapes.Comment,
    summary="Comment on a request",
    openapi_extra=takes(bodies.CommentBody),
)
async def add_comment(request: Request, request_id: UUID) -> Response:
    """By anybody who may see the request, whatever became of it; where all of it is confidential, by
    whoever may see that. It stays, and all of them see it."""
    caller = await caller_of(request)
    body = await read(request, bodies.CommentBody)
    async with services(request).pool.acquire() as connection, connection.transaction():
        row, actor = await allowed(connection, caller, "see", request_id)
        keys = await sight.keys_for(connection, caller.reader, row)
        if not sight.reads(keys):
            raise errors.forbidden(
                "this request is confidential: comments are for those whom its recipe names"
            )
        made = await comments.add(connection, row, actor, body.text)
    return answer(views.comment(sight.seen(made, keys, sight.COMMENT)), 201)


@router.get(
    "/{request_id}/comments",
    response_model=people_shapes.CommentPage,
    summary="What was said about it",
)
async def list_comments(
    request: Request, request_id: UUID, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The comments on a request, the oldest first."""
    caller = await caller_of(request)
    pool = services(request).pool
    row, _ = await allowed(pool, caller, "see", request_id)
    keys = await sight.keys_for(pool, caller.reader, row)
    after = _BEGINNING if cursor is None else tuple(read_cursor(cursor, "time", "uuid"))
    if after[0] is None:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    found = await comments.of_request(pool, request_id, (after[0], after[1]), limit + 1)
    items = [views.comment(sight.seen(it, keys, sight.COMMENT)) for it in found]
    return page(items, limit, lambda item: [item["made_at"], item["id"]])
