"""The one statement that writes a transition of a request, and its arguments.

It compares and sets `requests.seq`, so that each transition is written once, and the state of every
task it closes, so that a decision which was first is never overruled.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from pydantic import TypeAdapter

from contract import content
from contract.boxes import Keys
from contract.events import INCIDENT_RESOLVED, assigned, describe
from contract.messages import Committed
from recipes import progress, tally
from recipes.effects import (
    CancelJob,
    CloseTask,
    EndJob,
    KeepApproval,
    Notify,
    OpenTask,
    RebindTask,
    RemindTask,
    Resubmit,
    SettleCommand,
    StartJob,
    Transition,
)
from recipes.happenings import ENGINE
from recipes.model import ApprovalStep, Json, Recipe, Step
from recipes.state import State
from storage import asks, audit

_COMMITTED: TypeAdapter[Committed] = TypeAdapter(Committed)


# $1 request, $2 seq before, $3 moment, $4 state, $5 step, $6 incidents, $7 final, $8 reason,
# $9 committed, $10 $11 closings, $12 opened tasks, $13 reminded, $14 $15 $16 settled commands,
# $17..$22 audit events, of which the first is written only if an earlier try had failed and said so,
# $23 $24 where a state machine is, and after how many moves, $25 the recipe's version from now on,
# $26 the digest of that and the inputs, $27 tasks that are bound to it, $28 by what a state's timers were
# worked out, $29 $30 the deadline and by what that was: another version may have another one,
# $31 where these tasks lead back to, $32 until when it may be resubmitted, $33 the revision that came in,
# $34 the round of what is opened, and of $35, approvals that were kept,
# $36 until when it waits, $37 whether the step needs several people, $38 what is to be found of the events.
# Locks in the order every writer keeps: request, tasks by id, audit head.
COMMIT = """
WITH before AS (
    SELECT id, incidents @> '[{"kind": "CommitFailed"}]' AS failing FROM requests WHERE id = $1
       FOR NO KEY UPDATE
), moved AS (
    UPDATE requests r
       SET seq = seq + 1, state = $4, step = $5, incidents = $6, reason = $8,
           status = $23, moves = $24, version = $25, digest = $26, timers_by = $28,
           first_version = CASE WHEN version = $25 THEN first_version
                                ELSE coalesce(first_version, version) END,
           deadline_at = $29, deadline_by = $30,
           first_deadline = CASE WHEN version = $25 OR first_version IS NOT NULL THEN first_deadline
                                 ELSE jsonb_build_object('due_at', deadline_at, 'by', deadline_by) END,
           resubmit_by = $32, waits_until = $36,
           inputs = coalesce($33::jsonb->'inputs', r.inputs),
           title = coalesce($33::jsonb->>'title', r.title),
           sealed = CASE WHEN $33::jsonb IS NULL THEN r.sealed ELSE decode($33::jsonb->>'sealed', 'base64') END,
           finalized_at = CASE WHEN $7 THEN coalesce(finalized_at, $3) END
      FROM before
     WHERE r.id = before.id AND seq = $2
    RETURNING r.id, workflow, version, failing, r.title
), held AS (
    SELECT t.id FROM moved, tasks t
     WHERE t.id = ANY($10::uuid[] || $13::uuid[] || $27::uuid[]) AND t.state = 'open'
     ORDER BY t.id FOR NO KEY UPDATE OF t
), closed AS (
    UPDATE tasks t SET state = c.closing, closed_at = $3
      FROM moved, unnest($10::uuid[], $11::text[]) AS c(id, closing)
     WHERE t.id = c.id AND t.state = 'open' AND t.id = ANY(ARRAY(SELECT id FROM held))
    RETURNING t.id
), whole AS (
    SELECT 1 FROM moved WHERE (SELECT count(*) FROM closed) = cardinality($10::uuid[])
), kept AS (
    INSERT INTO commits (request_id, seq, committed) SELECT id, $2 + 1, $9 FROM moved
), revised AS (
    INSERT INTO revisions (request_id, number, inputs, digest, title, comment, submitted_at, submitted_by, sealed)
    SELECT m.id, v.number, v.inputs, v.digest, m.title, v.comment, $3, v.by, decode(v.sealed, 'base64')
      FROM moved m, jsonb_to_record($33::jsonb) AS v(
           number int, inputs jsonb, digest text, comment text, by text, sealed text)
     WHERE $33::jsonb IS NOT NULL
), kept_on AS (
    UPDATE tasks t SET round = $34 FROM moved WHERE t.id = ANY($35::uuid[])
), emptied AS (
    DELETE FROM task_candidates WHERE task_id = ANY($10::uuid[])
), opened AS (
    INSERT INTO tasks (id, request_id, step, branch, seat, assignee, candidates, role, on_behalf_of,
                       via, chain, delegations, level, require_comment, digest, opened_at, due_at,
                       ask, excluded, fixed, several, added_by, added_where, due_by, outcomes,
                       require_reason, reasons, rewind_to, show, round)
    SELECT o.id, $1, o.step, o.branch, o.seat, o.assignee, o.candidates, o.role, o.on_behalf_of,
           o.via, o.chain, o.delegations, o.level, o.require_comment, o.digest, o.opened_at, o.due_at,
           o.ask, o.excluded, o.fixed, o.several, o.added_by, o.added_where, o.due_by, o.outcomes,
           o.require_reason, o.reasons, o.rewind_to, o.show, $34
      FROM whole, jsonb_to_recordset($12::jsonb) AS o(
           id uuid, step text, branch text, seat text, assignee text, candidates text[], role text,
           on_behalf_of text, via text[], chain jsonb, delegations uuid[], level int,
           require_comment text[], digest text, opened_at timestamptz, due_at timestamptz,
           ask jsonb, excluded text[], fixed boolean, several boolean, added_by text,
           added_where text, due_by jsonb, outcomes jsonb, require_reason text[], reasons text[],
           rewind_to text[], show text[])
    RETURNING id, candidates, due_at
), shared AS (
    INSERT INTO task_candidates (principal, due, task_id)
    SELECT unnest(candidates), coalesce(due_at, 'infinity'), id FROM opened
     WHERE candidates IS NOT NULL
), reminded AS (
    UPDATE tasks SET reminded_at = $3 FROM whole WHERE id = ANY($13::uuid[]) AND state = 'open'
    RETURNING id
), rebound AS (
    UPDATE tasks SET digest = $26, rewind_to = $31, several = $37
      FROM whole WHERE id = ANY($27::uuid[]) AND state = 'open'
    RETURNING id
), settled AS (
    UPDATE commands c SET applied = s.applied, detail = s.detail, settled_at = $3
      FROM unnest($14::uuid[], $15::boolean[], $16::text[]) AS s(id, applied, detail)
     WHERE c.id = s.id AND c.settled_at IS NULL
), appended AS (
    SELECT audit_append(e.id, e.at, m.id, m.workflow, m.version, e.type, e.actor, e.payload, e.snapshot,
                        e.found::jsonb)
      FROM whole, moved m,
           (SELECT count(*) AS tasks FROM (SELECT FROM reminded UNION ALL SELECT FROM rebound) t) AS locked,
           unnest($17::uuid[], $18::timestamptz[], $19::text[], $20::text[], $21::text[], $22::text[],
                  $38::text[])
           WITH ORDINALITY AS e(id, at, type, actor, payload, snapshot, found, n)
     WHERE (e.n > 1 OR m.failing) AND locked.tasks >= 0  -- what is not looked at is not run first
)
SELECT refuse_unless(EXISTS (SELECT 1 FROM moved), 'CS001', 'out of sequence'),
       refuse_unless(EXISTS (SELECT 1 FROM whole), 'CS002', 'a task was decided first'),
       (SELECT count(*) FROM appended)
"""

# What automatic steps do: few transitions have any of it, and the others need not be planned with it.
# $39 jobs ended, $40 jobs to stop, $41 jobs begun or begun again, $42 notifications. A request has one
# running job at most: what ends does so before the next one begins.
_AUTOMATIC = """
), ended AS (
    UPDATE jobs j
       SET state = e.state, output = e.output, error = e.error, ended_at = $3,
           attempts = greatest(j.attempts, e.attempts)
      FROM whole, jsonb_to_recordset($39::jsonb) AS e(
           id uuid, state text, output jsonb, error text, attempts int)
     WHERE j.id = e.id RETURNING j.id
), stopped AS (
    UPDATE jobs j SET state = 'cancelled', ended_at = $3 FROM whole
     WHERE j.id = ANY($40::uuid[]) RETURNING j.id
), begun AS (
    INSERT INTO jobs (id, request_id, step, run, inputs, idempotency_key, started_at)
    SELECT b.id, $1, b.step, b.run, b.inputs, b.key, $3
      FROM whole, (SELECT count(*) FROM ended) AS one_after_the_other,
           jsonb_to_recordset($41::jsonb) AS b(id uuid, step text, run text, inputs jsonb, key text)
    ON CONFLICT (id) DO UPDATE
       SET state = 'running', error = NULL, ended_at = NULL, run = excluded.run, inputs = excluded.inputs
), notified AS (
    INSERT INTO notifications (id, request_id, person, step, message, sent_at)
    SELECT n.id, $1, n.person, n.step, n.message, $3
      FROM whole, jsonb_to_recordset($42::jsonb) AS n(id uuid, person text, step text, message text)
"""
COMMIT_AUTOMATIC = COMMIT.replace("), appended AS (", f"{_AUTOMATIC}), appended AS (")

OUT_OF_SEQUENCE = "CS001"
DECIDED_FIRST = "CS002"


def statement_of(
    recipe: Recipe,
    committed: Committed,
    transition: Transition,
    closings: Sequence[CloseTask],
    keys: Keys | None,
) -> tuple[str, list[Any]]:
    """What writes a transition that closes `closings`, with its arguments: refused with OUT_OF_SEQUENCE if it
    is not the next one, with DECIDED_FIRST if another one of them was first."""
    automatic = _automatic(transition, keys)
    arguments = _arguments(recipe, committed, transition, closings, keys)
    if automatic is None:
        return COMMIT, arguments
    return COMMIT_AUTOMATIC, arguments + automatic


def _arguments(
    recipe: Recipe,
    committed: Committed,
    transition: Transition,
    closings: Sequence[CloseTask],
    keys: Keys | None,
) -> list[Any]:
    state, effects, moment = transition.state, transition.effects, committed.now
    *events, found = audit.columns(events_of(recipe, transition, moment), keys)
    step = None if state.final else progress.step_of(recipe, state)
    several = _several(step, state)
    incidents = [
        {"kind": i.kind, "detail": i.detail, "step": i.step, "seat": i.seat, "at": i.at}
        for i in state.incidents
    ]
    settled = [effect for effect in effects if isinstance(effect, SettleCommand)]
    revised = [_revision(it, recipe, keys) for it in effects if isinstance(it, Resubmit)]
    return [
        UUID(state.request_id),
        state.seq - 1,
        moment,
        state.state,
        step.id if step else None,
        incidents,
        state.final,
        content.kept_text(state.reason, keys),
        content.boxed(_COMMITTED.dump_python(committed, mode="json"), keys),
        [UUID(closing.task_id) for closing in closings],
        [closing.to for closing in closings],
        [_row(it, keys, several=several) for it in effects if isinstance(it, OpenTask)],
        [UUID(effect.task_id) for effect in effects if isinstance(effect, RemindTask)],
        [UUID(effect.command_id) for effect in settled],
        [effect.applied for effect in settled],
        [effect.detail for effect in settled],
        *events,
        state.status,
        state.moves,
        recipe.version,
        state.digest,
        [UUID(effect.task_id) for effect in effects if isinstance(effect, RebindTask)],
        next((asdict(timer.due_by) for timer in state.timers if timer.due_by is not None), None),
        state.deadline_at,
        None if state.deadline_by is None else asdict(state.deadline_by),
        list(next((it.rewind_to for it in effects if isinstance(it, RebindTask)), ())),
        state.resubmit_by,
        revised[0] if revised else None,
        state.round,
        [UUID(it.approval.decision.task_id) for it in effects if isinstance(it, KeepApproval)],
        state.waits_until,
        several,
        found,
    ]


def _automatic(transition: Transition, keys: Keys | None) -> list[Any] | None:
    """What automatic steps have written: the arguments from $39 on. None if there is nothing."""
    effects, state = transition.effects, transition.state
    if not any(isinstance(it, StartJob | EndJob | CancelJob | Notify) for it in effects):
        return None
    told = [it for it in effects if isinstance(it, Notify)]
    return [
        [
            {
                "id": it.job.id,
                "state": "succeeded" if it.failure is None else "failed",
                "output": _of_job(it.output, keys),
                "error": content.kept_said(it.failure, keys),
                "attempts": it.attempts,
            }
            for it in effects
            if isinstance(it, EndJob)
        ],
        [UUID(it.job.id) for it in effects if isinstance(it, CancelJob)],
        [
            asdict(it.job) | {"inputs": _of_job(it.job.inputs, keys)}
            for it in effects
            if isinstance(it, StartJob)
        ],
        [
            {
                "id": str(
                    uuid5(UUID(state.request_id), f"notification:{it.step}:{state.seq}:{who}")
                ),
                "person": who,
                "step": it.step,
                "message": it.message,
            }
            for it in told
            for who in it.people
        ],
    ]


def _of_job(value: Json, keys: Keys | None) -> Json:
    """What a job is given or gives, as its row has it: in a box where anything is confidential."""
    return content.boxed(value, keys) if keys is not None and keys.private else value


def _revision(came_in: Resubmit, recipe: Recipe, keys: Keys | None) -> dict[str, Json]:
    title = came_in.title or content.plain_title(recipe.workflow)
    kept = content.kept_subject(title, came_in.inputs, recipe.workflow, keys)
    return {
        "number": came_in.number,
        "inputs": kept.inputs,
        "digest": came_in.digest,
        "title": came_in.title and kept.title,
        "sealed": None if kept.box is None else b64encode(kept.box).decode(),
        "comment": content.kept_text(came_in.comment, keys),
        "by": came_in.actor.user,
    }


def _several(step: Step | None, state: State) -> bool:
    """Whether the step that the request is at needs several approvals. Tasks opened for a step that
    was left in the same transition are closed again."""
    return isinstance(step, ApprovalStep) and tally.several(step, state.seats)


def _row(opened: OpenTask, keys: Keys | None, *, several: bool) -> dict[str, Json]:
    task = opened.task
    return {
        "id": task.id,
        "step": opened.step,
        "branch": opened.branch,
        "seat": task.seat,
        **assigned(task.assignment),
        "level": task.level,
        **asdict(opened.offer),
        "digest": opened.digest,
        "opened_at": task.opened_at,
        "due_at": task.due_at,
        "ask": None if task.ask is None else asks.kept(asdict(task.ask), keys),
        "excluded": [] if task.ask is None else list(task.ask.without),
        "fixed": opened.fixed,
        "several": several,
        "added_by": opened.added and opened.added.by,
        "added_where": opened.added and opened.added.where,
        "due_by": None if task.due_by is None else asdict(task.due_by),
    }


def events_of(recipe: Recipe, transition: Transition, moment: datetime) -> list[audit.AuditEvent]:
    """The audit events of a transition: first that the transition can be written after all; then one for each effect."""
    state = transition.state
    after = progress.snapshot(recipe, state)
    healed: dict[str, Json] = {"kind": "CommitFailed", "step": None, "seat": None}
    healed_id = uuid5(UUID(state.request_id), f"event:{state.seq}:healed")
    events = [audit.AuditEvent(INCIDENT_RESOLVED, moment, healed, after, ENGINE, healed_id)]
    for number, effect in enumerate(transition.effects):
        name, payload, actor = describe(effect)
        event_id = uuid5(UUID(state.request_id), f"event:{state.seq}:{number}")
        events.append(audit.AuditEvent(name, moment, payload, after, actor, event_id))
    return events


def opened(kept: Json, keys: Keys | None) -> Committed:
    """A transition from its row, with the keys of its request. CannotOpen where they are destroyed."""
    return _COMMITTED.validate_python(content.unboxed(kept, keys))
