"""Reassign: give a seat that nobody has decided yet to somebody else, by hand."""

from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, deciding, errors, schemas
from api.auth import Caller
from api.authorize import capacity, task_object
from api.http import read, takes
from api.requests import COMMAND_ANSWERS, Commands, allowed, check_open, record, tell
from api.services import Services, caller_of, services
from contract.canonical import timestamp
from recipes.happenings import Actor, Commanded
from storage import commands, tasks
from storage.commands import Reassigning
from storage.pool import Source

router = APIRouter(prefix="/v1", route_class=Commands)


@router.post(
    "/tasks/{task_id}/reassign",
    response_model=schemas.Request,
    summary="Give a task to somebody else",
    tags=["tasks"],
    responses=COMMAND_ANSWERS,
    openapi_extra=takes(bodies.ReassignTaskBody),
)
async def reassign_task(request: Request, task_id: UUID) -> Response:
    """By an administrator, a member of the recipe's owner role, or whoever may decide the task and has it
    alone: its assignee, or who claimed it. Never by the requester. The task is closed (`reassigned`) and `to`, or whoever decides for them now, gets a new one with the same due
    time. 200 with the request once it is done, 409 if that came too late or cannot be, 202 if it is
    not known within two seconds."""
    caller = await caller_of(request)
    body = await read(request, bodies.ReassignTaskBody)
    house = services(request)
    row = await tasks.load(house.pool, task_id, caller.id)
    if row is None:
        raise errors.not_found("task")
    try:
        await _entitled(house.pool, caller, row["request_id"], task_id)
    except errors.Problem as refusal:
        raise errors.not_found("task") if refusal.status == 404 else refusal from None
    if row["state"] != "open":
        raise errors.conflict(
            "already_closed",
            f"this task was closed ({row['state']}) at {timestamp(row['closed_at'])}",
            state=row["state"],
            closed_at=row["closed_at"],
        )
    return await _reassign(house, caller, row["request_id"], body, task_id=task_id)


@router.post(
    "/requests/{request_id}/reassign",
    response_model=schemas.Request,
    summary="Give a seat to somebody else",
    tags=["requests"],
    responses=COMMAND_ANSWERS,
    openapi_extra=takes(bodies.ReassignSeatBody),
)
async def reassign_seat(request: Request, request_id: UUID) -> Response:
    """As for a task, also where an incident says that there is none: `seat` is the incident's."""
    caller = await caller_of(request)
    body = await read(request, bodies.ReassignSeatBody)
    return await _reassign(services(request), caller, request_id, body, seat=body.seat)


async def _reassign(
    house: Services,
    caller: Caller,
    request_id: UUID,
    body: bodies.ReassignTaskBody | bodies.ReassignSeatBody,
    *,
    seat: str | None = None,
    task_id: UUID | None = None,
) -> Response:
    async with house.pool.acquire() as connection, connection.transaction():
        row, actor, own = await _entitled(connection, caller, request_id, task_id, lock=True)
        check_open(row)
        standing = await commands.reassigning(connection, request_id, body.to)
        seat = _seat(standing, seat, task_id)
        if own:
            await _check_still_own(connection, request_id, seat)
            if body.to == caller.id:
                raise errors.invalid_at("/to", "you have this task already")
        _check_person(row, standing, seat, body.to)
        at = await commands.now(connection)
        message = Commanded(str(uuid4()), "reassign", actor, at, body.comment, seat, body.to)
        outbox_id = await record(connection, row, message)
    return await tell(house, caller, request_id, message, outbox_id)


async def _entitled(
    source: Source, caller: Caller, request_id: UUID, task_id: UUID | None, *, lock: bool = False
) -> tuple[asyncpg.Record, Actor, bool]:
    """The request, in what capacity the caller reassigns, and whether it is their own task. Problem 403
    or 404."""
    try:
        return *(await allowed(source, caller, "reassign", request_id, lock=lock)), False
    except errors.Problem as refusal:
        task = None if task_id is None else await tasks.load(source, task_id, caller.id)
        if task is None or capacity(caller, task_object(task)) is None:
            raise
        if caller.id == task["requester"] or task["state"] != "open":
            raise refusal from None
    actor = (await deciding.capacities(source, caller, "hand_on", [task]))[task["id"]]
    if isinstance(actor, errors.Problem):
        raise actor
    row, _ = await allowed(source, caller, "see", request_id, lock=lock)
    return row, actor, True


async def _check_still_own(source: Source, request_id: UUID, seat: str) -> None:
    """Problem 409 if somebody reassigned it just now: what was theirs is not any more."""
    if await commands.being_reassigned(source, request_id, seat):
        raise errors.conflict("being_reassigned", "this task is being given to somebody right now")


def _seat(standing: Reassigning, seat: str | None, task_id: UUID | None) -> str:
    """The seat meant. Problem 409 if its task was closed just now, 422 if there is none such."""
    if seat in standing.seats:
        return seat
    for name, found in standing.seats.items():
        if task_id is not None and found.task == task_id:
            return name
    if seat is None:
        raise errors.conflict("already_closed", "this task was closed just now")
    listed = ", ".join(standing.seats) or "none"
    raise errors.invalid_at("/seat", f"no such seat waits for a decision; waiting: {listed}")


def _check_person(row: asyncpg.Record, standing: Reassigning, seat: str, to: str) -> None:
    """Problem 422 if `to` cannot be asked; whether they have another seat is the workflow's to say."""
    if to == row["requester"]:
        raise errors.invalid_at("/to", f"{to} is the requester: nobody decides their own request")
    if not standing.known:
        raise errors.invalid_at("/to", f"the directory does not know {to}")
    if not standing.here:
        raise errors.invalid_at("/to", f"{to} has left: choose somebody who is here")
    task = standing.seats[seat]
    if to in task.excluded:
        raise errors.invalid_at(
            "/to", f"{to} took part in an earlier step that this one must not be decided with"
        )
    if to == task.assignee:
        raise errors.invalid_at("/to", f"{to} has this task already")
