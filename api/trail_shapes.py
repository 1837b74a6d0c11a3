"""The shapes of what is said about the audit trail as a whole: see `schemas` and `bodies`."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.schemas import Entity, Event
from recipes.model import Json

_ROW: dict[str, Json] = {
    "event_id": "5b0e4a0c-5b86-4a8e-9d70-3d1b8f7f2a10",
    "seq": 7,
    "type": "decision.recorded",
    "occurred_at": "2026-08-14T09:12:03.118204Z",
    "recorded_at": "2026-08-14T09:12:03.121377Z",
    "actor": {"user": "dave", "role": None, "on_behalf_of": "bob", "via": []},
    "payload": {"decision": "approve", "step": "finance"},
    "withheld": [],
    "disclosed": ['{"comment":"within budget","salt":"5d0c1f..."}'],
    "snapshot": {"state": "pending", "step": "finance", "seq": 3},
    "body": '{"actor":{"on_behalf_of":"bob",...}}',
    "prev_hash": "4f" * 32,
    "hash": "a1" * 32,
    "request_id": "0f6c2f0a-3a52-4d37-8d7c-0b1c7f1f9a55",
    "workflow": "purchase_order",
    "version": 2,
    "outcome": "approve",
    "requester": "alice",
    "title": "A press",
    "entity": None,
    "inputs": {"item": "a press", "amount": 72000, "currency": "EUR"},
}


class TrailRow(Event):
    """A row of the audit trail. `requester`, `title`, `entity` and `inputs` are of its request as they
    were then, null for what is about no request or withheld; `outcome` is the decision, the step's outcome, or the
    state that the request ended in."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ROW]})
    request_id: UUID
    workflow: str
    version: int
    outcome: str | None
    requester: str | None
    title: str | None
    entity: Entity | None
    inputs: dict[str, Any] | None


class TrailPage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    items: list[TrailRow]
    next_cursor: str | None


_MONTH_NAME = r"^[0-9]{4}-(0[1-9]|1[0-2])$"
Reason = Annotated[str, Field(min_length=1, max_length=2000)]
Month = Annotated[str, Field(pattern=_MONTH_NAME)]


class ColdMonth(BaseModel):
    """A month of the audit with a copy in the cold tier. `verified` and `detached`: it is on its way there;
    `cold`: it is there alone; `expired`, `deleted`: its time was over. `manifest` is a signed note."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "month": "2026-05",
                    "state": "cold",
                    "rows": 411_204,
                    "first_at": "2026-05-01T00:00:02.114810Z",
                    "last_at": "2026-05-31T23:59:58.020117Z",
                    "manifest": "countersign.example.org/audit/months\n{...}\n\n\N{EM DASH} countersign...\n",
                }
            ]
        },
    )
    month: Month
    state: Literal["verified", "detached", "cold", "expired", "deleted"]
    rows: int
    first_at: datetime
    last_at: datetime
    manifest: str


class MonthPage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    items: list[ColdMonth]
    next_cursor: str | None


_HOLD: dict[str, Json] = {
    "id": "a9a5a2c4-6f6e-4f0e-9d0b-1f8f2f3e4d5c",
    "request_id": None,
    "workflow": "purchase_order",
    "month": None,
    "reason": "Globex v. us",
    "set_by": "olga",
    "set_at": "2026-11-27T19:00:00Z",
    "ended_by": None,
    "ended_at": None,
    "end_reason": None,
}


class Hold(BaseModel):
    """What must not be deleted: a request's rows, a workflow's, or a month."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [_HOLD]})
    id: UUID
    request_id: UUID | None
    workflow: str | None
    month: str | None
    reason: str
    set_by: str
    set_at: datetime
    ended_by: str | None
    ended_at: datetime | None
    end_reason: str | None


class HoldPage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    items: list[Hold]
    next_cursor: str | None


class HoldBody(BaseModel):
    """One of `request_id`, `workflow` and `month` (`2026-05`), and why."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"workflow": "purchase_order", "reason": "Globex v. us"}]},
    )
    request_id: UUID | None = None
    workflow: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    month: Month | None = None
    reason: Reason

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        said = (self.request_id, self.workflow, self.month)
        if sum(value is not None for value in said) != 1:
            raise ValueError("a hold is on one of request_id, workflow and month")
        return self


class HoldEnd(BaseModel):
    """Why it ends."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{"reason": "settled"}]}
    )
    reason: Reason
