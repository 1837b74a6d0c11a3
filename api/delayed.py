"""Undo: decisions that are sent some seconds after they were made, unless whoever made them takes them back.

They are judged when they are made, as if they were sent at once, and again when they are: by the one decide function,
as that person.
"""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, deciding, delayed_shapes, errors
from api.auth import Caller
from api.http import Route, answer
from api.once import about
from api.services import Services, caller_of, services
from contract.boxes import CannotOpen
from recipes.model import Json
from storage import delayed, sight
from storage.delayed import Delaying
from storage.errors import FAILED, plain
from storage.pool import Source
from storage.sight import Row

router = APIRouter(prefix="/v1/delayed", tags=["tasks"], route_class=Route)

_log = structlog.get_logger(__name__)

_LONGEST_PAUSE = 5.0
"""Seconds between looks for what another process kept, and left behind."""
_FORGET_EVERY = 3600.0
MARGIN = 5
"""Seconds before a task's time runs out in which nothing waits: a timer must not be first."""


@router.get(
    "", response_model=delayed_shapes.DelayedPage, summary="My decisions that may be undone"
)
async def list_delayed(request: Request) -> Response:
    """Those that are still to be sent, and those that were refused when they were, until they
    are dismissed (for 30 days at most)."""
    caller = await caller_of(request)
    pool = services(request).pool
    found = await delayed.of_person(pool, caller.id)
    rows = await sight.seen_by(pool, caller.reader, found, sight.TITLED)
    return answer({"items": [shown(row) for row in rows]})


@router.get(
    "/{delayed_id}", response_model=delayed_shapes.Delayed, summary="What became of a decision"
)
async def show_delayed(request: Request, delayed_id: UUID) -> Response:
    """Of mine, for a day after it was sent. 404 once it was undone or dismissed."""
    caller = await caller_of(request)
    pool = services(request).pool
    row = await _mine(pool, caller, delayed_id)
    return answer(shown(await sight.seen_one(pool, caller.reader, row, sight.TITLED)))


@router.delete("/{delayed_id}", response_model=delayed_shapes.Delayed, summary="Undo a decision")
async def undo(request: Request, delayed_id: UUID) -> Response:
    """Before it is sent: afterwards it stands, and this gets 409. One that was refused is shown no more. The answer
    shows it as it was."""
    caller = await caller_of(request)
    pool = services(request).pool
    row = await _mine(pool, caller, delayed_id)
    if not await delayed.undo(pool, delayed_id, caller.id):
        raise errors.conflict("sent", "too late to undo: the decision was sent")
    about(request, row["request_id"])
    return answer(shown(await sight.seen_one(pool, caller.reader, row, sight.TITLED)))


async def _mine(source: Source, caller: Caller, delayed_id: UUID) -> asyncpg.Record:
    row = await delayed.one(source, delayed_id, caller.id)
    if row is None:
        raise errors.not_found("delayed decision")
    return row


async def delay(
    house: Services, caller: Caller, task_id: UUID, body: bodies.DecisionBody, seconds: int
) -> tuple[bool, dict[str, Json]]:
    """Keep a decision that nothing stands against, bound to what the request says now: True, and what is shown
    of it. False, and the task, if it was decided so before, or is decided so now since its time would run out
    meanwhile. Problem."""
    if caller.scopes is not None:
        raise errors.forbidden("undo is for people: a service decides at once")
    found = await deciding.look(house, caller, deciding.Item(task_id, body))
    if isinstance(found, errors.Problem):
        raise found
    if not isinstance(found, deciding.Ready):
        return False, found
    record = found.record
    bound = body.model_copy(update={"digest": record.digest})
    due = found.row["due_at"]
    if due is not None and timedelta() < due - record.at <= timedelta(seconds=seconds + MARGIN):
        [verdict] = await deciding.decide(house, caller, [deciding.Item(task_id, bound)])
        if isinstance(verdict, errors.Problem):
            raise verdict
        return False, verdict
    item = Delaying(
        task_id,
        record.request_id,
        caller.id,
        caller.roles,
        record.decision,
        bound.model_dump(mode="json", include=set(bodies.DecisionBody.model_fields)),
        seconds,
    )
    kept = await delayed.keep(house.pool, item)
    row = None if kept is None else await delayed.one(house.pool, kept, caller.id)
    if row is None:
        raise errors.conflict("sent", "your decision on this task is being sent already")
    house.delayed.set()
    return True, shown(await sight.seen_one(house.pool, caller.reader, row, sight.TITLED))


def shown(row: Row) -> dict[str, Json]:
    names = (
        "id",
        "task_id",
        "request_id",
        "workflow",
        "title",
        "step",
        "decision",
        "name",
        "made_at",
        "send_at",
        "state",
    )
    refusal: dict[str, Json] | None = row["refusal"]
    refused = None if refusal is None else {"at": row["ended_at"], "winner": None, **refusal}
    return {**{name: row[name] for name in names}, "refused": refused, "withheld": row["withheld"]}


# --- sending -------------------------------------------------------------------------------------


async def send_all(house: Services) -> None:
    """Send what is due until this is cancelled, in whichever API process is up: each decision is leased to one
    of them. What is kept waits while Postgres cannot be reached."""
    pause, forgotten = _LONGEST_PAUSE, 0.0
    while True:
        await _rest(house, pause)
        pause = _LONGEST_PAUSE
        try:
            await send_due(house)
            left = await delayed.seconds_to_next(house.pool)
            pause = pause if left is None else min(pause, max(left, 0.05))
            now = asyncio.get_running_loop().time()
            if now - forgotten > _FORGET_EVERY:
                forgotten = now
                await delayed.forget(house.pool)
        except FAILED as error:
            _log.warning("delayed decisions wait", error=type(error).__name__)


async def _rest(house: Services, seconds: float) -> None:
    """So long, or until something is kept here."""
    house.delayed.clear()
    try:
        async with asyncio.timeout(seconds):
            await house.delayed.wait()
    except TimeoutError:
        return


async def send_due(house: Services) -> int:
    """Carry out what is due: how many decisions. One that cannot be now is tried again when its lease is over."""
    rows = await delayed.take(house.pool)
    for row in rows:
        try:
            await delayed.end(house.pool, row["id"], await _sent(house, row))
        except Exception as error:  # noqa: BLE001 (whatever it is, the others are sent)
            _log.error(
                "a delayed decision cannot be sent now", id=str(row["id"]), error=plain(error)
            )
    return len(rows)


async def _sent(house: Services, row: Any) -> dict[str, Json] | None:
    """Decide as whoever made it: why it was refused, unless it stands."""
    try:
        said = await delayed.body(house.pool, row)
    except CannotOpen:
        return {"kind": "erased", "detail": "the request is erased"}
    caller = Caller(row["person"], frozenset(row["roles"]))
    body = bodies.DecisionBody.model_validate(said)
    [verdict] = await deciding.decide(house, caller, [deciding.Item(row["task_id"], body)])
    if not isinstance(verdict, errors.Problem) or _own(verdict, caller):
        return None
    first = {"winner": verdict.extra["winner"]} if "winner" in verdict.extra else {}
    return {"kind": verdict.kind, "detail": verdict.detail, **first}


def _own(refusal: errors.Problem, caller: Caller) -> bool:
    """They decided otherwise themselves meanwhile."""
    winner: dict[str, Json] | None = refusal.extra.get("winner")
    return winner is not None and winner["user"] == caller.id
