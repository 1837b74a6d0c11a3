"""What Temporal must still hear. Rows are written by whoever writes the fact, in its transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter, ValidationError

from contract import content
from contract.boxes import CannotOpen, Keys
from contract.canonical import timestamp
from contract.events import describe
from contract.messages import Message, StartInput
from contract.names import ENGINE_VERSION
from recipes import model, progress
from recipes.asks import Times
from recipes.effects import SettleCommand
from recipes.model import Json
from storage import audit, requests, sight
from storage.errors import Erased, plain
from storage.pool import Source, vault_of

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
_TIMES: TypeAdapter[Times] = TypeAdapter(Times)


@dataclass(frozen=True, slots=True)
class Due:
    """A row to tell now. `text` is a signal's message as it was written, see `message`."""

    id: int
    request_id: UUID
    kind: Literal["start", "signal"]
    text: Json
    attempts: int
    traceparent: str | None = None

    def message(self) -> Message:
        """The signal's message. ValueError if this version does not know its kind, or cannot open it."""
        if content.is_boxed(self.text):
            raise ValueError("its request's keys cannot be read")
        try:
            return _MESSAGE.validate_python(self.text)
        except ValidationError as error:
            # Its own text quotes the message.
            kind = self.text.get("kind") if isinstance(self.text, dict) else None
            raise ValueError(
                f"no message that this version knows: {kind}: {plain(error)}"
            ) from None


# Leased, not locked: whoever takes a row has $2 seconds to tell it before another relay does. Only
# the oldest row of a request is taken, so that its start precedes its signals.
TAKE = """
WITH due AS (
    SELECT id FROM outbox o
     WHERE due_at <= now()
       AND ($3 OR kind <> 'start')
       AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.request_id = o.request_id AND e.id < o.id)
     ORDER BY due_at, id LIMIT $1 FOR UPDATE SKIP LOCKED)
UPDATE outbox o SET due_at = now() + make_interval(secs => $2), attempts = attempts + 1
  FROM due WHERE o.id = due.id
RETURNING o.id, o.request_id, o.kind, o.message, o.attempts, o.traceparent
"""


async def take(source: Source, *, most: int, lease_seconds: float, starts: bool) -> list[Due]:
    """Up to `most` rows that are due, leased; without `starts`, signals only."""
    rows = await source.fetch(TAKE, most, lease_seconds, starts)
    signalled = [row["request_id"] for row in rows if row["kind"] == "signal"]
    # One that cannot be read is told alone, and waits: `Due.message` says so.
    keys, _ = await vault_of(source).writable(source, signalled) if signalled else ({}, {})
    return [
        Due(
            row["id"],
            row["request_id"],
            row["kind"],
            _readable(row["message"], keys.get(row["request_id"])),
            row["attempts"],
            row["traceparent"],
        )
        for row in rows
    ]


def _readable(message: Any, keys: Keys | None) -> Json:
    """A message out of its box, or messages out of theirs. What cannot be opened stays as it is."""
    if not isinstance(message, dict):
        return None
    try:
        if "items" in message:
            return message | {"items": [content.unboxed(it, keys) for it in message["items"]]}
        return content.unboxed(message, keys)
    except CannotOpen:
        return message


async def delete(source: Source, ids: Sequence[int]) -> None:
    """These rows were told."""
    await source.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", ids)


POSTPONE = """
UPDATE outbox SET due_at = now() + make_interval(secs => $2), last_error = left($3, 500) WHERE id = $1
"""


async def postpone(source: Source, row_id: int, seconds: float, error: str) -> None:
    await source.execute(POSTPONE, row_id, seconds, error)


START = """
SELECT r.id, r.requester, coalesce(v.inputs, r.inputs) AS inputs, r.created_at, r.digest,
       CASE WHEN v.number IS NULL THEN r.sealed ELSE v.sealed END AS sealed,
       v.digest AS first_digest, r.entity_type, r.entity_id, r.first_version, r.deadline_at,
       r.deadline_by, r.first_deadline, r.erased_at, p.sha256, p.recipe
  FROM requests r
  JOIN recipes p ON p.workflow = r.workflow AND p.version = coalesce(r.first_version, r.version)
  LEFT JOIN revisions v ON v.request_id = r.id AND v.number = 1
 WHERE r.id = $1
"""


async def start_input(source: Source, request_id: UUID) -> StartInput:
    """The start of a request's workflow, made anew from what was committed: as it was first submitted, on
    the version of then, from where its commits lead to the one it has now. LookupError if there is no such
    request, Erased if nothing of it is left."""
    row = await source.fetchrow(START, request_id)
    if row is None:
        raise LookupError(f"request {request_id} is not there")
    if row["erased_at"] is not None:
        raise Erased(f"request {request_id} was erased at {timestamp(row['erased_at'])}")
    inputs: dict[str, Json] = (await sight.whole(source, row))["inputs"]
    recipe = model.load(row["recipe"])
    moved = row["first_version"] is not None
    computed = await requests.digest(source, request_id, row["sha256"], inputs)
    state = progress.initial(
        recipe,
        request_id=str(row["id"]),
        requester=row["requester"],
        inputs=inputs,
        submitted_at=row["created_at"],
        digest=row["first_digest"] or (computed if moved else row["digest"]),
        entity=requests.entity_of(row),
        deadline=_deadline(row),
    )
    return StartInput(ENGINE_VERSION, recipe, row["sha256"], state)


def _deadline(row: asyncpg.Record) -> Times | None:
    """As it was worked out at the submission, if it counts business days."""
    at, by = row["deadline_at"], row["deadline_by"]
    if row["first_deadline"] is not None:
        at, by = row["first_deadline"]["due_at"], row["first_deadline"]["by"]
    return None if by is None else _TIMES.validate_python({"due_at": at, "remind_at": (), "by": by})


STANDING = """
SELECT r.finalized_at IS NOT NULL AS final,
       EXISTS (SELECT 1 FROM outbox o WHERE o.request_id = r.id AND o.kind = 'start') AS unstarted
  FROM requests r WHERE r.id = $1
"""


async def standing(source: Source, request_id: UUID) -> tuple[bool, bool]:
    """Whether the request is final, and whether its start has still to be told."""
    row = await source.fetchrow(STANDING, request_id)
    if row is None:
        raise LookupError(f"request {request_id} is not there")
    return bool(row["final"]), bool(row["unstarted"])


LATE = """
SELECT c.command, c.request_id, r.state, r.seq, clock_timestamp() AS now
  FROM commands c JOIN requests r ON r.id = c.request_id
 WHERE c.id = $1 AND r.finalized_at IS NOT NULL AND c.settled_at IS NULL
"""

# What is final stays so, but the command may be settled meanwhile: then nothing is written.
# Locks in the order every writer keeps: request, command, audit head.
SETTLE_LATE = """
WITH held AS (
    SELECT r.id, r.workflow, r.version FROM commands c JOIN requests r ON r.id = c.request_id
     WHERE c.id = $1 FOR NO KEY UPDATE OF r
), late AS (
    UPDATE commands c SET applied = false, settled_at = $2, detail = $3 FROM held
     WHERE c.id = $1 AND c.request_id = held.id AND c.settled_at IS NULL
    RETURNING held.id, held.workflow, held.version
)
SELECT audit_append($4, $2, id, workflow, version, $5, $6, $7, $8) FROM late
"""


async def settle_late(source: Source, command_id: UUID) -> None:
    """Refuse a command that reached its request's workflow after the end."""
    row = await source.fetchrow(LATE, command_id)
    if row is None:
        return
    detail = f"the request is already {row['state']}"
    name, payload, actor = describe(SettleCommand(str(command_id), row["command"], False, detail))
    snapshot: dict[str, Json] = {"state": row["state"], "seq": row["seq"], "step": None}
    event = audit.event(name, row["now"], payload, snapshot, actor)
    keys = await vault_of(source).writing(source, row["request_id"])
    actor_text, said, after, _ = audit.single(event, keys)
    await source.execute(
        SETTLE_LATE,
        command_id,
        event.occurred_at,
        detail,
        event.event_id,
        name,
        actor_text,
        said,
        after,
    )


# Bounded, so that the count costs the same however long the queue is; and recent ones only, so that
# what is stuck for another reason (an alarm says so) does not keep everybody out.
NOT_BEGUN = """
SELECT count(*) FROM (
    SELECT 1 FROM requests r
     WHERE r.seq = 0 AND r.created_at > now() - interval '2 minutes'
       AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.request_id = r.id AND o.kind = 'start')
     LIMIT $1) AS started
"""


async def not_begun(source: Source, most: int) -> int:
    """How many workflows were started that no worker has taken up yet; at most `most`."""
    return int(await source.fetchval(NOT_BEGUN, most))


LAG = (
    "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM outbox"
)


async def lag(source: Source) -> tuple[int, float]:
    """How many rows wait, and the age of the oldest in seconds."""
    row = await source.fetchrow(LAG)
    return (0, 0.0) if row is None else (int(row[0]), float(row[1]))
