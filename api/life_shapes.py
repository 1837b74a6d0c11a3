"""The shapes of what is told of recipes without a live request: see `schemas`."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.org_shapes import ExplainedHop
from api.schemas import Incident
from api.shapes import Strict, example
from api.task_shapes import DueBy
from recipes.model import Json
from recipes.state import RequestState

_HOP: dict[str, Json] = {
    "rule": "person",
    "user": "bob",
    "role": None,
    "turn": None,
    "delegation": None,
    "text": "Bob Tanaka is asked for",
}
_TASK: dict[str, Json] = {
    "branch": None,
    "level": 0,
    "assignee": "bob",
    "candidates": [],
    "could_decide": [],
    "role": None,
    "on_behalf_of": None,
    "via": [],
    "chain": [_HOP],
    "opened_at": "2026-03-02T09:00:00Z",
    "due_at": "2026-03-04T09:00:00Z",
    "due_by": None,
    "when_due": "escalate",
    "comment_required": False,
    "reminded_at": [],
    "state": "decided",
    "closed_at": "2026-03-02T11:00:00Z",
    "why": None,
    "decision": "approve",
    "decided_by": "bob",
}
_PATH: list[Json] = [
    {
        "step": "auto_approve_short",
        "name": None,
        "type": "action",
        "when": "days < 3",
        "at": "2026-03-02T09:00:00Z",
        "outcome": "skipped",
        "completed_at": "2026-03-02T09:00:00Z",
        "tasks": [],
        "incidents": [],
        "does": None,
    },
    {
        "step": "manager_approval",
        "name": None,
        "type": "approval",
        "when": None,
        "at": "2026-03-02T09:00:00Z",
        "outcome": "approved",
        "completed_at": "2026-03-02T11:00:00Z",
        "tasks": [_TASK],
        "incidents": [],
        "does": None,
    },
]


class SimulatedTask(Strict):
    """Whom it asks and how that was found, when it is due and what would come `when_due`, and how it
    ends. `could_decide`: the people of a shared task. `level` counts the escalations before it."""

    branch: str | None
    level: int
    assignee: str | None
    candidates: list[str]
    could_decide: list[str]
    role: str | None
    on_behalf_of: str | None
    via: list[str]
    chain: list[ExplainedHop]
    opened_at: datetime
    due_at: datetime | None
    due_by: DueBy | None
    when_due: str | None
    comment_required: bool
    reminded_at: list[datetime]
    state: str
    closed_at: datetime | None
    why: str | None
    decision: str | None
    decided_by: str | None


class SimulatedStep(Strict):
    """A step that the request comes to: `skipped` where its `when` is false; `outcome` is null while
    it waits. `does`: what an automatic step does, in words."""

    step: str
    name: str | None
    type: str
    when: str | None
    at: datetime
    outcome: str | None
    completed_at: datetime | None
    tasks: list[SimulatedTask]
    incidents: list[Incident]
    does: str | None


class SimulatedAction(Strict):
    """An action that leads out of the state in which a state machine's request would begin, `to` another.
    `who`: whom it is for (none: whoever may see the request); `could_fire`: the people behind that, those
    who decide for them aside; `nobody`: why there are none. `fires_at`: when time fires it by itself."""

    id: str
    name: str | None
    to: str
    who: list[str]
    could_fire: list[str]
    nobody: str | None
    not_requester: bool
    require_comment: bool
    fires_at: datetime | None


class Simulated(Strict):
    """What would become of the request. Where `state` is not final, `step`, `waiting_for` and
    `incidents` say why. `unused` are pointers to supposed decisions that fitted no task; `stopped`:
    it came to no end in 1,000 moves. One of a state machine goes as far as people choose its way:
    `status` is the state in which it would begin, `actions` what leads on from there."""

    model_config = example(
        workflow="leave_request",
        version=3,
        requester="alice",
        at="2026-03-02T09:00:00Z",
        state="approved",
        reason="approved",
        ended_at="2026-03-02T11:00:00Z",
        deadline_at=None,
        deadline_by=None,
        step=None,
        path=_PATH,
        not_reached=["hr_and_grandboss"],
        waiting_for=[],
        incidents=[],
        unused=[],
        stopped=False,
        status=None,
        actions=[],
    )
    workflow: str
    version: int
    requester: str
    at: datetime
    state: RequestState
    reason: str | None
    ended_at: datetime | None
    deadline_at: datetime | None
    deadline_by: DueBy | None
    step: str | None
    path: list[SimulatedStep]
    not_reached: list[str]
    waiting_for: list[str]
    incidents: list[Incident]
    unused: list[str]
    stopped: bool
    status: str | None
    actions: list[SimulatedAction]


class RecipeChange(Strict):
    """One thing that differs, at `place`, as a recipe's author would name it: `steps.boss.timeout`.
    `kind` is `added`, `removed`, `changed` or `moved`; `text` says it in words."""

    place: str
    kind: str
    text: str
    before: Any = Field(alias="from")
    after: Any = Field(alias="to")


class RecipeDiff(Strict):
    """What differs by meaning; nothing if two versions mean the same."""

    model_config = example(
        **{"workflow": "leave_request", "from": 3, "to": 4},
        changes=[
            {
                "place": "steps.manager_approval.timeout",
                "kind": "changed",
                "text": "2d becomes 1d",
                "from": "2d",
                "to": "1d",
            }
        ],
    )
    workflow: str
    before: int = Field(alias="from")
    after: int = Field(alias="to")
    changes: list[RecipeChange]


class MigratedRequest(Strict):
    """One request's verdict. `outcome`: `possible` (a dry run), `moved`, `refused` with the `reasons`, or
    `recorded` while its workflow has not said. `step` is where it is, `notes` what becomes of it there."""

    request_id: UUID
    title: str | None
    requester: str | None
    step: str | None
    outcome: Literal["possible", "moved", "refused", "recorded"]
    reasons: list[str]
    notes: list[str]
    command_id: UUID | None


class Migrated(Strict):
    """What becomes, or became, of each request that was to move to another version."""

    model_config = example(
        **{"workflow": "leave_request", "from": 3, "to": 4, "dry_run": True},
        counts={"possible": 1},
        items=[
            {
                "request_id": "3a2f6a2e-5f0b-4f57-9f5c-3d2a7f6a1b00",
                "title": "leave_request",
                "requester": "alice",
                "step": "manager_approval",
                "outcome": "possible",
                "reasons": [],
                "notes": ["bob at manager_approval: asked anew"],
                "command_id": None,
            }
        ],
        next_cursor=None,
    )
    workflow: str
    before: int = Field(alias="from")
    after: int = Field(alias="to")
    dry_run: bool
    counts: dict[str, int]
    items: list[MigratedRequest]
    next_cursor: str | None


_ROUTE: dict[str, Json] = {
    "state": "approved",
    "steps": ["manager_approval approved", "hr approved"],
    "asked": ["user:bob", "role:hr"],
    "people": 2,
}
_SUMMARY: dict[str, Json] = {
    "requests": 1,
    "same": 0,
    "refused": 0,
    "route_changed": 1,
    "state_changed": 0,
    "approvers_added": 0,
    "approvers_removed": 1,
    "two_person_breaks": 1,
    "new_incidents": 0,
}
_TRIED: dict[str, Json] = {
    "request_id": "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34",
    "title": "5 days of leave for Alice Moreau",
    "requester": "alice",
    "created_at": "2026-03-02T09:00:00Z",
    "version": 3,
    "same": False,
    "route_changed": True,
    "state_changed": False,
    "two_person_break": True,
    "added": [],
    "removed": ["role:hr"],
    "refused": [],
    "new_incidents": [],
    "before": _ROUTE,
    "after": {
        "state": "approved",
        "steps": ["manager_approval approved", "hr skipped"],
        "asked": ["user:bob"],
        "people": 1,
    },
}


class TriedRoute(Strict):
    """How a request goes through a version: its steps with how they end, whom it asks (`user:x`,
    `role:y`), and how many `people` decide."""

    state: RequestState
    steps: list[str]
    asked: list[str]
    people: int


class TriedRequest(Strict):
    """A past request through its own version (`before`) and the candidate (`after`; null if its inputs
    are `refused`). `added` and `removed`: whom only one of them asks. `two_person_break`: two people
    approved it, and now one or nobody would do. `new_incidents`: where it would get stuck."""

    request_id: UUID
    title: str
    requester: str
    created_at: datetime
    version: int
    same: bool
    route_changed: bool
    state_changed: bool
    two_person_break: bool
    added: list[str]
    removed: list[str]
    refused: list[str]
    new_incidents: list[Incident]
    before: TriedRoute
    after: TriedRoute | None


class BacktestSummary(Strict):
    """How many of the requests each thing happens to."""

    requests: int
    same: int
    refused: int
    route_changed: int
    state_changed: int
    approvers_added: int
    approvers_removed: int
    two_person_breaks: int
    new_incidents: int


class Backtest(Strict):
    """The newest requests first; so many were `withheld`, of which something is confidential and not for the
    caller."""

    model_config = example(
        workflow="leave_request", version=4, summary=_SUMMARY, withheld=0, items=[_TRIED]
    )
    workflow: str
    version: int
    summary: BacktestSummary
    withheld: int
    items: list[TriedRequest]
