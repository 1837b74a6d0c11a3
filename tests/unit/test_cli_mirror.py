"""`countersign org mirror ...` against canned answers."""

import json
from typing import Any

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import FakeApi, answer_json, problem

STANDING = {
    "source": "https://hr.example.org",
    "synced_at": "2026-11-21T09:00:00Z",
    "stale_after": "2026-11-22T09:00:00Z",
    "stale": True,
    "tried_at": "2026-11-22T10:00:00Z",
    "failing": "hr.example.org answers 500",
    "failing_since": "2026-11-21T10:00:00Z",
    "people": 3,
    "doubts": ["1 managers are not on the list"],
}


def synced(**values: Any) -> Any:
    found: dict[str, Any] = {
        "failing": None,
        "unchanged": False,
        "people": 3,
        "changes": {},
        "doubts": [],
    }
    return answer_json(200, found | values)


def test_status(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/org/mirror"] = answer_json(200, STANDING)
    assert main.run(["org", "mirror", "status"]) == 0
    out = capsys.readouterr().out
    assert "hr.example.org answers 500" in out
    assert "nobody is asked" in out
    assert "1 managers are not on the list" in out
    assert main.run(["org", "mirror", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STANDING


def test_no_mirror(api: FakeApi) -> None:
    api.answers["GET /v1/org/mirror"] = problem(404, "the directory mirrors no other system")
    assert main.run(["org", "mirror", "status"]) == Exit.NOT_FOUND


def test_sync(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    place = "POST /v1/org/mirror/sync"
    api.answers[place] = synced(changes={"people_left": 2})
    assert main.run(["org", "mirror", "sync", "--most-gone", "2"]) == 0
    assert json.loads(api.asked[-1].content) == {"most_gone": 2}
    assert "people left" in capsys.readouterr().out
    api.answers[place] = synced()
    assert main.run(["org", "mirror", "sync"]) == 0
    assert "nothing to change" in capsys.readouterr().err
    api.answers[place] = synced(failing="it answers 500")
    assert main.run(["org", "mirror", "sync"]) == Exit.FAILED
    assert "stays as it is: it answers 500" in capsys.readouterr().err
    api.answers[place] = answer_json(202, {"status": "running"})
    assert main.run(["org", "mirror", "sync", "--json"]) == 0
    assert "it is being read" in capsys.readouterr().err
