"""Messages that did not get through, and who people are in Slack: for administrators."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.authorize import House, authorize
from api.http import Route, answer, page, read, read_cursor, takes
from api.message_shapes import (
    DeadMessages,
    Resent,
    SlackForgotten,
    SlackPeople,
    SlackPerson,
    SlackPersonBody,
)
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from recipes.happenings import Actor
from storage import messages, questions, slack_people

router = APIRouter(prefix="/v1", tags=["notifications"], route_class=Route)

_LAST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))


async def _administrator(request: Request) -> Actor:
    return authorize(await caller_of(request), "messages", House())


@router.get("/messages", response_model=DeadMessages, summary="Messages that were given up")
async def list_messages(request: Request, *, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The newest first, each with what the other side said. For administrators."""
    await _administrator(request)
    before = _LAST
    if cursor is not None:
        at, last = read_cursor(cursor, "time", "uuid")
        if at is None:
            raise errors.invalid_parameter("cursor", "is not one that this list gave")
        before = (at, last)
    found = await messages.dead(services(request).pool, before, limit + 1)
    items = [dict(row) for row in found]
    return page(items, limit, lambda item: [item["made_at"], item["id"]])


@router.post("/messages/{message_id}/resend", response_model=Resent, summary="Try a message again")
async def resend_message(request: Request, message_id: UUID) -> Response:
    """One that was given up. By administrators."""
    await _administrator(request)
    if not await messages.resend(services(request).pool, message_id):
        raise errors.not_found("message that was given up")
    return answer({"resent": 1})


@router.post("/messages/resend", response_model=Resent, summary="Try all messages again")
async def resend_messages(request: Request) -> Response:
    """All that were given up. By administrators."""
    await _administrator(request)
    return answer({"resent": len(await messages.resend(services(request).pool, None))})


@router.get("/slack/people", response_model=SlackPeople, summary="Who people are in Slack")
async def list_slack_people(
    request: Request, *, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """As administrators said, or as was found by the directory's mail address. For administrators."""
    await _administrator(request)
    [after] = read_cursor(cursor, "text") if cursor is not None else [""]
    rows = await slack_people.known(services(request).pool, after, limit + 1)
    return page([dict(row) for row in rows], limit, lambda item: [item["person"]])


@router.post(
    "/slack/people",
    response_model=SlackPerson,
    summary="Say who somebody is in Slack",
    openapi_extra=takes(SlackPersonBody),
)
async def name_slack_person(request: Request) -> Response:
    """That user of Slack then decides as this person, by buttons. By administrators; 409 if they are somebody
    else already."""
    actor = await _administrator(request)
    body = await read(request, SlackPersonBody)
    pool = services(request).pool
    if not await questions.here(pool, body.person):
        raise errors.invalid_at("/person", f"{body.person} is not in the directory")
    row = await slack_people.name(pool, body.person, body.slack_user, actor.user)
    if row is None:
        other = await slack_people.person_of(pool, body.slack_user)
        raise errors.conflict("taken", f"{body.slack_user} is {other}: forget that first")
    return answer(dict(row))


@router.delete(
    "/slack/people/{person_id}",
    response_model=SlackForgotten,
    summary="Forget who somebody is in Slack",
)
async def forget_slack_person(
    request: Request, person_id: Annotated[str, Path(max_length=128)]
) -> Response:
    """What they press there does nothing any more. By administrators."""
    await _administrator(request)
    if "\x00" in person_id:
        raise errors.invalid_parameter("person_id", "must not hold a NUL character")
    gone = await slack_people.forget(services(request).pool, person_id)
    return answer({"person": person_id, "forgotten": gone})
