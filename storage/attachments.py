"""Attachments: files beside a request. What is in them is kept once, by its SHA-256."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid4

import asyncpg

from contract.events import ATTACHMENT_ADDED
from contract.files import LARGEST_TOTAL
from recipes.happenings import Actor
from storage import audit
from storage.pool import Connection, Source

_COLUMNS = "a.id, a.request_id, a.name, a.media_type, a.size, a.sha256, a.added_by, a.added_at"


@dataclass(frozen=True, slots=True)
class File:
    """A file to be added; `sha256` is of its content."""

    name: str
    media_type: str
    sha256: bytes
    content: bytes


# Two that add to one request at once would each see what was there before the other.
TURN = "SELECT pg_advisory_xact_lock(hashtextextended('attaching:' || $1::uuid, 4))"
SAME = f"SELECT {_COLUMNS} FROM attachments a WHERE request_id = $1 AND sha256 = $2 AND name = $3"
TOTAL = "SELECT coalesce(sum(size), 0) FROM attachments WHERE request_id = $1"
KEEP = "INSERT INTO blobs (sha256, content) VALUES ($1, $2) ON CONFLICT DO NOTHING"
ADD = f"""
INSERT INTO attachments AS a (id, request_id, name, media_type, size, sha256, added_by, added_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp()) RETURNING {_COLUMNS}
"""


async def add(
    connection: Connection, request: asyncpg.Record, actor: Actor, file: File
) -> tuple[Literal["added", "same"], asyncpg.Record] | None:
    """Add a file to a request (as `requests.load` gave it), in a transaction; `same` if it has that file
    under that name. None if the request's files would be too large together."""
    await connection.execute(TURN, request["id"])
    same = await connection.fetchrow(SAME, request["id"], file.sha256, file.name)
    if same is not None:
        return "same", same
    if await connection.fetchval(TOTAL, request["id"]) + len(file.content) > LARGEST_TOTAL:
        return None
    await connection.execute(KEEP, file.sha256, file.content)
    made = await connection.fetchrow(
        ADD,
        uuid4(),
        request["id"],
        file.name,
        file.media_type,
        len(file.content),
        file.sha256,
        actor.user,
    )
    assert made is not None
    payload = {
        "attachment_id": str(made["id"]),
        "name": file.name,
        "media_type": file.media_type,
        "size": len(file.content),
        "sha256": file.sha256.hex(),
    }
    snapshot = {"state": request["state"], "seq": request["seq"], "step": request["step"]}
    event = audit.event(ATTACHMENT_ADDED, made["added_at"], payload, snapshot, actor)
    await audit.append(connection, request["id"], request["workflow"], request["version"], [event])
    return "added", made


OF_REQUEST = (
    f"SELECT {_COLUMNS} FROM attachments a WHERE a.request_id = $1 ORDER BY a.added_at, a.id"
)


async def of_request(source: Source, request_id: UUID) -> list[asyncpg.Record]:
    """All of a request, oldest first, without what is in them."""
    return await source.fetch(OF_REQUEST, request_id)


CONTENT = f"""
SELECT {_COLUMNS}, b.content FROM attachments a JOIN blobs b USING (sha256)
 WHERE a.request_id = $1 AND a.id = $2
"""


async def content(source: Source, request_id: UUID, attachment_id: UUID) -> asyncpg.Record | None:
    """One of a request, with what is in it."""
    return await source.fetchrow(CONTENT, request_id, attachment_id)
