"""Ask the audit trail: rows of all requests, for auditors and administrators."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, views
from api.auth import Caller
from api.http import Moment, Route, answer, next_cursor, read_cursor
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from api.trail_shapes import TrailPage
from contract import conditions
from contract.conditions import Condition, ConditionInvalid
from recipes.model import Json
from storage.asking import Asked, Place, Told

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Route)

Where = Annotated[
    str | None,
    Query(
        max_length=conditions.SOURCE_LIMIT,
        description='A condition on inputs: `amount > 50000 && currency == "EUR"`.',
    ),
]
Words = Annotated[
    str | None, Query(max_length=200, description="Words that are all in the title or inputs.")
]


def asked(
    *,
    since: Annotated[Moment | None, Query(description="What happened then or later.")] = None,
    until: Annotated[Moment | None, Query(description="What happened before then.")] = None,
    workflow: Annotated[str | None, Query(max_length=63)] = None,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    actor: Annotated[str | None, Query(max_length=128, description="Who did it.")] = None,
    on_behalf_of: Annotated[str | None, Query(max_length=128, description="For whom.")] = None,
    role: Annotated[str | None, Query(max_length=128, description="In which role.")] = None,
    type: Annotated[
        str | None, Query(max_length=63, description="Such as `decision.recorded`.")
    ] = None,
    outcome: Annotated[
        str | None, Query(max_length=63, description="`approve`, or the state it ended in.")
    ] = None,
    entity_type: Annotated[str | None, Query(max_length=63)] = None,
    entity_id: Annotated[
        str | None, Query(max_length=200, description="With `entity_type`.")
    ] = None,
    request_id: Annotated[
        UUID | None, Query(alias="request", description="One request's alone.")
    ] = None,
    words: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Words that are all in the request's title or inputs, or all in the comment,"
            " question, answer or reason.",
        ),
    ] = None,
    where: Where = None,
) -> Asked:
    """What the query asks for. Problem 422 if it cannot be."""
    if entity_id is not None and entity_type is None:
        raise errors.invalid_parameter("entity_id", "needs entity_type beside it")
    if since is not None and until is not None and since >= until:
        raise errors.invalid_parameter("until", "must be after since")
    return Asked(
        since,
        until,
        workflow,
        version,
        actor,
        on_behalf_of,
        role,
        type,
        outcome,
        entity_type,
        entity_id,
        request_id,
        words,
        read_condition(where),
    )


def read_condition(where: str | None) -> Condition | None:
    """The condition. Problem 422 with the place and the fix if it is none."""
    if where is None:
        return None
    try:
        return conditions.condition(where)
    except ConditionInvalid as error:
        raise errors.invalid_parameter("where", str(error)) from None


@router.get("", response_model=TrailPage, summary="Ask the audit trail")
async def ask_trail(
    request: Request,
    wanted: Annotated[Asked, Depends(asked)],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Rows of all requests, the newest first, each with what its request was about at that moment: its
    title, inputs and entity come from the audit itself, not from the request. For auditors and
    administrators."""
    caller = await caller_of(request)
    require_auditor(caller)
    house = services(request)
    found = await house.trail.ask(house.pool, caller.reader, wanted, limit + 1, _place(cursor))
    items = [views.told(row) for row in found[:limit]]
    return answer({"items": items, "next_cursor": next_cursor(found, limit, _key)})


def require_auditor(caller: Caller) -> None:
    """Problem 403 for whoever may not see everything."""
    if not caller.sees_all:
        raise errors.forbidden(
            "only auditors and administrators may ask the audit trail (roles claim: auditor);"
            " a request's own is GET /v1/requests/{request_id}/events"
        )


def _key(row: Told) -> list[Json]:
    return [row.occurred_at, row.request_id, row.seq]


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    at, request_id, seq = read_cursor(cursor, "time", "uuid", "number")
    if at is None or not 0 < seq < 2**31:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    return Place(at, request_id, seq)
