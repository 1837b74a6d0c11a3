"""Erase a request: nobody can read any more what was written in it."""

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, errors, schemas
from api.http import Route, answer, read, takes
from api.requests import allowed, shown
from api.services import caller_of, services
from storage import erasure
from storage.erasure import Came

router = APIRouter(prefix="/v1/requests", tags=["requests"], route_class=Route)

_WHY_NOT = {
    "not_final": "it is still under way: cancel it first, or wait until it is decided",
    "never_encrypted": "it was submitted before requests had data keys: what was written in it stands in"
    " the audit trail in the clear, which nobody can change",
    "unsettled": "something of it has still to be told to its workflow: try again in a moment, or see what"
    " countersign doctor says of the relay",
    "unfinished": "a job of it still runs, or waits for people: retry it, and erase the request when it has"
    " ended",
    "being_recalled": "a recall has still to take it up: continue the recall first",
    "held": "a legal hold is on it, its workflow or a month of its audit rows: countersign audit hold list"
    " shows which; end the hold first",
}


@router.post(
    "/{request_id}/erase",
    response_model=schemas.Request,
    summary="Erase a request",
    openapi_extra=takes(bodies.ErasureBody),
)
async def erase_request(request: Request, request_id: UUID) -> Response:
    """By an administrator, not one's own. Destroys the request's data keys and blanks what is kept of it in
    the clear: title, inputs, comments, reasons, questions, files, what jobs were given and gave. Who did
    what when stays, and so does `reason`, in the clear: it must not name anybody. There is no way back.
    Once more: the same answer. 409 unless it is over, nothing of it is under way and no legal hold is on it."""
    caller = await caller_of(request)
    body = await read(request, bodies.ErasureBody)
    house = services(request)
    row, _ = await allowed(house.pool, caller, "erase", request_id)
    if row["finalized_at"] is not None and row["erased_at"] is None:
        await _check_workflow_over(request, request_id)
    async with house.pool.acquire() as connection, connection.transaction():
        row, actor = await allowed(connection, caller, "erase", request_id, lock=True)
        _check(await erasure.erase(connection, row, actor, body.reason))
    row, _ = await allowed(house.pool, caller, "see", request_id)
    return answer(await shown(house, house.pool, caller, row))


async def _check_workflow_over(request: Request, request_id: UUID) -> None:
    """Problem 409 while the workflow has not ended: it could not read its own history any more."""
    try:
        over = await services(request).delivery.over(request_id)
    except RuntimeError as error:
        raise errors.unavailable(f"whether its workflow has ended is not known: {error}") from None
    if not over:
        raise errors.conflict("unsettled", f"the request cannot be erased: {_WHY_NOT['unsettled']}")


def _check(came: Came) -> None:
    """Problem 409 if it was not erased."""
    if came in erasure.REFUSALS:
        raise errors.conflict(came, f"the request cannot be erased: {_WHY_NOT[came]}")
