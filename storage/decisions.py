"""Recording decisions: one or many, in one statement, each only if it is the first on its task."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import to_json

from contract import content, traces
from recipes.happenings import Actor
from recipes.model import CountsAs, Json
from storage import audit
from storage.pool import Connection, Source, vault_of


@dataclass(frozen=True, slots=True)
class Deciding:
    """A decision to be recorded; `counts_as` is None for `approve` and `reject`. `message` is what tells
    its request's workflow of it. `digest` is what the task was bound to when it was looked at, `claimed_at`
    of the claim that it had then."""

    decision_id: UUID
    task_id: UUID
    request_id: UUID
    workflow: str
    version: int
    decision: str
    actor: Actor
    comment: str | None
    reason: str | None
    at: datetime
    payload: dict[str, Json]
    snapshot: dict[str, Json]
    message: dict[str, Json]
    digest: str
    claimed_at: datetime | None = None
    counts_as: CountsAs | None = None
    rewind_to: str | None = None


# The closing is the lock: of `asked`, only what an UPDATE hits goes on, and all of that is done or
# nothing. Locks in the order every writer keeps: tasks by id, then audit heads by request. Every task
# is locked before the first head is, because `told` has to have seen all that `won` before it begins.
# What tells of several decisions is a recipes.happenings.Together. `via` are ids of people: no comma in them.
RECORD = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
                         $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::text[],
                         $12::uuid[], $13::text[], $14::int[], $15::text[], $16::text[], $17::text[],
                         $18::timestamptz[], $19::text[], $20::text[], $21::text[], $22::text[])
           WITH ORDINALITY
           AS a(task_id, decision_id, decision, actor, role, on_behalf_of, via, comment, reason, at,
                message, event_id, workflow, version, who, payload, snapshot, claimed_at, counts_as,
                rewind_to, digest, found, n)
), held AS (
    SELECT id FROM tasks WHERE id = ANY($1) AND state = 'open' ORDER BY id FOR NO KEY UPDATE
), won AS (
    UPDATE tasks t SET state = 'decided', closed_at = a.at
      FROM held JOIN asked a ON a.task_id = held.id
     WHERE t.id = held.id AND t.digest = a.digest AND t.claimed_at IS NOT DISTINCT FROM a.claimed_at
    RETURNING t.request_id, a.*
), emptied AS (
    DELETE FROM task_candidates c USING won WHERE c.task_id = won.task_id
), decided AS (
    INSERT INTO decisions (id, task_id, request_id, decision, counts_as, rewind_to, actor, role,
                           on_behalf_of, via, comment, reason, decided_at)
    SELECT decision_id, task_id, request_id, decision, counts_as, rewind_to, actor, role,
           on_behalf_of, string_to_array(via, ','), comment, reason, at
      FROM won
), told AS (
    INSERT INTO outbox (request_id, kind, message, due_at, traceparent)
    SELECT request_id, 'signal',
           CASE count(*) WHEN 1 THEN min(message)::jsonb
           ELSE jsonb_build_object('kind', 'together', 'items', jsonb_agg(message::jsonb ORDER BY n)) END,
           now() + interval '2 seconds', $23
      FROM won GROUP BY request_id
    RETURNING id, request_id
)
SELECT task_id, told_by, audit_append(event_id, at, request_id, workflow, version,
                                      'decision.recorded', who, payload, snapshot, found::jsonb)
  FROM (SELECT won.*, told.id AS told_by FROM told JOIN won USING (request_id)
         ORDER BY request_id, n OFFSET 0) chained
"""


async def record(source: Source, items: Sequence[Deciding]) -> dict[UUID, int]:
    """Record those decisions whose task is still open, and bound and claimed as it was: the outbox row that
    tells of each, by task.

    No two of the same task. Those of one request are told by one row.
    """
    vault = vault_of(source)
    known = await vault.writing_many(source, [item.request_id for item in items])
    keys = [known.get(item.request_id) for item in items]
    events = [
        audit.event("decision.recorded", item.at, item.payload, item.snapshot, item.actor)
        for item in items
    ]
    pairs = list(zip(events, keys, strict=True))
    ids, times, _, actors, payloads, snapshots, found = audit.columns_of(pairs)
    rows = await source.fetch(
        RECORD,
        [item.task_id for item in items],
        [item.decision_id for item in items],
        [item.decision for item in items],
        [item.actor.user for item in items],
        [item.actor.role for item in items],
        [item.actor.on_behalf_of for item in items],
        [",".join(item.actor.via) for item in items],
        [content.kept_text(it.comment, own) for it, own in zip(items, keys, strict=True)],
        [content.kept_text(it.reason, own) for it, own in zip(items, keys, strict=True)],
        times,
        [
            to_json(content.boxed(item.message, own)).decode()
            for item, own in zip(items, keys, strict=True)
        ],
        ids,
        [item.workflow for item in items],
        [item.version for item in items],
        actors,
        payloads,
        snapshots,
        [item.claimed_at for item in items],
        [item.counts_as for item in items],
        [item.rewind_to for item in items],
        [item.digest for item in items],
        found,
        traces.CURRENT.get(),
    )
    return {row["task_id"]: row["told_by"] for row in rows}


# By key, so that two that want several wait in the same order.
QUEUE_UP = """
SELECT pg_advisory_xact_lock(key)
  FROM (SELECT DISTINCT hashtextextended('deciding:' || id, 3) AS key FROM unnest($1::uuid[]) id
         ORDER BY key OFFSET 0) keys
"""


async def queue_up(connection: Connection, request_ids: Collection[UUID]) -> None:
    """Within a transaction, before anything else is locked: wait until nobody else who did this decides
    on these requests."""
    await connection.execute(QUEUE_UP, list(request_ids))
