"""Versions of a recipe: what differs between two, and the requests that are in flight on one."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, life_shapes, schemas
from api.http import Route, answer
from api.recipes import Name, Version, version_shown
from api.requests import listed
from api.services import Services, caller_of, services
from api.tasks import Cursor, Limit
from recipes import picture
from recipes.difference import differences
from recipes.model import Recipe
from storage import request_lists

router = APIRouter(prefix="/v1/recipes", tags=["recipes"], route_class=Route)

_Number = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@router.get(
    "/{name}/diff", response_model=life_shapes.RecipeDiff, summary="What two versions differ in"
)
async def diff_versions(
    request: Request,
    name: Name,
    before: Annotated[_Number, Query(alias="from", description="Default: the one before.")] = None,
    after: Annotated[_Number, Query(alias="to", description="Default: the one in use.")] = None,
) -> Response:
    """By meaning: steps and branches by their ids, inputs by name, keys as a recipe spells them.
    Comments, order of keys and other ways to write the same are no difference."""
    await caller_of(request)
    house = services(request)
    shown = await version_shown(house.pool, name, after)
    to: int = shown["version"]
    versions: list[int] = shown["versions"]
    if before is None:
        earlier = [number for number in versions if number < to]
        if not earlier:
            raise errors.invalid_parameter("from", f"there is no version before {to}: say which")
        before = max(earlier)
    old, new = await recipe_of(house, name, before), await recipe_of(house, name, to)
    changes = [
        {
            "place": change.place,
            "kind": change.kind,
            "text": change.text,
            "from": change.before,
            "to": change.after,
        }
        for change in differences(old, new)
    ]
    return answer({"workflow": name, "from": before, "to": to, "changes": changes})


async def recipe_of(house: Services, name: str, version: int | None) -> Recipe:
    """A published version; None: the one in use. Problem 404."""
    shown = await version_shown(house.pool, name, version)
    return await house.catalogue.recipe(house.pool, name, shown["version"], shown["sha256"])


@router.get(
    "/{name}/versions/{version}/requests",
    response_model=schemas.RequestPage,
    summary="Requests in flight on a version",
)
async def requests_of_version(
    request: Request, name: Name, version: Version, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Those that are not final, of which I may see, newest first: a published version never changes
    under them."""
    caller = await caller_of(request)
    house = services(request)
    await version_shown(house.pool, name, version)
    wanted = request_lists.Filter(workflow=name, version=version)
    return await listed(house.pool, caller, wanted, limit, cursor)


PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture.",
        "content": {"image/svg+xml": {"schema": {"type": "string"}}},
    }
}
_MERMAID: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The flowchart.",
        "content": {"text/vnd.mermaid": {"example": "flowchart TD"}},
    }
}
# A picture may be opened by itself: nothing in it may run.
STILL = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


@router.get(
    "/{name}/versions/{version}/diagram.svg",
    response_class=Response,
    responses=PICTURE,
    summary="A version as a picture",
)
async def diagram_svg(request: Request, name: Name, version: Version) -> Response:
    """The steps, or the states and actions, from top to bottom, in the reader's dark or light mode; all of it is
    said in `desc`."""
    await caller_of(request)
    recipe = await recipe_of(services(request), name, version)
    return Response(picture.svg(recipe), headers=STILL, media_type="image/svg+xml")


@router.get(
    "/{name}/versions/{version}/diagram.mmd",
    response_class=Response,
    responses=_MERMAID,
    summary="A version as a Mermaid flowchart",
)
async def diagram_mermaid(request: Request, name: Name, version: Version) -> Response:
    """For documents that draw Mermaid."""
    await caller_of(request)
    recipe = await recipe_of(services(request), name, version)
    return Response(picture.mermaid(recipe), media_type="text/vnd.mermaid")
