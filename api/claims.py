"""Claims: one of those who share a task takes it, and nobody else decides it until it is released."""

from uuid import UUID

import asyncpg
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, deciding, errors, task_shapes, views
from api.auth import Caller
from api.authorize import TaskAction
from api.http import Route, answer, read, takes
from api.once import about
from api.services import caller_of, services
from contract.events import TASK_CLAIMED, TASK_RELEASED
from recipes.happenings import Actor
from storage import claims, sight, tasks
from storage.pool import Connection, Source

router = APIRouter(prefix="/v1/tasks", tags=["tasks"], route_class=Route)


@router.post(
    "/{task_id}/claim",
    response_model=task_shapes.Task,
    summary="Claim a shared task",
    openapi_extra=takes(bodies.NothingBody, required=False),
)
async def claim_task(request: Request, task_id: UUID) -> Response:
    """By whoever may decide it; then they alone decide it. 409 if somebody else has claimed it, saying
    who and since when; again by the same person: 200 again. A claim binds as long as the claimer may
    decide the task and has not delegated it."""
    caller = await caller_of(request)
    await read(request, bodies.NothingBody)
    async with services(request).pool.acquire() as connection:
        while True:
            row, actor = await loaded(connection, caller, "decide", task_id)
            check_open(row)
            if row["candidates"] is None:
                raise errors.conflict(
                    "not_shared",
                    f"this task is {row['assignee']}'s alone: only shared ones are claimed",
                )
            deciding.check_claim(row, caller)
            if row["claimed_by"] is None and not await claims.change(
                connection, row, actor, TASK_CLAIMED, claimant=caller.id, at=row["now"]
            ):
                continue
            return await _shown(request, connection, caller, task_id)


@router.post(
    "/{task_id}/release",
    response_model=task_shapes.Task,
    summary="Release a claimed task",
    openapi_extra=takes(bodies.NothingBody, required=False),
)
async def release_task(request: Request, task_id: UUID) -> Response:
    """By whoever claimed it, an administrator or a member of the recipe's owner role: all who share it
    may decide it again. 200 as well where nobody has claimed it."""
    caller = await caller_of(request)
    await read(request, bodies.NothingBody)
    async with services(request).pool.acquire() as connection:
        while True:
            row, actor = await loaded(connection, caller, "release", task_id)
            check_open(row)
            if row["claimant"] is not None and not await claims.change(
                connection, row, actor, TASK_RELEASED, claimant=None, at=row["now"]
            ):
                continue
            return await _shown(request, connection, caller, task_id)


async def _shown(
    request: Request, connection: Connection, caller: Caller, task_id: UUID
) -> Response:
    row, _ = await loaded(connection, caller, "see", task_id)
    about(request, row["request_id"])
    seen = await sight.seen_one(connection, caller.reader, row, sight.TASK)
    return answer(views.decided_task(seen))


async def loaded(
    source: Source, caller: Caller, action: TaskAction, task_id: UUID
) -> tuple[asyncpg.Record, Actor]:
    """A task, and in what capacity the caller does `action` to it. Problem 403 or 404."""
    row = await tasks.load(source, task_id, caller.id)
    if row is None:
        raise errors.not_found("task")
    actor = (await deciding.capacities(source, caller, action, [row]))[task_id]
    if isinstance(actor, errors.Problem):
        raise actor
    return row, actor


def check_open(row: asyncpg.Record) -> None:
    """Problem 409 on a task that is closed."""
    if row["state"] != "open":
        raise deciding.closed(row)
