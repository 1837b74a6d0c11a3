"""Add an approver: somebody else has to approve a step too, before, beside or after those of its recipe."""

from uuid import UUID, uuid4

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, deciding, errors, schemas
from api.auth import Caller
from api.claims import check_open, loaded
from api.http import read, takes
from api.requests import COMMAND_ANSWERS, Commands, allowed, record, tell
from api.services import caller_of, services
from recipes.happenings import Commanded
from storage import commands
from storage.commands import OpenSeat, Reassigning
from storage.pool import Connection

router = APIRouter(prefix="/v1/tasks", tags=["tasks"], route_class=Commands)


@router.post(
    "/{task_id}/approvers",
    response_model=schemas.Request,
    summary="Add an approver",
    responses=COMMAND_ANSWERS,
    openapi_extra=takes(bodies.AddApproverBody),
)
async def add_approver(request: Request, task_id: UUID) -> Response:
    """By whoever may decide the task, an administrator or a member of the recipe's owner role; never by
    the requester. `add`, or whoever decides for them now, has to approve the step as well: `before`
    withdraws its open tasks until they have, `beside` asks them at the same time, `after` once the
    recipe's quorum is reached. Not the requester, nobody who has another part of the step or decided a
    step that this must not be decided with; up to 20 of a step. 200 with the request once it is done,
    409 if that came too late or cannot be, 202 if it is not known within two seconds."""
    caller = await caller_of(request)
    body = await read(request, bodies.AddApproverBody)
    house = services(request)
    seen, _ = await loaded(house.pool, caller, "add", task_id)
    request_id = seen["request_id"]
    async with house.pool.acquire() as connection, connection.transaction():
        locked, _ = await allowed(connection, caller, "see", request_id, lock=True)
        message = await _command(connection, caller, task_id, body)
        outbox_id = await record(connection, locked, message)
    return await tell(house, caller, request_id, message, outbox_id)


async def _command(
    connection: Connection, caller: Caller, task_id: UUID, body: bodies.AddApproverBody
) -> Commanded:
    """What to tell the workflow, with the request locked. Problem 403, 409 or 422."""
    row, actor = await loaded(connection, caller, "add", task_id)
    check_open(row)
    if actor.role not in ("admin", (row["owner"] or "").removeprefix("role:")):
        deciding.check_claim(row, caller)
    standing = await commands.reassigning(connection, row["request_id"], body.add)
    seat = next((key for key, found in standing.seats.items() if found.task == task_id), None)
    if seat is None:
        raise errors.conflict("already_closed", "this task was closed just now")
    _check_person(row["requester"], standing, standing.seats[seat], body.add)
    at = await commands.now(connection)
    return Commanded(
        str(uuid4()), "add_approver", actor, at, body.comment, seat, body.add, where=body.where
    )


def _check_person(requester: str, standing: Reassigning, task: OpenSeat, add: str) -> None:
    """Problem 422 if they cannot be asked; whether they have another seat is the workflow's to say."""
    if add == requester:
        raise errors.invalid_at("/add", f"{add} is the requester: nobody decides their own request")
    if not standing.known:
        raise errors.invalid_at("/add", f"the directory does not know {add}")
    if not standing.here:
        raise errors.invalid_at("/add", f"{add} has left: choose somebody who is here")
    if add in task.excluded:
        raise errors.invalid_at(
            "/add", f"{add} took part in an earlier step that this one must not be decided with"
        )
    if add == task.assignee:
        raise errors.invalid_at("/add", f"{add} has this task already")
