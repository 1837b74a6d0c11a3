"""`add-approver`, and how a request shows who was added."""

import json

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import TASK, FakeApi
from tests.unit.fake_api import answer_json as _json
from tests.unit.fake_api import page as _page
from tests.unit.fake_api import problem as _problem
from tests.unit.fake_api import request as _request
from tests.unit.fake_api import task as _task

MORE = ["--approver", "grace", "--where", "before", "--comment", "she negotiated it"]


def test_an_approver_is_added(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/tasks"] = _page(_task())
    path = f"POST /v1/tasks/{TASK}/approvers"
    added = {"assignee": "grace", "added_by": "bob", "where": "before"}
    shown = _request("pending") | {
        "tasks": [_task() | {"state": "open", "decision": None, **added}],
        "added_approvers": [
            {
                "person": "grace",
                "step": "manager_approval",
                "where": "before",
                "added_by": "bob",
                "comment": "she negotiated it",
                "added_at": "2026-11-21T02:56:00Z",
            }
        ],
    }
    api.answers[path] = _json(200, shown)
    assert main.run(["add-approver", TASK[:8], *MORE]) == 0
    assert json.loads(api.asked[-1].content) == {
        "add": "grace",
        "where": "before",
        "comment": "she negotiated it",
    }
    out = capsys.readouterr().out
    assert "grace (added before by bob)" in out
    assert "she negotiated it" in out
    assert main.run(["add-approver", TASK, *MORE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "pending"
    api.answers[path] = _json(202, {"command_id": TASK, "detail": "recorded"})
    assert main.run(["add-approver", TASK, *MORE]) == 0
    assert "not yet applied" in capsys.readouterr().err
    api.answers[path] = _problem(409, "grace already has a seat in step s")
    assert main.run(["add-approver", TASK, *MORE]) == Exit.CONFLICT


@pytest.mark.parametrize(
    "arguments", [MORE[2:], MORE[:4], [*MORE, "--where", "above"], [*MORE, "--comment", " "]]
)
def test_what_it_needs(api: FakeApi, arguments: list[str]) -> None:
    assert main.run(["add-approver", TASK, *arguments]) == Exit.USAGE
    assert api.asked == []
