"""Who was shown what Temporal keeps of a request: on record in its chain, before they are."""

from collections.abc import Mapping
from uuid import UUID

from contract.events import CONTENT_REVEALED
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit
from storage.commands import now
from storage.pool import Connection

ABOUT = (
    "SELECT id, workflow, version, state, seq, step FROM requests WHERE id = ANY($1) ORDER BY id"
)


async def record(
    connection: Connection, actor: Actor, through: str, payloads: Mapping[UUID, int]
) -> None:
    """That somebody is about to see so many payloads of these requests, in a transaction of the caller's.
    The chains are locked in the order of their requests."""
    at = await now(connection)
    for row in await connection.fetch(ABOUT, list(payloads)):
        told: dict[str, Json] = {"through": through, "payloads": payloads[row["id"]]}
        snapshot = {name: row[name] for name in ("state", "seq", "step")}
        event = audit.event(CONTENT_REVEALED, at, told, snapshot, actor)
        await audit.append(connection, row["id"], row["workflow"], row["version"], [event])
