"""Webhook endpoints as administrators make them: where to, what of, and what signs (migration 0037).

Secrets are wrapped by a region key, as the data keys of requests are. What befalls an endpoint is in the audit by
its host alone: the rest of a URL may be a secret itself.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg

from contract.events import (
    WEBHOOK_ADDED,
    WEBHOOK_PAUSED,
    WEBHOOK_REMOVED,
    WEBHOOK_RESUMED,
    WEBHOOK_ROTATED,
)
from contract.webhooks import OVERLAP, SECRET_BYTES
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit, feed
from storage.pool import Connection, Source, vault_of
from storage.vault import Vault

CHAIN = uuid5(NAMESPACE_OID, "countersign:webhooks")
"""The chain of what befalls endpoints; its workflow is `webhooks`."""
RELAY = Actor("system:relay")


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """An endpoint to be made. `types` and `workflows` are those it is told of; None is all."""

    id: UUID
    url: str
    description: str
    types: tuple[str, ...] | None
    workflows: tuple[str, ...] | None


def consumer(webhook_id: UUID) -> str:
    """The name of an endpoint's place in the feed."""
    return f"webhook:{webhook_id}"


_COUNTS = """
(SELECT count(*) FROM webhook_parked p WHERE p.webhook_id = w.id AND p.dead_at IS NULL) AS parked,
(SELECT count(*) FROM webhook_parked p WHERE p.webhook_id = w.id AND p.dead_at IS NOT NULL) AS dead,
(SELECT s.position - c.position FROM feed_consumers c, feed_state s WHERE c.name = 'webhook:' || w.id) AS behind"""
INSERT = """
INSERT INTO webhooks (id, url, description, types, workflows, made_by, made_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_KEEP = """
INSERT INTO webhook_secrets (webhook_id, number, region, wrapped)
SELECT $1, 1 + coalesce(max(number), 0), $2, $3 FROM webhook_secrets WHERE webhook_id = $1
"""
ONE = f"SELECT w.*, {_COUNTS} FROM webhooks w WHERE w.id = $1"
NEWEST = f"""
SELECT w.*, {_COUNTS} FROM webhooks w WHERE (w.made_at, w.id) < ($1, $2)
 ORDER BY w.made_at DESC, w.id DESC LIMIT $3
"""


async def add(
    connection: Connection, item: NewWebhook, actor: Actor, at: datetime
) -> tuple[asyncpg.Record, bytes]:
    """Make an endpoint, in a transaction of the caller's: its row and its secret. It is told what is fed from
    now on."""
    row = (item.id, item.url, item.description, item.types, item.workflows)
    await connection.execute(INSERT, *row, actor.user, at)
    secret = await _new_secret(connection, item.id)
    await feed.begin(connection, consumer(item.id))
    said: dict[str, Json] = {
        "types": None if item.types is None else list(item.types),
        "workflows": None if item.workflows is None else list(item.workflows),
    }
    await _record(connection, WEBHOOK_ADDED, item.id, item.url, actor, at, said)
    found = await one(connection, item.id)
    assert found is not None
    return found, secret


ROTATE = """
UPDATE webhook_secrets SET ends_at = $2::timestamptz + $3::interval WHERE webhook_id = $1 AND ends_at IS NULL
"""
FORGET_ENDED = "DELETE FROM webhook_secrets WHERE webhook_id = $1 AND ends_at < $2"


async def rotate(connection: Connection, row: asyncpg.Record, actor: Actor, at: datetime) -> bytes:
    """A new secret, in a transaction of the caller's that has the row locked. The one before signs beside it for
    a day."""
    await connection.execute(FORGET_ENDED, row["id"], at)
    await connection.execute(ROTATE, row["id"], at, OVERLAP)
    secret = await _new_secret(connection, row["id"])
    await _record(connection, WEBHOOK_ROTATED, row["id"], row["url"], actor, at, {})
    return secret


async def _new_secret(connection: Connection, webhook_id: UUID) -> bytes:
    secret = secrets.token_bytes(SECRET_BYTES)
    region, wrapped = vault_of(connection).wrap(webhook_id, secret)
    await connection.execute(_KEEP, webhook_id, region, wrapped)
    return secret


PAUSE = "UPDATE webhooks SET paused_at = $2, paused_why = $3 WHERE id = $1 AND paused_at IS NULL RETURNING url"
RESUME = """
UPDATE webhooks SET paused_at = NULL, paused_why = NULL, failures = 0, probes = 0, probe_at = NULL
 WHERE id = $1 AND paused_at IS NOT NULL RETURNING url
"""
REMOVE = "DELETE FROM webhooks WHERE id = $1 RETURNING url"


async def pause(
    connection: Connection, webhook_id: UUID, actor: Actor, at: datetime, why: str
) -> bool:
    """Send it nothing more, in a transaction of the caller's. False if it is paused, or not there."""
    url = await connection.fetchval(PAUSE, webhook_id, at, why)
    if url is not None:
        await _record(connection, WEBHOOK_PAUSED, webhook_id, url, actor, at, {"why": why})
    return url is not None


async def resume(connection: Connection, webhook_id: UUID, actor: Actor, at: datetime) -> bool:
    """Go on where it was paused, in a transaction of the caller's. False if it is not paused, or not there."""
    url = await connection.fetchval(RESUME, webhook_id)
    if url is not None:
        await _record(connection, WEBHOOK_RESUMED, webhook_id, url, actor, at, {})
    return url is not None


async def remove(connection: Connection, webhook_id: UUID, actor: Actor, at: datetime) -> bool:
    """Forget it, with all that it has not taken, in a transaction of the caller's. False if it is not there."""
    # In the order in which its relay locks: the other way round both would wait for ever.
    await feed.end(connection, consumer(webhook_id))
    url = await connection.fetchval(REMOVE, webhook_id)
    if url is not None:
        await _record(connection, WEBHOOK_REMOVED, webhook_id, url, actor, at, {})
    return url is not None


async def one(source: Source, webhook_id: UUID) -> asyncpg.Record | None:
    """An endpoint, with how many events are `parked`, `dead`, and not looked at yet (`behind`)."""
    return await source.fetchrow(ONE, webhook_id)


async def locked(connection: Connection, webhook_id: UUID) -> asyncpg.Record | None:
    """An endpoint that nobody else changes until the transaction ends."""
    return await connection.fetchrow("SELECT * FROM webhooks WHERE id = $1 FOR UPDATE", webhook_id)


async def newest(
    source: Source, before: tuple[datetime, UUID], limit: int
) -> Sequence[asyncpg.Record]:
    return await source.fetch(NEWEST, *before, limit)


ASK_TEST = """
UPDATE webhooks SET test_id = $2, test_done_at = NULL, test_error = NULL WHERE id = $1 RETURNING true
"""


async def ask_test(source: Source, webhook_id: UUID, test_id: UUID) -> bool:
    """Have a relay send it a test, also while it is paused. False if it is not there."""
    return bool(await source.fetchval(ASK_TEST, webhook_id, test_id))


SECRETS = """
SELECT region, wrapped FROM webhook_secrets
 WHERE webhook_id = $1 AND (ends_at IS NULL OR ends_at > clock_timestamp()) ORDER BY number DESC
"""


async def secrets_of(source: Source, webhook_id: UUID) -> list[bytes]:
    """What signs for an endpoint now, the newest first. KeyUnreadable."""
    vault = vault_of(source)
    rows = await source.fetch(SECRETS, webhook_id)
    return [vault.unwrap(webhook_id, row["region"], row["wrapped"]) for row in rows]


OTHERS = "SELECT webhook_id, number, region, wrapped FROM webhook_secrets WHERE region <> $1"
REWRAP = """
UPDATE webhook_secrets SET region = $3, wrapped = $4 WHERE webhook_id = $1 AND number = $2
"""


async def rewrap(source: Source, vault: Vault) -> int:
    """Wrap with the current region key what others wrapped: how many secrets. KeyUnreadable."""
    rows = await source.fetch(OTHERS, vault.current.name)
    for row in rows:
        secret = vault.unwrap(row["webhook_id"], row["region"], row["wrapped"])
        region, wrapped = vault.wrap(row["webhook_id"], secret)
        await source.execute(REWRAP, row["webhook_id"], row["number"], region, wrapped)
    return len(rows)


async def _record(  # noqa: PLR0917 - an event, about an endpoint
    connection: Connection,
    event_type: str,
    webhook_id: UUID,
    url: str,
    actor: Actor,
    at: datetime,
    more: dict[str, Json],
) -> None:
    payload: dict[str, Json] = {
        "webhook_id": str(webhook_id),
        "host": urlsplit(url).hostname,
        **more,
    }
    event = audit.event(event_type, at, payload, {}, actor)
    await audit.append_plain(connection, CHAIN, "webhooks", 1, [event])
