"""The rows of the approval on DBOS: those that ours writes, in as few statements as ours."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from contract.canonical import canonical
from recipes.happenings import ENGINE, Actor
from recipes.model import Json
from storage import audit
from storage.pool import Source

SUBMIT = """
WITH claimed AS (
    INSERT INTO idempotency_keys (actor, key, fingerprint, request_id) VALUES ($3, $7, $5, $1)
    ON CONFLICT DO NOTHING RETURNING request_id
), made AS (
    INSERT INTO requests (id, workflow, version, requester, title, inputs, digest, created_at)
    SELECT request_id, 'leave_request', 3, $3, $6, $4, $5, $2 FROM claimed RETURNING id
)
SELECT audit_append($8, $2, made.id, 'leave_request', 3, 'request.created', $9, $10, $11) FROM made
"""


async def submit(
    source: Source,
    *,
    request_id: UUID,
    at: datetime,
    requester: str,
    inputs: dict[str, Json],
    bound: str,
    key: str,
) -> None:
    payload = {"title": "Leave request", "inputs": inputs, "digest": bound, "deadline_at": None}
    snapshot = {"state": "created", "seq": 0, "step": None}
    await source.fetchrow(
        SUBMIT,
        request_id,
        at,
        requester,
        inputs,
        bound,
        "Leave request",
        key,
        uuid4(),
        canonical(audit.actor_json(Actor(requester))),
        canonical(payload),
        canonical(snapshot),
    )


MANAGER = """
SELECT m.manager, clock_timestamp() AS now FROM manager_lines m JOIN people p ON p.id = m.manager
 WHERE m.person = $1 AND m.valid @> now() AND p.employed @> now()
"""
OPEN = """
WITH moved AS (
    UPDATE requests SET state = 'pending', step = 'manager_approval', seq = 1
     WHERE id = $1 AND seq = 0 RETURNING id, workflow, version
), opened AS (
    INSERT INTO tasks (id, request_id, step, seat, assignee, chain, digest, opened_at, due_at)
    SELECT $2, id, 'manager_approval', 'manager_approval', $3, $4, $5, $6::timestamptz,
           $6::timestamptz + make_interval(secs => $7) FROM moved
)
SELECT audit_append(e.id, e.at, m.id, m.workflow, m.version, e.type, e.actor, e.payload, e.snapshot)
  FROM moved m, unnest($8::uuid[], $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::text[])
       AS e(id, at, type, actor, payload, snapshot)
"""


async def open_task(
    source: Source, *, request_id: UUID, task_id: UUID, requester: str, bound: str, seconds: int
) -> None:
    row = await source.fetchrow(MANAGER, requester)
    assert row is not None
    manager, now = row["manager"], row["now"]
    chain = [{"rule": "person", "user": manager, "role": None, "turn": None}]
    snapshot: dict[str, Json] = {
        "state": "pending",
        "seq": 1,
        "step": "manager_approval",
        "seats": {"manager_approval": None},
        "open_tasks": [str(task_id)],
        "incidents": [],
    }
    skipped: dict[str, Json] = {"step": "auto_approve_short", "when": "days < 3"}
    assigned: dict[str, Json] = {
        "task_id": str(task_id),
        "step": "manager_approval",
        "seat": "manager_approval",
        "assignee": manager,
        "chain": chain,
        "level": 0,
        "digest": bound,
    }
    events = [
        audit.event("step.skipped", now, skipped, snapshot, ENGINE),
        audit.event("task.assigned", now, assigned, snapshot, ENGINE),
    ]
    await source.fetch(
        OPEN,
        request_id,
        task_id,
        manager,
        chain,
        bound,
        now,
        seconds,
        *audit.columns(events, None)[:-1],
    )


DECIDE = """
WITH won AS (
    UPDATE tasks SET state = 'decided', closed_at = $2 WHERE id = $1 AND state = 'open'
    RETURNING id, request_id
), decided AS (
    INSERT INTO decisions (id, task_id, request_id, decision, actor, comment, decided_at)
    SELECT $3, id, request_id, $4, $5, $6, $2 FROM won
)
SELECT audit_append($7, $2, won.request_id, 'leave_request', 3, 'decision.recorded', $8, $9, $10)
  FROM won
"""


async def decide(
    source: Source, task: asyncpg.Record, actor: str, decision: str, comment: str | None
) -> bool:
    payload = {
        "task_id": str(task["id"]),
        "step": task["step"],
        "decision": decision,
        "comment": comment,
        "digest": task["digest"],
    }
    snapshot = {"state": task["request_state"], "seq": task["seq"], "step": task["request_step"]}
    row = await source.fetchrow(
        DECIDE,
        task["id"],
        task["now"],
        uuid4(),
        decision,
        actor,
        comment,
        uuid4(),
        canonical(audit.actor_json(Actor(actor))),
        canonical(payload),
        canonical(snapshot),
    )
    return row is not None


FINISH = """
WITH moved AS (
    UPDATE requests SET state = $2, step = NULL, seq = 2, finalized_at = $3::timestamptz
     WHERE id = $1 AND seq = 1 RETURNING id, workflow, version
)
SELECT audit_append(e.id, e.at, m.id, m.workflow, m.version, e.type, e.actor, e.payload, e.snapshot)
  FROM moved m, unnest($4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[])
       AS e(id, at, type, actor, payload, snapshot)
"""


async def finish(source: Source, request_id: UUID, state: str) -> None:
    now: datetime = await source.fetchval("SELECT clock_timestamp()")
    snapshot: dict[str, Json] = {
        "state": state,
        "seq": 2,
        "step": None,
        "seats": {},
        "open_tasks": [],
        "incidents": [],
    }
    completed: dict[str, Json] = {
        "step": "manager_approval",
        "outcome": state,
        "approvals": 1,
        "needed": 1,
        "seats": 1,
    }
    skipped: dict[str, Json] = {"step": "hr_and_grandboss", "when": "days > 14"}
    events = [
        audit.event("step.completed", now, completed, snapshot, ENGINE),
        audit.event("step.skipped", now, skipped, snapshot, ENGINE),
        audit.event("request.finalized", now, {"state": state}, snapshot, ENGINE),
    ]
    await source.fetch(FINISH, request_id, state, now, *audit.columns(events, None)[:-1])


NEWEST = """
SELECT id, workflow, version, title, requester, state, step, reason, created_at, finalized_at
  FROM requests WHERE requester = $1 AND state = $2 ORDER BY created_at DESC, id DESC LIMIT $3
"""


async def newest(source: Source, requester: str, state: str, limit: int) -> list[dict[str, Any]]:
    return [dict(row) for row in await source.fetch(NEWEST, requester, state, limit)]


SHOW = """
SELECT id, workflow, version, title, requester, state, step, reason, created_at, finalized_at
  FROM requests WHERE requester = $2 AND id = $1
"""


async def show(source: Source, request_id: UUID, requester: str) -> dict[str, Any] | None:
    row = await source.fetchrow(SHOW, request_id, requester)
    return None if row is None else dict(row)
