"""Attachments: files beside a request. What is in them is kept once, by its SHA-256.

Of a request that keeps something confidential they are kept for it alone, sealed, under a number that its key
makes of the SHA-256: whoever sees the number cannot tell which file it is.
"""

from dataclasses import dataclass
from hmac import digest as hmac
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg

from contract import boxes
from contract import content as content_of
from contract.boxes import Keys
from contract.events import ATTACHMENT_ADDED
from contract.files import LARGEST_TOTAL
from recipes.happenings import Actor
from storage import audit, sight
from storage.pool import Connection, Source, vault_of
from storage.sight import Row

_COLUMNS = (
    "a.id, a.request_id, a.name, a.media_type, a.size, a.sha256, a.added_by, a.added_at, a.sealed"
)


@dataclass(frozen=True, slots=True)
class File:
    """A file to be added; `sha256` is of its content."""

    name: str
    media_type: str
    sha256: bytes
    content: bytes


# Two that add to one request at once would each see what was there before the other.
TURN = "SELECT pg_advisory_xact_lock(hashtextextended('attaching:' || $1::uuid, 4))"
SAME = f"SELECT {_COLUMNS} FROM attachments a WHERE request_id = $1 AND sha256 = $2"
TOTAL = "SELECT coalesce(sum(size), 0) FROM attachments WHERE request_id = $1"
# One that is there is locked: whoever erases the last request that has it must not take it away now.
KEEP = """
INSERT INTO blobs (sha256, content, sealed) VALUES ($1, $2, $3)
    ON CONFLICT (sha256) DO UPDATE SET kept_at = blobs.kept_at
"""
ADD = f"""
INSERT INTO attachments AS a (id, request_id, name, media_type, size, sha256, added_by, sealed, added_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp()) RETURNING {_COLUMNS}
"""


async def add(
    connection: Connection, request: asyncpg.Record, actor: Actor, file: File, *, known: bool
) -> tuple[Literal["added", "same"], asyncpg.Record] | None:
    """Add a file to a request (as `requests.load` gave it), in a transaction; `same` if it has that file
    under that name, unless what it has is not to be known to who adds. None if the request's files would
    be too large together."""
    keys = await vault_of(connection).writing(connection, request["id"])
    kept = _kept(file, keys)
    await connection.execute(TURN, request["id"])
    for same in await connection.fetch(SAME, request["id"], kept.sha256):
        if known and content_of.shown_text(same["name"], keys) == file.name:
            return "same", same
    if await connection.fetchval(TOTAL, request["id"]) + len(file.content) > LARGEST_TOTAL:
        return None
    await connection.execute(KEEP, kept.sha256, kept.content, kept.box is not None)
    made = await connection.fetchrow(
        ADD,
        uuid4(),
        request["id"],
        kept.name,
        file.media_type,
        len(file.content),
        kept.sha256,
        actor.user,
        kept.box,
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


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file as its rows have it; `box` has its SHA-256 where it is sealed."""

    name: str
    sha256: bytes
    content: bytes
    box: bytes | None = None


def _kept(file: File, keys: Keys | None) -> _Kept:
    if keys is None or not keys.private:
        return _Kept(file.name, file.sha256, file.content)
    scope = keys.widest
    number = hmac(keys.key(scope), b"countersign file" + file.sha256, "sha256")
    name = content_of.kept_text(file.name, keys)
    assert name is not None
    box = boxes.seal(keys, scope, file.sha256)
    return _Kept(name, number, boxes.seal(keys, scope, file.content), box)


def seen(row: Row, keys: Keys | None) -> dict[str, Any]:
    """An attachment as a holder of these keys of its request sees it, with `withheld`."""
    found = sight.seen(row, keys, sight.ATTACHMENT)
    if keys is None or found["sealed"] is None:
        return found
    if not keys.holds(keys.widest):
        return found | {"sha256": None, "withheld": [*found["withheld"], "/sha256"]}
    return found | {"sha256": boxes.open_box(keys, keys.widest, found["sealed"])}


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
    """One of a request, with what is in it: see `opened`."""
    return await source.fetchrow(CONTENT, request_id, attachment_id)


def opened(row: asyncpg.Record, keys: Keys | None) -> bytes | None:
    """What is in it, from a row of `content`; None where a holder of these keys may not see that."""
    if keys is None or row["sealed"] is None:
        return bytes(row["content"])
    if not keys.holds(keys.widest):
        return None
    return boxes.open_box(keys, keys.widest, row["content"])
