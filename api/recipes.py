"""Recipes: publish, check, list, show, disable, enable."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, errors, recipe_shapes, views
from api.authorize import House, authorize
from api.http import Route, answer, header, page, read, read_cursor, takes
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from recipes import parse
from recipes.model import Json
from storage import calendars, commands, jobs, recipes, request_lists
from storage.pool import Source
from storage.source_order import as_written

router = APIRouter(prefix="/v1/recipes", tags=["recipes"], route_class=Route)

Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]

_EXAMPLE = """\
workflow: leave_request
version: 3
steps:
  - id: manager_approval
    type: approval
    approver: "{{ employee.manager }}"
"""
_YAML: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A recipe as YAML.",
        "content": {"application/yaml": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    },
    "parameters": [header("X-File-Name", "What problems call the file.")],
}


@router.post(
    "",
    status_code=201,
    response_model=recipe_shapes.Published,
    summary="Publish a recipe",
    responses={
        200: {"model": recipe_shapes.Published, "description": "These bytes are there already."}
    },
    openapi_extra=_YAML,
)
async def publish_recipe(request: Request) -> Response:
    """Publish a version, as an administrator. A published version never changes: other bytes under
    its number are refused. An invalid recipe gets 422 with all that is wrong, line by line."""
    caller = await caller_of(request)
    actor = authorize(caller, "publish", House())
    pool = services(request).pool
    source = await request.body()
    try:
        found = await parsed(pool, source, file_name(request))
    except parse.RecipeInvalid as error:
        raise recipe_invalid(error) from None
    text = _text(source)
    at = await commands.now(pool)
    item = recipes.Publication(found.recipe, text, found.sha256, actor, at)
    recipe = found.recipe
    came = await recipes.publish(pool, item)
    if came == "other":
        raise errors.conflict(
            "version_taken",
            f"{recipe.workflow} version {recipe.version} is published with other contents;"
            f" a published version never changes: use version {recipe.version + 1}",
        )
    shown = await version_shown(pool, recipe.workflow, recipe.version)
    location = f"/v1/recipes/{recipe.workflow}/versions/{recipe.version}"
    warnings = [asdict(problem) for problem in found.warnings]
    status = 201 if came == "published" else 200
    told = {**shown, "unchanged": came == "same", "warnings": warnings}
    return answer(told, status, {"Location": location})


async def parsed(source: Source, text: bytes, file: str | None) -> parse.Parsed:
    """A recipe, judged by the people, calendars and functions that there are. RecipeInvalid with all
    problems.

    Beside the event loop: judging a hostile file of 256 KiB can take seconds.
    """
    known = await recipes.principals(source, text)
    counted_on = await calendars.names(source)
    functions = await jobs.said(source)
    return await asyncio.to_thread(parse.parse, text, file, known, counted_on, functions)


@router.post(
    "/check",
    response_model=recipe_shapes.RecipeChecked,
    summary="Check a recipe",
    openapi_extra=_YAML,
)
async def check_recipe(request: Request) -> Response:
    """What publication would say, for anybody, changing nothing."""
    await caller_of(request)
    source = await request.body()
    try:
        found = await parsed(services(request).pool, source, file_name(request))
    except parse.RecipeInvalid as error:
        problems = [asdict(problem) for problem in error.problems]
        return answer(
            {
                "valid": False,
                "workflow": None,
                "version": None,
                "sha256": None,
                "problems": problems,
            }
        )
    return answer(
        {
            "valid": True,
            "workflow": found.recipe.workflow,
            "version": found.recipe.version,
            "sha256": found.sha256,
            "problems": [asdict(problem) for problem in found.warnings],
        }
    )


@router.get("", response_model=recipe_shapes.RecipePage, summary="List recipes")
async def list_recipes(
    request: Request,
    *,
    startable: Annotated[
        bool, Query(description="Those that I may submit; not what events alone start.")
    ] = False,
    workflow: Annotated[
        str | None, Query(max_length=63, description="With `startable`: only this one.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Workflows by name, each with the version that a submission takes, and how many requests are
    in flight on which version."""
    caller = await caller_of(request)
    if workflow is not None and not startable:
        raise errors.invalid_parameter("workflow", "needs startable=true beside it")
    after: str = "" if cursor is None else read_cursor(cursor, "text")[0]
    pool = services(request).pool
    if startable:
        found = await recipes.startable(pool, caller.id, after, limit + 1, workflow)
    else:
        found = await recipes.current(pool, after, limit + 1)
    flying = await request_lists.in_flight(pool, [row["workflow"] for row in found])
    items = [views.recipe_summary(row) | {"in_flight": flying[row["workflow"]]} for row in found]
    return page(items, limit, lambda item: [item["workflow"]])


@router.get("/{name}", response_model=recipe_shapes.RecipeShown, summary="The version in use")
async def show_recipe(request: Request, name: Name) -> Response:
    """The version that a submission takes: the highest that is not disabled."""
    await caller_of(request)
    return answer(await version_shown(services(request).pool, name, None))


@router.get(
    "/{name}/versions/{version}", response_model=recipe_shapes.RecipeShown, summary="One version"
)
async def show_version(request: Request, name: Name, version: Version) -> Response:
    await caller_of(request)
    return answer(await version_shown(services(request).pool, name, version))


@router.post(
    "/{name}/versions/{version}/disable",
    response_model=recipe_shapes.RecipeShown,
    summary="Take no new requests",
    openapi_extra=takes(bodies.DisableBody),
)
async def disable_version(request: Request, name: Name, version: Version) -> Response:
    """The kill switch, for administrators. Requests in flight go on."""
    caller = await caller_of(request)
    actor = authorize(caller, "switch", House())
    body = await read(request, bodies.DisableBody)
    pool = services(request).pool
    await version_shown(pool, name, version)
    at = await commands.now(pool)
    await recipes.disable(pool, name, version, reason=body.reason, actor=actor, at=at)
    return answer(await version_shown(pool, name, version))


@router.post(
    "/{name}/versions/{version}/enable",
    response_model=recipe_shapes.RecipeShown,
    summary="Take new requests again",
)
async def enable_version(request: Request, name: Name, version: Version) -> Response:
    """For administrators."""
    caller = await caller_of(request)
    actor = authorize(caller, "switch", House())
    pool = services(request).pool
    await version_shown(pool, name, version)
    await recipes.enable(pool, name, version, actor=actor, at=await commands.now(pool))
    return answer(await version_shown(pool, name, version))


async def version_shown(source: Source, name: str, version: int | None) -> dict[str, Json]:
    row = await recipes.show(source, name, version)
    if row is None and version is not None:
        known = await recipes.versions(source, name)
        if known:
            listed = ", ".join(map(str, known))
            detail = f"{name} has no version {version} (it has {listed})"
            raise errors.Problem(404, "not_found", detail)
    if row is None:
        raise errors.not_found("recipe")
    shown = views.recipe(row)
    return shown | {"inputs": as_written(shown["inputs"], row["source"], "inputs")}


def file_name(request: Request) -> str | None:
    name = request.headers.get("x-file-name")
    return name if name and len(name) <= 200 and name.isprintable() else None


def _text(source: bytes) -> str:
    """The source as kept: parsing has made sure that it is UTF-8."""
    text = source.decode()
    if "\x00" in text:
        raise errors.invalid("a recipe must not hold a NUL character")
    return text


def recipe_invalid(error: parse.RecipeInvalid) -> errors.Problem:
    found = [asdict(problem) for problem in error.problems]
    wrong = sum(problem["severity"] == "error" for problem in found)
    return errors.Problem(
        422, "recipe_invalid", f"the recipe has {wrong} error{'s' * (wrong != 1)}", errors=found
    )
