"""Commands: what somebody asked a request's workflow to do, and what came of it."""

from datetime import datetime
from uuid import UUID

import asyncpg

from contract.events import COMMAND_RECEIVED
from recipes.model import Json
from recipes.state import Commanded
from storage import audit
from storage.pool import Source

# Runs in the transaction that holds the request's row. Locks: request, then audit head.
INSERT = """
WITH received AS (
    INSERT INTO commands (id, request_id, command, actor, comment, created_at)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING request_id
), told AS (
    INSERT INTO outbox (request_id, kind, message, due_at)
    SELECT request_id, 'signal', $7, now() + interval '2 seconds' FROM received RETURNING id
)
SELECT told.id, audit_append($8, $6, $2, $9, $10, $11, $12, $13, $14) FROM told
"""


async def insert(
    source: Source, request: asyncpg.Record, command: Commanded, message: dict[str, Json]
) -> int:
    """Record a command on a request (as `requests.lock` gave it): the id of its outbox row."""
    payload: dict[str, Json] = {
        "command_id": command.command_id,
        "command": command.command,
        "comment": command.comment,
    }
    snapshot = {"state": request["state"], "seq": request["seq"], "step": request["step"]}
    event = audit.event(COMMAND_RECEIVED, command.at, payload, snapshot, command.actor)
    [event_id], _, _, [actor], [payload_text], [snapshot_text] = audit.columns([event])
    row = await source.fetchrow(
        INSERT,
        UUID(command.command_id),
        request["id"],
        command.command,
        command.actor.user,
        command.comment,
        command.at,
        message,
        event_id,
        request["workflow"],
        request["version"],
        COMMAND_RECEIVED,
        actor,
        payload_text,
        snapshot_text,
    )
    assert row is not None
    return int(row["id"])


async def now(source: Source) -> datetime:
    """The time, by the clock that all share."""
    moment: datetime = await source.fetchval("SELECT clock_timestamp()")
    return moment


OUTCOME = "SELECT applied, detail FROM commands WHERE id = $1 AND settled_at IS NOT NULL"


async def outcome(source: Source, command_id: UUID) -> tuple[bool, str] | None:
    """Whether a command was applied, and the detail; None while the workflow has not said."""
    row = await source.fetchrow(OUTCOME, command_id)
    return None if row is None else (row["applied"], row["detail"])
