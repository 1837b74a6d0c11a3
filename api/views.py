"""Answers made of rows: one function for each thing that the API shows."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from recipes.model import Json, MachineAction
from storage.asking import Told

Row: TypeAlias = Mapping[str, Any] | Any
"""An `asyncpg.Record`: read by name."""

_TASK = (
    "id", "request_id", "workflow", "version", "title", "requester", "step", "branch", "assignee",
    "candidates", "role", "on_behalf_of", "via", "state", "opened_at", "due_at", "due_by", "closed_at",
    "digest", "outcomes", "require_comment", "require_reason", "reasons", "rewind_to", "show", "added_by",
    "claimed_by", "claimed_at",
)  # fmt: skip
BRIEF = (
    "id", "request_id", "workflow", "title", "requester", "step", "candidates", "on_behalf_of", "claimed_by",
    "due_at", "withheld",
)  # fmt: skip
"""What of an open task a list shows."""
OFFER = ("outcomes", "require_comment", "require_reason", "reasons", "rewind_to", "show")
"""What of a task is a `recipes.effects.Offer`."""
_REQUEST = (
    "id", "workflow", "version", "title", "requester", "state", "status", "step", "incidents", "reason",
    "deadline_at", "deadline_by", "resubmit_by", "created_at", "finalized_at", "recall_id", "reopens",
)  # fmt: skip


def task(row: Row, decision: dict[str, Json] | None = None) -> dict[str, Json]:
    """A task, with the decision on it if there is one. A claim that does not bind is none."""
    shown: dict[str, Json] = {name: row[name] for name in _TASK}
    if row["claimed_by"] is None:
        shown["claimed_at"] = None
    shown["where"] = row["added_where"]
    shown["decision"] = decision
    shown["withheld"] = row["withheld"]
    return shown


def inbox_task(row: Row) -> dict[str, Json]:
    """A task as one of those it waits for sees it: a shared one maybe on behalf of a member."""
    path = row["standing_path"]
    return task(row) if path is None else task(row) | {"on_behalf_of": path[0], "via": path[1:-1]}


def brief_task(row: Row) -> dict[str, Json]:
    """`inbox_task` as lists show it. Ids are written here: JSON is made of texts in a fifth of the time."""
    shown: dict[str, Json] = {name: row[name] for name in BRIEF}
    shown |= {"id": str(row["id"]), "request_id": str(row["request_id"])}
    path = row["standing_path"]
    return shown if path is None else shown | {"on_behalf_of": path[0]}


def decided_task(row: Row) -> dict[str, Json]:
    """A task from a row that also has its decision's columns, or nulls in them."""
    return task(row, decision(row))


def decision(row: Row) -> dict[str, Json] | None:
    if row["decision_id"] is None:
        return None
    return {
        "id": row["decision_id"],
        "task_id": row["id"],
        "step": row["step"],
        "decision": row["decision"],
        "counts_as": row["counts_as"],
        "to": row["decided_to"],
        "user": row["decided_by"],
        "role": row["decided_role"],
        "on_behalf_of": row["decided_on_behalf_of"],
        "via": row["decided_via"],
        "comment": row["comment"],
        "reason": row["reason"],
        "decided_at": row["decided_at"],
        "withheld": _within("/decision", row["withheld"]),
    }


def _within(place: str, withheld: Iterable[str]) -> list[str]:
    """What is withheld of what stands at a place, by pointers into that."""
    return [name.removeprefix(place) for name in withheld if name.startswith(f"{place}/")]


def request_summary(row: Row) -> dict[str, Json]:
    about = row["entity_type"]
    entity = None if about is None else {"type": about, "id": row["entity_id"]}
    shown = {name: row[name] for name in _REQUEST}
    withheld = [name for name in row["withheld"] if not name.startswith("/inputs")]
    return shown | {
        "entity": entity,
        "imported": _imported(row),
        "withheld": withheld,
        "erased": _erased(row),
    }


def listed_request(row: Row, waits: tuple[list[str], datetime | None] | None) -> dict[str, Json]:
    """A request in a list: for whom its open tasks wait, and when the first of them is due."""
    who, due_at = waits or ([], None)
    if row["state"] == "rewound":
        who = [f"user:{row['requester']}"]
    return request_summary(row) | {"waiting_for": who, "due_at": due_at}


def _imported(row: Row) -> dict[str, Json] | None:
    """Where a request comes from that another system had."""
    if row["import_id"] is None:
        return None
    return {name: row[name] for name in ("import_id", "source", "external_id")}


def _erased(row: Row) -> dict[str, Json] | None:
    """When what was written in it was destroyed, by whom, and why."""
    if row["erased_at"] is None:
        return None
    return {"at": row["erased_at"], "by": row["erased_by"], "reason": row["erased_reason"]}


def recalled(row: Row) -> dict[str, Json]:
    """By which recall a request was recalled, from a row of `storage.recalls.of_request`."""
    return {
        "recall_id": row["id"],
        "reason": row["reason"],
        "by": row["begun_by"],
        "at": row["settled_at"],
        "reopened_as": row["reopened_as"],
    }


def request(row: Row, tasks: Iterable[Row], temporal_url: str | None) -> dict[str, Json]:
    """A request with its tasks and their decisions."""
    shown = [decided_task(item) for item in tasks]
    decisions = [item["decision"] for item in shown if item["decision"] is not None]
    return {
        **request_summary(row),
        "withheld": row["withheld"],
        "inputs": row["inputs"],
        "digest": row["digest"],
        "moves": row["moves"],
        "history": [],
        "tasks": shown,
        "decisions": sorted(decisions, key=lambda item: item["decided_at"]),
        "waiting_for": _waiting_for(row, shown),
        "added_approvers": [],
        "revisions": [],
        "waits_until": None,
        "jobs": [],
        "comments": [],
        "questions": [],
        "attachments": [],
        "watchers": [],
        "recalled": None,
        "may": [],
        "temporal_url": temporal_url,
    }


_JOB = (
    "id", "step", "run", "inputs", "idempotency_key", "state", "output", "error", "attempts",
    "started_at", "ended_at", "log", "withheld",
)  # fmt: skip
_NOTIFICATION = (
    "id", "request_id", "workflow", "title", "step", "message", "sent_at", "read_at", "withheld",
)  # fmt: skip


def job(row: Row) -> dict[str, Json]:
    log = [line | {"at": datetime.fromisoformat(line["at"])} for line in row["log"]]
    return {name: row[name] for name in _JOB} | {"log": log}


def notification(row: Row) -> dict[str, Json]:
    return {name: row[name] for name in _NOTIFICATION}


def comment(row: Row) -> dict[str, Json]:
    return {
        "id": row["id"],
        "request_id": row["request_id"],
        "user": row["author"],
        "text": row["text"],
        "made_at": row["made_at"],
        "withheld": row["withheld"],
    }


_QUESTION = (
    "id", "request_id", "task_id", "step", "branch", "workflow", "title", "asked_by", "asked", "text",
    "asked_at", "answer", "answered_at", "withheld",
)  # fmt: skip


def question(row: Row) -> dict[str, Json]:
    return {name: row[name] for name in _QUESTION}


def attachment(row: Row) -> dict[str, Json]:
    return {
        "id": row["id"],
        "request_id": row["request_id"],
        "name": row["name"],
        "media_type": row["media_type"],
        "size": row["size"],
        "sha256": None if row["sha256"] is None else row["sha256"].hex(),
        "added_by": row["added_by"],
        "added_at": row["added_at"],
        "withheld": row["withheld"],
    }


def added_approver(row: Row) -> dict[str, Json]:
    """Whom somebody added to a step by hand."""
    return {
        "person": row["person"],
        "step": row["step"],
        "where": row["where"],
        "added_by": row["actor"],
        "comment": row["comment"],
        "added_at": row["settled_at"],
        "withheld": row["withheld"],
    }


def watcher(row: Row) -> dict[str, Json]:
    return {"person": row["person"], "added_by": row["added_by"], "added_at": row["added_at"]}


def _waiting_for(row: Row, tasks: list[dict[str, Json]]) -> list[str]:
    if row["state"] == "rewound":
        return [f"user:{row['requester']}"]
    waiting: dict[str, None] = {}
    for item in tasks:
        if item["state"] == "open":
            waiting |= dict.fromkeys(item["candidates"] or [f"user:{item['assignee']}"])
    return list(waiting)


def moved(row: Row) -> dict[str, Json]:
    """An action of a state machine that was fired."""
    payload, actor = row["payload"], row["actor"]
    return {
        "action": payload["action"],
        "from": payload["from"],
        "to": payload["to"],
        "user": actor["user"],
        "role": actor["role"],
        "on_behalf_of": actor["on_behalf_of"],
        "via": actor["via"],
        "comment": payload.get("comment"),
        "at": row["occurred_at"],
        "withheld": [f"/{name}" for name in row["withheld"]],
    }


def action(item: MachineAction, who: tuple[str, ...], why_not: str | None) -> dict[str, Json]:
    """An action of a state machine, as the caller may fire it."""
    return {
        "id": item.id,
        "name": item.name,
        "from": list(item.sources),
        "to": item.to,
        "who": list(who),
        "require_comment": item.require_comment,
        "available": why_not is None,
        "why_not": why_not,
    }


def incident(row: Row, actions: list[str]) -> dict[str, Json]:
    """An incident with its request. A reassignment needs a seat."""
    return {
        "request_id": row["request_id"],
        "workflow": row["workflow"],
        "version": row["version"],
        "title": row["title"],
        "requester": row["requester"],
        "step": row["step"],
        "seat": row["seat"],
        "kind": row["kind"],
        "detail": row["detail"],
        "since": row["since"],
        "actions": [name for name in actions if name != "reassign" or row["seat"] is not None],
        "withheld": row["withheld"],
    }


def event(row: Told) -> dict[str, Json]:
    return {
        "event_id": row.event_id,
        "seq": row.seq,
        "type": row.event_type,
        "occurred_at": row.occurred_at,
        "recorded_at": row.recorded_at,
        "actor": row.actor,
        "payload": row.payload,
        "withheld": list(row.withheld),
        "disclosed": list(row.disclosed),
        "snapshot": row.snapshot,
        "body": row.body.decode(),
        "prev_hash": row.prev_hash.hex(),
        "hash": row.hash.hex(),
    }


def told(row: Told) -> dict[str, Json]:
    """A row of the audit trail with what its request was about then."""
    about = None if row.entity is None else {"type": row.entity.type, "id": row.entity.id}
    return event(row) | {
        "withheld": list(dict.fromkeys((*row.withheld, *row.hidden))),
        "request_id": row.request_id,
        "workflow": row.workflow,
        "version": row.version,
        "outcome": row.outcome,
        "requester": row.requester,
        "title": row.title,
        "entity": about,
        "inputs": row.inputs,
    }


def recipe_summary(row: Row) -> dict[str, Json]:
    parsed = row["recipe"]
    disabled = None
    if row["disabled_at"] is not None:
        disabled = {
            "at": row["disabled_at"],
            "by": row["disabled_by"],
            "reason": row["disabled_reason"],
        }
    return {
        "workflow": row["workflow"],
        "version": row["version"],
        "versions": row["versions"],
        "disabled_versions": row["disabled_versions"],
        "title": parsed["title"],
        "description": parsed["description"],
        "owner": parsed["owner"],
        "sha256": row["sha256"],
        "published_at": row["published_at"],
        "published_by": row["published_by"],
        "disabled": disabled,
    }


def recipe(row: Row) -> dict[str, Json]:
    parsed = row["recipe"]
    return {
        **recipe_summary(row),
        "inputs": parsed["inputs"],
        "implied": parsed["implied"],
        "kind": parsed.get("kind", "approval"),
        # Versions published long ago do not say.
        "entity": parsed.get("entity"),
        "start": parsed.get("start"),
        "confidential": parsed.get("confidential"),
        "steps": parsed["steps"],
        "machine": parsed.get("machine"),
        "source": row["source"],
    }


def delegation(row: Row) -> dict[str, Json]:
    return {
        "id": row["id"],
        "delegator": row["delegator"],
        "delegate": row["delegate"],
        "scope": row["scope"],
        "from": row["begins"],
        "to": row["ends"],
        "reason": row["reason"],
        "created_by": row["created_by"],
        "created_at": row["created_at"],
        "ended_by": row["ended_by"],
        "ended_at": row["ended_at"],
        "end_reason": row["end_reason"],
    }
