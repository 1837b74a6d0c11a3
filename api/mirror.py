"""The directory as a mirror of another system's: how fresh it is, and reading it now."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import errors, org_shapes
from api.authorize import House, authorize
from api.http import Route, answer, read, takes
from api.org_bodies import MirrorSync
from api.services import caller_of, services
from contract.messages import SyncAsked
from storage import mirror, org
from storage.mirror import Standing
from storage.pool import Connection, Source

router = APIRouter(prefix="/v1/org/mirror", tags=["organisation"], route_class=Route)


_NONE: dict[int | str, dict[str, Any]] = {404: {"description": "The directory mirrors none."}}


@router.get(
    "",
    response_model=org_shapes.Mirror,
    summary="The system that the directory mirrors",
    responses=_NONE,
)
async def show_mirror(request: Request) -> Response:
    """As an administrator: when it was read last, and what is the matter if it can't be. 404 if the
    directory mirrors none."""
    authorize(await caller_of(request), "import", House())
    found = await _standing(services(request).pool)
    shown = asdict(found)
    shown.pop("validators")
    return answer(shown)


@router.post(
    "/sync",
    response_model=org_shapes.Synced,
    summary="Read the mirrored system now",
    openapi_extra=takes(MirrorSync, required=False),
    responses=_NONE | {202: {"model": org_shapes.Syncing, "description": "It is being read."}},
)
async def sync_mirror(request: Request) -> Response:
    """As an administrator. 200 with what came of it, also if that is that the directory stays as it is
    (`failing`); 202 if it takes longer; 409 while somebody else's is under way."""
    caller = await caller_of(request)
    actor = authorize(caller, "import", House())
    body = await read(request, MirrorSync)
    found = services(request)

    async def record(connection: Connection, at: datetime) -> None:
        await _standing(connection)
        await mirror.record_asked(connection, at, actor, body.most_gone)

    await org.write(found.pool, record)
    try:
        synced = await found.delivery.sync_mirror(SyncAsked(body.most_gone))
    except RuntimeError as error:
        raise errors.unavailable(f"Temporal cannot be reached now: {error}") from None
    if synced == "taken":
        raise errors.conflict("sync_under_way", "it is being read already: see GET /v1/org/mirror")
    if synced is None:
        return answer({"status": "running"}, 202)
    return answer(asdict(synced))


async def _standing(source: Source) -> Standing:
    found = await mirror.standing(source)
    if found is None:
        detail = "the directory mirrors no other system (COUNTERSIGN_DIRECTORY_URL is not set)"
        raise errors.Problem(404, "no_mirror", detail)
    return found
