"""`decide-all` against an API of canned answers: nothing is decided that was not shown and agreed to."""

import json
from typing import Any

import httpx
import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import OTHER, TASK, FakeApi, answer_json, task

PREVIEW = "POST /v1/decisions/preview"
DECIDE = "POST /v1/decisions"


def _preview(*ids: str, need_comment: tuple[str, ...] = (), more: bool = False) -> httpx.Response:
    items = [{"task_id": one, "decision": "approve", "digest": "d1"} for one in ids]
    tasks = [task(one) for one in ids]
    shown = {"items": items, "tasks": tasks, "need_comment": need_comment, "more": more}
    shown |= {"need_reason": need_comment[1:]}
    return answer_json(200, shown)


def _answered(*statuses: int) -> httpx.Response:
    items: list[dict[str, Any]] = [
        {"status": status, "problem": None if status == 200 else {"detail": f"because {status}"}}
        for status in statuses
    ]
    decided = statuses.count(200)
    body = {"items": items, "decided": decided, "refused": len(statuses) - decided}
    return answer_json(200, body)


def _no(text: str, *, err: bool) -> bool:
    del text
    return not err


def _yes(text: str, *, err: bool) -> bool:
    return err and text == "approve 1 task?"


def test_what_was_shown_is_decided(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = {PREVIEW: _preview(TASK, OTHER, more=True), DECIDE: _answered(200, 200)}
    arguments = ["decide-all", "approve", "--workflow", "leave_request", "--older-than", "2d"]
    assert main.run([*arguments, "--requester", "alice", "--step", "s", "--yes"]) == 0
    assert json.loads(api.asked[0].content) == {
        "decision": "approve",
        "filter": {
            "workflow": "leave_request",
            "requester": "alice",
            "step": "s",
            "older_than": "2d",
        },
    }
    pinned = {"decision": "approve", "digest": "d1", "comment": None, "reason": None}
    assert json.loads(api.asked[1].content) == {
        "items": [{"task_id": one, **pinned} for one in (TASK, OTHER)]
    }
    out, err = capsys.readouterr()
    assert TASK in out
    assert "there are more" in err
    assert "approved: 2 tasks" in err


@pytest.mark.parametrize(
    ("statuses", "code"), [((200, 409), Exit.CONFLICT), ((403, 404), Exit.FAILED)]
)
def test_what_was_refused_is_said(
    api: FakeApi, capsys: pytest.CaptureFixture[str], statuses: tuple[int, ...], code: Exit
) -> None:
    api.answers = {PREVIEW: _preview(TASK, OTHER), DECIDE: _answered(*statuses)}
    assert main.run(["decide-all", "approve", "--yes"]) == code
    err = capsys.readouterr().err
    assert f"{OTHER}  Leave request: because {statuses[1]}" in err


def test_nothing_is_decided_without_a_yes(
    api: FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers = {PREVIEW: _preview(TASK)}
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main.run(["decide-all", "approve"]) == Exit.USAGE
    assert "add --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", _no)
    assert main.run(["decide-all", "approve"]) == Exit.FAILED
    assert [request.url.path for request in api.asked] == ["/v1/decisions/preview"] * 2
    monkeypatch.setattr("typer.confirm", _yes)
    api.answers[DECIDE] = _answered(200)
    assert main.run(["decide-all", "approve"]) == 0


def test_a_comment_that_is_needed(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = {PREVIEW: _preview(TASK, need_comment=(TASK,)), DECIDE: _answered(200)}
    assert main.run(["decide-all", "reject", "--yes"]) == Exit.USAGE
    assert "1 of them need a comment to reject" in capsys.readouterr().err
    arguments = ["decide-all", "reject", "--yes", "--comment", "No.", "--reason", "budget"]
    assert main.run([*arguments, "--json"]) == 0
    sent = json.loads(api.asked[-1].content)["items"][0]
    assert (sent["comment"], sent["reason"]) == ("No.", "budget")
    assert json.loads(capsys.readouterr().out)["decided"] == 1


def test_nothing_waits(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = {PREVIEW: _preview()}
    assert main.run(["decide-all", "approve", "--json"]) == 0
    assert main.run(["decide-all", "approve"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["items"] == []
    assert err.count("nothing that waits for you is like that") == 2
