"""The shapes of events as others are told them: CloudEvents 1.0."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.shapes import A_REQUEST, A_TASK
from recipes.model import Json

EVENT: dict[str, Json] = {
    "specversion": "1.0",
    "id": "5b0e4a0c-5b86-4a8e-9d70-3d1b8f7f2a10",
    "source": "/countersign",
    "type": "approval.decision.recorded",
    "time": "2026-08-14T09:12:03.118204Z",
    "sequence": "0000000000000001207",
    "partitionkey": A_REQUEST,
    "datacontenttype": "application/json",
    "subject": A_REQUEST,
    "data": {
        "request_id": A_REQUEST,
        "seq": 7,
        "workflow": "purchase_order",
        "version": 2,
        "state": "pending",
        "status": None,
        "step": "finance",
        "requester": "alice",
        "title": "A press",
        "entity": None,
        "actor": {"user": "dave", "role": None, "on_behalf_of": "bob", "via": []},
        "payload": {"decision": "approve", "step": "finance", "task_id": A_TASK},
        "withheld": [],
    },
}


class CloudEvent(BaseModel):
    """An event of the feed. `id` stays the same however often it is told; `sequence` is its place in the feed, with
    leading zeros; `subject` is the request, absent for events of the house."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [EVENT]})
    specversion: Literal["1.0"]
    id: UUID
    source: str
    type: str
    time: datetime
    sequence: str = Field(pattern="^[0-9]{19}$")
    partitionkey: UUID
    datacontenttype: Literal["application/json"]
    subject: UUID | None = None
    data: dict[str, Any]


class FeedPage(BaseModel):
    """`next_cursor` is always there: what comes after these events follows it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"items": [EVENT], "next_cursor": "WzEyMDdd"}]},
    )
    items: list[CloudEvent]
    next_cursor: str
