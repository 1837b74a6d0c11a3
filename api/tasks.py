"""Tasks: the inbox, one task, and the decision."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter, Query
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, errors, schemas, views
from api.auth import Caller
from api.authorize import Action, authorize, capacity, task_object
from api.http import Route, answer, cursor, page, read, read_cursor, takes
from api.services import Services, caller_of, services
from contract.canonical import timestamp
from contract.messages import Message
from recipes.model import Json
from recipes.state import Actor, Decided
from storage import tasks
from storage.pool import Source

router = APIRouter(prefix="/v1/tasks", tags=["tasks"], route_class=Route)

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
_BEGINNING = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
_LATEST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=0))

Limit = Annotated[int, Query(ge=1, le=200, description="Items a page, at most.")]
Cursor = Annotated[
    str | None, Query(max_length=1000, description="`next_cursor` of the page before.")
]


@router.get("", response_model=schemas.TaskPage, summary="My tasks")
async def list_tasks(
    request: Request,
    *,
    state: Literal["open", "closed", "all"] = "open",
    limit: Limit = 50,
    after: Annotated[str | None, Query(alias="cursor", max_length=1000)] = None,
) -> Response:
    """Tasks I may decide, directly, by a role or for somebody who delegated to me, the soonest due
    first; or closed ones of mine, the latest first; or `all`: the open ones, then the closed ones."""
    caller = await caller_of(request)
    pool = services(request).pool
    closed = state == "closed"
    if after is not None and after.startswith("c."):
        closed, after = True, after[2:]
    if closed and state == "open":
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    if closed:
        return await _closed_page(pool, caller, limit, after)
    position = _BEGINNING if after is None else tuple(read_cursor(after, "time", "uuid"))
    found = await tasks.inbox(pool, caller.id, limit + 1, (position[0], position[1]))
    if state == "all" and len(found) <= limit:
        return await _bridge_page(pool, caller, limit, found)
    return page(
        [views.inbox_task(row) for row in found], limit, lambda item: [item["due_at"], item["id"]]
    )


async def _closed_page(pool: Source, caller: Caller, limit: int, after: str | None) -> Response:
    position = _LATEST if after is None else tuple(read_cursor(after, "time", "uuid"))
    if position[0] is None:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    found = await tasks.closed(pool, caller.id, limit + 1, (position[0], position[1]))
    return _closed_answer([], found, limit)


async def _bridge_page(
    pool: Source, caller: Caller, limit: int, opened: list[asyncpg.Record]
) -> Response:
    """The page of `all` on which the open tasks end and the closed ones begin."""
    shown = [views.inbox_task(row) for row in opened]
    found = await tasks.closed(pool, caller.id, limit - len(shown) + 1, _LATEST)
    return _closed_answer(shown, found, limit)


def _closed_answer(
    before: list[dict[str, Json]], found: list[asyncpg.Record], limit: int
) -> Response:
    items = [*before, *(views.decided_task(row) for row in found)]
    more, items = len(items) > limit, items[:limit]
    following: str | None = None
    if more:
        last = items[-1]
        edge = [last["closed_at"], last["id"]] if last["closed_at"] else list(_LATEST)
        following = "c." + cursor(edge)
    return answer({"items": items, "next_cursor": following})


@router.get("/{task_id}", response_model=schemas.TaskShown, summary="One task")
async def show_task(request: Request, task_id: UUID) -> Response:
    """A task with the inputs of its request and, if it was decided, the decision. A shared one that I
    may decide by a delegation alone says on whose behalf."""
    caller = await caller_of(request)
    row, _ = await _allowed(services(request).pool, caller, "see", task_id)
    shown = views.decided_task(row)
    mine = capacity(caller, task_object(row))
    if row["state"] == "open" and mine is not None:
        shown |= {"on_behalf_of": mine.on_behalf_of, "via": mine.via}
    return answer({**shown, "inputs": row["inputs"]})


@router.post(
    "/{task_id}/decisions",
    response_model=schemas.Task,
    summary="Decide a task",
    responses={409: {"model": schemas.AlreadyClosed, "description": "Somebody was first."}},
    openapi_extra=takes(bodies.DecisionBody),
)
async def decide_task(request: Request, task_id: UUID) -> Response:
    """Approve or reject, as one it is assigned to. The first decision counts; a later one gets 409
    with who was first. The same decision by the same person again gets 200 again."""
    caller = await caller_of(request)
    body = await read(request, bodies.DecisionBody)
    return await decide(services(request), caller, task_id, body)


async def decide(
    house: Services, caller: Caller, task_id: UUID, body: bodies.DecisionBody
) -> Response:
    """Every decision goes through here: load, authorise, check, record if it is the first."""
    async with house.pool.acquire() as connection:
        row, actor = await _allowed(connection, caller, "decide", task_id)
        if row["state"] != "open":
            return _not_first(row, caller, body)
        _check(row, body)
        if row["several"]:
            # Nobody gets two parts of a step at the same instant: look again once it is our turn.
            async with connection.transaction():
                await tasks.queue_up(connection, row["request_id"])
                row, actor = await _allowed(connection, caller, "decide", task_id)
                item, message = _deciding(row, actor, body)
                outbox_id = await tasks.decide(connection, item)
        else:
            item, message = _deciding(row, actor, body)
            outbox_id = await tasks.decide(connection, item)
        if outbox_id is None:
            late = await tasks.load(connection, task_id, caller.id)
            assert late is not None
            return _not_first(late, caller, body)
    house.delivery.soon_signal(outbox_id, row["request_id"], message)
    return answer(_decided(row, item))


def _check(row: asyncpg.Record, body: bodies.DecisionBody) -> None:
    if body.decision in row["require_comment"] and not (body.comment or "").strip():
        raise errors.invalid_at("/comment", f"a comment is needed to {body.decision} this task")
    if body.digest is not None and body.digest != row["digest"]:
        raise errors.conflict(
            "digest_mismatch",
            "this is not the request that was looked at: load the task again and look",
            digest=row["digest"],
        )


def _deciding(
    row: asyncpg.Record, actor: Actor, body: bodies.DecisionBody
) -> tuple[tasks.Deciding, Decided]:
    message = Decided(str(row["id"]), body.decision, actor, row["now"], body.comment)
    decision_id = uuid4()
    item = tasks.Deciding(
        decision_id=decision_id,
        task_id=row["id"],
        request_id=row["request_id"],
        workflow=row["workflow"],
        version=row["version"],
        decision=body.decision,
        actor=actor,
        comment=body.comment,
        reason=body.reason,
        at=row["now"],
        payload={
            "decision_id": str(decision_id),
            "task_id": str(row["id"]),
            "step": row["step"],
            "branch": row["branch"],
            "decision": body.decision,
            "comment": body.comment,
            "reason": body.reason,
            "digest": row["digest"],
        },
        snapshot={
            "state": row["request_state"],
            "seq": row["seq"],
            "step": row["request_step"],
            "task": {"id": str(row["id"]), "state": "decided"},
        },
        message=_MESSAGE.dump_python(message, mode="json"),
    )
    return item, message


def _decided(row: asyncpg.Record, item: tasks.Deciding) -> dict[str, Json]:
    """The task as it stands after the commit, without reading it again."""
    actor = item.actor
    decision: dict[str, Json] = {
        "id": item.decision_id,
        "task_id": item.task_id,
        "step": row["step"],
        "decision": item.decision,
        "user": actor.user,
        "role": actor.role,
        "on_behalf_of": actor.on_behalf_of,
        "via": actor.via,
        "comment": item.comment,
        "reason": item.reason,
        "decided_at": item.at,
    }
    return views.task(row, decision) | {"state": "decided", "closed_at": item.at}


def _not_first(row: asyncpg.Record, caller: Caller, body: bodies.DecisionBody) -> Response:
    """200 for the winner saying the same again; for everybody else a 409 that names the winner."""
    if row["decision_id"] is None:
        closed_at = timestamp(row["closed_at"])
        raise errors.conflict(
            "already_closed",
            f"this task was closed ({row['state']}) at {closed_at}",
            state=row["state"],
            closed_at=row["closed_at"],
        )
    if row["decided_by"] == caller.id and row["decision"] == body.decision:
        return answer(views.decided_task(row))
    raise errors.conflict(
        "already_decided",
        f"already decided by {row['decided_by']} at {timestamp(row['decided_at'])}",
        winner={
            "user": row["decided_by"],
            "decision": row["decision"],
            "decided_at": row["decided_at"],
        },
    )


async def _allowed(
    source: Source, caller: Caller, action: Action, task_id: UUID
) -> tuple[asyncpg.Record, Actor]:
    """The task, and in what capacity the caller does `action` to it. Problem 403 or 404."""
    row: Any = await tasks.load(source, task_id, caller.id)
    if row is None:
        raise errors.not_found("task")
    try:
        return row, authorize(caller, action, task_object(row))
    except errors.Problem as refusal:
        if refusal.status != 404:
            raise
    # Not asked about this task; whoever is or was asked about another of its request may see it.
    names = tasks.principals(caller.id, row["held"])
    involved = await tasks.involved(source, row["request_id"], caller.id, names)
    return row, authorize(caller, action, task_object(row, involved=involved))
