"""What an import of the past looks like in every format, for the OpenAPI page."""

from typing import Any

from recipes.model import Json

_ROW: dict[str, Json] = {
    "external_id": "L-2019-0042",
    "workflow": "leave_request",
    "requester": "alice",
    "inputs": {"days": 5},
    "submitted_at": "2019-05-13T09:30:00+02:00",
    "decisions": [
        {
            "step": "manager_approval",
            "decision": "approve",
            "user": "bob",
            "comment": "Enjoy.",
            "at": "2019-05-13T11:02:00+02:00",
        }
    ],
    "outcome": "approved",
    "ended_at": "2019-05-13T11:02:00+02:00",
}
_LINE = (
    '{"external_id": "L-2019-0042", "workflow": "leave_request", "requester": "alice", "inputs": {"days": 5},'
    ' "submitted_at": "2019-05-13T09:30:00+02:00", "outcome": "cancelled", "ended_at": "2019-05-14T08:00:00+02:00"}\n'
)
_CSV = (
    "external_id,workflow,requester,inputs.days,submitted_at,decisions.1.step,decisions.1.decision,"
    "decisions.1.user,decisions.1.at,outcome,ended_at\n"
    "L-2019-0042,leave_request,alice,5,2019-05-13T09:30:00+02:00,manager_approval,approve,bob,"
    "2019-05-13T11:02:00+02:00,approved,2019-05-13T11:02:00+02:00\n"
)
_TEXT = {"type": "string"}

IMPORT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Requests as they ended; the media type says in which format.",
        "content": {
            "text/csv": {"schema": _TEXT, "example": _CSV},
            "application/json": {
                "schema": {"type": "array", "items": {"type": "object"}},
                "example": [_ROW],
            },
            "application/x-ndjson": {"schema": _TEXT, "example": _LINE},
        },
    }
}
