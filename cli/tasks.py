"""`countersign inbox`, `approve`, `reject`, `request-changes`: an approver's ten seconds at a terminal."""

from typing import Annotated, Any, Literal

import typer

from cli.caller import Caller, calling
from cli.client import Api, is_id
from cli.incidents import show_helpable
from cli.notifications import show_unread
from cli.options import AsJson, Ids, Limit
from cli.output import Exit, Failure, at, due, say, table, write_ids, write_json
from cli.questions import show_open
from cli.resubmit import show_rewound

TaskId = Annotated[
    str, typer.Argument(metavar="TASK", help="The task's id, or the beginning of one in the inbox.")
]
Comment = Annotated[str | None, typer.Option(help="A comment that goes on the record.")]
Reason = Annotated[
    str | None,
    typer.Option(metavar="CODE", help="A short code for the record; some recipes list them."),
]
To = Annotated[
    str | None,
    typer.Option(
        metavar="STEP", help="Which step is to decide again. Default: the requester changes it."
    ),
]

_SHORTEST = 4


@calling
def inbox(
    state: Annotated[
        Literal["open", "closed", "all"],
        typer.Option(help="Those to decide, those closed, or both."),
    ] = "open",
    limit: Limit = 50,
    ids: Ids = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List the tasks that wait for you, directly or by a role, soonest due first; and below them
    your requests that were sent back, the questions put to you, and the incidents that you can help with."""
    api = caller.connect()
    found = list(api.items("/v1/tasks", limit, state=state))
    if as_json:
        write_json(found)
        return
    if ids:
        write_ids(found)
        return
    if found:
        _show(found, state)
    else:
        say("nothing waits for you" if state == "open" else "there is nothing")
    if state != "closed":
        show_rewound(api)
        show_open(api)
        show_helpable(api)
        show_unread(api)


def _show(found: list[dict[str, Any]], state: str) -> None:
    show_tasks(found)
    if state == "open":
        say(
            "decide with: countersign approve TASK | countersign reject TASK --comment WHY |"
            " countersign request-changes TASK --comment WHAT"
        )
        own = {it["id"] for item in found for it in item.get("outcomes", ())} - set(_PAST)
        if own:
            say(f"or: countersign decide TASK OUTCOME ({', '.join(sorted(own))})")


def show_tasks(found: list[dict[str, Any]]) -> None:
    """A table of tasks, as the inbox shows them."""
    table(
        ("task", "title", "requester", "step", "due", "since (UTC)", "by"),
        (
            (
                item["id"],
                item["title"],
                item["requester"],
                f"{item['step']}/{item['branch']}" if item["branch"] else item["step"],
                due(item["due_at"]),
                at(item["opened_at"]),
                _by(item),
            )
            for item in found
        ),
        least=("by", "since (UTC)", "requester"),
    )


def _by(task: dict[str, Any]) -> object:
    if task.get("claimed_by"):
        return f"claimed by {task['claimed_by']}"
    return task["role"] or task["candidates"]


@calling
def approve(
    task: TaskId,
    comment: Comment = None,
    reason: Reason = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Approve a task. Somebody was first: exit code 3, naming them."""
    said = {"decision": "approve", "comment": comment, "reason": reason}
    _decide(said, task, caller.connect(), as_json)


@calling
def reject(
    task: TaskId,
    comment: Comment = None,
    reason: Reason = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Reject a task. Some recipes want a comment or a reason."""
    said = {"decision": "reject", "comment": comment, "reason": reason}
    _decide(said, task, caller.connect(), as_json)


@calling
def request_changes(
    task: TaskId,
    comment: Annotated[str, typer.Option(help="What is to be changed.")],
    to: To = None,
    reason: Reason = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Send a request back to its requester, or to a step that is to decide it again."""
    said = {"decision": "request_changes", "comment": comment, "reason": reason, "to": to}
    _decide(said, task, caller.connect(), as_json)


@calling
def decide(
    task: TaskId,
    outcome: Annotated[str, typer.Argument(help="The id of an outcome that the task offers.")],
    comment: Comment = None,
    reason: Reason = None,
    to: To = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Decide a task as one of the outcomes that its recipe gives it."""
    said = {"decision": outcome, "comment": comment, "reason": reason, "to": to}
    _decide(said, task, caller.connect(), as_json)


@calling
def claim(task: TaskId, *, caller: Caller, as_json: AsJson = False) -> None:
    """Claim a shared task: you alone decide it. Somebody was first: exit code 3, naming them."""
    _claim("claim", task, caller.connect(), as_json)


@calling
def release(task: TaskId, *, caller: Caller, as_json: AsJson = False) -> None:
    """Release a claimed task: all who share it may decide it again."""
    _claim("release", task, caller.connect(), as_json)


def _claim(action: str, task: str, api: Api, as_json: bool) -> None:
    answer = api.post(f"/v1/tasks/{task_id(api, task)}/{action}", {})
    if as_json:
        write_json(answer)
    else:
        say(f"{_PAST[action]}: {answer['title']} ({answer['requester']}), step {answer['step']}")


def _decide(said: dict[str, str | None], task: str, api: Api, as_json: bool) -> None:
    found = task_id(api, task)
    seen = api.get(f"/v1/tasks/{found}")
    body = {name: value for name, value in said.items() if value is not None}
    answer = api.post(f"/v1/tasks/{found}/decisions", body | {"digest": seen["digest"]})
    if as_json:
        write_json(answer)
    else:
        decision = said["decision"] or ""
        done = _PAST.get(decision, f"decided {decision}")
        say(f"{done}: {seen['title']} ({seen['requester']}), step {seen['step']}")


def task_id(api: Api, given: str) -> str:
    """A task's id from the whole of it, or its beginning if it is in the inbox. Failure else."""
    prefix = given.lower()
    if is_id(prefix):
        return prefix
    if len(prefix) < _SHORTEST:
        raise Failure(f"{prefix!r} is too short for a task's id", code=Exit.USAGE)
    found: list[dict[str, Any]] = [
        item for item in api.items("/v1/tasks", 1000, state="open") if item["id"].startswith(prefix)
    ]
    if len(found) > 1:
        listed = [f"{item['id']}  {item['title']}" for item in found[:10]]
        raise Failure(f"{len(found)} tasks begin with {prefix}", code=Exit.USAGE, details=listed)
    if not found:
        raise Failure(
            f"no task in your inbox begins with {prefix}",
            code=Exit.NOT_FOUND,
            fix="countersign inbox lists them",
        )
    return str(found[0]["id"])


_PAST = {
    "approve": "approved",
    "reject": "rejected",
    "request_changes": "sent back",
    "claim": "claimed",
    "release": "released",
}
