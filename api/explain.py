"""Explain: who is, was or would have been the approver, with every rule that led there."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, schemas
from api.authorize import PersonalObject, authorize
from api.http import Moment, Route, answer
from api.services import caller_of, services
from recipes.model import Json
from recipes.state import Assignment, Hop
from storage import commands, directory, references, resolution
from storage.pool import Source
from storage.references import About

router = APIRouter(prefix="/v1/org", tags=["organisation"], route_class=Route)

_TEXTS = {
    "person": "{user} is named",
    "round_robin": "it is the turn of {user} in role {role} (turn {turn})",
    "manager": "{user} is the nearest manager who can be asked",
    "employee_manager": "{user} is next in the requester's line of managers",
    "delegation": "who has delegated to {user}",
    "kept": "{user} keeps it, as a member of role {role}",
    "fixed": "{user} was found when the request was submitted",
    "has_left": "{user} has left: up the line",
    "decided_before": "{user} decided an earlier step: up the line",
    "below_limit": "{user} may not approve that much: up the line",
    "not_the_requester": "{user} is the requester, who decides nothing of their own: up the line",
}
"""The rules of `storage.resolution` in words."""


@router.get("/explain", response_model=schemas.Explained, summary="Who decides, and why")
async def explain(
    request: Request,
    *,
    approver: Annotated[
        str,
        Query(
            max_length=300,
            description="Needed: `role:x`, `user:x`, a name, or `employee.manager.manager`.",
        ),
    ] = "",
    employee: Annotated[
        str | None, Query(max_length=128, description="Whose request. Default: mine.")
    ] = None,
    at: Annotated[Moment | None, Query(description="As of which moment. Default: now.")] = None,
    workflow: Annotated[
        str | None,
        Query(max_length=63, description="Of which workflow: delegations may be for one."),
    ] = None,
) -> Response:
    """Asks the directory as a live request does, as of any moment, and takes no turn. For the person
    concerned, administrators and auditors."""
    caller = await caller_of(request)
    if not approver.strip():
        raise errors.invalid_parameter(
            "approver", "is needed: a role, a person, or employee.manager"
        )
    requester = employee or caller.id
    authorize(caller, "explain", PersonalObject(requester))
    async with services(request).pool.acquire() as connection:
        moment = at or await commands.now(connection)
        about = About(requester, workflow or "", moment)
        if not await directory.line(connection, requester, moment, 0):
            raise errors.invalid_parameter("employee", f"there is no person {requester}")
        found = await resolution.explain(connection, approver, about)
        members = await _members(connection, approver, about)
    given = found.assignment or Assignment()
    return answer(
        {
            "approver": approver,
            "employee": requester,
            "workflow": workflow,
            "at": moment,
            "user": given.user,
            "role": given.role,
            "on_behalf_of": given.on_behalf_of,
            "via": list(given.via),
            "chain": [_hop(hop) for hop in given.chain],
            "members": members,
            "refusal": None if found.refusal is None else asdict(found.refusal),
        }
    )


async def _members(source: Source, approver: str, about: About) -> list[dict[str, Json]] | None:
    """Those of a role who could be asked; None where no role is asked about."""
    kind, role = await references.principal(source, approver, about.at)
    if kind != "role" or not references.is_name(role):
        return None
    scopes = directory.scopes(about.workflow, role)
    found = await directory.members(source, role, about.at, (about.requester,), scopes)
    return [asdict(member) for member in found or ()]


def _hop(hop: Hop) -> dict[str, Json]:
    named = asdict(hop)
    return {**named, "text": _TEXTS[hop.rule].format(**named)}
