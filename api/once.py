"""Calls that change something, once for each `Idempotency-Key`, however often they come.

The same key and the same call again get the same answer, from the transaction that also made the change: one is
there exactly if the other is, whenever the process ends. A call that was refused changed nothing, and may come again.
`api.http.Route` hands every call with a key to `carried_out`; handlers know nothing of it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.auth import Caller
from api.services import HELD, Delivery, Services, caller_of, services
from contract.messages import Message, StartInput, SyncAsked, Synced
from storage import idempotency
from storage.idempotency import AnswerLost, Slot
from storage.pool import Connection, held

Way: TypeAlias = Literal["together", "own", "secret", "behind", "again", "nothing"]
"""How calls of a route are carried out under a key: `together` with its answer, in one transaction, unless `WAYS`
says otherwise."""

WAYS: dict[Way, str] = {
    # In a transaction of their own making, with `within`; a submission names its request under its key.
    "own": """
        POST /v1/requests
        POST /v1/org/import
        POST /v1/org/delegations
        POST /v1/org/delegations/{delegation_id}/end
    """,
    # Together; but their answers have secrets, which nobody keeps.
    "secret": """
        POST /v1/keys
        POST /v1/webhooks
        POST /v1/webhooks/{webhook_id}/rotate
    """,
    # In several transactions, or elsewhere: the answer is kept behind them. Without one they are done again, which
    # comes to the same.
    "behind": """
        POST /v1/org/mirror/sync
        POST /v1/webhooks/{webhook_id}/test
        POST /v1/recipes/{name}/versions/{version}/migrate
        POST /v1/recalls/{recall_id}/continue
    """,
    # The same, and the answer has what was written in many requests: it is made again each time.
    "again": """
        POST /v1/decisions
    """,
    # They change nothing.
    "nothing": """
        POST /v1/decisions/preview
        POST /v1/recipes/check
        POST /v1/recipes/simulate
        POST /v1/recipes/backtest
        POST /v1/recipes/{name}/versions/{version}/simulate
        POST /v1/org/explain
    """,
}
WAY_OF: dict[str, Way] = {
    call.strip(): way for way, calls in WAYS.items() for call in calls.strip().splitlines()
}
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})

ONCE: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same call again gets the same answer, and changes nothing.",
    "schema": {"type": "string", "maxLength": 255},
}
"""The header, as a parameter of the OpenAPI page."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_REPLAYED = "Idempotency-Replayed"
_ABOUT = "countersign.about"
_BOOL = TypeAdapter(bool)

Made: TypeAlias = tuple[Response, UUID | None]
"""An answer, and the request that it is about, if it is about one."""
Make: TypeAlias = Callable[[Connection], Awaitable[Made]]
Settle: TypeAlias = Callable[[Request, Caller, "Recorded"], Awaitable[Response]]


class Recorded(Response):
    """A command is recorded: what came of it is asked once it is committed, and again each time."""

    def __init__(self, request_id: UUID, command_id: UUID, *, again: bool = False) -> None:
        super().__init__(status_code=202)
        self.request_id = request_id
        self.command_id = command_id
        self.again = again


def way_of(call: str) -> Way:
    """Of a route, as `METHOD path`."""
    method, _, path = call.partition(" ")
    if method not in _UNSAFE or not path.startswith("/v1/"):
        return "nothing"
    return WAY_OF.get(call, "together")


def about(request: Request, request_id: UUID) -> None:
    """Say which request an answer is about, where the path does not: it is kept with its keys, and goes with
    them."""
    request.scope[_ABOUT] = request_id


def idempotency_key(request: Request) -> str | None:
    """The `Idempotency-Key` header: 1 to 255 visible ASCII characters."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise errors.invalid_parameter(
            "Idempotency-Key", "must be 1 to 255 visible ASCII characters"
        )
    return key


async def carried_out(
    request: Request,
    way: Way,
    handle: Callable[[Request], Awaitable[Response]],
    settle: Settle,
) -> Response:
    """What `handle` answers to a call, once for its key; `settle` says what came of a command. Problem 409
    while another call with the key is carried out, 422 if the key came with another call before."""
    if way in ("own", "nothing") or "idempotency-key" not in request.headers or _dry(request):
        return await handle(request)
    caller = await caller_of(request)
    key = idempotency_key(request)
    assert key is not None
    # All of the body first: whoever sends it slowly must not have a connection meanwhile.
    asked = _Asked(Slot(caller.id, key), caller, await _fingerprint(request), way)
    if way in ("behind", "again"):
        return await _behind(request, asked, handle)
    response = await _together(request, asked, handle)
    if not isinstance(response, Recorded):
        return response
    said = await settle(request, caller, response)
    if response.again:
        said.headers[_REPLAYED] = "true"
    return said


async def within(connection: Connection, request: Request, caller: Caller, make: Make) -> Response:
    """What `make` answers, once for the call's key, in a transaction that is there already and changes nothing
    else. Problem 409 or 422 as of `carried_out`."""
    key = idempotency_key(request)
    if key is None:
        response, _ = await make(connection)
        return response
    asked = _Asked(Slot(caller.id, key), caller, await _fingerprint(request), "own")
    return await _once(connection, asked, make)


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


# --- carrying out --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call under a key; `call` is what must be the same when the key comes again."""

    slot: Slot
    caller: Caller
    call: str
    way: Way


@dataclass(slots=True)
class _Later:
    """Tells Temporal once what it is to be told of is committed."""

    delivery: Delivery
    _untold: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def soon_start(self, outbox_id: int, start_input: StartInput) -> None:
        self._untold.append(lambda: self.delivery.soon_start(outbox_id, start_input))

    def soon_signal(self, outbox_id: int, request_id: UUID, message: Message) -> None:
        self._untold.append(lambda: self.delivery.soon_signal(outbox_id, request_id, message))

    async def sync_mirror(self, asked: SyncAsked) -> Synced | Literal["taken"] | None:
        return await self.delivery.sync_mirror(asked)

    async def over(self, request_id: UUID) -> bool:
        return await self.delivery.over(request_id)

    async def close(self) -> None:
        raise AssertionError("the process closes its delivery, not a call")

    def tell(self) -> None:
        for each in self._untold:
            each()


async def _together(
    request: Request, asked: _Asked, handle: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Everything that the handler does is part of one transaction, which keeps its answer, too."""
    house = services(request)
    later, delayed = _Later(house.delivery), asyncio.Event()

    async def make(connection: Connection) -> Made:
        request.scope[HELD] = _held(house, connection, later, delayed)
        try:
            response = await handle(request)
        finally:
            del request.scope[HELD]
        return response, _about(request, response)

    async with house.pool.acquire() as connection, connection.transaction():
        response = await _once(connection, asked, make)
    later.tell()
    if delayed.is_set():
        house.delayed.set()
    return response


def _held(
    house: Services, connection: Connection, later: _Later, delayed: asyncio.Event
) -> Services:
    """The house as a handler sees it while its call is carried out in one transaction."""
    return replace(house, pool=held(connection), delivery=later, delayed=delayed, held=True)


def _about(request: Request, response: Response) -> UUID | None:
    if isinstance(response, Recorded):
        return response.request_id
    found = request.scope.get(_ABOUT) or request.path_params.get("request_id")
    return None if found is None else UUID(str(found))


async def _behind(
    request: Request, asked: _Asked, handle: Callable[[Request], Awaitable[Response]]
) -> Response:
    """The handler does as it always does; its answer is kept when it is done, if it is."""
    pool = services(request).pool
    async with pool.acquire() as connection:
        known = await _known(connection, asked)
    if known is not None and asked.way == "behind":
        return known
    response = await handle(request)
    if known is not None:
        response.headers[_REPLAYED] = "true"
    elif response.status_code != 202:
        async with pool.acquire() as connection, connection.transaction():
            await alone(connection, asked.slot)
            if await _known(connection, asked) is None:
                await _keep(connection, asked, response, None)
    return response


async def _once(connection: Connection, asked: _Asked, make: Make) -> Response:
    await alone(connection, asked.slot)
    known = await _known(connection, asked)
    if known is not None:
        return known
    response, found = await make(connection)
    await _keep(connection, asked, response, found)
    return response


async def _known(connection: Connection, asked: _Asked) -> Response | None:
    """What this key's call was answered with. Problem 409 where that cannot be said again, 422 if the key
    came with another call."""
    try:
        kept = await idempotency.answered(connection, asked.slot, asked.caller.reader)
    except AnswerLost:
        raise _lost() from None
    if kept is not None:
        return _again(from_json(kept), asked.call)
    if await idempotency.submitted(connection, asked.slot):
        raise reused()
    return None


# --- what is kept --------------------------------------------------------------------------------


async def _fingerprint(request: Request) -> str:
    """What must be the same when a key comes again. It is kept in the box, so nobody can try what it is of."""
    path = request.url.path
    if request.url.query:
        path += f"?{request.url.query}"
    return idempotency.fingerprint(request.method, path, await request.body(), b"")


async def _keep(
    connection: Connection, asked: _Asked, response: Response, found: UUID | None
) -> None:
    said: dict[str, Any] = {"call": asked.call, "status": response.status_code}
    if isinstance(response, Recorded):
        said |= {"request": str(response.request_id), "command": str(response.command_id)}
    elif asked.way == "secret":
        said["secret"] = True
    elif asked.way != "again":
        said["location"] = response.headers.get("location")
        said["body"] = bytes(response.body).decode()
    await idempotency.keep(connection, asked.slot, found, asked.caller.reader, to_json(said))


def _again(kept: dict[str, Any], call: str) -> Response:
    if kept["call"] != call:
        raise reused()
    if kept.get("secret"):
        raise _lost()
    if "command" in kept:
        return Recorded(UUID(kept["request"]), UUID(kept["command"]), again=True)
    headers = {_REPLAYED: "true"}
    if kept.get("location"):
        headers["Location"] = kept["location"]
    return Response(kept.get("body"), kept["status"], headers, "application/json")


def _lost() -> errors.Problem:
    return errors.conflict(
        "answer_lost", "this call was carried out before; its answer cannot be given again"
    )


def _dry(request: Request) -> bool:
    """A dry run changes nothing."""
    try:
        return _BOOL.validate_python(request.query_params.get("dry_run", False))
    except ValidationError:
        return False
