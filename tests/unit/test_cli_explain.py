"""`countersign explain`: what is asked by which options, and what is said."""

import json
from typing import Any

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import REQUEST, TASK, FakeApi
from tests.unit.fake_api import answer_json as _json

GET, POST = "GET /v1/org/explain", "POST /v1/org/explain"


def _who(user: str | None = "carol", **changes: Any) -> dict[str, Any]:
    refusal = None if user else {"kind": "NoApproverFound", "detail": "nobody is there"}
    chain = [{"text": f"{user} is asked for"}] if user else []
    return {
        "user": user,
        "candidates": None,
        "role": None,
        "on_behalf_of": None,
        "via": list[str](),
        "chain": chain,
        "refusal": refusal,
    } | changes


def _task(**changes: Any) -> dict[str, Any]:
    return {
        "task": TASK,
        "step": "s",
        "employee": "alice",
        "state": "open",
        "asked": "user:bob",
        "since": "2026-11-21T02:55:00Z",
        **_who("carol", on_behalf_of="bob"),
        "now": _who("carol", on_behalf_of="bob"),
        "stale": False,
    } | changes


def _step(*seats: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "request": REQUEST,
        "step": "s",
        "employee": "alice",
        "at": "2026-11-21T02:55:00Z",
        "when": None,
        "applies": True,
        "seats": list(seats),
        "refusal": None,
    } | changes


def _seat(user: str | None = "carol", assignee: str | None = None) -> dict[str, Any]:
    return {"seat": "s/1", "asked": "role:hr", "assignee": assignee, **_who(user)}


def test_a_task(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers[GET] = [_json(200, _task()), _json(200, _task(now=_who("dave"), stale=True))]
    assert main.run(["explain", "--task", TASK]) == 0
    assert dict(api.asked[-1].url.params) == {"task": TASK}
    said = capsys.readouterr()
    assert "1. carol is asked for" in said.out
    assert "on behalf of  bob" in said.out
    assert said.err == ""
    assert main.run(["explain", "--task", TASK]) == 0
    said = capsys.readouterr()
    assert "the directory has changed since" in said.err
    assert "1. dave is asked for" in said.out


def test_a_step_of_a_request(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    shown = _step(_seat("carol", "bob"), _seat(None), when="days > 3", applies=False)
    api.answers[GET] = [_json(200, shown), _json(200, _step()), _json(200, shown)]
    arguments = ["explain", "--request", REQUEST, "--step", "s", "--at", "2026-12-24T12:00+00:00"]
    assert main.run(arguments) == 0
    assert dict(api.asked[-1].url.params) == {
        "request": REQUEST,
        "step": "s",
        "at": "2026-12-24T12:00:00+00:00",
    }
    out = capsys.readouterr().out
    for text in ("was with", "nobody: NoApproverFound", "skipped: its condition", "role:hr"):
        assert text in out
    assert main.run(arguments) == 0
    assert "every seat of it was decided then" in capsys.readouterr().err
    assert main.run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == "s"


def test_a_step_of_a_recipe(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = {"kind": "NoApproverFound", "detail": "no list"}
    api.answers[GET] = _json(200, _step(_seat(), request=None))
    api.answers[POST] = _json(200, _step(request=None, refusal=refusal))
    arguments = ["explain", "--workflow", "w", "--step", "s", "--employee", "alice"]
    assert main.run(arguments) == 0
    asked = {"workflow": "w", "step": "s", "employee": "alice"}
    assert dict(api.asked[-1].url.params) == asked
    assert "step s of a request of alice" in capsys.readouterr().out
    assert main.run([*arguments, "--version", "2", "--input", "days=5", "--input", "why=so"]) == 0
    assert json.loads(api.asked[-1].content) == {
        **asked,
        "version": 2,
        "inputs": {"days": 5, "why": "so"},
    }
    assert "nobody: NoApproverFound: no list" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["role:hr", "--task", TASK],
        ["--task", TASK, "--request", REQUEST],
        ["--task", TASK, "--workflow", "w"],
        ["role:hr", "--input", "a=1"],
        ["--workflow", "w", "--input", "a=1"],
    ],
)
def test_what_it_needs(api: FakeApi, arguments: list[str]) -> None:
    assert main.run(["explain", *arguments]) == Exit.USAGE
    assert api.asked == []
