"""Tasks: the inbox, one task, and the decision."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from api import (
    bodies,
    deciding,
    delayed,
    delayed_shapes,
    errors,
    problem_shapes,
    task_shapes,
    views,
)
from api.auth import Caller
from api.authorize import capacity, possible, request_object, task_object
from api.http import Route, answer, cursor, page, read, read_cursor, takes
from api.narrowing import Narrowed, narrowed
from api.once import about
from api.services import caller_of, services
from recipes.model import Json
from storage import sight, tasks
from storage.pool import Source

router = APIRouter(prefix="/v1/tasks", tags=["tasks"], route_class=Route)

_BEGINNING = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
_LATEST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=0))

Limit = Annotated[int, Query(ge=1, le=200, description="Items a page, at most.")]
Cursor = Annotated[
    str | None, Query(max_length=1000, description="`next_cursor` of the page before.")
]


@router.get("", response_model=task_shapes.TaskPage | task_shapes.BriefPage, summary="My tasks")
async def list_tasks(
    request: Request,
    *,
    state: Literal["open", "closed", "all"] = "open",
    only: Annotated[Narrowed, Depends(narrowed)],
    brief: Annotated[
        bool, Query(description="Of each open task only what a list of them shows.")
    ] = False,
    limit: Limit = 50,
    after: Annotated[str | None, Query(alias="cursor", max_length=1000)] = None,
) -> Response:
    """Tasks I may decide, directly, by a role or for somebody who delegated to me, the soonest due
    first; or closed ones of mine, the latest first; or `all`: the open ones, then the closed ones.
    `brief` ones take a quarter of the bytes."""
    caller = await caller_of(request)
    pool = services(request).pool
    closed = state == "closed"
    if after is not None and after.startswith("c."):
        closed, after = True, after[2:]
    if closed and state == "open":
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    if state != "open":
        only.check_any_state()
        if brief:
            raise errors.invalid_parameter("brief", "is of open tasks: leave it or `state` out")
    if closed:
        return await _closed_page(pool, caller, only, limit, after)
    position = _BEGINNING if after is None else tuple(read_cursor(after, "time", "uuid"))
    place = (position[0], position[1])
    found = await only.opened(pool, caller.reader, limit + 1, place, brief=brief)
    if state == "all" and len(found) <= limit:
        return await _bridge_page(pool, caller, only, limit, found)
    shown = views.brief_task if brief else views.inbox_task
    return page([shown(row) for row in found], limit, lambda item: [item["due_at"], item["id"]])


async def _closed_page(
    pool: Source, caller: Caller, only: Narrowed, limit: int, after: str | None
) -> Response:
    position = _LATEST if after is None else tuple(read_cursor(after, "time", "uuid"))
    if position[0] is None:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    found = await only.closed(pool, caller.reader, limit + 1, (position[0], position[1]))
    return _closed_answer([], found, limit)


async def _bridge_page(
    pool: Source, caller: Caller, only: Narrowed, limit: int, opened: list[dict[str, Any]]
) -> Response:
    """The page of `all` on which the open tasks end and the closed ones begin."""
    shown = [views.inbox_task(row) for row in opened]
    found = await only.closed(pool, caller.reader, limit - len(shown) + 1, _LATEST)
    return _closed_answer(shown, found, limit)


def _closed_answer(
    before: list[dict[str, Json]], found: list[dict[str, Any]], limit: int
) -> Response:
    items = [*before, *(views.decided_task(row) for row in found)]
    more, items = len(items) > limit, items[:limit]
    following: str | None = None
    if more:
        last = items[-1]
        edge = [last["closed_at"], last["id"]] if last["closed_at"] else list(_LATEST)
        following = "c." + cursor(edge)
    return answer({"items": items, "next_cursor": following})


@router.get("/{task_id}", response_model=task_shapes.TaskShown, summary="One task")
async def show_task(request: Request, task_id: UUID) -> Response:
    """A task with those inputs of its request that its recipe shows for it (`show`; nothing listed: all)
    and, if it was decided, the decision. A shared one that I may decide by a delegation alone says on
    whose behalf."""
    caller = await caller_of(request)
    pool = services(request).pool
    row = await tasks.load(pool, task_id, caller.id)
    if row is None:
        raise errors.not_found("task")
    actor = (await deciding.capacities(pool, caller, "see", [row]))[task_id]
    if isinstance(actor, errors.Problem):
        raise actor
    seen = await sight.seen_one(pool, caller.reader, row, sight.TASK)
    shown = views.decided_task(seen)
    mine = capacity(caller, task_object(row))
    if row["state"] == "open" and mine is not None:
        shown |= {"on_behalf_of": mine.on_behalf_of, "via": mine.via}
    why_not = deciding.why_not(row, caller)
    found = {"may": _may(row, caller, why_not), "why_not": why_not}
    return answer(shown | found | looked_at(seen))


def _may(row: asyncpg.Record, caller: Caller, why_not: str | None) -> list[str]:
    """What the caller may do to the task now, as far as its own row says."""
    if row["state"] != "open":
        return []
    subject, about = task_object(row), request_object(row)
    found = {
        name: possible(caller, [name], subject) for name in ("ask", "add", "release", "hand_on")
    }
    free = why_not is None and row["candidates"] is not None and row["claimed_by"] is None
    handed = found["hand_on"] or possible(caller, ["reassign"], about)
    deeds = {
        "decide": why_not is None,
        "claim": free,
        "release": row["claimant"] is not None and found["release"],
        "ask": found["ask"],
        "reassign": handed,
        "add": found["add"],
    }
    return [name for name, is_so in deeds.items() if is_so]


def looked_at(row: dict[str, Any]) -> dict[str, Json]:
    """What there is to decide about: the inputs that a task shows, and what is withheld of it."""
    inputs: dict[str, Json] = row["inputs"]
    if row["show"]:
        inputs = {name: inputs[name] for name in row["show"] if name in inputs}
    hidden = {f"/inputs/{name}" for name in row["show"]}
    withheld = [
        name
        for name in row["withheld"]
        if not row["show"] or not name.startswith("/inputs/") or name in hidden
    ]
    return {"inputs": inputs, "withheld": withheld}


@router.post(
    "/{task_id}/decisions",
    response_model=task_shapes.Task,
    summary="Decide a task",
    responses={
        202: {"model": delayed_shapes.DecisionDelayed, "description": "Kept, to be sent later."},
        409: {"model": problem_shapes.AlreadyClosed, "description": "Somebody was first."},
    },
    openapi_extra=takes(bodies.DecisionNowOrLater),
)
async def decide_task(request: Request, task_id: UUID) -> Response:
    """Approve, reject, request changes, or choose another of its outcomes, as one it is assigned to. The
    first decision counts; a later one gets 409 with who was first, one on what the request said before
    409 with what has changed. The same decision by the same person again gets 200 again.

    With `after` it is judged now, and again when it is sent, so many seconds later; until then it may be undone
    (`DELETE /v1/delayed/{delayed_id}`). Another one by the same person takes its place."""
    caller = await caller_of(request)
    body = await read(request, bodies.DecisionNowOrLater)
    house = services(request)
    if body.after is not None:
        kept, found = await delayed.delay(house, caller, task_id, body, body.after)
        about(request, found["request_id"])
        return answer({"delayed": found} if kept else found, 202 if kept else 200)
    [verdict] = await deciding.decide(house, caller, [deciding.Item(task_id, body)])
    if isinstance(verdict, errors.Problem):
        raise verdict
    about(request, verdict["request_id"])
    return answer(verdict)
