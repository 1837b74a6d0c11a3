"""Commands: what somebody asked a request's workflow to do, and what came of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from contract import content, traces
from contract.events import COMMAND_RECEIVED
from recipes.happenings import Commanded
from recipes.model import Json
from storage import audit
from storage.pool import Source, vault_of

# Runs in the transaction that holds the request's row. Locks: request, then audit head.
INSERT = """
WITH received AS (
    INSERT INTO commands (id, request_id, command, actor, comment, created_at, details)
    VALUES ($1, $2, $3, $4, $5, $6, $15) RETURNING request_id
), told AS (
    INSERT INTO outbox (request_id, kind, message, due_at, traceparent)
    SELECT request_id, 'signal', $7, now() + interval '2 seconds', $17 FROM received RETURNING id
)
SELECT told.id, audit_append($8, $6, $2, $9, $10, $11, $12, $13, $14, $16::text::jsonb) FROM told
"""


async def insert(
    source: Source, request: asyncpg.Record, command: Commanded, message: dict[str, Json]
) -> int:
    """Record a command on a request (as `requests.lock` gave it): the id of its outbox row."""
    details: dict[str, Json] = {
        "seat": command.seat,
        "to": command.to,
        "action": command.action,
        "moves": command.moves,
        "version": command.migration and command.migration.recipe.version,
        "where": command.where,
        "digest": command.digest,
    }
    details = {name: value for name, value in details.items() if value is not None}
    payload: dict[str, Json] = {
        "command_id": command.command_id,
        "command": command.command,
        "comment": command.comment,
        **details,
    }
    snapshot = {"state": request["state"], "seq": request["seq"], "step": request["step"]}
    event = audit.event(COMMAND_RECEIVED, command.at, payload, snapshot, command.actor)
    keys = await vault_of(source).writing(source, request["id"])
    actor, payload_text, snapshot_text, found = audit.single(event, keys)
    row = await source.fetchrow(
        INSERT,
        UUID(command.command_id),
        request["id"],
        command.command,
        command.actor.user,
        content.kept_text(command.comment, keys),
        command.at,
        content.boxed(message, keys),
        event.event_id,
        request["workflow"],
        request["version"],
        COMMAND_RECEIVED,
        actor,
        payload_text,
        snapshot_text,
        details,
        found,
        traces.CURRENT.get(),
    )
    assert row is not None
    return int(row["id"])


# Whether $2 is known and here, and the undecided seats of request $1 that storage knows of: those with
# an open task, and those that wait with an incident and have none.
REASSIGNING = """
SELECT e.id IS NOT NULL AS known, coalesce(e.employed @> now(), false) AS here,
       coalesce((SELECT jsonb_object_agg(t.seat, jsonb_build_object(
                            'task', t.id, 'assignee', t.assignee, 'excluded', t.excluded))
                   FROM tasks t WHERE t.request_id = r.id AND t.state = 'open'), '{}') AS tasks,
       ARRAY(SELECT DISTINCT i->>'seat' FROM jsonb_array_elements(r.incidents) i
              WHERE i->>'seat' IS NOT NULL ORDER BY 1) AS troubled
  FROM requests r LEFT JOIN people e ON e.id = $2 WHERE r.id = $1
"""


@dataclass(frozen=True, slots=True)
class OpenSeat:
    """A seat that waits for a decision: `task` is None where only an incident says that it waits."""

    task: UUID | None
    assignee: str | None = None
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reassigning:
    """What giving a seat to somebody depends on: of them, and of the request's undecided seats."""

    known: bool
    here: bool
    seats: dict[str, OpenSeat]


async def reassigning(source: Source, request_id: UUID, to: str) -> Reassigning:
    """In the transaction that holds the request's row."""
    row = await source.fetchrow(REASSIGNING, request_id, to)
    assert row is not None
    seats = dict.fromkeys(row["troubled"], OpenSeat(None)) | {
        seat: OpenSeat(UUID(task["task"]), task["assignee"], tuple(task["excluded"]))
        for seat, task in row["tasks"].items()
    }
    return Reassigning(row["known"], row["here"], seats)


BEING_REASSIGNED = """
SELECT EXISTS (SELECT FROM commands WHERE request_id = $1 AND settled_at IS NULL
                  AND command = 'reassign' AND details->>'seat' = $2)
"""


async def being_reassigned(source: Source, request_id: UUID, seat: str) -> bool:
    """Whether a reassignment of a seat waits for its workflow. In the transaction that holds the row."""
    found: bool = await source.fetchval(BEING_REASSIGNED, request_id, seat)
    return found


ADDED_APPROVERS = """
SELECT details->>'to' AS person, split_part(details->>'seat', '/', 1) AS step,
       details->>'where' AS where, actor, comment, settled_at
  FROM commands WHERE request_id = $1 AND command = 'add_approver' AND applied
 ORDER BY settled_at, id
"""


async def added_approvers(source: Source, request_id: UUID) -> list[asyncpg.Record]:
    """Whom people added to the steps of a request by hand, first to last."""
    return await source.fetch(ADDED_APPROVERS, request_id)


async def now(source: Source) -> datetime:
    """The time, by the clock that all share."""
    moment: datetime = await source.fetchval("SELECT clock_timestamp()")
    return moment


OUTCOME = "SELECT applied, detail FROM commands WHERE id = $1 AND settled_at IS NOT NULL"


async def outcome(source: Source, command_id: UUID) -> tuple[bool, str] | None:
    """Whether a command was applied, and the detail; None while the workflow has not said."""
    row = await source.fetchrow(OUTCOME, command_id)
    return None if row is None else (row["applied"], row["detail"])


OUTCOMES = """
SELECT id, applied, detail FROM commands WHERE id = ANY($1::uuid[]) AND settled_at IS NOT NULL
"""


async def outcomes(source: Source, command_ids: Collection[UUID]) -> dict[UUID, tuple[bool, str]]:
    """`outcome` of many: those that are settled."""
    rows = await source.fetch(OUTCOMES, list(command_ids))
    return {row["id"]: (row["applied"], row["detail"]) for row in rows}
