"""Comments: what people say about a request, in its order, beside its decisions."""

from datetime import datetime
from uuid import UUID, uuid4

import asyncpg

from contract import content
from contract.events import COMMENT_ADDED
from recipes.happenings import Actor
from storage import audit
from storage.pool import Connection, Source, vault_of

ADD = """
INSERT INTO comments (id, request_id, author, text, made_at)
VALUES ($1, $2, $3, $4, clock_timestamp()) RETURNING *
"""


async def add(
    connection: Connection, request: asyncpg.Record, actor: Actor, text: str
) -> asyncpg.Record:
    """Record a comment on a request (as `requests.load` gave it), in a transaction: the comment."""
    keys = await vault_of(connection).writing(connection, request["id"])
    kept = content.kept_text(text, keys)
    made = await connection.fetchrow(ADD, uuid4(), request["id"], actor.user, kept)
    assert made is not None
    payload = {"comment_id": str(made["id"]), "text": text}
    snapshot = {"state": request["state"], "seq": request["seq"], "step": request["step"]}
    event = audit.event(COMMENT_ADDED, made["made_at"], payload, snapshot, actor)
    await audit.append(connection, request["id"], request["workflow"], request["version"], [event])
    return made


OF_REQUEST = """
SELECT * FROM comments WHERE request_id = $1 AND (made_at, id) > ($2, $3)
 ORDER BY made_at, id LIMIT $4
"""


async def of_request(
    source: Source, request_id: UUID, after: tuple[datetime, UUID], limit: int
) -> list[asyncpg.Record]:
    """Those of a request after `after` (made_at, id), oldest first."""
    return await source.fetch(OF_REQUEST, request_id, *after, limit)


LATEST = "SELECT * FROM comments WHERE request_id = $1 ORDER BY made_at DESC, id DESC LIMIT $2"


async def latest(source: Source, request_id: UUID, limit: int) -> list[asyncpg.Record]:
    """The last ones of a request, oldest first."""
    return (await source.fetch(LATEST, request_id, limit))[::-1]
