"""`countersign actions` and `fire`: what is sent, and what is shown."""

import json
from typing import Any

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import REQUEST, FakeApi, answer_json, page, problem, request

ACTIONS: dict[str, Any] = {
    "status": "draft",
    "moves": 2,
    "items": [
        {"id": "submit", "name": "Submit", "from": ["draft"], "to": "in_review"}
        | {"who": ["user:alice"], "require_comment": False, "available": True, "why_not": None},
        {"id": "rush", "name": None, "from": ["draft"], "to": "published"}
        | {"who": [], "require_comment": False, "available": False, "why_not": "it is disabled"},
    ],
    "next_cursor": None,
}
MOVE: dict[str, Any] = {
    "action": "submit",
    "from": "draft",
    "to": "in_review",
    "user": "dave",
    "role": "legal",
    "on_behalf_of": "bob",
    "via": [],
    "comment": "at last",
    "at": "2020-03-02T09:30:00Z",
}


def reviewed() -> dict[str, Any]:
    return request("pending") | {"step": None, "status": "in_review", "moves": 1, "history": [MOVE]}


def test_actions_say_what_can_be_fired(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers[f"GET /v1/requests/{REQUEST}/actions"] = answer_json(200, ACTIONS)
    assert main.run(["actions", REQUEST]) == 0
    out, err = capsys.readouterr()
    assert "it is in draft, after 2 moves" in err
    rows = [line.split() for line in out.splitlines()]
    assert ["submit", "Submit", "in_review", "user:alice", "yes"] in rows
    assert "anybody who sees it   it is disabled" in out
    assert main.run(["actions", REQUEST, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ACTIONS


def test_fire_shows_where_it_is_and_how_it_got_there(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers[f"POST /v1/requests/{REQUEST}/actions/submit"] = answer_json(200, reviewed())
    arguments = ["fire", REQUEST, "submit", "--comment", "at last", "--moves", "0"]
    assert main.run(arguments) == 0
    assert json.loads(api.asked[0].content) == {"comment": "at last", "moves": 0}
    out = capsys.readouterr().out
    assert "in_review" in out
    assert "dave (legal) on behalf of bob" in out
    assert main.run(["fire", REQUEST, "submit", "--json"]) == 0
    assert json.loads(api.asked[1].content) == {"comment": None}
    assert json.loads(capsys.readouterr().out)["moves"] == 1


def test_a_refusal_is_a_conflict(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = problem(409, "action `rush` is disabled")
    api.answers[f"POST /v1/requests/{REQUEST}/actions/rush"] = refusal
    assert main.run(["fire", REQUEST, "rush"]) == Exit.CONFLICT
    assert "is disabled" in capsys.readouterr().err


def test_what_is_not_applied_yet(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    pending = answer_json(202, {"command_id": "c", "detail": "later"})
    api.answers[f"POST /v1/requests/{REQUEST}/actions/submit"] = pending
    assert main.run(["fire", REQUEST, "submit"]) == 0
    assert "recorded, not yet applied: later" in capsys.readouterr().err


def test_lists_by_status(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/requests"] = page(reviewed())
    assert main.run(["request", "list", "--status", "in_review"]) == 0
    assert api.asked[0].url.params["status"] == "in_review"
    assert "in_review" in capsys.readouterr().out
