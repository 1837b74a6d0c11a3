"""The shapes of what people add to a request, as the OpenAPI page shows them."""

from datetime import datetime
from uuid import UUID

from api.shapes import Strict, example
from recipes.happenings import Where

_REQUEST_ID = "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34"


class Comment(Strict):
    """What `user` said about a request; `withheld` where it is confidential, and not for the caller."""

    model_config = example(
        id="3c0c6d3e-7f5f-4f55-9b57-0b8f1de7c001",
        request_id=_REQUEST_ID,
        user="carol",
        text="The second offer is cheaper, and they deliver on Monday.",
        made_at="2026-03-02T09:20:00.123456Z",
        withheld=[],
    )
    id: UUID
    request_id: UUID
    user: str
    text: str | None
    made_at: datetime
    withheld: list[str]


class AddedApprover(Strict):
    """Who has to approve a step beside those of its recipe: who added them, where, and why."""

    model_config = example(
        person="grace",
        step="manager_approval",
        where="before",
        added_by="bob",
        comment="Grace negotiated with this supplier.",
        added_at="2026-03-02T09:20:00.123456Z",
        withheld=[],
    )
    person: str
    step: str
    where: Where
    added_by: str
    comment: str | None
    added_at: datetime
    withheld: list[str]


class CommentPage(Strict):
    items: list[Comment]
    next_cursor: str | None


class Question(Strict):
    """What `asked_by` wants to know of `asked` about a task; without an answer it is still open."""

    model_config = example(
        id="3c0c6d3e-7f5f-4f55-9b57-0b8f1de7c002",
        request_id=_REQUEST_ID,
        task_id="0b7c8a52-6d0e-5c55-8d0b-7f0a1c6a2e90",
        step="manager_approval",
        branch=None,
        workflow="purchase_order",
        title="A press for 7200 EUR",
        asked_by="bob",
        asked="grace",
        text="Is the old press written off?",
        asked_at="2026-03-02T09:20:00.123456Z",
        answer=None,
        answered_at=None,
        withheld=[],
    )
    id: UUID
    request_id: UUID
    task_id: UUID
    step: str
    branch: str | None
    workflow: str
    title: str
    asked_by: str
    asked: str
    text: str | None
    asked_at: datetime
    answer: str | None
    answered_at: datetime | None
    withheld: list[str]


class QuestionPage(Strict):
    items: list[Question]
    next_cursor: str | None


class Attachment(Strict):
    """A file beside a request; `sha256` is of what is in it, `size` in bytes."""

    model_config = example(
        id="3c0c6d3e-7f5f-4f55-9b57-0b8f1de7c003",
        request_id=_REQUEST_ID,
        name="offer.pdf",
        media_type="application/pdf",
        size=48213,
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        added_by="alice",
        added_at="2026-03-02T09:20:00.123456Z",
        withheld=[],
    )
    id: UUID
    request_id: UUID
    name: str | None
    media_type: str
    size: int
    sha256: str | None
    added_by: str
    added_at: datetime
    withheld: list[str]


class Watcher(Strict):
    """Somebody who watches a request; named by another, `added_by`, they may see it for that."""

    person: str
    added_by: str
    added_at: datetime


class Watchers(Strict):
    """Who watches the request now."""

    model_config = example(
        items=[{"person": "grace", "added_by": "alice", "added_at": "2026-03-02T09:20:00.123456Z"}]
    )
    items: list[Watcher]
