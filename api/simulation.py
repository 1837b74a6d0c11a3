"""Simulate: what would become of a request, asked of a published recipe or of one not yet published."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import errors, life_shapes, machine_simulation
from api.auth import Caller
from api.authorize import PersonalObject, authorize
from api.http import Route, answer, read, takes
from api.life_bodies import DraftSimulationBody, SimulationBody, SupposedDecision
from api.recipes import Name, Version, parsed, recipe_invalid, version_shown
from api.services import caller_of, services
from api.submission import check_inputs
from api.wording import Words, words
from recipes import calendar, parse
from recipes.model import REQUESTER, ApprovalStep, JobStep, Json, Recipe
from recipes.outcomes import BUILT_IN
from recipes.state import Entity
from recipes.supposed import WAIT, Simulated, StepPlayed, Supposed, Supposition, TaskPlayed
from storage import commands, directory, jsonb, simulation
from storage.pool import Pool, Source

router = APIRouter(prefix="/v1/recipes", tags=["recipes"], route_class=Route)


@router.post(
    "/{name}/versions/{version}/simulate",
    response_model=life_shapes.Simulated,
    summary="Simulate a request",
    openapi_extra=takes(SimulationBody),
)
async def simulate_version(request: Request, name: Name, version: Version) -> Response:
    """Which people would be asked, on which path, when: by the engine of live requests and the
    directory as of each moment, real or supposed. Of a state machine, whose way people choose: where it
    would begin, and in `actions` who might fire what then. Nothing is written, no turn is taken. For the
    requester, administrators and auditors."""
    caller = await caller_of(request)
    body = await read(request, SimulationBody)
    authorize(caller, "explain", PersonalObject(body.requester or caller.id))
    house = services(request)
    shown = await version_shown(house.pool, name, version)
    recipe = await house.catalogue.recipe(house.pool, name, version, shown["sha256"])
    return await _simulated(house.pool, caller, recipe, body)


@router.post(
    "/simulate",
    response_model=life_shapes.Simulated,
    summary="Simulate a request of a draft",
    openapi_extra=takes(DraftSimulationBody),
)
async def simulate_draft(request: Request) -> Response:
    """The same for a recipe that is not published, for administrators and auditors: whoever writes
    a recipe can read people's attributes by it."""
    caller = await caller_of(request)
    body = await read(request, DraftSimulationBody)
    require_sees_all(caller)
    pool = services(request).pool
    recipe = await draft(pool, body.recipe, body.file)
    return await _simulated(pool, caller, recipe, body)


def require_sees_all(caller: Caller) -> None:
    """Problem 403 for whoever may not see everything."""
    if not caller.sees_all:
        raise errors.forbidden(
            "only administrators and auditors may try out recipes that are not published"
        )


async def draft(source: Source, text: str, file: str | None) -> Recipe:
    """The recipe that `text` describes. Problem 422 with all that is wrong with it."""
    try:
        return (await parsed(source, text.encode(), file)).recipe
    except parse.RecipeInvalid as error:
        raise recipe_invalid(error) from None


async def _simulated(pool: Pool, caller: Caller, recipe: Recipe, body: SimulationBody) -> Response:
    entity = None if body.entity is None else Entity(body.entity.type, body.entity.id)
    check_inputs(recipe, body.inputs, entity)
    _check_jobs(recipe, body)
    if recipe.machine is not None:
        _check_machine(body)
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        supposed = Supposed(
            requester=body.requester or caller.id,
            inputs=jsonb.kept(body.inputs),
            at=body.at or await commands.now(connection),
            decisions=_suppositions(recipe, body),
            otherwise=body.otherwise,
            entity=entity,
            outputs=jsonb.kept(body.outputs),
            fails=body.fails,
        )
        await _check_people(connection, supposed)
        if recipe.machine is None:
            found = await simulation.run(connection, recipe, supposed)
            chains = (task.chain for step in found.path for task in step.tasks)
            told = shown(found, await words(connection, chains))
        else:
            begun = await machine_simulation.begin(connection, recipe, recipe.machine, supposed)
            told = begun.shown()
    return answer(
        {
            "workflow": recipe.workflow,
            "version": recipe.version,
            "requester": supposed.requester,
            **told,
        }
    )


def _check_machine(body: SimulationBody) -> None:
    """Problem 422 where something is supposed of a state machine that only steps have."""
    fix = "a state machine is simulated up to its first actions, so leave this out"
    raise_all(
        (f"/{key}", fix)
        for key in ("decisions", "otherwise", "outputs", "fails")
        if getattr(body, key) not in ([], {}, "approve")
    )


async def _check_people(source: Source, supposed: Supposed) -> None:
    """Problem 422 where somebody is supposed whom the directory does not have."""
    line = await directory.line(source, supposed.requester, supposed.at, 0)
    if not line:
        raise errors.invalid_at("/requester", f"there is no person {supposed.requester}")
    if not line[0].employed:
        moment = f"{supposed.at:%Y-%m-%d %H:%M} UTC"
        raise errors.invalid_at(
            "/requester", f"{supposed.requester} is not in the directory at {moment}"
        )
    people = [item.who for item in supposed.decisions if item.who is not None]
    unknown = await directory.unknown(source, people, ())
    raise_all(
        (f"/decisions/{n}/who", f"there is no person {item.who}")
        for n, item in enumerate(supposed.decisions)
        if f"user:{item.who}" in unknown
    )


def _check_jobs(recipe: Recipe, body: SimulationBody) -> None:
    """Problem 422 where the end of a task is supposed that there is not."""
    jobs = [step.id for step in recipe.every_step if isinstance(step, JobStep)]
    listed = ", ".join(jobs) or "none"
    raise_all(
        (f"/{key}/{name}", f"there is no task {name}; there are: {listed}")
        for key, supposed in (("outputs", body.outputs), ("fails", body.fails))
        for name in supposed
        if name not in jobs
    )


def _suppositions(recipe: Recipe, body: SimulationBody) -> tuple[Supposition, ...]:
    """The supposed decisions. Problem 422 naming every step and branch that there is not."""
    problems: list[tuple[str, str]] = []
    found: list[Supposition] = []
    for number, item in enumerate(body.decisions):
        place = f"/decisions/{number}"
        problems += [(f"{place}/{key}", text) for key, text in _misplaced(recipe, item)]
        after = 0
        try:
            after = 0 if item.after in {None, "0", "0s"} else calendar.seconds(item.after or "")
        except calendar.DurationError as error:
            problems.append((f"{place}/after", f"{error}: {error.fix}"))
        found.append(
            Supposition(
                item.decision, item.step, item.branch, item.who, after, item.comment, item.to
            )
        )
    raise_all(problems)
    return tuple(found)


def _misplaced(recipe: Recipe, item: SupposedDecision) -> Iterator[tuple[str, str]]:
    """What a supposed decision names that the recipe does not have: key and message."""
    steps = {step.id: step for step in recipe.steps if isinstance(step, ApprovalStep)}
    branches = {
        step.id: [ballot.id for ballot in step.ballots]
        for step in steps.values()
        if step.type == "parallel"
    }
    if item.step is not None and item.step not in steps:
        listed = ", ".join(steps) or "none"
        yield "step", f"there is no approval step {item.step}; there are: {listed}"
    elif item.branch is not None:
        within = [item.step] if item.step is not None else list(branches)
        known = [branch for step in within for branch in branches.get(step, ())]
        if item.branch not in known:
            listed = ", ".join(known) or "none, so leave `branch` out"
            yield "branch", f"there is no branch {item.branch}; there are: {listed}"
    own = [outcome.id for step in steps.values() for it in step.ballots for outcome in it.outcomes]
    outcomes = dict.fromkeys((*(outcome.id for outcome in BUILT_IN), *own, WAIT))
    if item.decision not in outcomes:
        yield "decision", f"nothing offers {item.decision}; there are: {', '.join(outcomes)}"
    if item.to is not None and item.to not in {REQUESTER, *steps}:
        listed = ", ".join((REQUESTER, *steps))
        yield "to", f"nothing leads to {item.to}; there are: {listed}"


def raise_all(problems: Iterable[tuple[str, str]]) -> None:
    """One Problem 422 for all of them, pointer and message, if there are any."""
    found = [{"pointer": pointer, "message": message} for pointer, message in problems]
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise errors.invalid(f"{found[0]['pointer']}: {found[0]['message']}{more}", found)


def shown(found: Simulated, said: Words) -> dict[str, Json]:
    """A simulation as the API tells it."""
    return {
        "at": found.at,
        "state": found.state,
        "reason": found.reason,
        "ended_at": found.ended_at,
        "deadline_at": found.deadline_at,
        "deadline_by": found.deadline_by and asdict(found.deadline_by),
        "step": found.step,
        "path": [_step(step, said) for step in found.path],
        "not_reached": list(found.not_reached),
        "waiting_for": list(found.waiting_for),
        "incidents": [asdict(incident) for incident in found.incidents],
        "unused": [f"/decisions/{number}" for number in found.unused],
        "stopped": found.stopped,
        "status": None,
        "actions": [],
    }


def _step(step: StepPlayed, said: Words) -> dict[str, Json]:
    return asdict(step) | {"tasks": [_task(task, said) for task in step.tasks]}


def _task(task: TaskPlayed, said: Words) -> dict[str, Json]:
    told = asdict(task) | {"chain": said.chain(task.chain)}
    told["state"] = told.pop("closing")
    del told["seat"]
    return told
