"""Signing people out: all of somebody's sessions at once, where they count no more or are in wrong hands."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from api.authorize import House, authorize
from api.bodies import Text
from api.http import Route, answer, read, takes
from api.services import caller_of, services
from api.sessions import LONGEST
from api.shapes import Strict, example
from storage import commands, sessions

router = APIRouter(prefix="/v1/sessions", tags=["keys"], route_class=Route)


class SessionsBody(Strict):
    """Whose sessions."""

    model_config = example(person="bob")
    person: Annotated[Text, Field(min_length=1, max_length=128)]


class SessionsEnded(Strict):
    """Whose sessions were ended, and before when they had begun."""

    model_config = example(person="bob", before="2026-11-28T09:12:03.118204Z")
    person: str
    before: datetime


@router.post(
    "/end",
    response_model=SessionsEnded,
    summary="Sign somebody out everywhere",
    openapi_extra=takes(SessionsBody),
)
async def end_sessions(request: Request) -> Response:
    """By an administrator in person: no session of theirs that has begun counts any more, within seconds. When
    they sign in again, the identity provider says anew which roles they have."""
    caller = await caller_of(request)
    body = await read(request, SessionsBody)
    actor = authorize(caller, "sessions", House())
    async with services(request).pool.acquire() as connection, connection.transaction():
        at = await commands.now(connection)
        await sessions.end_all(connection, body.person, actor, at, LONGEST)
    return answer({"person": body.person, "before": at})
