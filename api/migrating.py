"""Move requests in flight to another version of their workflow: look first, each by itself."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, errors, life_shapes
from api.auth import Caller
from api.authorize import House, authorize
from api.http import Route, answer, next_cursor, read, takes
from api.recipes import Name, Version, version_shown
from api.requests import PATIENCE, allowed, before, record
from api.services import Services, caller_of, services
from api.tasks import Cursor
from recipes import inputs as recipe_inputs
from recipes import migration, timers
from recipes.asks import Times
from recipes.happenings import Actor, Commanded, Migration
from recipes.model import Json, Recipe
from recipes.state import FINAL_STATES, State
from storage import calendars, commands, history, request_lists, requests, sight
from storage.pool import Source

router = APIRouter(prefix="/v1/recipes", tags=["recipes"], route_class=Route)

Outcome = Literal["possible", "moved", "refused", "recorded"]


@dataclass(frozen=True, slots=True)
class _Target:
    """The version to move to, and why."""

    recipe: Recipe
    sha256: str
    comment: str

    async def migration(self, source: Source, state: State, deadline: Times | None) -> Migration:
        about = UUID(state.request_id)
        digest = await requests.digest(source, about, self.sha256, state.inputs)
        return Migration(self.recipe, self.sha256, digest, state.digest, deadline)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Of one request. `reasons` say why it stays where it is, `notes` what becomes of it."""

    request_id: UUID
    title: str | None
    requester: str | None
    at: str | None
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    state: State | None = None
    deadline: Times | None = None
    command_id: UUID | None = None

    def shown(self) -> dict[str, Json]:
        return {
            "request_id": self.request_id,
            "title": self.title,
            "requester": self.requester,
            "step": self.at,
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "command_id": self.command_id,
        }


@router.post(
    "/{name}/versions/{version}/migrate",
    response_model=life_shapes.Migrated,
    summary="Move requests in flight to another version",
    openapi_extra=takes(bodies.MigrateBody),
)
async def migrate_requests(
    request: Request,
    name: Name,
    version: Version,
    *,
    dry_run: Annotated[bool, Query(description="Only say what would become of each.")] = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    cursor: Cursor = None,
) -> Response:
    """As an administrator: those named under `requests`, or page by page all that are in flight on the
    version, newest first. Each gets a verdict of its own: what was decided stays, tasks that are the
    same in both versions stay with whoever has them, and a request whose step the other version does
    not have is refused, as is one's own. Its workflow has the last word; `recorded` is what it has not said within
    two seconds."""
    caller = await caller_of(request)
    actor = authorize(caller, "migrate", House())
    body = await read(request, bodies.MigrateBody)
    house = services(request)
    await version_shown(house.pool, name, version)
    target = await _target(house, name, version, body)
    rows: list[asyncpg.Record] = []
    ids = list(dict.fromkeys(body.requests or ()))
    if body.requests is None:
        wanted = request_lists.Filter(workflow=name, version=version)
        rows = await request_lists.newest(
            house.pool, caller.id, wanted, limit + 1, before(cursor), everything=True
        )
        ids = [row["id"] for row in rows[:limit]]
    found = [await _judge(house, caller, (name, version), one, target) for one in ids]
    if not dry_run:
        found = await _carry_out(house, caller, actor, target, found)
    told: dict[str, Json] = {
        "workflow": name,
        "from": version,
        "to": target.recipe.version,
        "dry_run": dry_run,
        "counts": dict(Counter(verdict.outcome for verdict in found)),
    }
    more = next_cursor(rows, limit, lambda row: [row["created_at"], row["id"]])
    return answer(told | {"items": [verdict.shown() for verdict in found], "next_cursor": more})


async def _target(house: Services, name: str, version: int, body: bodies.MigrateBody) -> _Target:
    shown = await version_shown(house.pool, name, body.to)
    if body.to == version:
        raise errors.invalid_at("/to", f"version {version} is where they are: name another one")
    if shown["disabled"] is not None:
        raise errors.conflict("version_disabled", f"{name} version {body.to} is disabled")
    sha256: str = shown["sha256"]
    recipe = await house.catalogue.recipe(house.pool, name, body.to, sha256)
    return _Target(recipe, sha256, body.comment)


async def _judge(
    house: Services, caller: Caller, now_on: tuple[str, int], request_id: UUID, target: _Target
) -> _Verdict:
    """What stands against it, as far as is known before its workflow is asked."""
    row = await requests.load(house.pool, request_id, caller.id)
    if row is None:
        return _Verdict(request_id, None, None, None, "refused", ("there is no such request",))
    seen = await sight.seen_one(house.pool, caller.reader, row, sight.REQUEST, of="id")
    verdict = _Verdict(
        request_id, seen["title"], row["requester"], row["status"] or row["step"], "refused"
    )
    reason = _why_not(caller, row, now_on)
    if reason is not None:
        return replace(verdict, reasons=(reason,))
    at = await commands.now(house.pool)
    past = await history.state_at(house.pool, request_id, at)
    timing = timers.deadline_timing(target.recipe, past.state.submitted_at)
    deadline = None if timing is None else await calendars.times(house.pool, timing)
    judged = migration.judge(past.recipe, target.recipe, past.state, at, deadline)
    wrong = [
        f"inputs{problem.pointer}: {problem.message}"
        for problem in recipe_inputs.validate(target.recipe, past.state.inputs)
    ]
    if wrong and seen["withheld"]:
        wrong = [f"version {target.recipe.version} does not take its inputs: some are confidential"]
    reasons = (*judged.refusals, *wrong)
    outcome: Outcome = "refused" if reasons else "possible"
    return replace(
        verdict,
        outcome=outcome,
        reasons=reasons,
        notes=judged.notes,
        state=past.state,
        deadline=deadline,
    )


def _why_not(caller: Caller, row: asyncpg.Record, now_on: tuple[str, int]) -> str | None:
    """Why the caller does not move it, whatever its state: it is none of those in flight on that version, or
    the caller's own."""
    if (row["workflow"], row["version"]) != now_on:
        return f"it is on {row['workflow']} version {row['version']}"
    if row["state"] in FINAL_STATES:
        return f"the request is already {row['state']}"
    if row["requester"] == caller.id:
        return "it is your own: nobody chooses who decides their own request"
    return None


async def _carry_out(
    house: Services, caller: Caller, actor: Actor, target: _Target, found: Sequence[_Verdict]
) -> list[_Verdict]:
    """Tell the workflows of those that can move, and wait for what they say."""
    told = [
        await _command(house, caller, actor, target, verdict) if verdict.state else verdict
        for verdict in found
    ]
    waiting = {it.command_id for it in told if it.command_id is not None}
    outcomes: dict[UUID, tuple[bool, str]] = {}
    waited, pause = 0.0, 0.01
    while waiting - outcomes.keys() and waited < PATIENCE:
        await asyncio.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, 0.2)
        outcomes = await commands.outcomes(house.pool, waiting)
    return [_settled(verdict, outcomes) for verdict in told]


async def _command(
    house: Services, caller: Caller, actor: Actor, target: _Target, verdict: _Verdict
) -> _Verdict:
    if verdict.outcome != "possible" or verdict.state is None:
        return verdict
    async with house.pool.acquire() as connection, connection.transaction():
        row, _ = await allowed(connection, caller, "see", verdict.request_id, lock=True)
        if row["state"] in FINAL_STATES:
            late = f"the request is already {row['state']}"
            return replace(verdict, outcome="refused", reasons=(late,), notes=())
        at: datetime = await commands.now(connection)
        message = Commanded(
            str(uuid4()),
            "migrate",
            actor,
            at,
            target.comment,
            migration=await target.migration(connection, verdict.state, verdict.deadline),
        )
        outbox_id = await record(connection, row, message)
    house.delivery.soon_signal(outbox_id, verdict.request_id, message)
    return replace(verdict, outcome="recorded", command_id=UUID(message.command_id))


def _settled(verdict: _Verdict, outcomes: dict[UUID, tuple[bool, str]]) -> _Verdict:
    if verdict.command_id is None or verdict.command_id not in outcomes:
        return verdict
    applied, detail = outcomes[verdict.command_id]
    if applied:
        return replace(verdict, outcome="moved")
    return replace(verdict, outcome="refused", reasons=(detail,), notes=())
