"""What the handlers of one API process share: made once by the lifespan, found on `app.state`."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

from starlette.requests import Request
from structlog.contextvars import bind_contextvars

from api import limits, service_callers
from api.auth import Caller, Tokens
from api.catalogue import Catalogue
from api.counts import Counts
from api.limits import Limits
from api.metrics import Metrics
from api.sessions import Ended
from api.strangers import Strangers
from contract.messages import Message, StartInput, SyncAsked, Synced
from settings import Settings
from storage.bell import Bell
from storage.pool import Pool
from storage.trail import Trail

INSIDE = "countersign.caller"
"""The key in a scope that says who calls from inside the process. Nothing from outside can set one."""
HELD = "countersign.held"
"""The key in a scope under which `api.once` puts the house of one call, all of which is one transaction."""
_KNOWN = "countersign.known"


class Delivery(Protocol):
    """Tells Temporal behind the answer; `relay.delivery.Delivery` is the one that does."""

    def soon_start(self, outbox_id: int, start_input: StartInput) -> None: ...

    def soon_signal(self, outbox_id: int, request_id: UUID, message: Message) -> None: ...

    async def sync_mirror(self, asked: SyncAsked) -> Synced | Literal["taken"] | None: ...

    async def over(self, request_id: UUID) -> bool: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """`delayed` is set when a decision is kept here that has to be sent; `held` says that all of a call is one
    transaction, which is committed behind its handler."""

    settings: Settings
    pool: Pool
    delivery: Delivery
    tokens: Tokens
    catalogue: Catalogue
    metrics: Metrics
    counts: Counts
    trail: Trail
    limits: Limits
    bell: Bell
    ended: Ended
    strangers: Strangers
    delayed: asyncio.Event = field(default_factory=asyncio.Event)
    held: bool = False


def services(request: Request) -> Services:
    found: Services = request.scope.get(HELD) or request.app.state.services
    return found


async def caller_of(request: Request) -> Caller:
    """Who calls: whom a page of ours calls for (`api.web.desk`), a person by a bearer token, or a service
    by its API key. Problem 401 without a good one, 403 where a key does not open the call, 429 if it is one
    too many."""
    known: Caller | None = request.scope.get(INSIDE) or request.scope.get(_KNOWN)
    if known is None:
        known = request.scope[_KNOWN] = admitted(request, await _signed_in(request))
    return known


def admitted(request: Request, caller: Caller) -> Caller:
    """Count a call of whoever has signed in, and have the log's lines say who it is, and which request it is about.
    Problem 429."""
    about = {
        name: request.path_params[name] for name in ("request_id",) if name in request.path_params
    }
    bind_contextvars(actor=caller.id, **about)
    limits.count(services(request).limits, request, caller)
    return caller


async def _signed_in(request: Request) -> Caller:
    house = services(request)
    header = request.headers.get("authorization")
    scheme, _, key = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith(service_callers.PREFIX):
        return await verified(request, header)
    with house.strangers.trying(request, header):
        row = await service_callers.known(house.pool, key)
    return await service_callers.caller(
        house.pool, row, request.method, request.scope["route"].path
    )


async def verified(request: Request, header: str | None) -> Caller:
    """Whose bearer token it is. Problem 401; 429 where the caller's address brought too many that were none."""
    house = services(request)
    with house.strangers.trying(request, header):
        return await house.tokens.caller(header)
