"""The shapes of automatic work and of notifications, as the OpenAPI page shows them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from api.shapes import Strict, example
from recipes.model import Json

_REQUEST_ID = "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34"


class JobLine(Strict):
    """What an attempt of a job did: `started`, `said` (what its function has to say), and how it ended."""

    attempt: int
    at: datetime
    what: Literal["started", "said", "succeeded", "failed", "cancelled"]
    detail: str | None


class Job(Strict):
    """Automatic work of a `step`: the function that is `run`, what it was given and what it gave, or the
    `error` of one that failed. `idempotency_key` went along to the other side in every attempt. Of the
    `log` these are the last 50 lines. Where a recipe keeps anything confidential all of that is, and
    `withheld` from whoever may not see it."""

    model_config = example(
        id="3c0c6d3e-7f5f-4f55-9b57-0b8f1de7c011",
        step="charge",
        run="charge_card",
        inputs={"order_id": "ORD-001", "amount": 1500},
        idempotency_key=f"{_REQUEST_ID}:charge",
        state="succeeded",
        output={"charge": "ch-1"},
        error=None,
        attempts=2,
        started_at="2026-03-02T09:20:00.123456Z",
        ended_at="2026-03-02T09:20:02.123456Z",
        log=[
            {
                "attempt": 1,
                "at": "2026-03-02T09:20:00.123456Z",
                "what": "failed",
                "detail": "answers 503",
            }
        ],
        withheld=[],
    )
    id: UUID
    step: str
    run: str
    inputs: dict[str, Any] | None
    idempotency_key: str
    state: Literal["running", "succeeded", "failed", "cancelled"]
    output: Any
    error: str | None
    attempts: int
    started_at: datetime
    ended_at: datetime | None
    log: list[JobLine]
    withheld: list[str]


_NOTIFICATION: dict[str, Json] = {
    "id": "3c0c6d3e-7f5f-4f55-9b57-0b8f1de7c012",
    "request_id": _REQUEST_ID,
    "workflow": "order_process",
    "title": "Order ORD-001",
    "step": "mail",
    "message": "Your order was charged.",
    "sent_at": "2026-03-02T09:20:02.123456Z",
    "read_at": None,
    "withheld": [],
}


class Notification(Strict):
    """What a request told me at its `step`. `read_at` is null until I say that I have read it."""

    model_config = example(**_NOTIFICATION)
    id: UUID
    request_id: UUID
    workflow: str
    title: str
    step: str
    message: str
    sent_at: datetime
    read_at: datetime | None
    withheld: list[str]


class NotificationPage(Strict):
    items: list[Notification]
    next_cursor: str | None


class Unread(Strict):
    """How many notifications I have not read."""

    model_config = example(unread=0)
    unread: int
