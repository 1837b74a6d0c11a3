"""The directory: import, people, roles."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import errors, org_file, schemas
from api.authorize import House, authorize
from api.http import Route, answer, page, read_cursor
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from storage import org

router = APIRouter(prefix="/v1/org", tags=["organisation"], route_class=Route)

_EXAMPLE = """\
people:
  - {id: alice, name: Alice Moreau, email: alice@example.org, manager: bob}
  - {id: bob, name: Bob Tanaka}
roles:
  hr-leave-admin: {description: Leave and absence, members: [bob]}
"""
_YAML: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "People and roles as YAML or JSON.",
        "content": {"application/yaml": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


@router.post(
    "/import",
    response_model=schemas.Imported,
    summary="Import people and roles",
    openapi_extra=_YAML,
)
async def import_org(request: Request) -> Response:
    """As an administrator, all or nothing. What is new begins now, what is different ends now;
    people and roles that are not named stay; a role's members are all that it has afterwards."""
    caller = await caller_of(request)
    actor = authorize(caller, "import", House())
    found = org_file.read(await request.body())
    async with services(request).pool.acquire() as connection, connection.transaction():
        at = await org.lock(connection)
        named = org_file.references(found)
        unknown = await org.unknown_people(connection, list({person for _, person in named}))
        problems = org_file.twice(found)
        problems += [
            {"pointer": pointer, "message": f"there is no person {person}"}
            for pointer, person in named
            if person in unknown
        ]
        problems += [
            {"pointer": pointer, "message": f"these would manage each other: {circle}"}
            for pointer, circle in org_file.cycles(found, await org.managers(connection, at))
        ]
        if problems:
            raise errors.invalid(f"{problems[0]['pointer']}: {problems[0]['message']}", problems)
        people = [person.row() for person in found.people]
        changes = await org.load(connection, at, people, found.role_rows(), actor)
    return answer(asdict(changes))


@router.get("/people", response_model=schemas.PersonPage, summary="List people")
async def list_people(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Those who are here now, by id."""
    await caller_of(request)
    after: str = "" if cursor is None else read_cursor(cursor, "text")[0]
    found = await org.people(services(request).pool, after, limit + 1)
    return page([dict(row) for row in found], limit, lambda item: [item["id"]])


@router.get("/roles", response_model=schemas.RolePage, summary="List roles")
async def list_roles(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Roles by name, with those who hold them now."""
    await caller_of(request)
    after: str = "" if cursor is None else read_cursor(cursor, "text")[0]
    found = await org.roles(services(request).pool, after, limit + 1)
    return page([dict(row) for row in found], limit, lambda item: [item["name"]])
