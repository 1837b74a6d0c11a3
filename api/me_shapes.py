"""The shapes of answers and bodies about what is mine."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import Field

from api.bodies import Text
from api.shapes import Strict, example
from recipes.model import Json

List: TypeAlias = Literal["needs", "waiting", "mine", "done"]
"""The lists of the inbox: what needs me, my requests that wait for others, all of mine, what I decided."""

_FILTER: dict[str, Json] = {
    "id": "4c1d7f1e-2b34-4f5e-8a53-0c7d4a0f0c9a",
    "name": "Leave that is late",
    "list": "needs",
    "narrowed": {"workflow": "leave_request", "due": "overdue"},
    "saved_at": "2026-03-02T09:12:43.990000Z",
}


class MyCounts(Strict):
    """`needs_me` are tasks that I may decide, of which some are `overdue` or due within 24 hours, and
    `by_workflow`; `questions` that I was asked; `to_resubmit` are requests of mine that I am to change,
    `waiting` those that wait for others; `unread` notifications."""

    model_config = example(
        needs_me=12,
        overdue=1,
        due_soon=3,
        by_workflow={"leave_request": 8, "purchase_order": 4},
        questions=0,
        to_resubmit=1,
        waiting=2,
        unread=0,
    )
    needs_me: int
    overdue: int
    due_soon: int
    by_workflow: dict[str, int]
    questions: int
    to_resubmit: int
    waiting: int
    unread: int


class Narrowed(Strict):
    """To what a list is narrowed; what is left out does not matter. As the parameters of `GET /v1/tasks`."""

    model_config = example(workflow="leave_request", due="overdue")
    workflow: Annotated[Text, Field(max_length=63)] | None = None
    requester: Annotated[Text, Field(max_length=128)] | None = None
    q: Annotated[Text, Field(max_length=200)] | None = None
    due: Literal["overdue", "soon"] | None = None
    shared: bool | None = None
    claimed: Literal["me", "others", "nobody"] | None = None


class FilterBody(Strict):
    """A filter to be saved: of which list, and to what it is narrowed."""

    model_config = example(
        name="Leave that is late",
        list="needs",
        narrowed={"workflow": "leave_request", "due": "overdue"},
    )
    name: Annotated[Text, Field(min_length=1, max_length=60)]
    list: List = "needs"
    narrowed: Narrowed = Field(default_factory=Narrowed)


class Filter(Strict):
    model_config = example(**_FILTER)
    id: UUID
    name: str
    list: List
    narrowed: Narrowed
    saved_at: datetime


class Filters(Strict):
    model_config = example(items=[_FILTER])
    items: "list[Filter]"
