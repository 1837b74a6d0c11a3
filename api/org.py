"""The directory: import, people, roles."""

import asyncio
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, org_file, org_shapes, views
from api.auth import Caller
from api.authorize import House, authorize
from api.http import Moment, Route, answer, page, read_cursor
from api.once import Made, within
from api.org_entries import Reading, refused
from api.org_examples import IMPORT
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from recipes.happenings import Actor
from recipes.model import Json
from storage import commands, delegations, org, org_import
from storage.org_checks import DirectoryRefused, Finding
from storage.org_import import Loaded
from storage.org_plan import Manner, MassDeparture
from storage.pool import Connection
from storage.resolution import LINE_LIMIT

router = APIRouter(prefix="/v1/org", tags=["organisation"], route_class=Route)

_MOST_LEFT_OUT = 20
_MOST_NAMED = 200

At = Annotated[Moment | None, Query(description="As of which moment. Default: now.")]


@router.post(
    "/import",
    response_model=org_shapes.Imported,
    summary="Import people and roles",
    openapi_extra=IMPORT,
)
async def import_org(
    request: Request,
    *,
    dry_run: Annotated[bool, Query(description="Only say what would change.")] = False,
    whole: Annotated[
        bool,
        Query(
            description="The file is all there is: who is not in it leaves, a role not in it is empty."
        ),
    ] = False,
    allow_mass_departure: Annotated[
        bool, Query(description="With `whole`: more than one in ten may leave at once.")
    ] = False,
) -> Response:
    """As an administrator, all or nothing. What is new begins now, what is different ends now; people
    and roles that are not named stay, unless `whole`; a role's members are all that it has afterwards.
    The same file again changes nothing."""
    caller = await caller_of(request)
    actor = authorize(caller, "import", House())
    kind = org_file.format_of(request.headers.get("content-type"))
    body = await request.body()
    # A whole company takes a while to read: others are served meanwhile.
    reading = await asyncio.to_thread(org_file.read, body, kind)
    manner = reading.manner(
        sha256(body).hexdigest(),
        whole=whole,
        allow_mass_departure=allow_mass_departure or bool(reading.problems),
        dry_run=dry_run or bool(reading.problems),
    )
    if not manner.dry_run:
        return await _once(request, caller, _Wanted(reading, actor, manner))
    async with (
        services(request).pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        at = await commands.now(connection)
        shown = await _loaded(connection, at, _Wanted(reading, actor, manner))
    if reading.problems:
        raise refused(reading.problems)
    return answer(shown)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was read, who wants it in the directory, and how."""

    reading: Reading
    actor: Actor
    manner: Manner


async def _once(request: Request, caller: Caller, wanted: _Wanted) -> Response:
    """Write to the directory, once for the call's key."""

    async def write(connection: Connection, at: datetime) -> Response:
        async def make(own: Connection) -> Made:
            return answer(await _loaded(own, at, wanted)), None

        return await within(connection, request, caller, make)

    people, roles = wanted.reading.people, wanted.reading.roles
    facts = len(people) + sum(len(role.members) for role in roles)
    return await org.write(services(request).pool, write, org.AHEAD + facts * org.A_FACT)


async def _loaded(connection: Connection, at: datetime, wanted: _Wanted) -> dict[str, Json]:
    """What became of it, as the answer says it. Problem 409 or 422."""
    reading, manner = wanted.reading, wanted.manner
    try:
        loaded = await org_import.load(
            connection, at, reading.people, reading.roles, wanted.actor, manner=manner
        )
    except DirectoryRefused as refusal:
        found = [_problem(reading, finding) for finding in refusal.findings]
        raise refused(reading.problems + found) from None
    except MassDeparture as departure:
        fix = "if that is right, say allow_mass_departure=true"
        raise errors.conflict("mass_departure", f"{departure}: {fix}") from None
    return _imported(reading, loaded, dry_run=manner.dry_run)


def _problem(reading: Reading, finding: Finding) -> dict[str, Json]:
    return reading.place(finding.place) | {"message": finding.message, "fix": finding.fix}


def _imported(reading: Reading, loaded: Loaded, *, dry_run: bool) -> dict[str, Json]:
    left_out = [
        reading.place(("people", number)) | {"message": "left out: had left before we knew them"}
        for number in loaded.left_out[:_MOST_LEFT_OUT]
    ]
    return {
        **asdict(loaded.changes),
        "dry_run": dry_run,
        "format": reading.format,
        "people_left_out": len(loaded.left_out),
        "differences": [
            {"subject": d.subject, "fact": d.fact, "from": d.before, "to": d.after}
            for d in loaded.differences
        ],
        "differing": loaded.differing,
        "truncated": loaded.differing > len(loaded.differences),
        "warnings": reading.warnings + left_out,
    }


@router.get("/people", response_model=org_shapes.PersonPage, summary="List people")
async def list_people(
    request: Request,
    *,
    q: Annotated[
        str | None, Query(max_length=200, description="In their id, name or e-mail address.")
    ] = None,
    ids: Annotated[
        str | None, Query(max_length=10_000, description="Those of these ids, commas between.")
    ] = None,
    at: At = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Those who are here at a moment, by id. Administrators and auditors see `limits`, too."""
    caller = await caller_of(request)
    after: str = "" if cursor is None else read_cursor(cursor, "text")[0]
    pool = services(request).pool
    named = None if ids is None else [each.strip() for each in ids.split(",")]
    moment = at or await commands.now(pool)
    found = await org.people(pool, after, limit + 1, moment, text=q, ids=named)
    items = [_seen(dict(row), caller) for row in found]
    return page(items, limit, lambda item: [item["id"]])


@router.get("/names", response_model=org_shapes.NamePage, summary="What people are called")
async def names_of_people(
    request: Request,
    ids: Annotated[
        str, Query(max_length=26_000, description="Of whom: ids, at most 200, commas between.")
    ] = "",
) -> Response:
    """The names behind ids, also of those who have left: for lists and histories. Whoever the directory
    never had is left out."""
    await caller_of(request)
    wanted = [each.strip() for each in ids.split(",")]
    if len(wanted) > _MOST_NAMED:
        raise errors.invalid_parameter("ids", f"names {len(wanted)}; at most {_MOST_NAMED} at once")
    found = await org.names(services(request).pool, wanted)
    return answer({"items": [dict(row) for row in found], "next_cursor": None})


def _seen(person: dict[str, Any], caller: Caller, *names: str) -> dict[str, Any]:
    """What somebody may approve, and `names`, are for administrators, auditors and themselves."""
    if caller.sees_all or caller.id == person["id"]:
        return person
    return person | dict.fromkeys(("limits", *names))


@router.get("/people/{person_id}", response_model=org_shapes.PersonInFull, summary="One person")
async def one_person(request: Request, person_id: str, *, at: At = None) -> Response:
    """As the directory knows them at a moment: roles, the line of managers above them, the nearest
    first, and who decides for them or for whom they decide then. Who has left is not `here`."""
    caller = await caller_of(request)
    if "\x00" in person_id:
        raise errors.not_found("person")
    async with services(request).pool.acquire() as connection:
        moment = at or await commands.now(connection)
        row = await org.person(connection, person_id, moment)
        if row is None:
            raise errors.not_found("person")
        above = await org.line(connection, person_id, moment, LINE_LIMIT)
        given = await delegations.in_force(connection, person_id, moment)
    person: dict[str, Any] = {
        **row,
        "manager": above[0] if above else None,
        "managers": above,
        "delegations": [views.delegation(item) for item in given],
    }
    return answer(_seen(person, caller, "attributes", "delegations"))


@router.get("/roles", response_model=org_shapes.RolePage, summary="List roles")
async def list_roles(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Roles by name, with those who hold them now."""
    await caller_of(request)
    after: str = "" if cursor is None else read_cursor(cursor, "text")[0]
    found = await org.roles(services(request).pool, after, limit + 1)
    return page([dict(row) for row in found], limit, lambda item: [item["name"]])
