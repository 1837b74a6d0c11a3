"""Erasure: a request's data keys are destroyed, and what is kept of it in the clear is blanked.

All of it is one function of the database (migration 0027), which also says so in the request's chain:
nobody can destroy keys and leave no trace, nor leave part of it undone.
"""

from typing import Literal, TypeAlias, get_args
from uuid import UUID

import asyncpg

from contract.canonical import canonical
from contract.events import REQUEST_ERASED
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit
from storage.commands import now
from storage.pool import Connection, Source, vault_of

Refusal = Literal[
    "not_found",
    "not_final",
    "never_encrypted",
    "unsettled",
    "unfinished",
    "being_recalled",
    "held",
]
Came: TypeAlias = Refusal | Literal["erased", "erased_before"]

REFUSALS = frozenset[str](get_args(Refusal))
ERASE = "SELECT erase_request($1, $2, $3, $4, $5, $6)"


async def erase(connection: Connection, request: asyncpg.Record, actor: Actor, reason: str) -> Came:
    """Erase a request (as `requests.lock` gave it), in a transaction: what came of it. The reason stays,
    for ever and in the clear."""
    at = await now(connection)
    snapshot: dict[str, Json] = {"state": request["state"], "seq": request["seq"], "step": None}
    event = audit.event(REQUEST_ERASED, at, {"reason": reason}, snapshot, actor)
    texts = (audit.actor_json(event.actor), event.payload, event.snapshot)
    came: Came = await connection.fetchval(
        ERASE, request["id"], event.event_id, at, *map(canonical, texts)
    )
    vault_of(connection).forget(request["id"])
    return came


UNDONE = """
WITH gone AS (
    SELECT id FROM requests WHERE erased_at IS NOT NULL
    UNION SELECT request_id FROM audit_heads WHERE erased
    UNION SELECT request_id FROM audit WHERE event_type = 'request.erased')
SELECT DISTINCT k.request_id FROM data_keys k JOIN gone ON gone.id = k.request_id
 WHERE k.scope = 'shared' ORDER BY 1
"""


async def undone(source: Source) -> list[UUID]:
    """Requests that were erased, and whose data keys are here all the same: from a backup."""
    return [row["request_id"] for row in await source.fetch(UNDONE)]
