"""Business calendars: import, list, show."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from api import calendar_shapes, errors
from api.authorize import House, authorize
from api.http import Route, answer, header, page, read_cursor
from api.recipes import file_name
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from recipes import calendar_file
from recipes.model import Json
from recipes.problems import RecipeInvalid
from storage import calendars, commands
from storage.zones import zone

router = APIRouter(prefix="/v1/calendars", tags=["calendars"], route_class=Route)

Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,62}$")]

_EXAMPLE = """\
calendar: es
time_zone: Europe/Madrid
week: [mon, tue, wed, thu, fri]
hours: 09:00-18:00
covers: {from: 2026-01-01, to: 2026-12-31}
holidays:
  - {date: 2026-01-01, name: Año Nuevo}
"""
_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A calendar as YAML, or the same as JSON.",
        "content": {"application/yaml": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    },
    "parameters": [header("X-File-Name", "What problems call the file.")],
}


@router.post(
    "",
    status_code=201,
    response_model=calendar_shapes.CalendarImported,
    summary="Import a calendar",
    responses={
        200: {
            "model": calendar_shapes.CalendarImported,
            "description": "Nothing was written: the newest version says so already, or `dry_run`.",
        }
    },
    openapi_extra=_FILE,
)
async def import_calendar(
    request: Request,
    *,
    dry_run: Annotated[bool, Query(description="Only say what would become of it.")] = False,
) -> Response:
    """As an administrator. What is new becomes the next version, which counts for everything timed from
    then on; what is running keeps its times, and the answer says how much of it rests on older versions.
    A calendar that is wrong gets 422 with all that is wrong, line by line."""
    caller = await caller_of(request)
    actor = authorize(caller, "import", House())
    source, name = await request.body(), file_name(request)
    try:
        found = await asyncio.to_thread(calendar_file.read_calendar, source, zone, name)
    except RecipeInvalid as error:
        raise _invalid(error) from None
    pool = services(request).pool
    at = await commands.now(pool)
    done = await calendars.load(pool, found, actor, at, dry_run=dry_run)
    told: dict[str, Json] = {
        "name": done.name,
        "version": done.version,
        "unchanged": done.did == "unchanged",
        "dry_run": dry_run,
        "on_older_versions": {"tasks": done.tasks, "requests": done.requests},
    }
    written = done.did == "imported" and not dry_run
    location = f"/v1/calendars/{done.name}?version={done.version}"
    return answer(told, 201 if written else 200, {"Location": location})


@router.get("", response_model=calendar_shapes.CalendarPage, summary="List calendars")
async def list_calendars(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """By name, each with the version that counts now."""
    await caller_of(request)
    after: str = "" if cursor is None else read_cursor(cursor, "text")[0]
    found = await calendars.newest(services(request).pool, after, limit + 1)
    return page([_shown(row) for row in found], limit, lambda item: [item["name"]])


@router.get("/{name}", response_model=calendar_shapes.Calendar, summary="One calendar")
async def show_calendar(
    request: Request,
    name: Name,
    version: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="Default: the one that counts now.")
    ] = None,
) -> Response:
    await caller_of(request)
    pool = services(request).pool
    row = await calendars.show(pool, name, version)
    if row is not None:
        return answer(_shown(row))
    newest = None if version is None else await calendars.show(pool, name, None)
    if newest is None:
        raise errors.not_found("calendar")
    listed = ", ".join(map(str, sorted(newest["versions"])))
    detail = f"{name} has no version {version} (it has {listed})"
    raise errors.Problem(404, "not_found", detail)


def _shown(row: Any) -> dict[str, Json]:
    content = calendar_file.spelled(calendars.read(row))
    del content["calendar"]
    return {
        "name": row["name"],
        "version": row["version"],
        "versions": row["versions"],
        **content,
        "sha256": row["sha256"],
        "imported_at": row["imported_at"],
        "imported_by": row["imported_by"],
    }


def _invalid(error: RecipeInvalid) -> errors.Problem:
    found = [asdict(problem) for problem in error.problems]
    several = "s" * (len(found) != 1)
    detail = f"the calendar has {len(found)} error{several}"
    return errors.Problem(422, "calendar_invalid", detail, errors=found)
