"""Requests: submit, list, show, cancel, retry, and what happened to them."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter, Query
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from structlog.contextvars import bind_contextvars
from typing_extensions import override

from api import bodies, entitled, errors, revised, schemas, views
from api.asking import Where, Words, read_condition
from api.auth import Caller
from api.authorize import Action, authorize, possible, request_object
from api.http import Route, answer, page, read, read_cursor, takes
from api.once import Recorded, idempotency_key
from api.services import Services, caller_of, services
from api.submission import submit
from api.tasks import Cursor, Limit
from contract.messages import Message
from recipes import machine
from recipes.happenings import Actor, Commanded
from recipes.model import Json
from recipes.state import FINAL_STATES, RequestState
from storage import (
    actions,
    attachments,
    commands,
    comments,
    jobs,
    questions,
    recalls,
    request_lists,
    requests,
    revisions,
    searching,
    sight,
    tasks,
    watchers,
)
from storage.pool import Source
from storage.sight import seen as _seen


class Commands(Route):
    """A route whose calls record commands."""

    @override
    async def settled(self, request: Request, caller: Caller, recorded: Recorded) -> Response:
        return await _outcome(services(request), caller, recorded.request_id, recorded.command_id)


router = APIRouter(prefix="/v1/requests", tags=["requests"], route_class=Commands)

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
_LAST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))
HISTORY_SHOWN = 100
"""How many of a state machine's last moves a request shows; its events have them all."""
COMMENTS_SHOWN = 50
"""How many of the last comments a request shows; their own list has them all."""
LOG_SHOWN = 50
"""How many of the last lines of a job's log a request shows."""
PATIENCE = 2.0
"""Seconds to wait for a workflow to apply a command before the answer is 202."""


@router.post(
    "",
    status_code=201,
    response_model=schemas.Request,
    summary="Submit a request",
    openapi_extra=takes(bodies.Submission),
)
async def submit_request(request: Request) -> Response:
    """Start a workflow. With an `Idempotency-Key` header the same body again gives the same request
    again; another body under the same key is refused."""
    caller = await caller_of(request)
    key = idempotency_key(request)
    body = await read(request, bodies.Submission)
    raw = await request.body()
    house = services(request)
    made = await submit(house, caller, body, key, raw)
    headers = {"Location": f"/v1/requests/{made.id}"}
    if made.again:
        headers["Idempotency-Replayed"] = "true"
        row, _ = await allowed(house.pool, caller, "see", made.id)
        return answer(await shown(house, house.pool, caller, row), 201, headers)
    said: dict[str, Json] = {"revisions": revised.shown([revised.first(made.row)])}
    said |= {"may": ["cancel", "name_watchers"]}
    return answer(views.request(made.row, [], _temporal_url(house, made.id)) | said, 201, headers)


@router.get("", response_model=schemas.RequestPage, summary="List requests")
async def list_requests(
    request: Request,
    *,
    state: RequestState | None = None,
    workflow: Annotated[str | None, Query(max_length=63)] = None,
    requester: Annotated[str | None, Query(max_length=128)] = None,
    mine: Annotated[bool, Query(description="Those that I submitted.")] = False,
    incident: Annotated[
        bool | None, Query(description="Those that need people; `false`: those that do not.")
    ] = None,
    status: Annotated[
        str | None, Query(max_length=63, description="The state that a state machine is in.")
    ] = None,
    q: Annotated[str | None, Query(max_length=200, description="Text to find in titles.")] = None,
    entity_type: Annotated[
        str | None, Query(max_length=63, description="Those about entities of this type.")
    ] = None,
    entity_id: Annotated[
        str | None, Query(max_length=200, description="With `entity_type`: those about this one.")
    ] = None,
    words: Words = None,
    where: Where = None,
    imported: Annotated[
        bool | None, Query(description="Those that another system had; `false`: our own.")
    ] = None,
    in_flight: Annotated[
        bool | None, Query(alias="open", description="In flight; `false`: those that have ended.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Requests that concern me (all of them for administrators and auditors), newest first."""
    caller = await caller_of(request)
    if entity_id is not None and entity_type is None:
        raise errors.invalid_parameter("entity_id", "needs entity_type beside it")
    if mine and requester not in (None, caller.id):
        raise errors.invalid_parameter("requester", "is somebody else: leave it or `mine` out")
    wanted = request_lists.Filter(
        state,
        workflow,
        caller.id if mine else requester,
        q,
        incident,
        status=status,
        entity_type=entity_type,
        entity_id=entity_id,
        words=words,
        condition=read_condition(where),
        imported=imported,
        open=in_flight,
    )
    return await listed(services(request).pool, caller, wanted, limit, cursor)


async def listed(
    source: Source, caller: Caller, wanted: request_lists.Filter, limit: int, cursor: str | None
) -> Response:
    """A page of the requests that the caller may see, newest first."""
    found = await searching.newest(
        source, caller.reader, wanted, limit + 1, before(cursor), everything=caller.sees_all
    )
    rows = await sight.seen_by(source, caller.reader, found, sight.REQUEST, of="id")
    waits = await tasks.waited_for(source, [row["id"] for row in rows if not row["finalized_at"]])
    items = [views.listed_request(row, waits.get(row["id"])) for row in rows]
    return page(items, limit, lambda item: [item["created_at"], item["id"]])


def before(cursor: str | None) -> tuple[datetime, UUID]:
    """Where a page of requests begins: (created_at, id) of the last one seen."""
    if cursor is None:
        return _LAST
    at, request_id = read_cursor(cursor, "time", "uuid")
    if at is None:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    return at, request_id


@router.get("/{request_id}", response_model=schemas.Request, summary="One request")
async def show_request(request: Request, request_id: UUID) -> Response:
    """A request with its tasks, decisions and who is next."""
    caller = await caller_of(request)
    house = services(request)
    async with house.pool.acquire() as connection:
        row, _ = await allowed(connection, caller, "see", request_id)
        return answer(await shown(house, connection, caller, row))


COMMAND_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.CommandPending, "description": "Recorded; not applied yet."}
}


@router.post(
    "/{request_id}/cancel",
    response_model=schemas.Request,
    summary="Cancel a request",
    responses=COMMAND_ANSWERS,
    openapi_extra=takes(bodies.CommandBody, required=False),
)
async def cancel_request(request: Request, request_id: UUID) -> Response:
    """By its requester or an administrator. 200 with the request once it is cancelled, 409 if that
    came too late, 202 if it is not known within two seconds."""
    return await _command(request, request_id, "cancel")


@router.post(
    "/{request_id}/retry",
    response_model=schemas.Request,
    summary="Try again what became an incident",
    responses=COMMAND_ANSWERS,
    openapi_extra=takes(bodies.CommandBody, required=False),
)
async def retry_request(request: Request, request_id: UUID) -> Response:
    """By an administrator or a member of the recipe's owner role, once the cause is put right (a
    role has a member again, say). Answers as `cancel` does."""
    return await _command(request, request_id, "retry")


async def _command(
    request: Request, request_id: UUID, command: Literal["cancel", "retry"]
) -> Response:
    caller = await caller_of(request)
    body = await read(request, bodies.CommandBody)
    house = services(request)
    async with house.pool.acquire() as connection, connection.transaction():
        row, actor = await allowed(connection, caller, command, request_id, lock=True)
        if command != "retry" or not row["incidents"]:
            # What is done after the end may wait for people, too.
            check_open(row)
        if command == "retry" and not row["incidents"]:
            raise errors.conflict("nothing_to_retry", "the request has no incident to retry")
        at = await commands.now(connection)
        message = Commanded(str(uuid4()), command, actor, at, body.comment)
        outbox_id = await record(connection, row, message)
    return await tell(house, caller, request_id, message, outbox_id)


async def record(source: Source, row: asyncpg.Record, message: Commanded) -> int:
    """Record a command on a request that is locked: the id of its outbox row."""
    return await commands.insert(source, row, message, _MESSAGE.dump_python(message, mode="json"))


async def tell(
    house: Services, caller: Caller, request_id: UUID, message: Commanded, outbox_id: int
) -> Response:
    """Tell the workflow, and answer with what came of it; of a call with a key, once it is committed
    (`Commands`)."""
    bind_contextvars(request_id=str(request_id))
    house.delivery.soon_signal(outbox_id, request_id, message)
    command_id = UUID(message.command_id)
    if house.held:
        return Recorded(request_id, command_id)
    return await _outcome(house, caller, request_id, command_id)


def check_open(row: asyncpg.Record) -> None:
    """Problem 409 on a request that is final."""
    if row["state"] in FINAL_STATES:
        raise errors.conflict(
            "already_final", f"the request is already {row['state']}", state=row["state"]
        )


async def _outcome(house: Services, caller: Caller, request_id: UUID, command_id: UUID) -> Response:
    """What came of a command, as far as it is known within two seconds."""
    waited, pause = 0.0, 0.01
    outcome = None
    while outcome is None and waited < PATIENCE:
        await asyncio.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, 0.2)
        outcome = await commands.outcome(house.pool, command_id)
    if outcome is None:
        detail = "recorded; the request will show what came of it"
        headers = {"Location": f"/v1/requests/{request_id}"}
        return answer({"command_id": command_id, "detail": detail}, 202, headers)
    applied, detail = outcome
    if not applied:
        raise errors.conflict("too_late", detail)
    row, _ = await allowed(house.pool, caller, "see", request_id)
    return answer(await shown(house, house.pool, caller, row))


async def allowed(
    source: Source, caller: Caller, action: Action, request_id: UUID, *, lock: bool = False
) -> tuple[asyncpg.Record, Actor]:
    """The request, and in what capacity the caller does `action` to it. Problem 403 or 404."""
    load = requests.lock if lock else requests.load
    row = await load(source, request_id, caller.id)
    if row is None:
        raise errors.not_found("request")
    try:
        return row, authorize(caller, action, request_object(row))
    except errors.Problem as refusal:
        if refusal.status != 404:
            raise
    names = tasks.principals(caller.id, row["held"])
    involved = bool(await tasks.involved(source, [request_id], caller.id, names))
    if not involved and row["kind"] == "state_machine":
        involved = await entitled.takes_part(source, row, caller.id)
    return row, authorize(caller, action, request_object(row, involved=involved))


async def shown(
    house: Services, source: Source, caller: Caller, row: asyncpg.Record
) -> dict[str, object]:
    """A request (as `allowed` gave it) with all that belongs to it, as far as the caller may see it."""
    keys = await sight.keys_for(source, caller.reader, row)
    found = await tasks.of_request(source, row["id"])
    said = await comments.latest(source, row["id"], COMMENTS_SHOWN)
    asked = await questions.of_request(source, row["id"])
    watching = await watchers.of_request(source, row["id"])
    said_before = await revisions.seen(source, row["id"], keys)
    files = await attachments.of_request(source, row["id"])
    added = await commands.added_approvers(source, row["id"])
    work = await jobs.of_request(source, row["id"], LOG_SHOWN)
    more: dict[str, Json] = {
        "added_approvers": [views.added_approver(_seen(it, keys, sight.COMMANDED)) for it in added],
        "revisions": revised.shown(said_before),
        "waits_until": row["waits_until"],
        "jobs": [views.job(jobs.seen(it, keys)) for it in work],
        "comments": [views.comment(_seen(it, keys, sight.COMMENT)) for it in said],
        "questions": [views.question(_seen(it, keys, sight.QUESTION)) for it in asked],
        "attachments": [views.attachment(attachments.seen(it, keys)) for it in files],
        "watchers": [views.watcher(item) for item in watching],
        "may": _may(caller, row),
    }
    if row["kind"] == "state_machine":
        fired = await actions.history(source, caller.reader, row["id"], HISTORY_SHOWN)
        more |= {"history": [views.moved(item) for item in fired]}
        more |= {"waiting_for": await _who_moves(house, source, row)}
    if row["recall_id"] is not None:
        recall = await recalls.of_request(source, row["id"])
        more |= {"recalled": recall and views.recalled(recall)}
    where = None if row["import_id"] else _temporal_url(house, row["id"])
    its_tasks = [_seen(it, keys, sight.TASK) for it in found]
    return views.request(_seen(row, keys, sight.REQUEST), its_tasks, where) | more


def _may(caller: Caller, row: asyncpg.Record) -> list[Json]:
    """What the caller may do to a request that they see, as it is now."""
    open_, about = row["state"] not in FINAL_STATES, request_object(row, involved=True)
    so: dict[str, tuple[Action, bool]] = {
        "cancel": ("cancel", open_),
        "resubmit": ("resubmit", row["state"] == "rewound"),
        "retry": ("retry", bool(row["incidents"])),
        "name_watchers": ("watchers", True),
    }
    return [name for name, (action, now) in so.items() if now and possible(caller, [action], about)]


async def _who_moves(house: Services, source: Source, row: asyncpg.Record) -> list[str]:
    """The principals that actions of a state machine wait for; not those whom nobody is named for."""
    recipe = await house.catalogue.recipe(source, row["workflow"], row["version"], row["sha256"])
    if recipe.machine is None or row["state"] in FINAL_STATES:
        return []
    state = await entitled.state_of(source, recipe, recipe.machine, row)
    who = await entitled.named(source, recipe, state)
    doors = machine.doors(recipe.machine, state.status)
    return list(dict.fromkeys(name for door in doors for name in who[door.id].principals))


def _temporal_url(house: Services, request_id: UUID) -> str | None:
    base, namespace = house.settings.temporal_ui_url, house.settings.temporal_namespace
    if base is None:
        return None
    return f"{base.rstrip('/')}/namespaces/{namespace}/workflows/{request_id}"
