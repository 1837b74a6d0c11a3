"""The shapes of tasks and decisions, as the OpenAPI page shows them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from api.problem_shapes import ProblemDetails
from api.revision_shapes import Outcome
from api.shapes import A_REQUEST, A_TASK, Strict, TaskState, example
from api.views import BRIEF
from recipes.happenings import Where
from recipes.model import CountsAs, Json

DECISION: dict[str, Json] = {
    "id": "5f0c2b5e-3b8e-4f0a-9f0e-0a3a0a4a7d11",
    "task_id": "0b7c8a52-6d0e-5c55-8d0b-7f0a1c6a2e90",
    "step": "manager_approval",
    "decision": "approve",
    "counts_as": "approve",
    "to": None,
    "user": "bob",
    "role": None,
    "on_behalf_of": None,
    "via": [],
    "comment": "Enjoy.",
    "reason": None,
    "decided_at": "2026-03-02T09:30:00.123456Z",
    "withheld": [],
}
TASK: dict[str, Json] = {
    "id": A_TASK,
    "request_id": A_REQUEST,
    "workflow": "leave_request",
    "version": 3,
    "title": "5 days of leave for Alice Moreau",
    "requester": "alice",
    "step": "manager_approval",
    "branch": None,
    "assignee": "bob",
    "candidates": None,
    "role": None,
    "on_behalf_of": None,
    "via": [],
    "state": "decided",
    "opened_at": "2026-03-02T09:12:44.001122Z",
    "due_at": "2026-03-04T09:12:44.001122Z",
    "due_by": None,
    "closed_at": "2026-03-02T09:30:00.123456Z",
    "digest": "b1946ac92492d2347c6235b4d2611184",
    "outcomes": [
        {"id": "approve", "name": "Approve", "counts_as": "approve", "to": None},
        {"id": "reject", "name": "Reject", "counts_as": "reject", "to": None},
        {"id": "request_changes", "name": "Request changes", "counts_as": "rewind", "to": None},
    ],
    "require_comment": ["reject", "request_changes"],
    "require_reason": [],
    "reasons": [],
    "rewind_to": ["requester", "manager_approval"],
    "show": [],
    "added_by": None,
    "where": None,
    "claimed_by": None,
    "claimed_at": None,
    "decision": DECISION,
    "withheld": [],
}
INPUTS: dict[str, Json] = {"days": 5}


class DueBy(Strict):
    """By which version of a calendar a time was worked out, and in which zone; it stays so, however the
    calendar changes. `uncovered`: it reaches days of which that version knows no holidays. Null where no
    business days count."""

    model_config = example(calendar="es", version=2, time_zone="Europe/Madrid", uncovered=False)
    calendar: str
    version: int
    time_zone: str
    uncovered: bool


class Decision(Strict):
    """`decision` is the id of the outcome that was chosen, `counts_as` what it did; one that rewinds led
    `to` a step, or to the requester. `on_behalf_of` and `via` tell by which delegation, `role` by which
    role `user` decided. What is `withheld` is confidential: pointers to what is left out."""

    id: UUID
    task_id: UUID
    step: str
    decision: str
    counts_as: CountsAs
    to: str | None
    user: str
    role: str | None
    on_behalf_of: str | None
    via: list[str]
    comment: str | None
    reason: str | None
    decided_at: datetime
    withheld: list[str]


class Task(Strict):
    """Either one `assignee`, or `candidates` (`user:x`, `role:y`) of whom any may decide: `claimed_by`
    alone, if there is one. Of an approver whom somebody added: by whom, and `where`.

    It is decided as one of `outcomes`; those named by `require_comment` and `require_reason` need these, a
    reason being one of `reasons` if there are any. `rewind_to`: where `request_changes` may lead. `show`
    names the inputs that the decision is about; none named: all. `withheld` are pointers to what is left
    out, because it is confidential and not for the caller."""

    model_config = example(**TASK)
    id: UUID
    request_id: UUID
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
    via: list[str]
    state: TaskState
    opened_at: datetime
    due_at: datetime | None
    due_by: DueBy | None
    closed_at: datetime | None
    digest: str
    outcomes: list[Outcome]
    require_comment: list[str]
    require_reason: list[str]
    reasons: list[str]
    rewind_to: list[str]
    show: list[str]
    added_by: str | None
    where: Where | None
    claimed_by: str | None
    claimed_at: datetime | None
    decision: Decision | None
    withheld: list[str]


TaskDeed = Literal["decide", "claim", "release", "ask", "reassign", "add"]


class TaskShown(Task):
    """A task with the inputs of its request that it shows: what there is to decide about. What the caller
    `may` do to it now; where deciding is not among that, `why_not` says why."""

    model_config = example(
        **TASK,
        inputs=INPUTS,
        may=[],
        why_not="already decided by bob at 2026-03-02T09:30:00.123456Z",
    )
    inputs: dict[str, Any]
    may: list[TaskDeed]
    why_not: str | None


class TaskToDecide(Task):
    """A task with the inputs of its request that it shows."""

    model_config = example(
        **TASK | {"state": "open", "closed_at": None, "decision": None}, inputs=INPUTS
    )
    inputs: dict[str, Any]


class TaskPage(Strict):
    items: list[Task]
    next_cursor: str | None


class BriefTask(Strict):
    """An open task as a list shows it."""

    model_config = example(**{name: TASK[name] for name in BRIEF})
    id: UUID
    request_id: UUID
    workflow: str
    title: str
    requester: str
    step: str
    candidates: list[str] | None
    on_behalf_of: str | None
    claimed_by: str | None
    due_at: datetime | None
    withheld: list[str]


class BriefPage(Strict):
    items: list[BriefTask]
    next_cursor: str | None


class DecisionResult(Strict):
    """What the item would have been answered with alone: `task` with 200, `problem` with 403, 404, 409 or
    422. `task_id` is null where the item had none that is an id."""

    task_id: UUID | None
    status: Literal[200, 403, 404, 409, 422]
    task: Task | None
    problem: ProblemDetails | None


class Decisions(Strict):
    """A result for each item, in their order; how many have 200, and how many have not."""

    model_config = example(
        items=[
            {"task_id": TASK["id"], "status": 200, "task": TASK, "problem": None},
            {
                "task_id": "0b7f3d52-9d5e-5c0b-8a1a-6f1f4f0c2d11",
                "status": 404,
                "task": None,
                "problem": {
                    "type": "urn:countersign:problem:not_found",
                    "title": "Not found",
                    "status": 404,
                    "detail": "there is no such task",
                },
            },
        ],
        decided=1,
        refused=1,
    )
    items: list[DecisionResult]
    decided: int
    refused: int


class PinnedDecision(Strict):
    """An item for `POST /v1/decisions`: the task as it was seen."""

    task_id: UUID
    decision: str
    digest: str


class DecisionsPreview(Strict):
    """`items` to send, a comment added to those in `need_comment`, a reason to those in `need_reason`; `tasks` to look at, in the same order;
    `more` where there are more than 500."""

    model_config = example(
        items=[{"task_id": TASK["id"], "decision": "approve", "digest": TASK["digest"]}],
        tasks=[TASK | {"state": "open", "closed_at": None, "decision": None, "inputs": INPUTS}],
        need_comment=[],
        need_reason=[],
        more=False,
    )
    items: list[PinnedDecision]
    tasks: list[TaskToDecide]
    need_comment: list[UUID]
    need_reason: list[UUID]
    more: bool
