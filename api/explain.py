"""Explain: who decides, decided or would have decided, with every rule that led there."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, org_bodies, org_shapes
from api.auth import Caller
from api.authorize import PersonalObject, authorize
from api.explanation import (
    StepFound,
    asked,
    assignment_of,
    explain_step,
    people,
    stored_ask,
    wording,
)
from api.http import Moment, Route, answer, read, takes
from api.requests import allowed
from api.services import Services, caller_of, services
from contract.boxes import Keys
from recipes import inputs as recipe_inputs
from recipes import progress, supposing
from recipes.asks import Answer, Assignment
from recipes.model import ApprovalStep, Json, Recipe
from storage import commands, directory, explanations, history, recipes, resolution, sight
from storage.pool import Source
from storage.references import About, is_name, principal

router = APIRouter(prefix="/v1/org", tags=["organisation"], route_class=Route)

_Wrong: TypeAlias = Callable[[str, str], errors.Problem]
"""The problem of a parameter, or of a member of the body, by its name."""
_NO_REQUEST = str(UUID(int=0))
_FORMS = "approver, task, request with step, or workflow with step"


@router.get(
    "/explain",
    response_model=org_shapes.Explained | org_shapes.ExplainedTask | org_shapes.ExplainedStep,
    summary="Who decides, and why",
    responses={404: {"description": "Not there, or not for you to see."}},
)
async def explain(
    request: Request,
    *,
    task: Annotated[UUID | None, Query(description="Why is this task with whom it is?")] = None,
    request_id: Annotated[
        UUID | None, Query(alias="request", description="Who decides a step of this request?")
    ] = None,
    step: Annotated[
        str | None, Query(max_length=100, description="Which step, of `request` or `workflow`.")
    ] = None,
    approver: Annotated[
        str | None,
        Query(max_length=300, description="`role:x`, `user:x`, a name, `employee.manager`."),
    ] = None,
    employee: Annotated[
        str | None, Query(max_length=128, description="Whose request. Default: mine.")
    ] = None,
    at: Annotated[Moment | None, Query(description="As of which moment. Default: now.")] = None,
    workflow: Annotated[
        str | None,
        Query(max_length=63, description="Of which recipe; delegations may be for one workflow."),
    ] = None,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """One of four questions, by what is given: `task`: why is it with this person, and would it be
    so now? `request` and `step`: who was, is or would be asked at `at`? `workflow` and `step`: who
    would be, for a request of `employee`? `approver`: whom does a reference give? The directory is
    asked as a live request asks it, as of any moment; no turn is taken. Requests and tasks are
    explained to whoever may see them, the rest to the person concerned, administrators, auditors."""
    caller = await caller_of(request)
    house = services(request)
    given = {
        "task": task,
        "request": request_id,
        "step": step,
        "approver": approver or None,
        "employee": employee,
        "at": at,
        "workflow": workflow,
        "version": version,
    }
    if task is not None:
        _only(given, "task")
        return await _task(house, caller, task)
    if request_id is not None:
        _only(given, "request", "step", "at")
        return await _request(house, caller, request_id, step, at)
    if step is not None:
        _only(given, "workflow", "version", "step", "employee", "at")
        wanted = _Wanted(employee or caller.id, workflow, version, step, at)
        return await _workflow(house, caller, wanted)
    _only(given, "approver", "employee", "at", "workflow")
    if approver is None or not approver.strip():
        raise errors.invalid_parameter("approver", f"say what to explain: {_FORMS}")
    about = _About(approver, employee or caller.id, at, workflow)
    return await _approver(house, caller, about)


@router.post(
    "/explain",
    response_model=org_shapes.ExplainedStep,
    summary="Who would decide, with these inputs",
    openapi_extra=takes(org_bodies.ExplainBody),
)
async def explain_inputs(request: Request) -> Response:
    """Like `workflow` and `step` of the GET, for steps whose approvers depend on inputs. Nothing is
    kept of them."""
    caller = await caller_of(request)
    body = await read(request, org_bodies.ExplainBody)
    wanted = _Wanted(
        body.employee or caller.id, body.workflow, body.version, body.step, body.at, body.inputs
    )
    return await _workflow(services(request), caller, wanted)


def _only(given: dict[str, Json], *allowed_here: str) -> None:
    wrong = [name for name in given if given[name] is not None and name not in allowed_here]
    if wrong:
        raise errors.invalid_parameter(
            wrong[0], f"does not go with this question; ask by one of: {_FORMS}"
        )


# --- one task ------------------------------------------------------------------------------------


async def _task(house: Services, caller: Caller, task_id: UUID) -> Response:
    async with house.pool.acquire() as connection:
        row = await explanations.task(connection, task_id)
        if row is None:
            raise errors.not_found("task")
        try:
            request, _ = await allowed(connection, caller, "see", row["request_id"])
        except errors.Problem as refusal:
            raise errors.not_found("task") if refusal.status == 404 else refusal from None
        given = assignment_of(row)
        now = None
        if row["state"] == "open":
            now = await _asked_now(connection, row["request_id"], row)
        known: list[Answer | Assignment] = [given, *([] if now is None else [now])]
        keys = await sight.keys_for(connection, caller.reader, request)
        said = await wording(connection, known, row["request_id"], row, keys)
    current = None if now is None else people(now, said)
    return answer(
        {
            "task": row["id"],
            "request": row["request_id"],
            "workflow": request["workflow"],
            "version": request["version"],
            "step": row["step"],
            "seat": row["seat"],
            "state": row["state"],
            "employee": request["requester"],
            "since": row["opened_at"],
            "asked": asked(stored_ask(row)),
            **people(Answer(assignment=given), said),
            "now": current,
            "stale": now is not None and not _same(given, now),
        }
    )


async def _asked_now(source: Source, request_id: UUID, row: Json) -> Answer | None:
    """Whom the directory gives now for an open task: by the recipe, if the task was found so, else by
    the task's own question. None of a task so old that it does not say what was asked."""
    moment = await commands.now(source)
    past = await history.state_at(source, request_id, moment)
    step = supposing.approval_step(past.recipe, row["step"])
    by_recipe = row["level"] == 0 and not any(h["rule"] == "reassigned" for h in row["chain"])
    if step is not None and by_recipe:
        found = await explain_step(
            source, past.recipe, past.state, step, at=moment, standing={row["seat"]: row}
        )
        for item in found.seats:
            if item.seat == row["seat"]:
                return item.answer
    ask = stored_ask(row)
    if ask is None:
        return None
    about = About(past.state.requester, past.recipe.workflow, moment)
    [given] = await resolution.answers(source, (ask,), about, directory.next_turn)
    return given


def _same(given: Assignment, now: Answer) -> bool:
    return now.assignment is not None and given.same(now.assignment)


# --- one step ------------------------------------------------------------------------------------


async def _request(
    house: Services, caller: Caller, request_id: UUID, name: str | None, at: datetime | None
) -> Response:
    async with house.pool.acquire() as connection:
        request, _ = await allowed(connection, caller, "see", request_id)
        name = name or request["step"]
        if name is None:
            raise errors.invalid_parameter("step", "is needed: the request is at none")
        moment = at or await commands.now(connection)
        past = await history.state_at(connection, request_id, moment)
        step = _step(past.recipe, name, errors.invalid_parameter)
        standing = await explanations.standing(connection, request_id, name, moment)
        found = await explain_step(
            connection, past.recipe, past.state, step, at=moment, standing=standing
        )
        keys = await sight.keys_for(connection, caller.reader, request)
        body = await _step_answer(connection, past.recipe, step, found, (request_id, keys))
    return answer({**body, "request": request_id, "employee": request["requester"], "at": moment})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A step of a recipe and a request as it might be; `inputs` is None where none can be given."""

    employee: str
    workflow: str | None
    version: int | None
    step: str
    at: datetime | None
    inputs: dict[str, Json] | None = None

    def wrong(self, name: str, message: str) -> errors.Problem:
        if self.inputs is None:
            return errors.invalid_parameter(name, message)
        return errors.invalid_at(f"/{name}", message)


async def _workflow(house: Services, caller: Caller, wanted: _Wanted) -> Response:
    authorize(caller, "explain", PersonalObject(wanted.employee))
    async with house.pool.acquire() as connection:
        recipe = await _recipe(house, connection, wanted)
        step = _step(recipe, wanted.step, wanted.wrong)
        _check_inputs(recipe, step, wanted.inputs)
        moment = wanted.at or await commands.now(connection)
        if not await directory.line(connection, wanted.employee, moment, 0):
            raise wanted.wrong("employee", f"there is no person {wanted.employee}")
        state = progress.initial(
            recipe,
            request_id=_NO_REQUEST,
            requester=wanted.employee,
            inputs=wanted.inputs or {},
            submitted_at=moment,
            digest="",
        )
        found = await explain_step(connection, recipe, state, step, at=moment)
        if wanted.inputs is None and supposing.condition_reads_inputs(recipe, step):
            found = replace(found, applies=None)
        body = await _step_answer(connection, recipe, step, found, None)
    return answer({**body, "request": None, "employee": wanted.employee, "at": moment})


async def _recipe(house: Services, source: Source, wanted: _Wanted) -> Recipe:
    if wanted.workflow is None:
        raise wanted.wrong("workflow", "is needed with step")
    row = await recipes.show(source, wanted.workflow, wanted.version)
    if row is None and wanted.version is not None:
        raise wanted.wrong("version", f"{wanted.workflow} has no version {wanted.version}")
    if row is None:
        raise wanted.wrong("workflow", f"there is no recipe named {wanted.workflow}")
    return await house.catalogue.recipe(source, wanted.workflow, row["version"], row["sha256"])


def _step(recipe: Recipe, name: str, wrong: _Wrong) -> ApprovalStep:
    step = supposing.approval_step(recipe, name)
    if step is None:
        asking = [each.id for each in recipe.steps if isinstance(each, ApprovalStep)]
        listed = ", ".join(asking) or "none"
        raise wrong("step", f"{recipe.workflow} asks nobody at {name}; steps that do: {listed}")
    return step


def _check_inputs(recipe: Recipe, step: ApprovalStep, inputs: dict[str, Json] | None) -> None:
    if inputs is None:
        read_there = supposing.inputs_read(recipe, step)
        if read_there:
            raise errors.invalid_parameter(
                "step",
                f"who decides {step.id} depends on {', '.join(read_there)}:"
                " give a request, or POST with inputs",
            )
        return
    problems = [
        {"pointer": "/inputs" + problem.pointer, "message": problem.message}
        for problem in recipe_inputs.validate(recipe, inputs)
    ]
    if problems:
        raise errors.invalid(f"{problems[0]['pointer']}: {problems[0]['message']}", problems)


async def _step_answer(
    source: Source,
    recipe: Recipe,
    step: ApprovalStep,
    found: StepFound,
    about: tuple[UUID, Keys | None] | None,
) -> dict[str, Json]:
    """`about` is the request, if there is one, and its keys as far as the caller has them."""
    seats: list[dict[str, Json]] = []
    request_id, keys = about or (None, None)
    for item in found.seats:
        said = await wording(source, [item.answer], request_id, item.task, keys)
        task = item.task
        seats.append(
            {
                "seat": item.seat,
                "branch": item.branch,
                "asked": asked(item.ask),
                **people(item.answer, said),
                "task": None if task is None else task["id"],
                "assignee": None if task is None else task["assignee"],
            }
        )
    return {
        "workflow": recipe.workflow,
        "version": recipe.version,
        "step": step.id,
        "when": step.when,
        "applies": found.applies,
        "seats": seats,
        "refusal": None if found.refusal is None else asdict(found.refusal),
    }


# --- one reference -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _About:
    approver: str
    employee: str
    at: datetime | None
    workflow: str | None


async def _approver(house: Services, caller: Caller, wanted: _About) -> Response:
    authorize(caller, "explain", PersonalObject(wanted.employee))
    async with house.pool.acquire() as connection:
        moment = wanted.at or await commands.now(connection)
        about = About(wanted.employee, wanted.workflow or "", moment)
        if not await directory.line(connection, wanted.employee, moment, 0):
            raise errors.invalid_parameter("employee", f"there is no person {wanted.employee}")
        found = await resolution.explain(connection, wanted.approver, about)
        members = await _members(connection, wanted.approver, about)
        said = await wording(connection, [found], None)
    shown = people(found, said)
    del shown["candidates"]
    named = {"approver": wanted.approver, "employee": wanted.employee, "workflow": wanted.workflow}
    return answer({**named, "at": moment, **shown, "members": members})


async def _members(source: Source, approver: str, about: About) -> list[dict[str, Json]] | None:
    """Those of a role who could be asked; None where no role is asked about."""
    kind, role = await principal(source, approver, about.at)
    if kind != "role" or not is_name(role):
        return None
    scopes = directory.scopes(about.workflow, role)
    found = await directory.members(source, role, about.at, (about.requester,), scopes)
    return [asdict(member) for member in found or ()]
