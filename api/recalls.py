"""Recall what a rule should not have decided: begun as a whole, carried out in parts, each request once."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, past_shapes
from api.auth import Caller
from api.authorize import House, authorize
from api.http import Route, answer, page, read, read_cursor, takes
from api.impact import asked_about, refuse_confidential, rule_step
from api.past_bodies import RecallBody
from api.recipes import version_shown
from api.requests import before
from api.services import Services, caller_of, services
from api.submission import Wanted, draft
from api.tasks import Cursor, Limit
from recipes import inputs as recipe_inputs
from recipes.happenings import Actor
from recipes.model import Json, Recipe
from recipes.supposed import Supposed
from storage import commands, impact, recalls, requests, sight, simulation
from storage.errors import AlreadyOpen
from storage.pool import Connection
from storage.recalls import Recall
from storage.rules import Rule
from storage.sight import Row

router = APIRouter(prefix="/v1/recalls", tags=["recalls"], route_class=Route)

State = Literal["waiting", "recalled", "refused"]


@router.post(
    "",
    status_code=201,
    response_model=past_shapes.Recall,
    summary="Recall what a rule decided",
    responses={200: {"model": past_shapes.RecallPlan, "description": "A dry run."}},
    openapi_extra=takes(RecallBody),
)
async def begin_recall(
    request: Request,
    *,
    dry_run: Annotated[
        bool, Query(description="Only count, and judge the first `limit` requests.")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """As an administrator. Disables the version and selects what its rule decided; nothing more happens
    to those requests before `continue` is called, as often as it takes. With `review_workflow` a
    new request of each asks people, by that recipe; with `mark` they are marked alone."""
    caller = await caller_of(request)
    actor = authorize(caller, "recall", House())
    body = await read(request, RecallBody)
    house = services(request)
    rule = Rule(body.workflow, body.version, body.step, body.since, body.until, body.where)
    recipe, _ = await rule_step(house, rule)
    refuse_confidential(recipe, "where", asked_about(body.where))
    review = await _review(house, body, recipe)
    if dry_run:
        return answer(await _plan(house, caller, rule, review, limit))
    async with house.pool.acquire() as connection, connection.transaction():
        at = await commands.now(connection)
        target = None if review is None else (review.recipe.workflow, review.recipe.version)
        recall = Recall(uuid4(), rule, target, body.reason, actor, at)
        if not await recalls.begin(connection, recall, house.trail):
            which = f"{rule.step} of {rule.workflow} version {rule.version}"
            raise errors.conflict("nothing_to_recall", f"{which} decided none that is not recalled")
        made = await recalls.one(connection, recall.id)
    assert made is not None
    return answer(_shown(made), 201, {"Location": f"/v1/recalls/{recall.id}"})


@router.get("", response_model=past_shapes.RecallPage, summary="List recalls")
async def list_recalls(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """For administrators and auditors, the newest first."""
    await _sees(request)
    found = await recalls.newest(services(request).pool, before(cursor), limit + 1)
    return page([_shown(row) for row in found], limit, lambda item: [item["begun_at"], item["id"]])


@router.get("/{recall_id}", response_model=past_shapes.Recall, summary="One recall")
async def show_recall(request: Request, recall_id: UUID) -> Response:
    """For administrators and auditors: how far it is."""
    await _sees(request)
    return answer(_shown(await _one(services(request), recall_id)))


@router.get(
    "/{recall_id}/requests",
    response_model=past_shapes.RecalledPage,
    summary="Its requests",
)
async def list_recalled(
    request: Request,
    recall_id: UUID,
    *,
    state: State | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """For administrators and auditors: what has become of each, and why some were refused."""
    caller = await _sees(request)
    house = services(request)
    await _one(house, recall_id)
    after: UUID = UUID(int=0) if cursor is None else read_cursor(cursor, "uuid")[0]
    rows = await recalls.requests_of(house.pool, recall_id, state, after, limit + 1)
    seen = await sight.seen_by(house.pool, caller.reader, rows, sight.TITLED)
    items = [{name: row[name] for name in row if name not in ("private", "sealed")} for row in seen]
    return page(items, limit, lambda item: [item["request_id"]])


@router.post(
    "/{recall_id}/continue",
    response_model=past_shapes.Recall,
    summary="Recall some more of its requests",
)
async def continue_recall(
    request: Request, recall_id: UUID, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> Response:
    """As an administrator: the next `limit` that wait. Safe to call again, and by several at once: each
    request is recalled once. When none waits any more, what the rule has decided meanwhile is taken in;
    then the recall is finished."""
    caller = await caller_of(request)
    actor = authorize(caller, "recall", House())
    house = services(request)
    recall = await _one(house, recall_id)
    if recall["finished_at"] is None:
        await _go_on(house, recall, actor, limit)
    return answer(_shown(await _one(house, recall_id)))


async def _sees(request: Request) -> Caller:
    caller = await caller_of(request)
    if not caller.sees_all:
        raise errors.forbidden("only administrators and auditors may see recalls")
    return caller


async def _one(house: Services, recall_id: UUID) -> asyncpg.Record:
    row = await recalls.one(house.pool, recall_id)
    if row is None:
        raise errors.not_found("recall")
    return row


def _shown(row: asyncpg.Record) -> dict[str, Json]:
    counts = dict.fromkeys(("waiting", "recalled", "refused"), 0) | (row["counts"] or {})
    selection: dict[str, Json] = row["selection"]
    shown = {name: value for name, value in row.items() if name != "selection"}
    return shown | selection | {"counts": counts}


# --- the review -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Review:
    """By which recipe people are to decide."""

    recipe: Recipe
    sha256: str


async def _review(house: Services, body: RecallBody, recalled: Recipe) -> _Review | None:
    if body.review_workflow is None:
        return None
    shown = await version_shown(house.pool, body.review_workflow, body.review_version)
    version: int = shown["version"]
    if (body.review_workflow, version) == (body.workflow, body.version):
        raise errors.invalid_at("/review_version", "is the version that is recalled: name another")
    if shown["disabled"] is not None:
        raise errors.conflict(
            "recipe_disabled", f"{body.review_workflow} version {version} is disabled"
        )
    sha256: str = shown["sha256"]
    recipe = await house.catalogue.recipe(house.pool, body.review_workflow, version, sha256)
    if recipe.machine is not None:
        message = f"{recipe.workflow} is a state machine: name a recipe whose steps ask people"
        raise errors.invalid_at("/review_workflow", message)
    _check_keeps(recalled, recipe)
    return _Review(recipe, sha256)


def _check_keeps(recalled: Recipe, review: Recipe) -> None:
    """Problem 422 if a review would show to all who see it what the recalled requests keep confidential."""
    secret, kept = recalled.confidential, review.confidential
    if secret is None or (kept is not None and kept.fields is None):
        return
    shown = frozenset(["everything"])
    if secret.fields is not None:
        taken = recipe_inputs.declared(review, dict.fromkeys(secret.fields))
        shown = frozenset(taken).difference((kept.fields if kept else None) or ())
    if shown:
        raise errors.invalid_at(
            "/review_workflow",
            f"{recalled.workflow} keeps {', '.join(sorted(shown))} confidential and {review.workflow}"
            " does not: name a recipe that does",
        )


async def _ready(
    house: Services, connection: Connection, row: asyncpg.Record, recipe: Recipe
) -> requests.Submission:
    """The new request of a recalled one. Problem where it may not be made, or would decide itself."""
    entity = requests.entity_of(row) if recipe.entity is not None else None
    found = await requests.prepare(
        connection, row["requester"], recipe.workflow, recipe.version, entity=entity
    )
    if found["person"] is None:
        raise errors.invalid(f"{row['requester']} is not in the directory")
    whole = await sight.whole(connection, row)
    wanted = Wanted(row["requester"], recipe.workflow, whole["inputs"], entity)
    ready = await draft(house, connection, found, wanted, limited=True)
    item = ready.item
    # Nobody acts: then it must not be approved, neither by a rule nor by time alone.
    supposed = Supposed(item.requester, item.inputs, item.at, otherwise="wait", entity=entity)
    played = await simulation.run(connection, recipe, supposed)
    asked = any(visit.tasks or visit.incidents for visit in played.path)
    if played.state == "approved" or (played.ended_at is not None and not asked):
        which = f"{recipe.workflow} version {recipe.version}"
        raise errors.invalid(f"{which} would make it {played.state} without anybody's decision")
    return item


async def _plan(
    house: Services, caller: Caller, rule: Rule, review: _Review | None, limit: int
) -> dict[str, Json]:
    """What would become of them: the counts of all, verdicts for the first."""
    async with (
        house.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        cold = await impact.moved(connection, house.trail, rule)
        totals = await impact.totals(connection, rule, cold)
        rows = await recalls.selected(connection, rule, cold, limit)
        seen = await sight.seen_by(connection, caller.reader, rows, sight.TITLED, of="id")
        visible = await sight.seen_whole(connection, caller.reader, rows)
        items: list[dict[str, Json]] = []
        for row, shown in zip(rows, seen, strict=True):
            tried = row["id"] in visible and not shown["withheld"]
            verdict = await _verdict(house, connection, row, review, tried=tried)
            items.append(_told(shown) | verdict)
    return {
        "workflow": rule.workflow,
        "version": rule.version,
        "step": rule.step,
        "requests": totals["requests"],
        "recalled": totals["recalled"],
        "in_flight": await impact.in_flight(house.pool, rule),
        "deleted_months": list(cold.deleted),
        "counts": dict(Counter(item["outcome"] for item in items)),
        "items": items,
    }


async def _verdict(
    house: Services,
    connection: Connection,
    row: asyncpg.Record,
    review: _Review | None,
    *,
    tried: bool,
) -> dict[str, Json]:
    """What would become of one. Nothing is tried of what the caller may not see: one review after
    another, all dry runs, would tell what is in it."""
    if review is None:
        return {"outcome": "possible", "detail": None}
    if not tried:
        hidden = "something of it is confidential: it is tried when it is recalled"
        return {"outcome": "withheld", "detail": hidden}
    try:
        await _ready(house, connection, row, review.recipe)
    except errors.Problem as problem:
        return {"outcome": "refused", "detail": _detail(problem, row)}
    return {"outcome": "possible", "detail": None}


def _detail(problem: errors.Problem, row: asyncpg.Record) -> str:
    """Why a request is refused, for administrators: what is wrong with inputs may quote them."""
    if row["private"] and problem.errors:
        return "the review does not take its inputs, some of which are confidential"
    return problem.detail


def _told(row: Row) -> dict[str, Json]:
    return {
        "request_id": row["id"],
        "title": row["title"],
        "requester": row["requester"],
        "withheld": row["withheld"],
    }


# --- carrying it out --------------------------------------------------------------------------------


async def _go_on(house: Services, recall: asyncpg.Record, actor: Actor, limit: int) -> None:
    if recall["review_workflow"] is None:
        await _mark(house, recall, actor, limit)
    else:
        shown = await version_shown(house.pool, recall["review_workflow"], recall["review_version"])
        if shown["disabled"] is not None:
            which = f"{recall['review_workflow']} version {recall['review_version']}"
            raise errors.conflict(
                "recipe_disabled", f"{which} is disabled: enable it, or nobody asks"
            )
        recipe = await house.catalogue.recipe(
            house.pool, recall["review_workflow"], recall["review_version"], shown["sha256"]
        )
        for _ in range(limit):
            if not await _reopen(house, recall, recipe, actor):
                break
            await asyncio.sleep(0)
    await _finish(house, recall, actor)


async def _mark(house: Services, recall: asyncpg.Record, actor: Actor, limit: int) -> None:
    async with house.pool.acquire() as connection, connection.transaction():
        rows = await recalls.next_waiting(connection, recall["id"], limit)
        at = await commands.now(connection)
        await recalls.recalled(connection, recall, rows, actor, at)


async def _reopen(house: Services, recall: asyncpg.Record, recipe: Recipe, actor: Actor) -> bool:
    """The next one that waits, in a transaction of its own; False if there is none. Its workflow is
    started by the relay, which lets in no more than workers can carry."""
    async with house.pool.acquire() as connection, connection.transaction():
        rows = await recalls.next_waiting(connection, recall["id"], 1)
        if not rows:
            return False
        [row] = rows
        at: datetime = await commands.now(connection)
        try:
            item = await _ready(house, connection, row, recipe)
            item = replace(item, sender=actor, reopens=(row["id"], recall["id"]))
            async with connection.transaction():
                await requests.submit(connection, item)
        except AlreadyOpen:
            detail = f"another request of {recipe.workflow} about the same is open"
            await recalls.refused(connection, recall["id"], row["id"], detail, at)
        except errors.Problem as problem:
            detail = _detail(problem, row)
            await recalls.refused(connection, recall["id"], row["id"], detail, at)
        else:
            await recalls.recalled(connection, recall, rows, actor, at, reopened_as=item.id)
    return True


async def _finish(house: Services, recall: asyncpg.Record, actor: Actor) -> None:
    """Where nothing waits: take in what the rule has decided since, or end."""
    async with house.pool.acquire() as connection, connection.transaction():
        left = await recalls.one(connection, recall["id"])
        if left is None or (left["counts"] or {}).get("waiting"):
            return
        rule = recalls.rule_of(recall)
        if not await recalls.select(connection, recall["id"], rule, house.trail):
            await recalls.finish(connection, recall, actor, await commands.now(connection))
