"""`recipe simulate` against an API of canned answers: what is sent, and what is shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import FakeApi, answer_json

TASK: dict[str, Any] = {
    "branch": None, "level": 0, "assignee": "bob", "candidates": [], "could_decide": [], "role": None,
    "on_behalf_of": None, "via": [], "chain": [{"text": "Bob Tanaka is asked for"}],
    "opened_at": "2026-03-02T09:00:00Z", "due_at": "2026-03-04T09:00:00Z", "when_due": "escalate",
    "comment_required": False, "reminded_at": [], "state": "decided",
    "closed_at": "2026-03-02T11:00:00Z", "why": None, "decision": "approve", "decided_by": "bob",
}  # fmt: skip
SHARED = TASK | {
    "branch": "legal", "assignee": None, "candidates": ["role:law"], "could_decide": ["lea", "lou"],
    "chain": [{"text": "any of role law"}], "state": "superseded", "why": "step hr is rejected",
    "decision": None, "decided_by": None, "due_at": None, "when_due": None,
}  # fmt: skip


def _step(name: str, *tasks: Any, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "step": name, "name": None, "type": "approval", "when": None, "at": "2026-03-02T09:00:00Z",
        "outcome": "approved", "completed_at": None, "tasks": list(tasks), "incidents": [],
    }  # fmt: skip
    return made | more


INCIDENT = {
    "kind": "NoApproverFound", "detail": "nobody there", "step": "hr", "seat": None,
    "at": "2026-03-02T09:00:00Z",
}  # fmt: skip
FOUND: dict[str, Any] = {
    "workflow": "leave", "version": 3, "requester": "alice", "at": "2026-03-02T09:00:00Z",
    "state": "pending", "reason": None, "ended_at": None, "deadline_at": None, "step": "hr",
    "path": [
        _step("short", type="action", when="days < 3", outcome="skipped"),
        _step("boss", TASK),
        _step("hr", SHARED, outcome=None, incidents=[INCIDENT]),
        _step("empty", outcome=None),
    ],
    "not_reached": ["last"], "waiting_for": ["role:law"], "incidents": [INCIDENT],
    "unused": ["/decisions/1"], "stopped": True,
}  # fmt: skip
PATH = "POST /v1/recipes/leave/versions/3/simulate"


def test_a_published_recipe(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/recipes/leave"] = answer_json(200, {"version": 3})
    api.answers[PATH] = answer_json(200, FOUND)
    arguments = [
        "recipe", "simulate", "leave", "days=5", "--input", "phone=012", "--requester", "alice",
        "--at", "2026-03-02T09:00:00Z", "--otherwise", "wait", "--suppose", "boss=approve@2h",
        "--suppose", "hr/legal/user:lea=reject", "--suppose", "user:bob=wait",
    ]  # fmt: skip
    assert main.run(arguments) == 0
    assert json.loads(api.asked[-1].content) == {
        "inputs": {"days": 5, "phone": "012"},
        "decisions": [
            {"decision": "approve", "step": "boss", "after": "2h"},
            {"decision": "reject", "step": "hr", "branch": "legal", "who": "lea"},
            {"decision": "wait", "who": "bob"},
        ],
        "otherwise": "wait",
        "requester": "alice",
        "at": "2026-03-02T09:00:00Z",
    }
    out, err = capsys.readouterr()
    assert "short" in out
    assert "when days < 3" in out
    assert "approve by bob" in out
    assert "lea, lou (role:law)" in out
    assert "pending (incident)" in out
    assert "waits" in out
    assert "incident, step hr: NoApproverFound: nobody there" in err
    assert "fitted no task: --suppose hr/legal/user:lea=reject" in err
    assert "no end" in err


def test_a_file_and_json(api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "leave.v4.yaml"
    file.write_text("workflow: leave")
    api.answers["POST /v1/recipes/simulate"] = answer_json(200, FOUND)
    assert main.run(["recipe", "simulate", str(file), "--json"]) == 0
    sent = json.loads(api.asked[0].content)
    assert (sent["recipe"], sent["file"]) == ("workflow: leave", "leave.v4.yaml")
    assert json.loads(capsys.readouterr().out)["step"] == "hr"
    api.answers[PATH] = answer_json(200, FOUND | {"unused": [], "incidents": []})
    assert main.run(["recipe", "simulate", "leave", "--version", "3"]) == 0


@pytest.mark.parametrize(
    "more",
    [
        ["--suppose", "boss"],
        ["--suppose", "boss=May be"],
        ["--suppose", "a/b/c=wait"],
        ["--suppose", "user:a/user:b=wait"],
        ["--suppose", "a/=wait"],
        ["--otherwise", "x"],
        ["days"],
    ],
)
def test_usage(api: FakeApi, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["recipe", "simulate", "leave", *more]) == Exit.USAGE
    assert api.asked == []
    assert "error: " in capsys.readouterr().err


def test_files_that_are_none(api: FakeApi, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"\xff")
    assert main.run(["recipe", "simulate", str(bad)]) == Exit.USAGE
    assert main.run(["recipe", "simulate", str(tmp_path / "no.yaml")]) == Exit.USAGE
    assert main.run(["recipe", "simulate", str(bad), "--version", "1"]) == Exit.USAGE
