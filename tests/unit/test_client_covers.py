"""Which operations the client has no call for, and why. One that is new belongs to `client/calls.py`, or here."""

from tests.unit.test_client import MADE, _page

LACKS = {
    "what people read, choose from and do themselves, on pages or the command line": """
        GET /v1/requests/{request_id}/comments
        GET /v1/requests/{request_id}/actions
        POST /v1/tasks/{task_id}/reassign
        POST /v1/tasks/{task_id}/approvers
        POST /v1/tasks/{task_id}/questions
        GET /v1/questions
        POST /v1/questions/{question_id}/answer
        POST /v1/requests/{request_id}/reassign
        POST /v1/requests/{request_id}/watchers
        DELETE /v1/requests/{request_id}/watchers/{person_id}
        GET /v1/me/counts
        GET /v1/me/filters
        POST /v1/me/filters
        DELETE /v1/me/filters/{filter_id}
        GET /v1/me/preferences
        PUT /v1/me/preferences
        GET /v1/notifications
        POST /v1/notifications/read
        POST /v1/org/delegations
        GET /v1/org/delegations
        POST /v1/org/delegations/{delegation_id}/end
        GET /v1/org/names
        GET /v1/org/explain
        POST /v1/org/explain
    """,
    "undo is for people: a service decides at once": """
        GET /v1/delayed
        GET /v1/delayed/{delayed_id}
        DELETE /v1/delayed/{delayed_id}
    """,
    "many at once: a program sends one after the other, and hears of each": """
        POST /v1/decisions
        POST /v1/decisions/preview
    """,
    "no JSON: YAML, CSV, files, pictures and figures": """
        POST /v1/requests/{request_id}/attachments
        GET /v1/requests/{request_id}/attachments/{attachment_id}
        GET /v1/requests/{request_id}/diagram.svg
        POST /v1/recipes
        POST /v1/recipes/check
        GET /v1/recipes/{name}/versions/{version}/diagram.svg
        GET /v1/recipes/{name}/versions/{version}/diagram.mmd
        POST /v1/calendars
        POST /v1/org/import
        POST /v1/imports
        GET /metrics
    """,
    "of recipes and calendars: their authors have the command line": """
        GET /v1/recipes/{name}
        GET /v1/recipes/{name}/versions/{version}
        POST /v1/recipes/{name}/versions/{version}/disable
        POST /v1/recipes/{name}/versions/{version}/enable
        POST /v1/recipes/{name}/versions/{version}/simulate
        POST /v1/recipes/simulate
        POST /v1/recipes/backtest
        GET /v1/recipes/{name}/diff
        GET /v1/recipes/{name}/versions/{version}/requests
        POST /v1/recipes/{name}/versions/{version}/migrate
        GET /v1/calendars
        GET /v1/calendars/{name}
    """,
    "of administrators, auditors and who is on duty": """
        POST /v1/requests/{request_id}/retry
        POST /v1/requests/{request_id}/erase
        GET /v1/incidents
        GET /v1/org/people/{person_id}
        GET /v1/org/roles
        GET /v1/org/mirror
        POST /v1/org/mirror/sync
        GET /v1/imports
        GET /v1/messages
        POST /v1/messages/{message_id}/resend
        POST /v1/messages/resend
        GET /v1/slack/people
        POST /v1/slack/people
        DELETE /v1/slack/people/{person_id}
        POST /v1/recalls
        GET /v1/recalls
        GET /v1/recalls/{recall_id}
        GET /v1/recalls/{recall_id}/requests
        POST /v1/recalls/{recall_id}/continue
        GET /v1/audit
        GET /v1/audit/checkpoints
        GET /v1/audit/proof
        GET /v1/audit/verify
        GET /v1/audit/impact
        GET /v1/audit/months
        GET /v1/audit/holds
        POST /v1/audit/holds
        POST /v1/audit/holds/{hold_id}/end
        POST /v1/keys
        GET /v1/keys
        POST /v1/keys/{key_id}/revoke
        POST /v1/sessions/end
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
        GET /v1/reports
        GET /v1/stats
    """,
    "of probes and of the Temporal Web UI": """
        GET /healthz
        GET /readyz
        POST /codec/decode
        GET /codec/sign-in
        POST /codec/sign-in
        POST /codec/sign-out
    """,
}
"""By reason; each is `Call(method, path)` where a program needs it all the same, if it speaks JSON."""


def test_what_the_client_has_no_call_for_is_known() -> None:
    every = {
        f"{method.upper()} {path}"
        for path, operations in _page()["paths"].items()
        for method in operations
    }
    has = {f"{call.method} {call.path}" for call in MADE.values()}
    listed = [line.strip() for group in LACKS.values() for line in group.strip().splitlines()]
    assert len(listed) == len(set(listed))
    assert every - has == set(listed)
