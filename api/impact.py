"""What a rule decided: for whoever asks how far a wrong one went."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, past_shapes
from api.asking import Where, read_condition, require_auditor
from api.http import Moment, Route, answer, next_cursor, read_cursor
from api.recipes import version_shown
from api.services import Services, caller_of, services
from api.tasks import Cursor, Limit
from recipes.model import ActionStep
from storage import impact
from storage.rules import Rule

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Route)

_MOST_GROUPS = 100
_LAST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))

Input = Annotated[str | None, Query(max_length=200, pattern=r"^[A-Za-z_]\w*(\.\w+)*$")]


@router.get("/impact", response_model=past_shapes.Impact, summary="What a rule decided")
async def show_impact(
    request: Request,
    *,
    workflow: Annotated[str | None, Query(max_length=63)] = None,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    step: Annotated[str | None, Query(max_length=200)] = None,
    since: Moment | None = None,
    until: Annotated[Moment | None, Query(description="Before then.")] = None,
    where: Where = None,
    add_up: Annotated[Input, Query(alias="sum", description="An input to add up.")] = None,
    by: Annotated[Input, Query(description="An input: counts for each of its values.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """For administrators and auditors: every request that an `action` step of a version ended, the last
    first, with how many there are, in both tiers. `sum` adds up the numbers of an input, in groups if `by` names one."""
    caller = await caller_of(request)
    require_auditor(caller)
    for name, given in (("workflow", workflow), ("version", version), ("step", step)):
        if given is None:
            raise errors.invalid_parameter(name, "is missing: name the workflow, version and step")
    house = services(request)
    read_condition(where)
    rule = Rule(workflow or "", version or 0, step or "", since, until, where)
    found = await rule_step(house, rule)
    before = _LAST if cursor is None else _place(cursor)
    async with (
        house.pool.acquire() as source,
        source.transaction(isolation="repeatable_read", readonly=True),
    ):
        cold = await impact.moved(source, house.trail, rule)
        rows = await impact.items(source, rule, cold, before, limit + 1)
        totals = await impact.totals(source, rule, cold)
        most = _MOST_GROUPS if by or add_up else 0
        groups = await impact.groups(source, rule, cold, most, by=by, add_up=add_up)
        in_flight = await impact.in_flight(source, rule)
    return answer(
        {
            "workflow": rule.workflow,
            "version": rule.version,
            "step": rule.step,
            "rule": found.when,
            "action": found.action,
            **dict(totals),
            "in_flight": in_flight,
            "deleted_months": list(cold.deleted),
            "groups": [dict(group) for group in groups],
            "items": [dict(row) for row in rows[:limit]],
            "next_cursor": next_cursor(rows, limit, lambda row: [row["decided_at"], row["id"]]),
        }
    )


def _place(cursor: str) -> tuple[datetime, UUID]:
    at, request_id = read_cursor(cursor, "time", "uuid")
    if at is None:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    return at, request_id


async def rule_step(house: Services, rule: Rule) -> ActionStep:
    """The step that is meant. Problem 404 for a version that there is not, 422 for a step that decides
    nothing by itself."""
    shown = await version_shown(house.pool, rule.workflow, rule.version)
    recipe = await house.catalogue.recipe(house.pool, rule.workflow, rule.version, shown["sha256"])
    rules = {step.id: step for step in recipe.steps if isinstance(step, ActionStep)}
    if rule.step not in rules:
        listed = ", ".join(rules) or "none"
        message = f"{rule.step} is no `action` step of {rule.workflow} version {rule.version}; those are: {listed}"
        raise errors.invalid("step: " + message, [{"parameter": "step", "message": message}])
    return rules[rule.step]
