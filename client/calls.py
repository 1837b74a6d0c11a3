"""What can be asked of the API: each function makes a call, which a client sends.

A `Call` names its operation as the OpenAPI page does, and says what comes back. Calls that this file does
not have are made the same way: `Call("GET", "/v1/stats")`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from client.shapes import (
    CommandPending,
    Comment,
    Event,
    EventReceived,
    FeedPage,
    Page,
    Person,
    RecipeListed,
    Request,
    RequestState,
    RequestSummary,
    Task,
    TaskShown,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call, whose answer is a T. `path` is a template that `at` fills; what is None in `query` and in
    `body` is left out. A `keyed` one changes something: it is sent with an `Idempotency-Key`."""

    method: str
    path: str
    at: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Mapping[str, Any] | None = None
    keyed: bool = False


# --- requests ---------------------------------------------------------------------------------------


def submit(
    workflow: str,
    inputs: Mapping[str, Any],
    *,
    version: int | None = None,
    entity: tuple[str, str] | None = None,
) -> Call[Request]:
    """Start a workflow; `entity` is (type, id) of what it is about."""
    about = None if entity is None else {"type": entity[0], "id": entity[1]}
    body = {"workflow": workflow, "inputs": dict(inputs), "version": version, "entity": about}
    return Call("POST", "/v1/requests", body=body, keyed=True)


def request(request_id: str) -> Call[Request]:
    """A request with its tasks, decisions and who is next."""
    return Call("GET", "/v1/requests/{request_id}", {"request_id": request_id})


def requests(
    *,
    state: RequestState | None = None,
    workflow: str | None = None,
    requester: str | None = None,
    entity_type: str | None = None,
    entity_id: str | None = None,
    words: str | None = None,
    where: str | None = None,
    limit: int = 100,
) -> Call[Page[RequestSummary]]:
    """Those that the caller may see, the newest first."""
    query = {
        "state": state,
        "workflow": workflow,
        "requester": requester,
        "entity_type": entity_type,
        "entity_id": entity_id,
        "words": words,
        "where": where,
        "limit": limit,
    }
    return Call("GET", "/v1/requests", query=query)


def cancel(request_id: str, comment: str | None = None) -> Call[Request | CommandPending]:
    """Call a request off: the request, or within two seconds without an outcome what to look for. A Conflict
    if that comes too late."""
    at = {"request_id": request_id}
    return Call(
        "POST", "/v1/requests/{request_id}/cancel", at, body={"comment": comment}, keyed=True
    )


def resubmit(
    request_id: str, inputs: Mapping[str, Any], comment: str | None = None
) -> Call[Request | CommandPending]:
    """A request that was sent back, with all of its inputs. Answers as `cancel` does."""
    at, body = {"request_id": request_id}, {"inputs": dict(inputs), "comment": comment}
    return Call("POST", "/v1/requests/{request_id}/resubmit", at, body=body, keyed=True)


def fire(
    request_id: str, action_id: str, *, comment: str | None = None, moves: int | None = None
) -> Call[Request | CommandPending]:
    """Fire an action of a state machine. With `moves`, as its actions showed them, a Conflict if it has moved
    since. Answers as `cancel` does."""
    at = {"request_id": request_id, "action_id": action_id}
    path = "/v1/requests/{request_id}/actions/{action_id}"
    return Call("POST", path, at, body={"comment": comment, "moves": moves}, keyed=True)


def comment(request_id: str, text: str) -> Call[Comment]:
    """Say something about a request."""
    at = {"request_id": request_id}
    return Call("POST", "/v1/requests/{request_id}/comments", at, body={"text": text}, keyed=True)


def events(request_id: str, *, limit: int = 100) -> Call[Page[Event]]:
    """A request's audit trail, from its beginning."""
    at = {"request_id": request_id}
    return Call("GET", "/v1/requests/{request_id}/events", at, {"limit": limit})


# --- tasks ------------------------------------------------------------------------------------------


def tasks(*, limit: int = 100) -> Call[Page[Task]]:
    """The open tasks that wait for the caller."""
    return Call("GET", "/v1/tasks", query={"state": "open", "limit": limit})


def task(task_id: str) -> Call[TaskShown]:
    """A task, with the inputs that it is about."""
    return Call("GET", "/v1/tasks/{task_id}", {"task_id": task_id})


def decide(
    task_id: str,
    decision: str,
    *,
    comment: str | None = None,
    reason: str | None = None,
    digest: str | None = None,
    to: str | None = None,
) -> Call[Task]:
    """Decide a task by one of its outcomes. With its `digest` a Conflict if what it is about has changed
    since; one, too, if somebody else was first."""
    body = {"decision": decision, "comment": comment, "reason": reason, "digest": digest, "to": to}
    at = {"task_id": task_id}
    return Call("POST", "/v1/tasks/{task_id}/decisions", at, body=body, keyed=True)


def claim(task_id: str) -> Call[Task]:
    """Have a shared task to oneself."""
    return Call("POST", "/v1/tasks/{task_id}/claim", {"task_id": task_id}, keyed=True)


def release(task_id: str) -> Call[Task]:
    """Give a shared task back."""
    return Call("POST", "/v1/tasks/{task_id}/release", {"task_id": task_id}, keyed=True)


# --- events, the feed, recipes, people ----------------------------------------------------------------


def send_event(
    event: str,
    entity: tuple[str, str],
    event_id: str,
    *,
    inputs: Mapping[str, Any] | None = None,
    initiated_by: str | None = None,
) -> Call[EventReceived]:
    """Start whatever listens to an event about `entity` (type, id): once for each `event_id`."""
    body = {
        "event": event,
        "event_id": event_id,
        "entity_type": entity[0],
        "entity_id": entity[1],
        "initiated_by": initiated_by,
        "inputs": dict(inputs or {}),
    }
    return Call("POST", "/v1/events", body=body, keyed=True)


def feed(
    cursor: str | None = None,
    *,
    types: Sequence[str] = (),
    workflows: Sequence[str] = (),
    wait: int = 0,
    limit: int = 100,
) -> Call[FeedPage]:
    """What happened after `cursor`, waiting `wait` seconds (up to 30) for it. Keep `next_cursor` of the
    answer with what you did, and go on from there; without one it begins with the oldest that is kept."""
    query = {
        "cursor": cursor,
        "type": list(types) or None,
        "workflow": list(workflows) or None,
        "wait": wait,
        "limit": limit,
    }
    return Call("GET", "/v1/feed", query=query)


def recipes(*, limit: int = 100) -> Call[Page[RecipeListed]]:
    """What is published."""
    return Call("GET", "/v1/recipes", query={"limit": limit})


def people(*, q: str | None = None, limit: int = 100) -> Call[Page[Person]]:
    """Who is in the directory; `q` is part of a name or id."""
    return Call("GET", "/v1/org/people", query={"q": q, "limit": limit})
