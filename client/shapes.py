"""What the API answers, as far as programs often need it: the rest of an answer is there, too, untyped.

Times are RFC 3339 in UTC, ids UUIDs, both as texts. A test holds each shape against the OpenAPI page.
"""

from typing import Any, Generic, Literal, TypeAlias, TypedDict, TypeVar

T = TypeVar("T")

RequestState: TypeAlias = Literal[
    "created", "pending", "rewound", "approved", "rejected", "cancelled", "expired"
]
RequestDeed: TypeAlias = Literal["cancel", "resubmit", "retry", "name_watchers"]
TaskState: TypeAlias = Literal[
    "open", "decided", "expired", "superseded", "cancelled", "reassigned"
]


class Page(TypedDict, Generic[T]):
    """A page of a list; `next_cursor` is where the next begins, None at the end."""

    items: list[T]
    next_cursor: str | None


class Entity(TypedDict):
    type: str
    id: str


class Incident(TypedDict):
    kind: str
    detail: str
    step: str | None
    seat: str | None
    at: str


class Decision(TypedDict):
    id: str
    task_id: str
    step: str
    decision: str
    user: str
    role: str | None
    on_behalf_of: str | None
    via: list[str]
    comment: str | None
    reason: str | None
    decided_at: str


class Outcome(TypedDict):
    id: str
    name: str
    counts_as: Literal["approve", "reject", "rewind"]
    to: str | None


class Task(TypedDict):
    id: str
    request_id: str
    workflow: str
    version: int
    title: str
    requester: str
    step: str
    branch: str | None
    assignee: str | None
    candidates: list[str] | None
    role: str | None
    on_behalf_of: str | None
    state: TaskState
    opened_at: str
    due_at: str | None
    digest: str
    outcomes: list[Outcome]
    require_comment: list[str]
    require_reason: list[str]
    reasons: list[str]
    claimed_by: str | None
    decision: Decision | None


class TaskShown(Task):
    inputs: dict[str, Any]


class Comment(TypedDict):
    id: str
    request_id: str
    user: str
    text: str | None
    made_at: str


class Attachment(TypedDict):
    id: str
    request_id: str
    name: str | None
    media_type: str
    size: int
    sha256: str | None
    added_by: str
    added_at: str


class RequestSummary(TypedDict):
    id: str
    workflow: str
    version: int
    title: str
    requester: str
    state: RequestState
    status: str | None
    step: str | None
    incidents: list[Incident]
    reason: str | None
    deadline_at: str | None
    created_at: str
    finalized_at: str | None
    entity: Entity | None


class Request(RequestSummary):
    inputs: dict[str, Any]
    digest: str
    tasks: list[Task]
    decisions: list[Decision]
    waiting_for: list[str]
    comments: list[Comment]
    attachments: list[Attachment]
    may: list[RequestDeed]
    temporal_url: str | None


class CommandPending(TypedDict):
    """A command is recorded, and will be carried out: the request will show what came of it."""

    command_id: str
    detail: str


class Actor(TypedDict):
    user: str
    role: str | None
    on_behalf_of: str | None
    via: list[str]


class Event(TypedDict):
    """A row of a request's audit trail."""

    event_id: str
    seq: int
    type: str
    occurred_at: str
    recorded_at: str
    actor: Actor
    payload: dict[str, Any]
    body: str
    prev_hash: str
    hash: str


class StartedRequest(TypedDict):
    id: str
    workflow: str
    version: int


class EventReceived(TypedDict):
    event_id: str
    requests: list[StartedRequest]


class RecipeListed(TypedDict):
    workflow: str
    version: int
    versions: list[int]
    title: str | None
    description: str | None
    owner: str | None


class Person(TypedDict):
    id: str
    name: str
    email: str | None
    manager: str | None
    department: str | None
    time_zone: str


class CloudEvent(TypedDict):
    """An event of the feed, as CloudEvents 1.0. `id` is the same however often it is told."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    time: str
    sequence: str
    partitionkey: str
    data: dict[str, Any]


class FeedPage(TypedDict):
    """Events of the feed; what comes after them follows `next_cursor`, which is always there."""

    items: list[CloudEvent]
    next_cursor: str
