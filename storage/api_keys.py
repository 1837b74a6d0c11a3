"""API keys of services: made, found, used, revoked. What can sign in is never kept, only its SHA-256."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_OID, uuid5

import asyncpg

from contract.canonical import timestamp
from contract.events import KEY_MADE, KEY_REVOKED
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit
from storage.pool import Connection, Source

CHAIN = uuid5(NAMESPACE_OID, "countersign:api_keys")
"""The chain of what befalls keys; its workflow is `api_keys`."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be kept; `digest` is the SHA-256 of its secret."""

    id: str
    service: str
    description: str
    scopes: tuple[str, ...]
    digest: bytes
    made_at: datetime
    expires_at: datetime


_COLUMNS = """id, service, description, scopes, made_by, made_at, expires_at, revoked_by, revoked_at, last_used_at,
CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= clock_timestamp() THEN 'expired'
     ELSE 'active' END AS state"""
INSERT = f"""
INSERT INTO api_keys (id, service, description, scopes, digest, made_by, made_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {_COLUMNS}
"""
FIND = f"""
SELECT {_COLUMNS}, digest,
       last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute' AS unnoticed
  FROM api_keys WHERE id = $1
"""
USED = """
UPDATE api_keys SET last_used_at = clock_timestamp()
 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')
"""
REVOKE = f"""
UPDATE api_keys SET revoked_by = $2, revoked_at = $3
 WHERE id = $1 AND revoked_at IS NULL RETURNING {_COLUMNS}
"""
ONE = f"SELECT {_COLUMNS} FROM api_keys WHERE id = $1"
NEWEST = f"""
SELECT {_COLUMNS} FROM api_keys
 WHERE ($1 OR (revoked_at IS NULL AND expires_at > clock_timestamp())) AND (made_at, id) < ($2, $3)
 ORDER BY made_at DESC, id DESC LIMIT $4
"""


async def make(connection: Connection, key: NewKey, actor: Actor) -> asyncpg.Record:
    """Keep a new key, in a transaction of the caller's: its row."""
    about = (key.id, key.service, key.description, list(key.scopes), key.digest)
    row = await connection.fetchrow(INSERT, *about, actor.user, key.made_at, key.expires_at)
    assert row is not None
    more: dict[str, Json] = {
        "scopes": list(key.scopes),
        "expires_at": timestamp(key.expires_at),
    }
    await _record(connection, KEY_MADE, row, actor, more)
    return row


async def revoke(
    connection: Connection, key_id: str, actor: Actor, at: datetime
) -> asyncpg.Record | None:
    """Revoke a key, in a transaction of the caller's: its row; None if there is none, or it was before."""
    row = await connection.fetchrow(REVOKE, key_id, actor.user, at)
    if row is not None:
        await _record(connection, KEY_REVOKED, row, actor, {})
    return row


async def find(source: Source, key_id: str) -> asyncpg.Record | None:
    """A key with its `digest`, `state`, and whether its use is still `unnoticed`."""
    return await source.fetchrow(FIND, key_id)


async def used(source: Source, key_id: str) -> None:
    """Note that a key is used now, once a minute."""
    await source.execute(USED, key_id)


async def one(source: Source, key_id: str) -> asyncpg.Record | None:
    return await source.fetchrow(ONE, key_id)


async def newest(
    source: Source, before: tuple[datetime, str], limit: int, *, ended: bool
) -> Sequence[asyncpg.Record]:
    """The newest first; with `ended` also those that have expired or were revoked."""
    return await source.fetch(NEWEST, ended, *before, limit)


async def _record(
    connection: Connection,
    event_type: str,
    row: asyncpg.Record,
    actor: Actor,
    more: dict[str, Json],
) -> None:
    payload: dict[str, Json] = {"id": row["id"], "service": row["service"], **more}
    event = audit.event(event_type, row["revoked_at"] or row["made_at"], payload, {}, actor)
    await audit.append_plain(connection, CHAIN, "api_keys", 1, [event])
