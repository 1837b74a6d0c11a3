"""Legal holds: what of the cold tier must not be deleted, whatever its age."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import asyncpg

from contract.events import HOLD_ENDED, HOLD_SET
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit
from storage.commands import now
from storage.pool import Connection, Source

CHAIN = uuid5(NAMESPACE_OID, "countersign:audit")
"""The chain of what befalls the audit itself; its workflow is `audit`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a hold keeps, exactly one of them: a request's months, those with rows of a workflow, a month."""

    request_id: UUID | None = None
    workflow: str | None = None
    month: date | None = None


_COLUMNS = "id, request_id, workflow, month, reason, set_by, set_at, ended_by, ended_at, end_reason"
SET = f"""
INSERT INTO audit_holds (id, request_id, workflow, month, reason, set_by, set_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}
"""
END = f"""
UPDATE audit_holds SET ended_by = $2, ended_at = $3, end_reason = $4
 WHERE id = $1 AND ended_at IS NULL RETURNING {_COLUMNS}
"""
LIST = f"SELECT {_COLUMNS} FROM audit_holds WHERE $1 OR ended_at IS NULL ORDER BY set_at DESC, id"
ONE = f"SELECT {_COLUMNS} FROM audit_holds WHERE id = $1"


async def set_hold(
    connection: Connection, actor: Actor, reason: str, scope: Scope
) -> asyncpg.Record:
    """Set a hold, in a transaction of the caller's: the row."""
    at = await now(connection)
    about = (scope.request_id, scope.workflow, scope.month)
    row = await connection.fetchrow(SET, uuid4(), *about, reason, actor.user, at)
    assert row is not None
    await _record(connection, HOLD_SET, row, actor, {"reason": reason})
    return row


async def end_hold(
    connection: Connection, hold_id: UUID, actor: Actor, reason: str
) -> asyncpg.Record | None:
    """End a hold, in a transaction of the caller's: the row; None if there is none, or it has ended."""
    at = await now(connection)
    row = await connection.fetchrow(END, hold_id, actor.user, at, reason)
    if row is not None:
        await _record(connection, HOLD_ENDED, row, actor, {"reason": reason})
    return row


async def one(source: Source, hold_id: UUID) -> asyncpg.Record | None:
    return await source.fetchrow(ONE, hold_id)


async def every(source: Source, *, ended: bool = False) -> Sequence[asyncpg.Record]:
    """The newest first; with `ended` those that have, too."""
    return await source.fetch(LIST, ended)


async def _record(
    connection: Connection,
    event_type: str,
    row: asyncpg.Record,
    actor: Actor,
    more: dict[str, Json],
) -> None:
    payload: dict[str, Json] = {
        "id": str(row["id"]),
        "request_id": row["request_id"] and str(row["request_id"]),
        "workflow": row["workflow"],
        "month": row["month"] and f"{row['month']:%Y-%m}",
    }
    event = audit.event(event_type, await now(connection), payload | more, {}, actor)
    await audit.append_plain(connection, CHAIN, "audit", 1, [event])
