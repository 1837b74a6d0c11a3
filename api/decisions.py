"""Many decisions at once: a preview that pins which tasks, and the decisions."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, deciding, errors, task_shapes, views
from api.auth import Caller
from api.http import BODIES, Route, answer, read, takes
from api.services import caller_of, services
from api.tasks import looked_at
from recipes import calendar
from recipes.model import Json
from storage import sight, tasks
from storage.pool import Source

router = APIRouter(prefix="/v1/decisions", tags=["tasks"], route_class=Route)

MOST = 500
_BEGINNING = (datetime.min.replace(tzinfo=UTC), UUID(int=0))

# Items are read one by one, so the body does not name their model.
BODIES[bodies.DecisionItem.__name__] = bodies.DecisionItem


@router.post(
    "",
    response_model=task_shapes.Decisions,
    summary="Decide many tasks",
    openapi_extra=takes(bodies.DecisionsBody),
)
async def decide_tasks(request: Request) -> Response:
    """Up to 500 decisions, each as if it had been made alone: one result per item, in their order, with
    the status and the task or problem that it would have been answered with. What was decided on the
    same request at once is told to it at once.

    Always 200, whatever the results; a 4xx says that nothing was decided. Safe to repeat without an
    `Idempotency-Key`: what was decided gets 200 again. A task named twice with the same decision gets
    the same answer twice; with another decision, the first counts.
    """
    caller = await caller_of(request)
    body = await read(request, bodies.DecisionsBody)
    read_items = [_item(value) for value in body.items]
    good = [item for item in read_items if isinstance(item, deciding.Item)]
    verdicts = iter(await deciding.decide(services(request), caller, good))
    results = [
        _result(item.task_id, next(verdicts))
        if isinstance(item, deciding.Item)
        else _result(_id_of(value), item)
        for item, value in zip(read_items, body.items, strict=True)
    ]
    decided = sum(1 for result in results if result["status"] == 200)
    return answer({"items": results, "decided": decided, "refused": len(results) - decided})


@router.post(
    "/preview",
    response_model=task_shapes.DecisionsPreview,
    summary="What many decisions would be",
    openapi_extra=takes(bodies.PreviewBody),
)
async def preview_decisions(request: Request) -> Response:
    """The tasks that I may decide so now and the filter fits, the soonest due first, 500 at most. `items`
    is what `POST /v1/decisions` takes: ids and digests, so that nothing is decided that was not here.
    Nothing is decided, and nothing is kept, by a preview."""
    caller = await caller_of(request)
    body = await read(request, bodies.PreviewBody)
    only = body.filter
    older_than = None if only.older_than is None else calendar.seconds(only.older_than)
    ids = None if only.task_ids is None else tuple(only.task_ids)
    narrowing = tasks.Narrowing(only.workflow, only.requester, only.step, older_than, ids=ids)
    pool = services(request).pool
    found, more = await _decidable(pool, caller, narrowing, body.decision)
    shown = await sight.seen_by(pool, caller.reader, found, sight.TITLED)
    return answer(
        {
            "items": [
                {"task_id": row["id"], "decision": body.decision, "digest": row["digest"]}
                for row in found
            ],
            "tasks": [views.inbox_task(row) | looked_at(row) for row in shown],
            "need_comment": [row["id"] for row in found if body.decision in row["require_comment"]],
            "need_reason": [row["id"] for row in found if body.decision in row["require_reason"]],
            "more": more,
        }
    )


async def _decidable(
    source: Source, caller: Caller, only: tasks.Narrowing, decision: str
) -> tuple[list[asyncpg.Record], bool]:
    """Rows of the inbox that the caller may decide so, MOST at most, and whether there are more."""
    found: list[asyncpg.Record] = []
    after: tuple[datetime | None, UUID] = _BEGINNING
    while True:
        page = await tasks.matching(source, caller.id, only, after)
        loaded = await tasks.load_all(source, [row["id"] for row in page], caller.id)
        actors = await deciding.capacities(source, caller, "decide", loaded.values())
        offering = [row for row in page if any(it["id"] == decision for it in row["outcomes"])]
        found += [row for row in offering if _may(caller, loaded.get(row["id"]), actors)]
        if len(found) > MOST:
            return found[:MOST], True
        if len(page) < tasks.MOST_MATCHING:
            return found, False
        after = (page[-1]["due_at"], page[-1]["id"])


def _may(caller: Caller, row: asyncpg.Record | None, actors: dict[UUID, Any]) -> bool:
    if row is None or row["state"] != "open" or row["claimed_by"] not in (None, caller.id):
        return False
    return not isinstance(actors[row["id"]], errors.Problem)


def _item(value: Json) -> deciding.Item | errors.Problem:
    """One item of the body, or what is wrong with it, by pointers into the item."""
    try:
        item = bodies.DecisionItem.model_validate(value)
    except ValidationError as error:
        return errors.body_errors(error.errors(include_url=False, include_input=False))
    return deciding.Item(item.task_id, item)


def _id_of(value: Json) -> UUID | None:
    """The id in an item that is not valid, if that is."""
    try:
        return UUID(value["task_id"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _result(task_id: UUID | None, verdict: deciding.Verdict) -> dict[str, Json]:
    if isinstance(verdict, errors.Problem):
        problem = verdict.body()
        return {"task_id": task_id, "status": verdict.status, "task": None, "problem": problem}
    return {"task_id": task_id, "status": 200, "task": verdict, "problem": None}
