"""Examples for the OpenAPI page that stand with no shape: of pages, files, and shapes that are told plainly.

A list needs none here: it is made of its item's. A test holds each example against its shape.
"""

from api.shapes import A_REQUEST
from recipes.model import Json

_RECIPE: dict[str, Json] = {
    "workflow": "leave_request",
    "version": 3,
    "versions": [3, 2],
    "disabled_versions": [2],
    "title": "{{ days }} days of leave for {{ employee.name }}",
    "description": "Short leave is approved at once, long leave by two.",
    "owner": "hr-leave-admin",
    "sha256": "9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a",
    "published_at": "2026-03-02T09:00:00.000000Z",
    "published_by": "oscar",
    "disabled": None,
}
_SHOWN: dict[str, Json] = _RECIPE | {
    "inputs": {
        "type": "object",
        "properties": {"days": {"type": "number", "exclusiveMinimum": 0}},
        "required": ["days"],
    },
    "implied": [],
    "entity": None,
    "start": None,
    "confidential": None,
    "kind": "approval",
    "steps": [{"id": "manager_approval", "type": "approval", "approver": "{{ employee.manager }}"}],
    "machine": None,
    "source": "workflow: leave_request\nversion: 3\n",
}
_PROBLEM: dict[str, Json] = {
    "file": "leave_request.v4.yaml",
    "line": 12,
    "column": 11,
    "path": "steps.hr.when",
    "message": "unknown name dayz",
    "fix": "did you mean days?",
    "severity": "error",
    "excerpt": "    when: dayz > 14",
}
_PERSON: dict[str, Json] = {
    "id": "alice",
    "name": "Alice Moreau",
    "email": "alice@example.org",
    "manager": "bob",
    "department": "Sales",
    "time_zone": "Europe/Paris",
    "limits": {"EUR": "2500.50"},
}
_DELEGATION: dict[str, Json] = {
    "id": "2c1b6a64-8b0e-4b52-9d5c-0f6f1f2a3b4c",
    "delegator": "bob",
    "delegate": "carol",
    "scope": "all",
    "from": "2026-07-01T00:00:00Z",
    "to": "2026-07-15T00:00:00Z",
    "reason": "holiday",
    "created_by": "bob",
    "created_at": "2026-06-20T08:00:00.000000Z",
    "ended_by": None,
    "ended_at": None,
    "end_reason": None,
}
_HOP: dict[str, Json] = {
    "rule": "manager",
    "user": "bob",
    "role": None,
    "turn": None,
    "delegation": None,
    "text": "Bob Tanaka is the manager of Alice Moreau",
}

SHAPES: dict[str, Json] = {
    "CommandPending": {
        "command_id": "0d7b0f7e-9f0f-4d8e-8f52-6f3a7a4a5c11",
        "detail": "recorded; the request will show what came of it",
    },
    "Event": {
        "event_id": "5b0e4a0c-5b86-4a8e-9d70-3d1b8f7f2a10",
        "seq": 7,
        "type": "decision.recorded",
        "occurred_at": "2026-08-14T09:12:03.118204Z",
        "recorded_at": "2026-08-14T09:12:03.121377Z",
        "actor": {"user": "dave", "role": None, "on_behalf_of": "bob", "via": []},
        "payload": {"decision": "approve", "step": "finance", "comment": "within budget"},
        "withheld": [],
        "disclosed": ['{"comment":"within budget","salt":"5d0c1f..."}'],
        "snapshot": {"state": "pending", "step": "finance", "seq": 3},
        "body": '{"actor":{"on_behalf_of":"bob",...}}',
        "prev_hash": "4f" * 32,
        "hash": "a1" * 32,
    },
    "Health": {"status": "ok"},
    "Stats": {
        "at": "2026-11-28T09:12:03.118204Z",
        "requests": {"pending": 214, "approved": 10_412, "rejected": 733},
        "imported": 0,
        "open_tasks": 251,
        "incidents": 1,
        "outbox": 0,
        "outbox_oldest_seconds": 0.0,
    },
    "RecipeListed": _RECIPE | {"in_flight": {"3": 12, "2": 1}},
    "RecipeShown": _SHOWN,
    "Published": _SHOWN | {"unchanged": False, "warnings": []},
    "RecipeChecked": {
        "valid": False,
        "workflow": "leave_request",
        "version": 4,
        "sha256": None,
        "problems": [_PROBLEM],
    },
    "Person": _PERSON,
    "PersonInFull": _PERSON
    | {
        "here": True,
        "joined": "2026-03-01T00:00:00Z",
        "left": None,
        "managers": ["bob", "erin"],
        "roles": ["sales"],
        "attributes": {"title": "Coordinator"},
        "delegations": [],
    },
    "Role": {"name": "hr-leave-admin", "description": "Leave and absence", "members": ["bob"]},
    "Imported": {
        "people_added": 0,
        "people_changed": 1,
        "people_left": 0,
        "people_returned": 0,
        "managers_changed": 1,
        "departments_changed": 0,
        "limits_changed": 0,
        "roles_added": 0,
        "roles_changed": 0,
        "members_added": 0,
        "members_removed": 0,
        "dry_run": True,
        "format": "yaml",
        "people_left_out": 0,
        "differences": [{"subject": "user:alice", "fact": "manager", "from": "bob", "to": "carol"}],
        "differing": 1,
        "truncated": False,
        "warnings": [],
    },
    "Delegation": _DELEGATION,
    "Explained": {
        "approver": "{{ employee.manager }}",
        "employee": "alice",
        "workflow": "leave_request",
        "at": "2026-03-02T09:12:44.001122Z",
        "user": "bob",
        "role": None,
        "on_behalf_of": None,
        "via": [],
        "chain": [_HOP],
        "members": None,
        "refusal": None,
    },
    "Mirror": {
        "source": "https://hr.example.org/people",
        "synced_at": "2026-11-28T09:10:00.000000Z",
        "stale_after": "2026-11-29T09:10:00.000000Z",
        "stale": False,
        "tried_at": "2026-11-28T09:10:00.000000Z",
        "failing": None,
        "failing_since": None,
        "people": 1204,
        "doubts": [],
    },
    "Synced": {
        "failing": None,
        "unchanged": False,
        "people": 1204,
        "changes": {"people_added": 2, "managers_changed": 5},
        "doubts": [],
    },
    "Syncing": {"status": "running"},
    "RecalledRequest": {
        "request_id": A_REQUEST,
        "title": "A taxi",
        "requester": "alice",
        "state": "recalled",
        "reopened_as": "0d7b0f7e-9f0f-4d8e-8f52-6f3a7a4a5c11",
        "detail": None,
        "settled_at": "2026-11-28T09:12:03.118204Z",
        "withheld": [],
    },
}
"""By the name of the shape."""

MEDIA: dict[str, Json] = {
    "text/plain": 'countersign_http_requests_total{method="GET",route="/v1/tasks",status="200"} 1042.0\n',
    "text/html": "<!doctype html><title>Countersign</title>...",
    "image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 120">...</svg>',
    "application/x-www-form-urlencoded": {"token": "eyJhbGciOiJFZERTQSJ9..."},
    "text/csv": "item,price\na standing desk,640\n",
}
"""By media type; other files are bytes that no page shows."""

FILE = "(the file's bytes)"

PROBLEMS: dict[str, dict[str, Json]] = {
    "400": {"type": "not_json", "title": "Not understood", "detail": "the body is not JSON: ..."},
    "401": {
        "type": "unauthenticated",
        "title": "Not authenticated",
        "detail": "the token is refused: Signature has expired",
    },
    "403": {
        "type": "forbidden",
        "title": "Not allowed",
        "detail": "nobody decides their own request",
    },
    "404": {"type": "not_found", "title": "Not found", "detail": "there is no such request"},
    "409": {
        "type": "already_final",
        "title": "Conflict",
        "detail": "the request is already approved",
    },
    "413": {
        "type": "too_large",
        "title": "Too large",
        "detail": "a body has at most 1048576 bytes",
    },
    "429": {
        "type": "rate_limited",
        "title": "Too many calls",
        "detail": "alice may make 3000 calls a minute: try again in 1 s",
    },
    "503": {
        "type": "unavailable",
        "title": "Not available now",
        "detail": "the database cannot be reached now; nothing was changed",
    },
}
"""By status. What is not here shows the example of its shape."""


def problem(status: str) -> Json:
    """The body of a problem as a call that is refused gets it; None if its shape has the best one."""
    found = PROBLEMS.get(status)
    if found is None:
        return None
    kind = f"urn:countersign:problem:{found['type']}"
    return {**found, "type": kind, "status": int(status)}
