"""What keys of services may do: each call of the API under the scope that it takes, in this one place.

A scope opens calls, and may give the service a role in them, such as a token's `roles` claim gives a person:
`recipes:write` makes it an administrator while it publishes a recipe, and nowhere else.
"""

from typing import get_args

from api import errors
from api.shapes import Scope

SCOPES: tuple[Scope, ...] = get_args(Scope)

_PEOPLE = "people"
"""Calls for people alone, whatever a key's scopes are."""

_ROLES: dict[str, str] = {
    "events:send": "events",
    "feed:read": "feed",
    "audit:read": "auditor",
    "recipes:write": "admin",
    "org:write": "admin",
    "admin": "admin",
}
_EVERYWHERE = frozenset({"audit:read", "admin"})
"""Scopes whose role counts in every call that the key may make."""

_CALLS: dict[str, str] = {
    "requests:read": """
        GET /v1/requests
        GET /v1/requests/{request_id}
        GET /v1/requests/{request_id}/events
        GET /v1/requests/{request_id}/diagram.svg
        GET /v1/requests/{request_id}/actions
        GET /v1/requests/{request_id}/comments
        GET /v1/requests/{request_id}/attachments/{attachment_id}
        GET /v1/tasks
        GET /v1/tasks/{task_id}
        GET /v1/questions
        GET /v1/notifications
        GET /v1/me/counts
        GET /v1/incidents
        GET /v1/recipes
        GET /v1/recipes/{name}
        GET /v1/recipes/{name}/diff
        GET /v1/recipes/{name}/versions/{version}
        GET /v1/recipes/{name}/versions/{version}/diagram.svg
        GET /v1/recipes/{name}/versions/{version}/diagram.mmd
        GET /v1/recipes/{name}/versions/{version}/requests
        POST /v1/recipes/{name}/versions/{version}/simulate
        GET /v1/calendars
        GET /v1/calendars/{name}
        GET /v1/org/names
        GET /v1/org/people
        GET /v1/org/people/{person_id}
        GET /v1/org/roles
        GET /v1/org/delegations
        GET /v1/org/explain
        POST /v1/org/explain
        GET /v1/stats
    """,
    "requests:write": """
        POST /v1/requests
        POST /v1/requests/{request_id}/cancel
        POST /v1/requests/{request_id}/resubmit
        POST /v1/requests/{request_id}/retry
        POST /v1/requests/{request_id}/comments
        POST /v1/requests/{request_id}/attachments
        POST /v1/requests/{request_id}/watchers
        DELETE /v1/requests/{request_id}/watchers/{person_id}
        POST /v1/questions/{question_id}/answer
        POST /v1/notifications/read
    """,
    "tasks:decide": """
        POST /v1/requests/{request_id}/actions/{action_id}
        POST /v1/requests/{request_id}/reassign
        POST /v1/tasks/{task_id}/decisions
        POST /v1/tasks/{task_id}/claim
        POST /v1/tasks/{task_id}/release
        POST /v1/tasks/{task_id}/reassign
        POST /v1/tasks/{task_id}/approvers
        POST /v1/tasks/{task_id}/questions
        POST /v1/decisions
        POST /v1/decisions/preview
    """,
    "events:send": """
        POST /v1/events
    """,
    "feed:read": """
        GET /v1/feed
    """,
    "audit:read": """
        GET /v1/audit
        GET /v1/audit/checkpoints
        GET /v1/audit/proof
        GET /v1/audit/verify
        GET /v1/audit/months
        GET /v1/audit/holds
        GET /v1/audit/impact
        GET /v1/reports
        GET /v1/imports
        GET /v1/recalls
        GET /v1/recalls/{recall_id}
        GET /v1/recalls/{recall_id}/requests
        POST /v1/recipes/simulate
        POST /v1/recipes/backtest
    """,
    "recipes:write": """
        POST /v1/recipes
        POST /v1/recipes/check
        POST /v1/recipes/{name}/versions/{version}/disable
        POST /v1/recipes/{name}/versions/{version}/enable
        POST /v1/recipes/{name}/versions/{version}/migrate
        POST /v1/calendars
    """,
    "org:write": """
        POST /v1/org/import
        GET /v1/org/mirror
        POST /v1/org/mirror/sync
        POST /v1/org/delegations
        POST /v1/org/delegations/{delegation_id}/end
    """,
    "admin": """
        POST /v1/requests/{request_id}/erase
        POST /v1/imports
        POST /v1/recalls
        POST /v1/recalls/{recall_id}/continue
        POST /v1/audit/holds
        POST /v1/audit/holds/{hold_id}/end
        POST /v1/webhooks
        GET /v1/webhooks
        GET /v1/webhooks/{webhook_id}
        DELETE /v1/webhooks/{webhook_id}
        POST /v1/webhooks/{webhook_id}/rotate
        POST /v1/webhooks/{webhook_id}/pause
        POST /v1/webhooks/{webhook_id}/resume
        POST /v1/webhooks/{webhook_id}/test
        GET /v1/webhooks/{webhook_id}/dead
        POST /v1/webhooks/{webhook_id}/resend
        GET /v1/messages
        POST /v1/messages/resend
        POST /v1/messages/{message_id}/resend
        GET /v1/slack/people
        POST /v1/slack/people
        DELETE /v1/slack/people/{person_id}
    """,
    _PEOPLE: """
        GET /v1/me/preferences
        PUT /v1/me/preferences
        GET /v1/me/filters
        POST /v1/me/filters
        DELETE /v1/me/filters/{filter_id}
        POST /v1/keys
        GET /v1/keys
        POST /v1/keys/{key_id}/revoke
        POST /v1/sessions/end
        GET /v1/delayed
        GET /v1/delayed/{delayed_id}
        DELETE /v1/delayed/{delayed_id}
    """,
}
"""`METHOD path`, by the scope that it takes. `admin` opens all that are not for people alone."""

TAKES: dict[str, str] = {
    call.strip(): scope for scope, calls in _CALLS.items() for call in calls.strip().splitlines()
}


def roles_in(scopes: frozenset[str], method: str, path: str) -> frozenset[str]:
    """The roles that a key of these scopes has in the call of a route (its template). Problem 403 if it
    may not call that at all."""
    needed = TAKES.get(f"{method} {path}", _PEOPLE)
    if needed == _PEOPLE:
        raise errors.forbidden("this is for people: no API key does it")
    if needed not in scopes and "admin" not in scopes:
        raise errors.Problem(
            403, "scope_missing", f"this API key lacks the scope {needed}", scope=needed
        )
    counting = scopes & (_EVERYWHERE | {needed})
    return frozenset(_ROLES[scope] for scope in counting if scope in _ROLES)
