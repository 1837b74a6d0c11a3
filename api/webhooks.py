"""Webhooks: made, looked at and looked after by administrators. What is sent, and how, is the relay's."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.authorize import House, authorize
from api.http import Route, answer, page, read, read_cursor, takes
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from api.views import Row
from api.webhook_shapes import (
    DeadPage,
    NewWebhook,
    ResendBody,
    Resent,
    Webhook,
    WebhookBody,
    WebhookPage,
    WebhookSecret,
    WebhookTest,
)
from contract import cloudevents, webhooks
from recipes.happenings import Actor
from recipes.model import Json
from storage import addresses, commands, parked
from storage import webhooks as endpoints
from storage.addresses import UrlRefused
from storage.pool import Pool, Source

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=Route)

_LATEST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))
_TEST_SECONDS = 20.0
"""A relay has it within a second, and its endpoint some more."""
_TEST_LOOK = 0.25


@router.post(
    "",
    status_code=201,
    response_model=NewWebhook,
    summary="Make a webhook",
    openapi_extra=takes(WebhookBody),
)
async def add_webhook(request: Request) -> Response:
    """An endpoint that is sent every event from now on, or those of some types and workflows, in the order of
    each request. `secret` is shown in this answer alone. For administrators."""
    actor = await _admin(request)
    body = await read(request, WebhookBody)
    house = services(request)
    try:
        addresses.endpoint(
            body.url,
            production=house.settings.production,
            allowed=house.settings.webhook_networks,
        )
    except UrlRefused as error:
        raise errors.invalid_at("/url", str(error)) from None
    types = None if body.types is None else tuple(map(_event_type, body.types))
    workflows = None if body.workflows is None else tuple(body.workflows)
    item = endpoints.NewWebhook(uuid4(), body.url, body.description, types, workflows)
    async with house.pool.acquire() as connection, connection.transaction():
        at = await commands.now(connection)
        row, secret = await endpoints.add(connection, item, actor, at)
    return answer(_shown(row) | {"secret": webhooks.spelt(secret)}, 201)


@router.get("", response_model=WebhookPage, summary="List webhooks")
async def list_webhooks(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The newest first, each with how it fares. For administrators."""
    await _admin(request)
    before = _LATEST if cursor is None else tuple(read_cursor(cursor, "time", "uuid"))
    if before[0] is None:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    found = await endpoints.newest(services(request).pool, (before[0], before[1]), limit + 1)
    return page([_shown(row) for row in found], limit, lambda item: [item["made_at"], item["id"]])


@router.get("/{webhook_id}", response_model=Webhook, summary="A webhook")
async def get_webhook(request: Request, webhook_id: UUID) -> Response:
    """Where it is in the feed and how it fares. For administrators."""
    await _admin(request)
    return answer(_shown(await _found(services(request).pool, webhook_id)))


@router.delete("/{webhook_id}", response_model=Webhook, summary="Remove a webhook")
async def remove_webhook(request: Request, webhook_id: UUID) -> Response:
    """It is sent nothing more, and what it has not taken is forgotten: the answer is how it was. By
    administrators."""
    actor = await _admin(request)
    async with services(request).pool.acquire() as connection, connection.transaction():
        row = await _found(connection, webhook_id)
        at = await commands.now(connection)
        if not await endpoints.remove(connection, webhook_id, actor, at):
            raise errors.not_found("webhook")
    return answer(_shown(row))


@router.post(
    "/{webhook_id}/rotate", response_model=WebhookSecret, summary="Replace a webhook's secret"
)
async def rotate_secret(request: Request, webhook_id: UUID) -> Response:
    """The new one, shown in this answer alone. The one before signs beside it for 24 hours, so that nothing is
    refused meanwhile. By administrators."""
    actor = await _admin(request)
    async with services(request).pool.acquire() as connection, connection.transaction():
        row = await endpoints.locked(connection, webhook_id)
        if row is None:
            raise errors.not_found("webhook")
        at = await commands.now(connection)
        secret = await endpoints.rotate(connection, row, actor, at)
    return answer({"secret": webhooks.spelt(secret)})


@router.post("/{webhook_id}/pause", response_model=Webhook, summary="Pause a webhook")
async def pause_webhook(request: Request, webhook_id: UUID) -> Response:
    """It is sent nothing until it is resumed, and then goes on where it was. By administrators. 409 if it is
    paused."""
    actor = await _admin(request)
    async with services(request).pool.acquire() as connection, connection.transaction():
        at = await commands.now(connection)
        why = f"paused by {actor.user}"
        if not await endpoints.pause(connection, webhook_id, actor, at, why):
            await _found(connection, webhook_id)
            raise errors.conflict("already_paused", "the webhook is paused already")
        row = await _found(connection, webhook_id)
    return answer(_shown(row))


@router.post("/{webhook_id}/resume", response_model=Webhook, summary="Resume a webhook")
async def resume_webhook(request: Request, webhook_id: UUID) -> Response:
    """It goes on where it was paused. By administrators. 409 if it is not paused."""
    actor = await _admin(request)
    async with services(request).pool.acquire() as connection, connection.transaction():
        at = await commands.now(connection)
        if not await endpoints.resume(connection, webhook_id, actor, at):
            await _found(connection, webhook_id)
            raise errors.conflict("not_paused", "the webhook is not paused")
        row = await _found(connection, webhook_id)
    return answer(_shown(row))


@router.post("/{webhook_id}/test", response_model=WebhookTest, summary="Test a webhook")
async def test_webhook(request: Request, webhook_id: UUID) -> Response:
    """Have a relay send it a signed message of the type `webhook.test`, also while it is paused, and say what came
    of it; 202 if nothing has yet. By administrators."""
    await _admin(request)
    pool, test_id = services(request).pool, uuid4()
    if not await endpoints.ask_test(pool, webhook_id, test_id):
        raise errors.not_found("webhook")
    row = await _tested(pool, webhook_id, test_id)
    done = row["test_id"] == test_id and row["test_done_at"] is not None
    outcome = "waiting" if not done else "sent" if row["test_error"] is None else "failed"
    said: dict[str, Json] = {"id": test_id, "outcome": outcome}
    return answer(said | {"error": row["test_error"] if done else None}, 200 if done else 202)


@router.get("/{webhook_id}/dead", response_model=DeadPage, summary="A webhook's dead events")
async def list_dead(
    request: Request, webhook_id: UUID, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """What it was sent for days and did not take, in the order of the feed. For administrators."""
    await _admin(request)
    after = 0 if cursor is None else read_cursor(cursor, "number")[0]
    if not 0 <= after < 2**63:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    pool = services(request).pool
    await _found(pool, webhook_id)
    found = await parked.dead(pool, webhook_id, after, limit + 1)
    return page([_dead(row) for row in found], limit, lambda item: [int(item["sequence"])])


@router.post(
    "/{webhook_id}/resend",
    response_model=Resent,
    summary="Send dead events again",
    openapi_extra=takes(ResendBody),
)
async def resend_dead(request: Request, webhook_id: UUID) -> Response:
    """One of them, or all: as if they had just failed for the first time. By administrators."""
    await _admin(request)
    body = await read(request, ResendBody)
    async with services(request).pool.acquire() as connection, connection.transaction():
        await _found(connection, webhook_id)
        count = await parked.resend(connection, webhook_id, body.event_id)
    if body.event_id is not None and count == 0:
        raise errors.not_found("dead event of this webhook")
    return answer({"resent": count})


async def _admin(request: Request) -> Actor:
    return authorize(await caller_of(request), "webhooks", House())


async def _found(source: Source, webhook_id: UUID) -> Row:
    row = await endpoints.one(source, webhook_id)
    if row is None:
        raise errors.not_found("webhook")
    return row


async def _tested(pool: Pool, webhook_id: UUID, test_id: UUID) -> Row:
    """The webhook, once the test is done or it has taken too long."""
    until = asyncio.get_running_loop().time() + _TEST_SECONDS
    while True:
        row = await _found(pool, webhook_id)
        done = row["test_id"] != test_id or row["test_done_at"] is not None
        if done or asyncio.get_running_loop().time() > until:
            return row
        await asyncio.sleep(_TEST_LOOK)


def _event_type(type: str) -> str:
    found = cloudevents.event_type(type)
    assert found is not None  # the shape has seen to it
    return found


def _shown(row: Row) -> dict[str, Json]:
    names = ("id", "url", "description", "workflows", "paused_why", "made_by", "made_at")
    shown: dict[str, Json] = {name: row[name] for name in names}
    types = row["types"]
    shown["types"] = None if types is None else [cloudevents.type_of(each) for each in types]
    failing = "failing" if row["probe_at"] is not None else "active"
    shown["state"] = failing if row["paused_at"] is None else "paused"
    shown |= {
        name: row[name]
        for name in ("behind", "parked", "dead", "missed", "failures", "probe_at", "last_error")
    }
    return shown | {"last_delivered_at": row["delivered_at"], "last_failed_at": row["failed_at"]}


def _dead(row: Row) -> dict[str, Json]:
    return {
        "event_id": row["event_id"],
        "type": cloudevents.type_of(row["event_type"]),
        "request_id": row["request_id"] if row["of_request"] else None,
        "sequence": f"{row['position']:019}",
        "attempts": row["attempts"],
        "first_failed_at": row["failed_at"],
        "last_tried_at": row["tried_at"],
        "last_error": row["last_error"],
    }
