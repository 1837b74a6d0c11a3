"""`inbox`, `incident`, `reassign`: help where a request waits for people; and what lists say."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import REQUEST, TASK, FakeApi
from tests.unit.fake_api import answer_json as _json
from tests.unit.fake_api import page as _page
from tests.unit.fake_api import problem as _problem
from tests.unit.fake_api import request as _request
from tests.unit.fake_api import task as _task


def _incident(seat: str | None = "hr/2", **changes: Any) -> dict[str, Any]:
    return {
        "request_id": REQUEST,
        "workflow": "leave_request",
        "version": 3,
        "title": "Leave request",
        "requester": "alice",
        "step": "hr",
        "seat": seat,
        "kind": "NoApproverFound",
        "detail": "role hr has no member",
        "since": "2026-11-21T02:55:00Z",
        "actions": ["retry", "reassign"],
    } | changes


def test_the_inbox_ends_with_incidents_that_need_me(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["GET /v1/tasks"] = _page()
    api.answers["GET /v1/incidents"] = _page(_incident(), _incident("hr/9", actions=[]))
    assert main.run(["inbox"]) == 0
    said = capsys.readouterr()
    assert "nothing waits for you" in said.err
    assert "incidents that need you" in said.err
    assert "countersign reassign --request" in said.err
    assert "NoApproverFound: role hr has no member" in said.out
    assert "hr/9" not in said.out
    for quiet in (["inbox", "--json"], ["inbox", "--ids"], ["inbox", "--state", "closed"]):
        api.asked.clear()
        assert main.run(quiet) == 0
        assert [asked.url.path for asked in api.asked] == ["/v1/tasks"]


def test_incidents_in_a_list(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/incidents"] = _page(_incident(None, actions=["retry"]))
    assert main.run(["incident", "list", "--workflow", "w", "--kind", "NoApproverFound"]) == 0
    assert dict(api.asked[0].url.params) | {"limit": ""} == {
        "workflow": "w",
        "kind": "NoApproverFound",
        "limit": "",
    }
    said = capsys.readouterr()
    assert "hr" in said.out
    assert "request retry" in said.err
    assert "reassign" not in said.err
    assert main.run(["incident", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["request_id"] == REQUEST
    api.answers["GET /v1/incidents"] = _page()
    assert main.run(["incident", "list"]) == 0
    assert "no request waits" in capsys.readouterr().err


def test_a_task_is_given_to_somebody_else(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/tasks"] = _page(_task())
    path = f"POST /v1/tasks/{TASK}/reassign"
    api.answers[path] = _json(200, _request("pending"))
    more = ["--to", "carol", "--reason", "a ship"]
    assert main.run(["reassign", TASK[:8], *more]) == 0
    assert json.loads(api.asked[-1].content) == {"to": "carol", "comment": "a ship"}
    assert "user:bob" in capsys.readouterr().out
    api.answers[path] = _json(202, {"command_id": TASK, "detail": "recorded"})
    assert main.run(["reassign", TASK, *more]) == 0
    assert "not yet applied" in capsys.readouterr().err
    api.answers[path] = _problem(409, "carol already has a seat in step s")
    assert main.run(["reassign", TASK, *more]) == Exit.CONFLICT


def test_a_seat_is_given_to_somebody(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"POST /v1/requests/{REQUEST}/reassign"
    api.answers[path] = _json(200, _request("pending"))
    more = ["--request", REQUEST, "--to", "carol", "--reason", "a ship", "--json"]
    assert main.run(["reassign", *more, "--seat", "hr/2"]) == 0
    body = {"to": "carol", "comment": "a ship", "seat": "hr/2"}
    assert json.loads(api.asked[-1].content) == body
    cases: tuple[tuple[list[str | None], int], ...] = (
        (["hr/2", None], 0),
        (["a", "b"], Exit.USAGE),
        ([], Exit.USAGE),
    )
    for seats, code in cases:
        shown = _request("pending") | {"incidents": [_incident(seat) for seat in seats]}
        api.answers[f"GET /v1/requests/{REQUEST}"] = _json(200, shown)
        assert main.run(["reassign", *more]) == code
    assert "countersign reassign TASK" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--to", "carol", "--reason", "x"],
        [TASK, "--request", REQUEST, "--to", "carol", "--reason", "x"],
        [TASK, "--seat", "s", "--to", "carol", "--reason", "x"],
        [TASK, "--to", "carol"],
        [TASK, "--reason", "x"],
    ],
)
def test_what_reassign_needs(api: FakeApi, arguments: list[str]) -> None:
    assert main.run(["reassign", *arguments]) == Exit.USAGE
    assert api.asked == []


def test_why_a_task_was_closed_that_nobody_decided(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    task = _task() | {"state": "expired", "decision": None, "assignee": "bob"}
    api.answers[f"GET /v1/requests/{REQUEST}"] = _json(
        200, _request("approved") | {"tasks": [task]}
    )
    why = {"task_id": TASK, "step": "s", "why": "timeout: approve"}
    events = [{"type": "step.skipped", "payload": why}, {"type": "task.expired", "payload": why}]
    api.answers[f"GET /v1/requests/{REQUEST}/events"] = _page(*events)
    assert main.run(["request", "show", REQUEST]) == 0
    assert "timeout: approve" in capsys.readouterr().out


def test_what_recipes_say(api: FakeApi, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    item: dict[str, Any] = {
        "workflow": "leave",
        "version": 2,
        "versions": [3, 2, 1],
        "disabled_versions": [3],
        "in_flight": {},
        "title": None,
        "published_at": "2026-11-21T02:55:00Z",
        "published_by": "root",
        "disabled": None,
    }
    api.answers["GET /v1/recipes"] = _page(item)
    assert main.run(["recipe", "list"]) == 0
    assert "3 (disabled), 2, 1" in capsys.readouterr().out
    (tmp_path / "x.v1.yaml").write_text("x")
    again: dict[str, Any] = {"workflow": "x", "version": 1, "unchanged": True, "warnings": []}
    api.answers["POST /v1/recipes"] = _json(200, again)
    assert main.run(["recipe", "publish", str(tmp_path / "x.v1.yaml")]) == 0
    assert "x v1 is published already, unchanged" in capsys.readouterr().err
