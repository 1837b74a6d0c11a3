"""Carry out a transition of a request: one statement, all of it or nothing.

The statement compares and sets `requests.seq`, so that each transition is written once, and the
state of every task it closes, so that a decision which was first is never overruled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import asyncpg
from pydantic import TypeAdapter

from contract.events import describe, hops
from contract.messages import Committed
from recipes import progress
from recipes.model import Json, Recipe
from recipes.state import (
    Actor,
    CloseTask,
    Decided,
    OpenTask,
    RemindTask,
    SettleCommand,
    Transition,
)
from storage import audit
from storage.errors import OutOfSequence
from storage.pool import Source

_COMMITTED: TypeAdapter[Committed] = TypeAdapter(Committed)


@dataclass(frozen=True, slots=True)
class Written:
    """The transition was written now."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """Its `seq` was written before: `committed` is what stands."""

    committed: Committed


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing was written: these decisions were first on tasks it meant to close."""

    decisions: tuple[Decided, ...]


# $1 request, $2 seq before, $3 moment, $4 state, $5 step, $6 incidents, $7 final, $8 reason,
# $9 committed, $10 $11 closings, $12 opened tasks, $13 reminded, $14 $15 $16 settled commands,
# $17..$22 audit events. Locks in the order every writer keeps: request, tasks, audit head.
COMMIT = """
WITH moved AS (
    UPDATE requests
       SET seq = seq + 1, state = $4, step = $5, incidents = $6, reason = $8, last_commit = $9,
           finalized_at = CASE WHEN $7 THEN coalesce(finalized_at, $3) END
     WHERE id = $1 AND seq = $2
    RETURNING id, workflow, version
), closed AS (
    UPDATE tasks t SET state = c.closing, closed_at = $3
      FROM moved, unnest($10::uuid[], $11::text[]) AS c(id, closing)
     WHERE t.id = c.id AND t.state = 'open'
    RETURNING t.id
), whole AS (
    SELECT 1 FROM moved WHERE (SELECT count(*) FROM closed) = cardinality($10::uuid[])
), emptied AS (
    DELETE FROM task_candidates WHERE task_id = ANY($10::uuid[])
), opened AS (
    INSERT INTO tasks (id, request_id, step, branch, seat, assignee, candidates, role, on_behalf_of,
                       via, chain, level, require_comment, digest, opened_at, due_at)
    SELECT o.id, $1, o.step, o.branch, o.seat, o.assignee, o.candidates, o.role, o.on_behalf_of,
           o.via, o.chain, o.level, o.require_comment, o.digest, o.opened_at, o.due_at
      FROM whole, jsonb_to_recordset($12::jsonb) AS o(
           id uuid, step text, branch text, seat text, assignee text, candidates text[], role text,
           on_behalf_of text, via text[], chain jsonb, level int, require_comment text[],
           digest text, opened_at timestamptz, due_at timestamptz)
    RETURNING id, candidates, due_at
), shared AS (
    INSERT INTO task_candidates (principal, due, task_id)
    SELECT unnest(candidates), coalesce(due_at, 'infinity'), id FROM opened
     WHERE candidates IS NOT NULL
), reminded AS (
    UPDATE tasks SET reminded_at = $3 FROM whole WHERE id = ANY($13::uuid[]) AND state = 'open'
    RETURNING id
), settled AS (
    UPDATE commands c SET applied = s.applied, detail = s.detail, settled_at = $3
      FROM unnest($14::uuid[], $15::boolean[], $16::text[]) AS s(id, applied, detail)
     WHERE c.id = s.id AND c.settled_at IS NULL
), appended AS (
    SELECT audit_append(e.id, e.at, m.id, m.workflow, m.version, e.type, e.actor, e.payload, e.snapshot)
      FROM whole, moved m, (SELECT count(*) FROM reminded) AS every_task_is_locked,
           unnest($17::uuid[], $18::timestamptz[], $19::text[], $20::text[], $21::text[], $22::text[])
           AS e(id, at, type, actor, payload, snapshot)
)
SELECT refuse_unless(EXISTS (SELECT 1 FROM moved), 'CS001', 'out of sequence'),
       refuse_unless(EXISTS (SELECT 1 FROM whole), 'CS002', 'a task was decided first'),
       (SELECT count(*) FROM appended)
"""

_OUT_OF_SEQUENCE = "CS001"
_DECIDED_FIRST = "CS002"


async def commit(
    source: Source, recipe: Recipe, committed: Committed, transition: Transition
) -> Written | Earlier | Lost:
    """Write `transition`, which `committed` led to. OutOfSequence if it is not the next one."""
    state = transition.state
    request_id = UUID(state.request_id)
    closings = [effect for effect in transition.effects if isinstance(effect, CloseTask)]
    try:
        await source.execute(COMMIT, *_arguments(recipe, committed, transition, closings))
    except asyncpg.PostgresError as error:
        if error.sqlstate == _OUT_OF_SEQUENCE:
            return Earlier(await _earlier(source, request_id, state.seq))
        if error.sqlstate == _DECIDED_FIRST:
            return Lost(await decisions_on(source, [UUID(item.task_id) for item in closings]))
        raise
    return Written()


def _arguments(
    recipe: Recipe, committed: Committed, transition: Transition, closings: Sequence[CloseTask]
) -> list[Any]:
    state, effects, moment = transition.state, transition.effects, committed.now
    step = None if state.final else progress.step_of(recipe, state)
    incidents = [
        {"kind": i.kind, "detail": i.detail, "step": i.step, "seat": i.seat, "at": i.at}
        for i in state.incidents
    ]
    settled = [effect for effect in effects if isinstance(effect, SettleCommand)]
    return [
        UUID(state.request_id),
        state.seq - 1,
        moment,
        state.state,
        step.id if step else None,
        incidents,
        state.final,
        state.reason,
        _COMMITTED.dump_python(committed, mode="json"),
        [UUID(closing.task_id) for closing in closings],
        [closing.to for closing in closings],
        [_row(effect) for effect in effects if isinstance(effect, OpenTask)],
        [UUID(effect.task_id) for effect in effects if isinstance(effect, RemindTask)],
        [UUID(effect.command_id) for effect in settled],
        [effect.applied for effect in settled],
        [effect.detail for effect in settled],
        *audit.columns(_events(recipe, transition, moment)),
    ]


def _row(opened: OpenTask) -> dict[str, Json]:
    task, given = opened.task, opened.task.assignment
    return {
        "id": task.id,
        "step": opened.step,
        "branch": opened.branch,
        "seat": task.seat,
        "assignee": given.user,
        "candidates": list(given.candidates) or None,
        "role": given.role,
        "on_behalf_of": given.on_behalf_of,
        "via": list(given.via),
        "chain": hops(given),
        "level": task.level,
        "require_comment": list(opened.require_comment),
        "digest": opened.digest,
        "opened_at": task.opened_at,
        "due_at": task.due_at,
    }


def _events(recipe: Recipe, transition: Transition, moment: datetime) -> list[audit.AuditEvent]:
    state = transition.state
    after = progress.snapshot(recipe, state)
    events: list[audit.AuditEvent] = []
    for number, effect in enumerate(transition.effects):
        name, payload, actor = describe(effect)
        event_id = uuid5(UUID(state.request_id), f"event:{state.seq}:{number}")
        events.append(audit.AuditEvent(name, moment, payload, after, actor, event_id))
    return events


EARLIER = "SELECT seq, last_commit FROM requests WHERE id = $1"


async def _earlier(source: Source, request_id: UUID, seq: int) -> Committed:
    row = await source.fetchrow(EARLIER, request_id)
    if row is None or row["seq"] != seq:
        stands = "is not there" if row is None else f"stands at {row['seq']}"
        raise OutOfSequence(f"transition {seq} of request {request_id}, which {stands}")
    return _COMMITTED.validate_python(row["last_commit"])


DECISIONS_ON = """
SELECT task_id, decision, actor, role, on_behalf_of, via, comment, decided_at
FROM decisions WHERE task_id = ANY($1::uuid[]) ORDER BY decided_at, task_id
"""


async def decisions_on(source: Source, tasks: Sequence[UUID]) -> tuple[Decided, ...]:
    """The decisions that stand on these tasks, oldest first."""
    rows = await source.fetch(DECISIONS_ON, tasks)
    return tuple(
        Decided(
            task_id=str(row["task_id"]),
            decision=row["decision"],
            actor=Actor(row["actor"], row["role"], row["on_behalf_of"], tuple(row["via"])),
            at=row["decided_at"],
            comment=row["comment"],
        )
        for row in rows
    )
