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
from contract import conditions
from recipes.model import ActionStep, Recipe
from storage import impact, sight
from storage.rules import Rule

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Route)

_MOST_GROUPS = 100
_LAST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))

Input = Annotated[str | None, Query(max_length=200, pattern=r"^[A-Za-z_]\w*(\.\w+)*$")]


@router.get(
    "/impact",
    response_model=past_shapes.Impact,
    summary="What a rule decided",
    responses={404: {"description": "There is no such recipe, or no such version of it."}},
)
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
    first, with how many there are, in both tiers. `sum` adds up the numbers of an input, in groups if `by` names one.
    What is confidential is sealed: nothing is selected, added up or counted by it."""
    caller = await caller_of(request)
    require_auditor(caller)
    for name, given in (("workflow", workflow), ("version", version), ("step", step)):
        if given is None:
            raise errors.invalid_parameter(name, "is missing: name the workflow, version and step")
    house = services(request)
    named = asked_about(where)
    rule = Rule(workflow or "", version or 0, step or "", since, until, where)
    recipe, found = await rule_step(house, rule)
    refuse_confidential(recipe, "where", named)
    refuse_confidential(recipe, "sum", _first(add_up))
    refuse_confidential(recipe, "by", _first(by))
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
    items = await sight.seen_by(house.pool, caller.reader, rows[:limit], sight.TITLED, of="id")
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
            "items": [
                {name: value for name, value in row.items() if name not in ("private", "sealed")}
                for row in items
            ],
            "next_cursor": next_cursor(rows, limit, lambda row: [row["decided_at"], row["id"]]),
        }
    )


def _place(cursor: str) -> tuple[datetime, UUID]:
    at, request_id = read_cursor(cursor, "time", "uuid")
    if at is None:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    return at, request_id


def asked_about(where: str | None) -> frozenset[str]:
    """The inputs that a condition is on. Problem 422 if it is none."""
    found = read_condition(where)
    return frozenset() if found is None else conditions.names(found)


def _first(path: str | None) -> frozenset[str]:
    return frozenset() if path is None else frozenset([path.partition(".")[0]])


def refuse_confidential(recipe: Recipe, parameter: str, names: frozenset[str]) -> None:
    """Problem 422 if one of these inputs is sealed: a query cannot look into it, and must not say
    that nothing was found."""
    rule = recipe.confidential
    if rule is None:
        return
    sealed = names if rule.fields is None else names.intersection(rule.fields)
    if sealed:
        which = f"{recipe.workflow} version {recipe.version}"
        raise errors.invalid_parameter(
            parameter, f"{min(sealed)} is confidential in {which}, and sealed: leave it out"
        )


async def rule_step(house: Services, rule: Rule) -> tuple[Recipe, ActionStep]:
    """The recipe and the step that are meant. Problem 404 for a version that there is not, 422 for a step that decides
    nothing by itself."""
    shown = await version_shown(house.pool, rule.workflow, rule.version)
    recipe = await house.catalogue.recipe(house.pool, rule.workflow, rule.version, shown["sha256"])
    rules = {step.id: step for step in recipe.steps if isinstance(step, ActionStep)}
    if rule.step not in rules:
        listed = ", ".join(rules) or "none"
        message = f"{rule.step} is no `action` step of {rule.workflow} version {rule.version}; those are: {listed}"
        raise errors.invalid("step: " + message, [{"parameter": "step", "message": message}])
    return recipe, rules[rule.step]
