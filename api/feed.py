"""The feed for those who fetch it: every event after a cursor, or a wait for the next one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.auth import Caller
from api.feed_shapes import FeedPage
from api.http import Route, answer, cursor, read_cursor
from api.services import caller_of, services
from api.tasks import Limit
from contract import cloudevents
from recipes.model import Json
from storage import feed, telling
from storage.bell import Bell
from storage.errors import plain
from storage.feed import Fed, Forgotten
from storage.pool import Pool
from storage.telling import Unreadable

_log = structlog.get_logger()

router = APIRouter(prefix="/v1/feed", tags=["feed"], route_class=Route)

LONGEST_WAIT = 30
_WINDOWS = 20
"""So many times `feed.WINDOW` positions are looked through for one answer, at most."""
_MOST_KINDS = 50


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which events; None is any."""

    types: Sequence[str] | None
    workflows: Sequence[str] | None
    limit: int


@router.get("", response_model=FeedPage, summary="Events, in the order of the feed")
async def read_feed(
    request: Request,
    *,
    limit: Limit = 50,
    after: Annotated[
        str | None, Query(alias="cursor", max_length=1000, description="`next_cursor` of before.")
    ] = None,
    types: Annotated[
        list[str] | None,
        Query(alias="type", description="Such as `approval.decision.recorded`; several are or."),
    ] = None,
    workflows: Annotated[
        list[str] | None, Query(alias="workflow", description="Several are or.")
    ] = None,
    wait: Annotated[
        int, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait, if there is nothing yet.")
    ] = 0,
) -> Response:
    """Every event after `cursor`, the oldest first; without one, from the oldest that is kept. `next_cursor` is
    always given, also where there is nothing: go on from it. Nothing that is committed later comes before
    it. 410 if what follows the cursor is forgotten, with the `oldest` cursor to go on from. For
    administrators, auditors, and services with the scope `feed:read`."""
    caller = await caller_of(request)
    _require_listener(caller)
    wanted = _Wanted(_types(types), _several("workflow", workflows), limit)
    house = services(request)
    position = await _position(house.pool, after)
    try:
        found, position = await _found(house.pool, house.bell, wanted, position, wait)
    except Forgotten as error:
        raise errors.Problem(
            410,
            "forgotten",
            "what follows this cursor is not kept any more (COUNTERSIGN_FEED_DAYS); GET /v1/audit has it",
            oldest=cursor([error.oldest]),
        ) from None
    told = await telling.tried(house.pool, caller.reader, found)
    items = [_by_ids(each) if isinstance(each, Unreadable) else each for each in told]
    return answer({"items": items, "next_cursor": cursor([position])})


def _by_ids(event: Unreadable) -> dict[str, Json]:
    """Who asks goes on after it: it would be in the way of all that follows."""
    error = f"{type(event.error).__name__}: {plain(event.error)}"
    _log.error("an event cannot be put together", event_id=event.by_ids["id"], error=error)
    return event.by_ids


def _require_listener(caller: Caller) -> None:
    if not (caller.sees_all or "feed" in caller.roles):
        raise errors.forbidden(
            "the feed is for administrators, auditors, and API keys with the scope feed:read"
        )


async def _found(
    pool: Pool, bell: Bell, wanted: _Wanted, position: int, wait: float
) -> tuple[list[Fed], int]:
    """Events, and where to go on. Forgotten."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    found: list[Fed] = []
    looked = 0
    while looked < _WINDOWS:
        before, heard = position, bell.position
        found, position = await feed.among(
            pool, before, wanted.limit, types=wanted.types, workflows=wanted.workflows
        )
        if found:
            break
        left = until - loop.time()
        if position == before < heard:
            bell.unhear(heard, position)
        if position == before and (left <= 0 or not await bell.wait(position, left)):
            break
        looked += position - before == feed.WINDOW
    return found, position


async def _position(pool: Pool, after: str | None) -> int:
    """Where to go on from. Problem 422, or 409 for a place that the feed has not got to."""
    forgotten, last = await feed.ends(pool)
    if after is None:
        return forgotten
    [position] = read_cursor(after, "number")
    if not 0 <= position < 2**63:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    if position > last:
        raise errors.conflict(
            "cursor_ahead",
            "the feed has not got there: the database was put back to an earlier state;"
            " begin again without a cursor",
        )
    return position


def _types(names: list[str] | None) -> list[str] | None:
    """Types of events as the audit has them. Problem 422."""
    several = _several("type", names)
    if several is None:
        return None
    found = [cloudevents.event_type(name) for name in several]
    if None in found:
        raise errors.invalid_parameter("type", "begins with approval., as in the events")
    return [name for name in found if name is not None]


def _several(parameter: str, names: list[str] | None) -> list[str] | None:
    if names is not None and len(names) > _MOST_KINDS:
        raise errors.invalid_parameter(parameter, f"at most {_MOST_KINDS} of them")
    return names
