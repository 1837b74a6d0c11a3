"""Delegations: people's own, set, listed and ended by themselves, or by an administrator who says why."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, org_bodies, org_shapes, views
from api.authorize import PersonalObject, authorize
from api.days import start_of
from api.http import Route, answer, page, read, read_cursor, takes
from api.once import Made, within
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from contract.canonical import timestamp
from storage import delegations, org
from storage.approvers import DELEGATION_LIMIT
from storage.delegations import Direction, Setting
from storage.pool import Connection

router = APIRouter(prefix="/v1/org/delegations", tags=["organisation"], route_class=Route)

_LAST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))
_SLACK = timedelta(minutes=1)
"""How far back `from` may lie and still mean now: clocks differ."""


@router.post(
    "",
    status_code=201,
    response_model=org_shapes.Delegation,
    summary="Delegate",
    openapi_extra=takes(org_bodies.DelegationBody),
)
async def set_delegation(request: Request) -> Response:
    """What would be asked of me is asked of `delegate` meanwhile; only one delegate at a time for the
    same scope. `from` and `to` are instants, or days in my own time zone, `to` the last one."""
    caller = await caller_of(request)
    body = await read(request, org_bodies.DelegationBody)
    delegator = body.delegator or caller.id
    actor = authorize(caller, "delegate", PersonalObject(delegator))
    _need_reason(body.reason, own=delegator == caller.id)
    if body.delegate == delegator:
        raise errors.invalid_at("/delegate", "nobody delegates to themselves")

    async def insert(connection: Connection, at: datetime) -> Made:
        begins, ends = await _span(connection, body, delegator, at)
        item = Setting(
            id=uuid4(),
            delegator=delegator,
            delegate=body.delegate,
            scope=body.scope,
            begins=begins,
            ends=ends,
            reason=body.reason,
        )
        if item.ends is not None and item.ends <= item.begins:
            raise errors.invalid_at("/to", "must be later than `from`, and than now")
        _check(item, await delegations.prepare(connection, item, at), own=delegator == caller.id)
        row = await delegations.insert(connection, item, actor, at)
        return answer(views.delegation(row), 201), None

    async def insert_once(connection: Connection, at: datetime) -> Response:
        return await within(connection, request, caller, lambda own: insert(own, at))

    return await org.write(services(request).pool, insert_once)


def _need_reason(reason: str | None, *, own: bool) -> None:
    if not own and not (reason or "").strip():
        raise errors.invalid_at("/reason", "say why you do this for somebody else")


async def _span(
    connection: Connection, body: org_bodies.DelegationBody, delegator: str, at: datetime
) -> tuple[datetime, datetime | None]:
    """[from, to) as instants: a date is a whole day where the delegator is. Problem 422."""
    name = await delegations.time_zone(connection, delegator) or "UTC"
    begins, still = _instants("/from", body.begins, name)
    _, ends = _instants("/to", body.ends, name)
    if still is not None and still < at - _SLACK:
        raise errors.invalid_at("/from", "lies in the past: what was decided by then stays so")
    return max(at, begins or at), ends


def _instants(
    pointer: str, wanted: date | None, zone: str
) -> tuple[datetime | None, datetime | None]:
    """When a day begins and ends; a moment is both."""
    if wanted is None or isinstance(wanted, datetime):
        return wanted, wanted
    try:
        there = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        message = (
            f"days are of the time zone {zone}, which is unknown here: give a time with its offset"
        )
        raise errors.invalid_at(pointer, message) from None
    try:
        return start_of(wanted, there), start_of(wanted + timedelta(days=1), there)
    except (OverflowError, ValueError):
        raise errors.invalid_at(pointer, "is out of range") from None


def _check(item: Setting, found: Any, *, own: bool) -> None:
    """Problem 403, 409 or 422 if the directory speaks against it."""
    if found["delegator_here"] is not True:
        if own:
            raise errors.forbidden("you are not, or no longer, in the directory")
        raise errors.invalid_at("/delegator", _nobody(item.delegator, found["delegator_here"]))
    if found["delegate_here"] is not True:
        raise errors.invalid_at("/delegate", _nobody(item.delegate, found["delegate_here"]))
    if not found["scope_known"]:
        kind, _, name = item.scope.partition(":")
        raise errors.invalid_at("/scope", f"there is no {kind} named {name}")
    if found["id"] is not None:
        span = f"from {timestamp(found['begins'])}"
        if found["ends"] is not None:
            span += f" to {timestamp(found['ends'])}"
        raise errors.conflict(
            "delegated_already",
            f"{item.delegator} has delegated {item.scope} to {found['delegate']} {span}:"
            " end that first",
            delegation=str(found["id"]),
        )
    if found["nowhere"] is not None:
        raise errors.invalid_at("/delegate", _leads_nowhere(found["nowhere"]))


def _leads_nowhere(people: list[str]) -> str:
    *_, one, other = people
    what = "in a circle" if other in people[:-1] else f"on more than {DELEGATION_LIMIT} times"
    return (
        f"this would go {what}: {' -> '.join(people)}; name somebody else, or have {one}'s delegation to"
        f" {other} ended first"
    )


def _nobody(person: str, here: bool | None) -> str:
    return f"there is no person {person}" if here is None else f"{person} is not here any more"


@router.get("", response_model=org_shapes.DelegationPage, summary="My delegations")
async def list_delegations(
    request: Request,
    *,
    direction: Direction = "all",
    state: Annotated[
        Literal["active", "all"], Query(description="`active`: running or still to come.")
    ] = "active",
    person: Annotated[
        str | None, Query(max_length=128, description="For administrators and auditors: whose.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Those I gave, those I received, or both; the latest first."""
    caller = await caller_of(request)
    whose = person or caller.id
    authorize(caller, "list", PersonalObject(whose))
    before = _LAST if cursor is None else tuple(read_cursor(cursor, "time", "uuid"))
    if before[0] is None:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    found = await delegations.newest(
        services(request).pool,
        whose,
        direction,
        limit + 1,
        (before[0], before[1]),
        over=state == "all",
    )
    items = [views.delegation(row) for row in found]
    return page(items, limit, lambda item: [item["created_at"], item["id"]])


@router.post(
    "/{delegation_id}/end",
    response_model=org_shapes.Delegation,
    summary="End a delegation",
    openapi_extra=takes(org_bodies.EndBody, required=False),
)
async def end_delegation(request: Request, delegation_id: UUID) -> Response:
    """At once, by whoever delegates or an administrator. Tasks that rest on it can't be decided by it
    any more. 409 if it was over before. An administrator gives a `reason`."""
    caller = await caller_of(request)
    body = await read(request, org_bodies.EndBody)

    async def end(connection: Connection, at: datetime) -> Made:
        row = await delegations.load(connection, delegation_id)
        if row is None:
            raise errors.not_found("delegation")
        subject = PersonalObject(row["delegator"], row["delegate"])
        actor = authorize(caller, "end", subject)
        _need_reason(body.reason, own=row["delegator"] == caller.id)
        ended = await delegations.end(connection, delegation_id, actor, at, body.reason)
        if ended is None:
            raise _over(row)
        return answer(views.delegation(ended)), None

    async def end_once(connection: Connection, at: datetime) -> Response:
        return await within(connection, request, caller, lambda own: end(own, at))

    return await org.write(services(request).pool, end_once)


def _over(row: asyncpg.Record) -> errors.Problem:
    moment = row["ended_at"] or row["ends"]
    return errors.conflict("ended_already", f"it ended at {timestamp(moment)}", ended_at=moment)
