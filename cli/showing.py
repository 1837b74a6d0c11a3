"""How a request is shown: its facts, its incidents, its tasks and what people said of it."""

import json
from typing import Any

from rich.text import Text

from cli.client import Api, changed
from cli.jobs import show_jobs
from cli.output import at, due, facts, say, table, told, when, write, write_json

_LOOKED_AT = 1000
_STATE_STYLES = {"approved": "green", "rejected": "red", "expired": "red", "cancelled": "dim"}


def show_request(api: Api, request: dict[str, Any]) -> None:
    """Where a request stands: its facts, its incidents, its tasks."""
    facts(
        {
            "request": request["id"],
            "title": request["title"],
            "workflow": f"{request['workflow']} v{request['version']}",
            "requester": request["requester"],
            "about": request["entity"] and f"{request['entity']['type']}:{request['entity']['id']}",
            "imported": _origin(request),
            "reopens": request.get("reopens"),
            "recalled": _recalled(request),
            "erased": _erased(request),
            "inputs": details(request["inputs"]),
            "withheld": [name.removeprefix("/") for name in request.get("withheld", [])],
            "state": state_of(request),
            "step": request["step"],
            "status": request["status"],
            "waiting for": request["waiting_for"],
            "waits until": when(request.get("waits_until")),
            "watched by": [it["person"] for it in request.get("watchers", [])],
            "reason": None
            if request.get("reason") == request["state"]
            else told(request, "reason"),
            "submitted": when(request["created_at"]),
            "deadline": when(request["deadline_at"]),
            "to be resubmitted by": when(request.get("resubmit_by")),
            "ended": when(request["finalized_at"]),
            "in Temporal": request["temporal_url"],
        }
    )
    for incident in request["incidents"]:
        say(
            f"it stopped at an incident, step {incident['step']}: {incident['kind']}:"
            f" {incident['detail']}; an administrator or the owner puts it right, then:"
            f" countersign request retry {request['id']}"
            + (
                f"; or they give it to somebody: countersign reassign --request {request['id']}"
                f" --seat {incident['seat']} --to PERSON --reason WHY"
                if incident.get("seat")
                else ""
            )
        )
    if request["history"]:
        write("")
        table(
            ("when (UTC)", "action", "from", "to", "who", "comment"),
            (
                (at(it["at"]), it["action"], it["from"], it["to"], actor(it), told(it, "comment"))
                for it in request["history"]
            ),
            wraps=("comment",),
        )
    if request["tasks"]:
        write("")
        table(
            ("task", "step", "who", "state", "due", "decision", "comment"),
            _task_rows(request, _closings(api, request)),
            least=("due",) if request["finalized_at"] else (),
            wraps=("who", "decision", "comment"),
        )
    _show_added(request)
    _show_revisions(request)
    show_jobs(request)
    _show_comments(request)
    _show_questions(request)
    _show_files(request)


def show_answer(
    api: Api, answer: dict[str, Any], *, as_json: bool, named: str | None = None
) -> None:
    """What became of a command: the request as it is now; of one that is recorded alone, that it is,
    and how to look at the request, if it was `named`."""
    if as_json:
        write_json(answer)
    elif "command_id" in answer:
        say(f"recorded, not yet applied: {answer['detail']}")
        if named is not None:
            write(f"countersign request show {named}")
    else:
        show_request(api, answer)


def _show_added(request: dict[str, Any]) -> None:
    if request.get("added_approvers"):
        write("")
        table(
            ("added (UTC)", "who", "step", "where", "by", "why"),
            (
                (
                    at(it["added_at"]),
                    it["person"],
                    it["step"],
                    it["where"],
                    it["added_by"],
                    told(it, "comment"),
                )
                for it in request["added_approvers"]
            ),
            wraps=("why",),
        )


def _show_revisions(request: dict[str, Any]) -> None:
    later = request.get("revisions", [])[1:]
    if later:
        write("")
        table(
            ("resubmitted (UTC)", "who", "what has changed", "comment"),
            (
                (
                    at(it["submitted_at"]),
                    it["submitted_by"],
                    _changes(it),
                    told(it, "comment"),
                )
                for it in later
            ),
            wraps=("what has changed", "comment"),
        )


def _changes(revision: dict[str, Any]) -> list[str]:
    known = [changed(item) for item in revision["changed"]]
    return [*known, "(withheld)"] if "/changed" in revision.get("withheld", ()) else known


def _show_comments(request: dict[str, Any]) -> None:
    if request.get("comments"):
        write("")
        table(
            ("when (UTC)", "who", "comment"),
            ((at(it["made_at"]), it["user"], told(it, "text")) for it in request["comments"]),
            wraps=("comment",),
        )


def _show_questions(request: dict[str, Any]) -> None:
    if request.get("questions"):
        write("")
        table(
            ("when (UTC)", "asked by", "of", "question", "answer"),
            (
                (
                    at(it["asked_at"]),
                    it["asked_by"],
                    it["asked"],
                    told(it, "text"),
                    told(it, "answer"),
                )
                for it in request["questions"]
            ),
            wraps=("question", "answer"),
        )


def _show_files(request: dict[str, Any]) -> None:
    if request.get("attachments"):
        write("")
        table(
            ("attachment", "name", "bytes", "added (UTC)", "by", "sha256"),
            (
                (
                    it["id"],
                    told(it, "name"),
                    it["size"],
                    at(it["added_at"]),
                    it["added_by"],
                    told(it, "sha256"),
                )
                for it in request["attachments"]
            ),
            least=("sha256", "bytes"),
        )


def _closings(api: Api, request: dict[str, Any]) -> dict[str, str]:
    """Why tasks were closed that nobody decided, by their ids: `timeout: approve`, say."""
    if all(task["state"] in ("open", "decided") for task in request["tasks"]):
        return {}
    events = api.items(f"/v1/requests/{request['id']}/events", _LOOKED_AT)
    payloads = [event["payload"] for event in events if event["type"].startswith("task.")]
    return {item["task_id"]: item["why"] for item in payloads if "why" in item}


def _task_rows(request: dict[str, Any], closings: dict[str, str]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for task in request["tasks"]:
        decision = task["decision"] or {}
        by = (
            f"{decision['decision']} by {decision['user']}"
            if decision
            else closings.get(task["id"])
        )
        step = f"{task['step']}/{task['branch']}" if task["branch"] else task["step"]
        remaining = due(task["due_at"]) if task["state"] == "open" else None
        who = task["assignee"] or task["candidates"]
        if task.get("where"):
            who = f"{who} (added {task['where']} by {task['added_by']})"
        if task.get("claimed_by"):
            who = f"{', '.join(task['candidates'])} (claimed by {task['claimed_by']})"
        comment = told(decision, "comment") if decision else None
        rows.append((task["id"], step, who, task["state"], remaining, by, comment))
    return rows


def state_of(request: dict[str, Any]) -> Text:
    state = Text(request["state"], style=_STATE_STYLES.get(request["state"], ""))
    if request.get("imported"):
        state += Text(" (imported)", style="dim")
    if request.get("recall_id"):
        state += Text(" (recalled)", style="bold red")
    return state + Text(" (incident)", style="bold red") if request["incidents"] else state


def _recalled(request: dict[str, Any]) -> str | None:
    recalled = request.get("recalled")
    if not recalled:
        return None
    after = f"; reopened as {recalled['reopened_as']}" if recalled["reopened_as"] else ""
    return f"{recalled['reason']} ({recalled['by']}, {when(recalled['at'])}){after}"


def _erased(request: dict[str, Any]) -> str | None:
    erased = request.get("erased")
    return erased and f"{erased['reason']} ({erased['by']}, {when(erased['at'])})"


def _origin(request: dict[str, Any]) -> str | None:
    origin = request.get("imported")
    return origin and f"{origin['external_id']} of {origin['source']}, import {origin['import_id']}"


def actor(actor: dict[str, Any]) -> str:
    behalf = f" on behalf of {actor['on_behalf_of']}" if actor.get("on_behalf_of") else ""
    role = f" ({actor['role']})" if actor.get("role") else ""
    return f"{actor['user']}{role}{behalf}"


def details(payload: dict[str, Any], leave_out: frozenset[str] = frozenset()) -> str:
    """`name=value`, separated by commas; what is empty is left out."""
    return ", ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in payload.items()
        if value not in (None, "", [], {}) and name not in leave_out
    )


def withheld(item: dict[str, Any]) -> dict[str, str]:
    """What of an event its reader may not see, or nobody any more, as a detail of it."""
    return {"withheld": " ".join(item["withheld"])}
