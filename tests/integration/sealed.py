"""An audit that is sealed: keys, a sealer, requests that leave rows, and tampering as a superuser."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from contract.notes import Checkpoint, PrivateKey, opened
from recipes.happenings import Actor
from relay.sealing import Sealer, Signing
from relay.witnesses import Folder, Witness
from storage import audit, sealing
from storage.commands import now
from storage.pool import Pool, Source

KEY = PrivateKey("example.org/audit", bytes(range(32)))
NEXT_KEY = PrivateKey("example.org/audit", bytes(range(1, 33)))
ALWAYS = timedelta(0)
"""A checkpoint every time, rows or not."""


def sealer(pool: Pool, *witnesses: Witness, quiet: timedelta = ALWAYS, **more: Any) -> Sealer:
    return Sealer(pool, Signing(more.pop("keys", (KEY,)), quiet, **more), witnesses)


async def seal(pool: Pool, *witnesses: Witness, **more: Any) -> Checkpoint:
    """Everything sealed and published by a sealer that starts now: the newest checkpoint."""
    mine = sealer(pool, *witnesses, **more)
    await mine.publish()
    while await mine.seal():
        pass
    await mine.publish()
    tree = await sealing.tree(pool)
    assert tree.last is not None
    keys = [key.public for key in more.get("keys", (KEY,))]
    return opened(tree.last.note, keys)


async def happen(source: Source, request_id: UUID | None = None, rows: int = 1) -> UUID:
    """Rows of a request's chain, as the product appends them."""
    request_id = request_id or uuid4()
    at = await now(source)
    events = [
        audit.event("a.b", at, {"n": n, "who": "Zoë"}, {"state": "pending"}, Actor("alice"))
        for n in range(rows)
    ]
    await audit.append(source, request_id, "leave", 1, events)
    return request_id


@dataclass
class Trail:
    """Requests with their rows, sealed as they came, and a witness."""

    pool: Pool
    folder: Folder
    requests: list[UUID] = field(default_factory=list)

    @classmethod
    async def grown(cls, pool: Pool, path: Path, *, requests: int = 6, rows: int = 4) -> "Trail":
        """Rows of requests in turn, with a checkpoint after each turn. `path` is there."""
        trail = cls(pool, Folder(path), [uuid4() for _ in range(requests)])
        for _ in range(rows):
            for request_id in trail.requests:
                await happen(pool, request_id)
            await seal(pool, trail.folder)
        return trail
