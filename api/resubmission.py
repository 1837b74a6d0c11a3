"""Resubmit: a request that went back to its requester comes in again, checked as a submission is."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, errors, schemas
from api.http import read, takes
from api.requests import COMMAND_ANSWERS, Commands, allowed, check_open, record, tell
from api.services import Services, caller_of, services
from api.submission import Wanted, check_inputs, check_requester, title
from recipes import progress
from recipes.happenings import Actor, Commanded
from recipes.model import Json
from storage import commands, jsonb, requests
from storage.pool import Source

router = APIRouter(prefix="/v1/requests", tags=["requests"], route_class=Commands)


@router.post(
    "/{request_id}/resubmit",
    response_model=schemas.Request,
    summary="Submit again what came back",
    responses=COMMAND_ANSWERS,
    openapi_extra=takes(bodies.ResubmitBody),
)
async def resubmit_request(request: Request, request_id: UUID) -> Response:
    """By its requester, of a request that is `rewound`: with all inputs, which its recipe checks as it
    did at first. 200 with the request once it runs with them, 409 if that came too late, 202 if it is
    not known within two seconds."""
    caller = await caller_of(request)
    body = await read(request, bodies.ResubmitBody)
    house = services(request)
    async with house.pool.acquire() as connection, connection.transaction():
        row, _ = await allowed(connection, caller, "resubmit", request_id, lock=True)
        check_open(row)
        if row["state"] != "rewound":
            raise errors.conflict(
                "not_rewound",
                f"the request is {row['state']}: it does not wait to be resubmitted",
                state=row["state"],
            )
        wanted = Wanted(row["requester"], row["workflow"], body.inputs, requests.entity_of(row))
        message = await _message(house, connection, row, wanted, body.comment)
        outbox_id = await record(connection, row, message)
    return await tell(house, caller, request_id, message, outbox_id)


async def _message(
    house: Services, source: Source, row: asyncpg.Record, wanted: Wanted, comment: str | None
) -> Commanded:
    """What the workflow is told. Problem 403 or 422 where this may not come in."""
    recipe = await house.catalogue.recipe(source, row["workflow"], row["version"], row["sha256"])
    found: Any = await requests.prepare(source, wanted.requester, row["workflow"], row["version"])
    check_requester(wanted.requester, found)
    inputs: dict[str, Json] = jsonb.kept(wanted.inputs)
    check_inputs(recipe, inputs, wanted.entity)
    digest = await requests.digest(source, row["id"], row["sha256"], inputs)
    state = progress.initial(
        recipe,
        request_id=str(row["id"]),
        requester=wanted.requester,
        inputs=inputs,
        submitted_at=row["created_at"],
        digest=digest,
        entity=wanted.entity,
    )
    return Commanded(
        str(uuid4()),
        "resubmit",
        Actor(wanted.requester),
        await commands.now(source),
        comment,
        inputs=inputs,
        digest=digest,
        title=title(recipe, state, found),
        seen=row["digest"],
    )
