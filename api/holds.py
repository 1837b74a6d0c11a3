"""Legal holds on the audit, and which of its months are in which tier."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.asking import require_auditor
from api.auth import Caller
from api.http import Route, answer, read, takes
from api.services import caller_of, services
from api.trail_shapes import Hold, HoldBody, HoldEnd, HoldPage, MonthPage
from api.views import Row
from recipes.happenings import Actor
from recipes.model import Json
from storage import holds, months
from storage.holds import Scope
from storage.months import Month

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Route)


@router.get("/months", response_model=MonthPage, summary="Months in the cold tier")
async def list_months(request: Request) -> Response:
    """Every month that has a copy there, with its signed manifest, also those that were deleted since. For
    auditors and administrators."""
    require_auditor(await caller_of(request))
    found = await months.every(services(request).pool)
    return answer({"items": [_month(each) for each in found], "next_cursor": None})


@router.get("/holds", response_model=HoldPage, summary="Legal holds")
async def list_holds(
    request: Request,
    *,
    ended: Annotated[bool, Query(description="Those that have ended, too.")] = False,
) -> Response:
    """What must not be deleted, the newest first. For auditors and administrators."""
    require_auditor(await caller_of(request))
    found = await holds.every(services(request).pool, ended=ended)
    return answer({"items": [_hold(row) for row in found], "next_cursor": None})


@router.post(
    "/holds",
    status_code=201,
    response_model=Hold,
    summary="Set a legal hold",
    openapi_extra=takes(HoldBody),
)
async def set_hold(request: Request) -> Response:
    """On a request's rows, a workflow's, or a month: no month with any of them is deleted from now on,
    whatever its age. By auditors and administrators; it is on record."""
    caller = await caller_of(request)
    body = await read(request, HoldBody)
    require_auditor(caller)
    scope = Scope(body.request_id, body.workflow, _first_day(body.month))
    async with services(request).pool.acquire() as connection, connection.transaction():
        row = await holds.set_hold(connection, _actor(caller), body.reason, scope)
    return answer(_hold(row), 201)


@router.post(
    "/holds/{hold_id}/end",
    response_model=Hold,
    summary="End a legal hold",
    openapi_extra=takes(HoldEnd),
)
async def end_hold(request: Request, hold_id: UUID) -> Response:
    """What it kept is deleted when its time is over. By auditors and administrators, who say why; it is on
    record. 409 if it has ended."""
    caller = await caller_of(request)
    body = await read(request, HoldEnd)
    require_auditor(caller)
    async with services(request).pool.acquire() as connection, connection.transaction():
        row = await holds.end_hold(connection, hold_id, _actor(caller), body.reason)
        if row is None:
            if await holds.one(connection, hold_id) is None:
                raise errors.not_found("hold")
            raise errors.conflict("already_ended", "the hold has ended already")
    return answer(_hold(row))


def _actor(caller: Caller) -> Actor:
    return Actor(caller.id, "admin" if caller.admin else "auditor")


def _first_day(month: str | None) -> date | None:
    return None if month is None else date.fromisoformat(f"{month}-01")


def _hold(row: Row) -> dict[str, Json]:
    names = ("id", "request_id", "workflow", "reason", "set_by", "set_at")
    shown: dict[str, Json] = {name: row[name] for name in names}
    shown["month"] = row["month"] and f"{row['month']:%Y-%m}"
    return shown | {name: row[name] for name in ("ended_by", "ended_at", "end_reason")}


def _month(found: Month) -> dict[str, Json]:
    return {
        "month": found.name,
        "state": found.state,
        "rows": found.rows,
        "first_at": found.first_at,
        "last_at": found.last_at,
        "manifest": found.manifest,
    }
