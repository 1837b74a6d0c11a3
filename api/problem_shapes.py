"""The shapes of problems, as the OpenAPI page shows them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from api.revision_shapes import Changed, OtherVersion
from api.shapes import Strict, TaskState


class ProblemError(BaseModel):
    """One thing that is wrong: at `pointer` of the body, in `parameter`, or in a recipe's file."""

    model_config = ConfigDict(extra="allow")
    message: str
    pointer: str | None = None
    parameter: str | None = None


class ProblemDetails(BaseModel):
    """RFC 9457. `type` tells problems apart; `errors` lists all that is wrong with the input."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:countersign:problem:invalid",
                    "title": "Not valid",
                    "status": 422,
                    "detail": "/inputs/days: must be at least 1",
                    "errors": [{"pointer": "/inputs/days", "message": "must be at least 1"}],
                }
            ]
        },
    )
    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemError] | None = None


class Winner(Strict):
    """Who was first."""

    user: str
    decision: str
    decided_at: datetime


class AlreadyClosed(ProblemDetails):
    """409 of a decision: who won and when, how else the task was closed, who has claimed it; or, where
    it was on another digest, the one of now, what has `changed` since, and the `recipe` versions if it was
    another one."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:countersign:problem:already_decided",
                    "title": "Conflict",
                    "status": 409,
                    "detail": "already decided by bob at 2026-03-02T09:30:00.123456Z",
                    "winner": {
                        "user": "bob",
                        "decision": "approve",
                        "decided_at": "2026-03-02T09:30:00.123456Z",
                    },
                }
            ]
        },
    )
    winner: Winner | None = None
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    state: TaskState | None = None
    closed_at: datetime | None = None
    digest: str | None = None
    changed: list[Changed] | None = None
    recipe: OtherVersion | None = None
