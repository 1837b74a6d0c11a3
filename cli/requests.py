"""`countersign request ...`: submit, show, list, events, cancel, retry."""

import json
import re
import shlex
import time
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.text import Text

from cli.caller import Caller, calling
from cli.client import Api, changed, is_id
from cli.inputs import About, InputsFile, Texts, Values, given_inputs, parse_entity
from cli.jobs import show_jobs
from cli.options import AsJson, Ids, Limit
from cli.output import (
    Exit,
    Failure,
    at,
    due,
    facts,
    say,
    table,
    told,
    when,
    write,
    write_ids,
    write_json,
)
from recipes.state import RequestState

app = typer.Typer(no_args_is_help=True, help="Submit requests and look after them.")

RequestId = Annotated[
    str, typer.Argument(metavar="REQUEST", help="The request's id, or its beginning.")
]

_SETTLE_SECONDS = 3.0
_SHORTEST = 4  # digits of an id's beginning
_LOOKED_AT = 1000
_MACHINERY = frozenset(
    {"chain", "decision_id", "digest", "level", "recipe_sha256", "seat", "seats", "task_id"}
)  # of an event's payload: there with --json
_STATE_STYLES = {"approved": "green", "rejected": "red", "expired": "red", "cancelled": "dim"}


@app.command()
@calling
def submit(
    workflow: Annotated[str, typer.Argument(help="The recipe's workflow, such as leave_request.")],
    values: Values = None,
    inputs: Texts = None,
    inputs_file: InputsFile = None,
    version: Annotated[int | None, typer.Option(help="A version other than the newest.")] = None,
    entity: About = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Submitting again with the same key makes no second request.")
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Submit a request.

    A VALUE that is JSON (5, true, ["a"]) is taken as that, anything else as text.
    """
    given = given_inputs(values or [], inputs_file, inputs or [])
    body: dict[str, object] = {"workflow": workflow, "inputs": given}
    if version is not None:
        body["version"] = version
    if entity is not None:
        body["entity"] = parse_entity(entity)
    api = caller.connect()
    key = idempotency_key or str(uuid4())
    try:
        request = api.post("/v1/requests", body, **{"Idempotency-Key": key})
    except Failure as failure:
        failure.fix = failure.fix or _as_texts(failure, values or [])
        raise
    if as_json:
        write_json(request)
        return
    say(f"submitted: {request['title']}")
    show_request(api, _taken_up(api, request))


@app.command()
@calling
def show(request: RequestId, *, caller: Caller, as_json: AsJson = False) -> None:
    """Show a request: where it stands, its tasks, who is next."""
    api = caller.connect()
    found = api.get(f"/v1/requests/{request_id(api, request)}")
    if as_json:
        write_json(found)
    else:
        show_request(api, found)


@app.command("list")
@calling
def list_requests(
    state: Annotated[RequestState | None, typer.Option(help="Those in one state.")] = None,
    workflow: Annotated[str | None, typer.Option(help="One workflow's alone.")] = None,
    requester: Annotated[str | None, typer.Option(help="One person's alone.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Those of state machines that are in this state.")
    ] = None,
    incident: Annotated[
        bool, typer.Option("--incident", help="Those alone that need people.")
    ] = False,
    entity: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE[:ID]", help="Those about one entity, booking:4711, or one type of them."
        ),
    ] = None,
    words: Annotated[
        str | None, typer.Option(help="Those with all of these words in title or inputs.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(metavar="CONDITION", help="On inputs: 'amount > 50000'.")
    ] = None,
    imported: Annotated[
        bool | None,
        typer.Option("--imported/--live", help="Those alone that another system had; or none."),
    ] = None,
    limit: Limit = 50,
    ids: Ids = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List the requests that you may see, newest first."""
    api = caller.connect()
    kind, colon, number = (entity or "").partition(":")
    wanted = {
        "state": state,
        "workflow": workflow,
        "requester": requester,
        "status": status,
        "entity_type": kind or None,
        "entity_id": number if colon else None,
        "words": words,
        "where": where,
        "imported": imported,
    }
    found = list(api.items("/v1/requests", limit, **wanted, incident="true" if incident else None))
    if as_json:
        write_json(found)
        return
    if ids:
        write_ids(found)
        return
    table(
        ("request", "title", "requester", "state", "step", "submitted (UTC)"),
        (
            (
                item["id"],
                item["title"],
                item["requester"],
                _state(item),
                item["step"] or item["status"],
                at(item["created_at"]),
            )
            for item in found
        ),
        least=("step", "requester"),
    )


@app.command()
@calling
def events(
    request: RequestId,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 1000,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Show a request's audit trail: what happened, when, and by whom."""
    api = caller.connect()
    found = list(api.items(f"/v1/requests/{request_id(api, request)}/events", limit))
    if as_json:
        write_json(found)
        return
    table(
        ("#", "when (UTC)", "what", "who", "details", "hash"),
        (
            (
                item["seq"],
                at(item["occurred_at"], seconds=True),
                item["type"],
                actor(item["actor"]),
                details(item["payload"] | withheld(item), leave_out=_MACHINERY),
                item["hash"][:12],
            )
            for item in found
        ),
        least=("hash",),
        wraps=("details",),
    )


@app.command()
@calling
def cancel(
    request: RequestId,
    comment: Annotated[str | None, typer.Option(help="Why.")] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Cancel a request. Too late is exit code 3."""
    _command("cancel", request, comment, caller.connect(), as_json)


@app.command()
@calling
def retry(
    request: RequestId,
    comment: Annotated[str | None, typer.Option(help="What was put right.")] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Try a request's incidents again, after what was wrong is put right."""
    _command("retry", request, comment, caller.connect(), as_json)


def _command(command: str, request: str, comment: str | None, api: Api, as_json: bool) -> None:
    answer = api.post(f"/v1/requests/{request_id(api, request)}/{command}", {"comment": comment})
    if as_json:
        write_json(answer)
    elif "command_id" in answer:
        say(f"recorded, not yet applied: {answer['detail']}")
        write(f"countersign request show {request}")
    else:
        show_request(api, answer)


def request_id(api: Api, given: str) -> str:
    """A request's id from the whole of it or its beginning. Failure if it does not name one."""
    prefix = given.lower()
    if is_id(prefix):
        return prefix
    if len(prefix) < _SHORTEST or set(prefix) - set("0123456789abcdef-"):
        raise Failure(f"{given!r} is not the id of a request", code=Exit.USAGE)
    items = api.items("/v1/requests", _LOOKED_AT)
    found = [item for item in items if item["id"].startswith(prefix)]
    if len(found) > 1:
        listed = [f"{item['id']}  {item['title']}" for item in found[:10]]
        raise Failure(f"{len(found)} requests begin with {prefix}", code=Exit.USAGE, details=listed)
    if not found:
        raise Failure(
            f"none of your newest {_LOOKED_AT} requests begins with {prefix}",
            code=Exit.NOT_FOUND,
            fix="countersign request list shows them; a whole id is always found",
        )
    return str(found[0]["id"])


def _taken_up(api: Api, request: dict[str, Any]) -> dict[str, Any]:
    """The request once its first tasks are there, or as it is after a moment of waiting."""
    until = time.monotonic() + _SETTLE_SECONDS
    while _untouched(request) and time.monotonic() < until:
        time.sleep(0.1)
        request = api.get(f"/v1/requests/{request['id']}")
    if _untouched(request):
        say("no worker has taken it up yet; it is recorded and will be")
    return request


def _untouched(request: dict[str, Any]) -> bool:
    return request["state"] == "created" and not request["incidents"]


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
            "state": _state(request),
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


def _state(request: dict[str, Any]) -> Text:
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


def _as_texts(failure: Failure, values: list[str]) -> str | None:
    """How to send as text what was taken as JSON and refused for not being text."""
    said = "\n".join((failure.message, *failure.details))
    refused = set(re.findall(r'/inputs/(\w+): .*not of type "string"', said))
    texts = [value for value in values if value.partition("=")[0] in refused]
    return " ".join(f"--input {shlex.quote(value)}" for value in texts) or None
