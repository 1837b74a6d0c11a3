"""Watchers: people who follow a request that does not wait for them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, errors, people_shapes, views
from api.http import Route, answer, read, takes
from api.requests import allowed
from api.services import caller_of, services
from storage import questions, watchers

router = APIRouter(prefix="/v1/requests", tags=["requests"], route_class=Route)


@router.post(
    "/{request_id}/watchers",
    response_model=people_shapes.Watchers,
    summary="Watch a request",
    openapi_extra=takes(bodies.WatcherBody, required=False),
)
async def add_watcher(request: Request, request_id: UUID) -> Response:
    """Myself, where I may see the request. Its requester, an administrator or a member of the recipe's
    owner role may name another `person`, who may then see it."""
    caller = await caller_of(request)
    body = await read(request, bodies.WatcherBody)
    person = body.person or caller.id
    action = "see" if person == caller.id else "watchers"
    async with services(request).pool.acquire() as connection, connection.transaction():
        row, actor = await allowed(connection, caller, action, request_id)
        if person != caller.id:
            here = await questions.here(connection, person)
            if not here:
                said = "has left" if here is False else "is not known to the directory"
                raise errors.invalid_at("/person", f"{person} {said}")
        await watchers.add(connection, row, actor, person)
        found = await watchers.of_request(connection, request_id)
    return answer({"items": [views.watcher(item) for item in found]})


@router.delete(
    "/{request_id}/watchers/{person_id}",
    response_model=people_shapes.Watchers,
    summary="Watch a request no more",
)
async def remove_watcher(
    request: Request, request_id: UUID, person_id: Annotated[str, Path(max_length=128)]
) -> Response:
    """Oneself; or whoever may name watchers. 200 as well for somebody who does not watch it."""
    caller = await caller_of(request)
    if "\x00" in person_id:
        raise errors.invalid_parameter("person_id", "must not hold a NUL character")
    action = "see" if person_id == caller.id else "watchers"
    async with services(request).pool.acquire() as connection, connection.transaction():
        row, actor = await allowed(connection, caller, action, request_id)
        await watchers.remove(connection, row, actor, person_id)
        found = await watchers.of_request(connection, request_id)
    return answer({"items": [views.watcher(item) for item in found]})
