"""Backtest: what a candidate version would have made of past requests."""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import errors, life_shapes
from api.http import Route, answer, read, takes
from api.life_bodies import BacktestBody
from api.services import Services, caller_of, services
from api.simulation import draft, require_sees_all
from recipes import backtest
from recipes import inputs as recipe_inputs
from recipes.backtest import Comparison
from recipes.model import JobStep, Json, Recipe
from recipes.starting import entity_problem
from recipes.supposed import Supposed
from storage import jobs, request_lists, requests, sight, simulation
from storage.pool import Source
from storage.sight import Row

router = APIRouter(prefix="/v1/recipes", tags=["recipes"], route_class=Route)


@router.post(
    "/backtest",
    response_model=life_shapes.Backtest,
    summary="Try a candidate on past requests",
    openapi_extra=takes(BacktestBody),
)
async def backtest_draft(request: Request) -> Response:
    """Real past requests through their own version and the candidate: both simulated as submitted
    then, with the directory as of then, everybody approving at once. Nothing is written. Those of which
    something is confidential and not for the caller are left out and counted as `withheld`. For
    administrators and auditors."""
    caller = await caller_of(request)
    body = await read(request, BacktestBody)
    require_sees_all(caller)
    house = services(request)
    candidate = await draft(house.pool, body.recipe, body.file)
    if candidate.machine is not None:
        fix = "simulate it: the answer says who might fire its first actions"
        told = f"a state machine cannot be tried on past requests, as people choose its way: {fix}"
        raise errors.invalid_at("/recipe", told)
    async with (
        house.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        past = await request_lists.past(
            connection, candidate.workflow, body.since, body.limit, imported=body.imported
        )
        visible = await sight.seen_whole(connection, caller.reader, past)
        seen = await sight.seen_by(connection, caller.reader, past, sight.TITLED, of="id")
        rows = [row for row in seen if row["id"] in visible and not row["withheld"]]
        if not past:
            since = f" since {body.since:%Y-%m-%d %H:%M} UTC" if body.since else ""
            raise errors.invalid_at(
                "/recipe",
                f"there are no requests of workflow {candidate.workflow}{since} to try it on",
            )
        found = await _compared(house, connection, candidate, rows)
    items = [_item(row, comparison) for row, comparison in zip(rows, found, strict=True)]
    return answer(
        {
            "workflow": candidate.workflow,
            "version": candidate.version,
            "summary": asdict(backtest.summary(found)),
            "withheld": len(past) - len(rows),
            "items": items,
        }
    )


async def _compared(
    house: Services, source: Source, candidate: Recipe, rows: Sequence[Row]
) -> list[Comparison]:
    """A comparison for each row, in their order."""
    found: list[Comparison] = []
    for row in rows:
        own = await house.catalogue.recipe(
            source, candidate.workflow, row["version"], row["sha256"]
        )
        entity = requests.entity_of(row)
        supposed = Supposed(
            row["requester"],
            row["inputs"],
            row["created_at"],
            entity=entity,
            outputs=await _outputs(source, row["id"], own, candidate),
        )
        before = backtest.route(await simulation.run(source, own, supposed))
        problems = recipe_inputs.validate(candidate, row["inputs"])
        about = entity_problem(candidate, entity)
        if problems or about is not None:
            refused = tuple(f"{problem.pointer}: {problem.message}" for problem in problems)
            refused += () if about is None else (f"/entity: {about}",)
            found.append(Comparison(before, None, refused))
            continue
        after = backtest.route(await simulation.run(source, candidate, supposed))
        found.append(Comparison(before, after))
    return found


async def _outputs(source: Source, request_id: UUID, *recipes: Recipe) -> dict[str, Json]:
    """What the request's automatic work gave, by step, if a recipe has any."""
    steps = (step for recipe in recipes for step in recipe.every_step)
    automatic = any(isinstance(step, JobStep) for step in steps)
    return await jobs.outputs(source, request_id) if automatic else {}


def _item(row: Row, comparison: Comparison) -> dict[str, Json]:
    return {
        "request_id": row["id"],
        "title": row["title"],
        "requester": row["requester"],
        "created_at": row["created_at"],
        "version": row["version"],
        "same": comparison.same,
        "route_changed": comparison.route_changed,
        "state_changed": comparison.state_changed,
        "two_person_break": comparison.two_person_break,
        "added": list(comparison.added),
        "removed": list(comparison.removed),
        "refused": list(comparison.refused),
        "new_incidents": [asdict(incident) for incident in comparison.new_incidents],
        "before": _route(comparison.own),
        "after": None if comparison.candidate is None else _route(comparison.candidate),
    }


def _route(route: backtest.Route) -> dict[str, Json]:
    return {
        "state": route.state,
        "steps": list(route.steps),
        "asked": list(route.asked),
        "people": route.people,
    }
