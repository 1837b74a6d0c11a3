"""The shapes of decisions that may be undone, as the OpenAPI page shows them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from api.problem_shapes import Winner
from api.shapes import A_REQUEST, A_TASK, Strict, example
from recipes.model import Json

_DELAYED: dict[str, Json] = {
    "id": "3c0c6d3e-7f5f-4f55-9b57-0b8f1de7c021",
    "task_id": A_TASK,
    "request_id": A_REQUEST,
    "workflow": "leave_request",
    "title": "5 days of leave for Alice Moreau",
    "step": "manager_approval",
    "decision": "approve",
    "name": "Approve",
    "made_at": "2026-03-02T09:30:00.123456Z",
    "send_at": "2026-03-02T09:30:10.123456Z",
    "state": "waiting",
    "refused": None,
    "withheld": [],
}


class Refusal(Strict):
    """Why a decision did not count in the end: `kind` is that of the problem, `winner` who was first, if somebody was."""

    at: datetime
    kind: str
    detail: str
    winner: Winner | None


class Delayed(Strict):
    """A decision, called `name`, that is sent at `send_at`; or that was `refused` then, or `replaced` by another of
    one's own. One that was undone is there no more."""

    model_config = example(**_DELAYED)
    id: UUID
    task_id: UUID
    request_id: UUID
    workflow: str
    title: str
    step: str
    decision: str
    name: str
    made_at: datetime
    send_at: datetime
    state: Literal["waiting", "sent", "replaced", "refused"]
    refused: Refusal | None
    withheld: list[str]


class DelayedPage(Strict):
    """All of them, the oldest first."""

    model_config = example(items=[_DELAYED])
    items: list[Delayed]


class DecisionDelayed(Strict):
    """The decision is kept, and sent at its time unless it is undone."""

    model_config = example(delayed=_DELAYED)
    delayed: Delayed
