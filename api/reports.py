"""Reports: how long approvals take, and where they wait."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, report_shapes
from api.http import Moment, Route, answer
from api.services import caller_of, services
from storage import commands, reports

router = APIRouter(prefix="/v1/reports", tags=["operation"], route_class=Route)

_USUAL = timedelta(days=90)
_LONGEST = timedelta(days=1096)
_PEOPLE = 100
_FIRST = datetime.min.replace(tzinfo=UTC)


@router.get("", response_model=report_shapes.Report, summary="How long approvals take")
async def show_report(
    request: Request,
    *,
    since: Annotated[Moment | None, Query(description="Default: 90 days before `until`.")] = None,
    until: Annotated[Moment | None, Query(description="Before then. Default: now.")] = None,
    workflow: Annotated[str | None, Query(max_length=63)] = None,
) -> Response:
    """For administrators and auditors: cycle times of what ended in a period of three years at most, by
    workflow and week; times per step and approver; escalations; and what is overdue now."""
    caller = await caller_of(request)
    if not caller.sees_all:
        raise errors.forbidden("reports are for administrators and auditors")
    pool = services(request).pool
    end = until or await commands.now(pool)
    begin = since or end - min(_USUAL, end - _FIRST)
    if not timedelta() < end - begin <= _LONGEST:
        raise errors.invalid_parameter("since", "is before `until`, by three years at most")
    period = reports.Period(begin, end, workflow)
    cycles, weeks, steps, approvers = await asyncio.gather(
        reports.cycles(pool, period),
        reports.weeks(pool, period),
        reports.steps(pool, period),
        reports.approvers(pool, period, _PEOPLE),
    )
    return answer(
        {
            "since": begin,
            "until": end,
            "workflow": workflow,
            "cycles": [dict(row) for row in cycles],
            "weeks": [dict(row) for row in weeks],
            "steps": [dict(row) for row in steps],
            "approvers": [dict(row) for row in approvers],
        }
    )
