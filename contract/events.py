"""Event types of the audit trail, past tense, `subject.what_happened`; and what effects leave there."""

from dataclasses import asdict
from hashlib import sha256
from typing import assert_never

from contract.canonical import canonical
from recipes.asks import Assignment, DueBy
from recipes.effects import (
    CancelJob,
    CloseTask,
    Effect,
    EndJob,
    KeepApproval,
    Notify,
    OpenTask,
    RebindTask,
    Record,
    RemindTask,
    Resubmit,
    SettleCommand,
    StartJob,
)
from recipes.happenings import ENGINE, Actor
from recipes.model import Json
from recipes.state import Job

REQUEST_CREATED = "request.created"
REQUEST_REWOUND = "request.rewound"
REQUEST_RESUBMITTED = "request.resubmitted"
REQUEST_FINALIZED = "request.finalized"
REQUEST_MIGRATED = "request.migrated"
REQUEST_ERASED = "request.erased"
TASK_ASSIGNED = "task.assigned"
TASK_REMINDED = "task.reminded"
TASK_REBOUND = "task.rebound"
TASK_CLAIMED = "task.claimed"
TASK_RELEASED = "task.released"
APPROVER_ADDED = "approver.added"
DECISION_RECORDED = "decision.recorded"
APPROVAL_KEPT = "approval.kept"
STEP_SKIPPED = "step.skipped"
STEP_COMPLETED = "step.completed"
INCIDENT_RAISED = "incident.raised"
INCIDENT_RESOLVED = "incident.resolved"
STEP_WAITING = "step.waiting"
JOB_STARTED = "job.started"
JOB_SUCCEEDED = "job.succeeded"
JOB_FAILED = "job.failed"
JOB_CANCELLED = "job.cancelled"
NOTIFICATION_SENT = "notification.sent"
ACTION_FIRED = "action.fired"
QUESTION_ASKED = "question.asked"
QUESTION_ANSWERED = "question.answered"
ATTACHMENT_ADDED = "attachment.added"
WATCHER_ADDED = "watcher.added"
WATCHER_REMOVED = "watcher.removed"
COMMENT_ADDED = "comment.added"
COMMAND_RECEIVED = "command.received"
COMMAND_SETTLED = "command.settled"
RECIPE_PUBLISHED = "recipe.published"
RECIPE_DISABLED = "recipe.disabled"
RECIPE_ENABLED = "recipe.enabled"
ORG_IMPORTED = "org.imported"
DIRECTORY_SYNC_ASKED = "directory.sync_asked"
DIRECTORY_FAILING = "directory.failing"
DIRECTORY_HEALED = "directory.healed"
DELEGATION_SET = "delegation.set"
DELEGATION_ENDED = "delegation.ended"
TIMER_SET = "timer.set"
CALENDAR_IMPORTED = "calendar.imported"
EVENT_RECEIVED = "event.received"
HISTORY_IMPORTED = "history.imported"
HOLD_SET = "hold.set"
HOLD_ENDED = "hold.ended"
MONTH_MOVED = "month.moved"
MONTH_DELETED = "month.deleted"
RECALL_BEGUN = "recall.begun"
RECALL_FINISHED = "recall.finished"
REQUEST_RECALLED = "request.recalled"
CONTENT_REVEALED = "content.revealed"
KEY_MADE = "key.made"
WEBHOOK_ADDED = "webhook.added"
WEBHOOK_ROTATED = "webhook.rotated"
WEBHOOK_PAUSED = "webhook.paused"
WEBHOOK_RESUMED = "webhook.resumed"
WEBHOOK_REMOVED = "webhook.removed"
KEY_REVOKED = "key.revoked"
SESSIONS_ENDED = "sessions.ended"


def describe(effect: Effect) -> tuple[str, dict[str, Json], Actor]:
    """The audit event an effect leaves: its type, payload and actor."""
    match effect:
        case OpenTask(task, step, branch, _, digest):
            payload: dict[str, Json] = {
                "task_id": task.id,
                "step": step,
                "branch": branch,
                "seat": task.seat,
                **assigned(task.assignment),
                "level": task.level,
                "due_at": task.due_at,
                **due_by(task.due_by),
                "digest": digest,
            }
            if effect.added is not None:
                payload |= {"added_by": effect.added.by, "where": effect.added.where}
            return TASK_ASSIGNED, payload, ENGINE
        case CloseTask(task_id, step, to, why):
            return f"task.{to}", {"task_id": task_id, "step": step, "why": why}, ENGINE
        case RemindTask(task_id, step):
            return TASK_REMINDED, {"task_id": task_id, "step": step}, ENGINE
        case RebindTask(task_id, step, digest):
            return TASK_REBOUND, {"task_id": task_id, "step": step, "digest": digest}, ENGINE
        case StartJob() | EndJob() | CancelJob() | Notify():
            name, told = _automatic(effect)
            return name, told, ENGINE
        case SettleCommand(command_id, command, applied, detail):
            payload = {
                "command_id": command_id,
                "command": command,
                "applied": applied,
                "detail": detail,
            }
            return COMMAND_SETTLED, payload, ENGINE
        case Resubmit(number, inputs, digest, title, comment, actor):
            payload = {
                "revision": number,
                "title": title,
                "inputs": inputs,
                "digest": digest,
                "comment": comment,
            }
            return REQUEST_RESUBMITTED, payload, actor
        case KeepApproval(approval, rests_on):
            decision = approval.decision
            payload = {
                "step": approval.step,
                "seat": approval.seat,
                "task_id": decision.task_id,
                "decision": decision.decision,
                "user": decision.actor.user,
                "on_behalf_of": decision.actor.on_behalf_of,
                "decided_at": decision.at,
                "why": "nothing that it rests on has changed",
                "rests_on": list(rests_on),
            }
            return APPROVAL_KEPT, payload, ENGINE
        case Record(event_type, payload, actor):
            return event_type, payload, actor
        case _:
            assert_never(effect)


def due_by(by: DueBy | None, name: str = "due_by") -> dict[str, Json]:
    """By what a time was worked out, under `name`; nothing where no business days count."""
    return {} if by is None else {name: asdict(by)}


def _automatic(effect: StartJob | EndJob | CancelJob | Notify) -> tuple[str, dict[str, Json]]:
    """What automatic steps leave, the engine's deed all of it."""
    match effect:
        case StartJob(job):
            given = {"key": job.key, "inputs_sha256": _digest(job.inputs), "again": job.again}
            return JOB_STARTED, _job(job) | given
        case EndJob(job, output, None, attempts):
            came: dict[str, Json] = {"output_sha256": _digest(output), "attempts": attempts}
            return JOB_SUCCEEDED, _job(job) | came
        case EndJob(job, _, failure, attempts):
            return JOB_FAILED, _job(job) | {"failure": failure, "attempts": attempts}
        case CancelJob(job, why):
            return JOB_CANCELLED, _job(job) | {"why": why}
        case Notify(step, people, message):
            told: dict[str, Json] = {"step": step, "people": list(people), "message": message}
            return NOTIFICATION_SENT, told


def _job(job: Job) -> dict[str, Json]:
    """Which job it is. What it was given and what it gave are on its row; here only how to tell that
    they are the same."""
    return {"job_id": job.id, "step": job.step, "run": job.run}


def _digest(value: Json) -> str:
    return sha256(canonical(value).encode()).hexdigest()


def assigned(given: Assignment) -> dict[str, Json]:
    """Who is to decide and how that was found, as JSON; the names of the columns of `tasks`."""
    return {
        "assignee": given.user,
        "candidates": list(given.candidates) or None,
        "role": given.role,
        "on_behalf_of": given.on_behalf_of,
        "via": list(given.via),
        "chain": [asdict(hop) for hop in given.chain],
        "delegations": list(given.delegations),
    }
