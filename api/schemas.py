"""The shapes of requests and their events, as the OpenAPI page shows them.

Answers are written straight from rows (see `views`); tests hold every answer against its model here.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.automatic_shapes import Job
from api.people_shapes import AddedApprover, Attachment, Comment, Question, Watcher
from api.revision_shapes import Revision
from api.shapes import Strict, example
from api.task_shapes import DECISION, INPUTS, TASK, Decision, DueBy, Task
from recipes.model import Json
from recipes.state import RequestState

_REQUEST: dict[str, Json] = {
    "id": "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34",
    "workflow": "leave_request",
    "version": 3,
    "title": "5 days of leave for Alice Moreau",
    "requester": "alice",
    "state": "approved",
    "status": None,
    "step": None,
    "incidents": [],
    "reason": None,
    "deadline_at": None,
    "deadline_by": None,
    "resubmit_by": None,
    "created_at": "2026-03-02T09:12:43.990000Z",
    "finalized_at": "2026-03-02T09:30:00.140000Z",
    "entity": None,
    "imported": None,
    "recall_id": None,
    "reopens": None,
    "withheld": [],
    "erased": None,
}


class Incident(Strict):
    """People are needed: `detail` says for what; `seat` is null where the whole step waits, `step`
    where the request cannot be carried on at all (`CommitFailed`: for whoever runs the service)."""

    kind: str
    detail: str
    step: str | None
    seat: str | None
    at: datetime


class Fired(Strict):
    """An action that was fired: by `user`, or by `system:engine` when a timer of the state rang.
    `on_behalf_of` and `via` tell by which delegation, `role` by which role."""

    action: str
    source: str = Field(alias="from")
    to: str
    user: str
    role: str | None
    on_behalf_of: str | None
    via: list[str]
    comment: str | None
    at: datetime
    withheld: list[str]


class Entity(Strict):
    """What a request is about, in the system where it lives."""

    model_config = example(type="booking", id="4711")
    type: str
    id: str


class Origin(Strict):
    """Where an imported request comes from: the system that had it, and its id there."""

    import_id: UUID
    source: str
    external_id: str


class Erased(Strict):
    """When a request was erased, by whom, and why: what was written in it cannot be read any more."""

    at: datetime
    by: str
    reason: str


class RequestHead(Strict):
    """`status` is the state that a state machine is in; `imported` is of requests that another system had;
    `recall_id` of those recalled, of a rule that was wrong; `reopens` the recalled one that this one is for.
    One that is `rewound` waits for its requester, and expires at `resubmit_by` if that is set; `reason` is
    what is to be changed. `withheld` are pointers to what is left out, because it is confidential and not for
    the caller: a `title` is the recipe's name then. One that is `erased` has its ids, states and times alone."""

    model_config = example(**_REQUEST)
    id: UUID
    workflow: str
    version: int
    title: str
    requester: str
    state: RequestState
    status: str | None
    step: str | None
    incidents: list[Incident]
    reason: str | None
    deadline_at: datetime | None
    deadline_by: DueBy | None
    resubmit_by: datetime | None
    created_at: datetime
    finalized_at: datetime | None
    entity: Entity | None
    imported: Origin | None
    recall_id: UUID | None
    reopens: UUID | None
    withheld: list[str]
    erased: Erased | None


class Recalled(Strict):
    """Why a request was recalled, and which one asks people instead, if one does."""

    recall_id: UUID
    reason: str
    by: str
    at: datetime
    reopened_as: UUID | None


RequestDeed = Literal["cancel", "resubmit", "retry", "name_watchers"]


class Request(RequestHead):
    """`waiting_for` names who is next: principals (`user:x`, `role:y`) of the open tasks, or of what can
    be fired of a state machine; `added_approvers` those added by hand, asked yet or not. A machine's `moves`
    counts the actions fired; the last 100 are in `history`, oldest first, all of them among its events.
    `comments` are the last 50; `revisions` all its submissions, the first one first. `jobs` are its
    automatic work; `waits_until` says until when a `wait` does. What the caller `may` do to it now."""

    model_config = example(
        **_REQUEST,
        inputs=INPUTS,
        digest="b1946ac92492d2347c6235b4d2611184",
        moves=0,
        history=[],
        tasks=[TASK | {"state": "open", "closed_at": None, "decision": None}],
        decisions=[DECISION],
        waiting_for=[],
        added_approvers=[],
        revisions=[],
        waits_until=None,
        jobs=[],
        comments=[],
        questions=[],
        attachments=[],
        watchers=[],
        recalled=None,
        may=["name_watchers"],
        temporal_url="http://127.0.0.1:8233/namespaces/default/workflows/"
        "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34",
    )
    inputs: dict[str, Any]
    digest: str
    moves: int
    history: list[Fired]
    tasks: list[Task]
    decisions: list[Decision]
    waiting_for: list[str]
    added_approvers: list[AddedApprover]
    revisions: list[Revision]
    waits_until: datetime | None
    jobs: list[Job]
    comments: list[Comment]
    questions: list[Question]
    attachments: list[Attachment]
    watchers: list[Watcher]
    recalled: Recalled | None
    may: list[RequestDeed]
    temporal_url: str | None


_ACTION: dict[str, Json] = {
    "id": "approve",
    "name": "Approve",
    "from": ["in_review"],
    "to": "approved",
    "who": ["role:legal", "user:grace"],
    "require_comment": False,
    "available": False,
    "why_not": "action `approve` leads out of `in_review`; the request is in `draft`",
}


class MachineAction(Strict):
    """An action of a state machine. `who` are principals, empty where anybody who may see the request
    may fire it; `why_not` says why the caller cannot, now."""

    id: str
    name: str | None
    source: list[str] = Field(alias="from")
    to: str
    who: list[str]
    require_comment: bool
    available: bool
    why_not: str | None


class ActionPage(Strict):
    """All actions of a request's machine, which is in `status` after so many `moves`."""

    model_config = example(status="draft", moves=2, items=[_ACTION], next_cursor=None)
    status: str
    moves: int
    items: list[MachineAction]
    next_cursor: str | None


class WaitingIncident(Strict):
    """An incident with its request. `actions` are those the caller may take: `retry` once its cause
    is put right, `reassign` to give its seat to somebody."""

    model_config = example(
        request_id=_REQUEST["id"],
        workflow="leave_request",
        version=3,
        title=_REQUEST["title"],
        requester="alice",
        step="hr_and_grandboss",
        seat="hr_and_grandboss/2",
        kind="NoApproverFound",
        detail="role hr-leave-admin has no member other than the requester",
        since="2026-03-02T09:12:44.001122Z",
        actions=["retry", "reassign"],
        withheld=[],
    )
    request_id: UUID
    workflow: str
    version: int
    title: str
    requester: str
    step: str | None
    seat: str | None
    kind: str
    detail: str
    since: datetime
    actions: list[Literal["retry", "reassign"]]
    withheld: list[str]


class IncidentPage(Strict):
    items: list[WaitingIncident]
    next_cursor: str | None


class RequestSummary(RequestHead):
    """A request in a list: `waiting_for` are the principals that its open tasks wait for, or its requester
    where it is `rewound`; `due_at` is when the first of them is due."""

    model_config = example(**_REQUEST, waiting_for=[], due_at=None)
    waiting_for: list[str]
    due_at: datetime | None


class RequestPage(Strict):
    items: list[RequestSummary]
    next_cursor: str | None


class CommandPending(Strict):
    """The command is recorded and will be applied; look at the request for what came of it."""

    command_id: UUID
    detail: str


class AuditActor(Strict):
    user: str
    role: str | None
    on_behalf_of: str | None
    via: list[str]


class Event(Strict):
    """One row of the audit trail; `hash` is SHA-256 of a zero byte, `prev_hash` and `body` (UTF-8). What people
    wrote is sealed in `body`; `payload` has it in the clear, but for what is named in `withheld`: the reader may
    not see it, or it was erased. `disclosed` are the texts that were sealed: `body` has the SHA-256 of each."""

    event_id: UUID
    seq: int
    type: str
    occurred_at: datetime
    recorded_at: datetime
    actor: AuditActor
    payload: dict[str, Any]
    withheld: list[str]
    disclosed: list[str]
    snapshot: dict[str, Any]
    body: str
    prev_hash: str
    hash: str


class EventPage(Strict):
    items: list[Event]
    next_cursor: str | None


class Health(Strict):
    status: Literal["ok"]


class Stats(Strict):
    """Counted at most every few seconds: `at` says when. `requests` are without those `imported`.
    `outbox_oldest_seconds` is of the oldest row."""

    at: datetime
    requests: dict[str, int]
    imported: int
    open_tasks: int
    incidents: int
    outbox: int
    outbox_oldest_seconds: float


# --- events -----------------------------------------------------------------------------------------


class StartedRequest(Strict):
    """A request that an event started."""

    id: UUID
    workflow: str
    version: int


class EventReceived(Strict):
    """What an event started: a request of every workflow that listens to it. None: nobody listens."""

    model_config = example(
        event_id="bookings-88121",
        requests=[
            {
                "id": "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34",
                "workflow": "booking_cancellation",
                "version": 2,
            }
        ],
    )
    event_id: str
    requests: list[StartedRequest]
