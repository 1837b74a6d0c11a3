"""The shapes of answers about the audit trail as a whole: see `schemas`."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

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
    were then, null for what is about no request; `outcome` is the decision, the step's outcome, or the
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
