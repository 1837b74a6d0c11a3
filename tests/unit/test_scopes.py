"""Every call of the API has its scope, in the one place where they stand."""

import pytest

from api import scopes
from api.app import create_app
from api.errors import Problem
from settings import Settings


def _calls() -> set[str]:
    paths = create_app(Settings()).openapi()["paths"]
    return {
        f"{verb.upper()} {path}"
        for path, verbs in paths.items()
        for verb in verbs
        if path.startswith("/v1/")
    }


def test_every_call_has_a_scope_and_no_other() -> None:
    assert _calls() - scopes.TAKES.keys() == set(), "api/scopes.py: say which scope these take"
    assert scopes.TAKES.keys() - _calls() == set(), "api/scopes.py: there are no such calls"


def test_no_call_has_two_scopes() -> None:
    listed = [
        line for calls in scopes._CALLS.values() for line in calls.split("\n") if line.strip()
    ]
    assert len(listed) == len(scopes.TAKES)


@pytest.mark.parametrize(
    ("held", "call", "roles"),
    [
        (["requests:read"], "GET /v1/requests", []),
        (["audit:read", "requests:read"], "GET /v1/requests", ["auditor"]),
        (["recipes:write"], "POST /v1/recipes", ["admin"]),
        (["recipes:write", "requests:read"], "GET /v1/requests", []),
        (["events:send"], "POST /v1/events", ["events"]),
        (["admin"], "GET /v1/requests", ["admin"]),
        (["admin"], "POST /v1/org/import", ["admin"]),
    ],
)
def test_roles_count_where_their_scope_opens(held: list[str], call: str, roles: list[str]) -> None:
    method, path = call.split()
    assert scopes.roles_in(frozenset(held), method, path) == set(roles)


@pytest.mark.parametrize(
    ("held", "call"),
    [
        (["requests:read"], "POST /v1/requests"),
        (["audit:read"], "GET /v1/requests"),
        (["admin"], "POST /v1/keys"),
        (["admin"], "GET /v1/not/there"),
    ],
)
def test_what_a_scope_does_not_open(held: list[str], call: str) -> None:
    method, path = call.split()
    with pytest.raises(Problem) as refused:
        scopes.roles_in(frozenset(held), method, path)
    assert refused.value.status == 403
