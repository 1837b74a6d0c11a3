"""Calls that make something, once for each `Idempotency-Key`, however often they come.

The same key and the same call again get the same answer, from the transaction that also made the thing: one is
there exactly if the other is. A call that was refused made nothing, and may come again.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import UUID

from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.auth import Caller
from api.http import header, idempotency_key
from api.services import services
from storage import idempotency
from storage.idempotency import AnswerLost, Slot
from storage.pool import Connection

ONCE = header(
    "Idempotency-Key",
    "The same key with the same call again gets the same answer, and makes nothing.",
)
"""For `takes` of a route that answers through `once`."""
Made: TypeAlias = tuple[Response, UUID | None]
"""An answer, and the request that it is about, if it is about one."""


async def once(
    request: Request, caller: Caller, make: Callable[[Connection], Awaitable[Made]]
) -> Response:
    """What `make` answers, carried out in a transaction of its own. Problem 409 while another call with
    the same key is carried out, 422 if the key came with another call before."""
    async with services(request).pool.acquire() as connection, connection.transaction():
        return await within(connection, request, caller, make)


async def within(
    connection: Connection,
    request: Request,
    caller: Caller,
    make: Callable[[Connection], Awaitable[Made]],
) -> Response:
    """`once` in a transaction that is there already, and makes nothing else."""
    key = idempotency_key(request)
    if key is None:
        response, _ = await make(connection)
        return response
    slot = Slot(caller.id, key)
    call = await _fingerprint(request)
    await alone(connection, slot)
    try:
        kept = await idempotency.answered(connection, slot, caller.reader)
    except AnswerLost:
        raise errors.conflict(
            "answer_lost", "this call was carried out before; its answer cannot be given again"
        ) from None
    if kept is not None:
        return _again(from_json(kept), call)
    if await idempotency.submitted(connection, slot):
        raise reused()
    response, about = await make(connection)
    await idempotency.keep(connection, slot, about, _kept(response, call))
    return response


async def alone(connection: Connection, slot: Slot) -> None:
    """Have a key to oneself until the transaction ends. Problem 409."""
    if not await idempotency.alone(connection, slot.actor, slot.key):
        raise errors.Problem(
            409,
            "idempotency_key_in_flight",
            "a call with this Idempotency-Key is being carried out: try again",
            headers={"Retry-After": "1"},
        )


def reused() -> errors.Problem:
    return errors.Problem(
        422, "idempotency_key_reused", "this Idempotency-Key was used with another call"
    )


async def _fingerprint(request: Request) -> str:
    """What must be the same when a key comes again. It is kept in the box, so nobody can try what it is of."""
    path = request.url.path
    if request.url.query:
        path += f"?{request.url.query}"
    return idempotency.fingerprint(request.method, path, await request.body(), b"")


def _kept(response: Response, call: str) -> bytes:
    said = {
        "call": call,
        "status": response.status_code,
        "location": response.headers.get("location"),
        "body": bytes(response.body).decode(),
    }
    return to_json(said)


def _again(kept: dict[str, Any], call: str) -> Response:
    if kept["call"] != call:
        raise reused()
    headers = {"Idempotency-Replayed": "true"}
    if kept["location"]:
        headers["Location"] = kept["location"]
    return Response(kept["body"], kept["status"], headers, "application/json")
