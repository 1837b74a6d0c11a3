"""`recipe backtest` against an API of canned answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from api import life_shapes
from cli import main
from cli.output import Exit
from tests.unit.fake_api import REQUEST, FakeApi, answer_json, problem

ITEM: dict[str, Any] = life_shapes._TRIED
OTHER = ITEM | {
    "two_person_break": False, "route_changed": False, "removed": [], "added": ["role:law"],
    "state_changed": True, "refused": [], "after": ITEM["after"] | {"state": "pending"},
    "new_incidents": [{"step": "law", "detail": "nobody there"}],
}  # fmt: skip
REFUSED = OTHER | {
    "refused": ["/days: is required"],
    "after": None,
    "added": [],
    "state_changed": False,
}
FOUND: dict[str, Any] = {
    "workflow": "leave", "version": 4, "summary": life_shapes._SUMMARY,
    "items": [ITEM, OTHER, REFUSED | {"new_incidents": []}, ITEM | {"same": True, "title": "unseen"}],
}  # fmt: skip
PATH = "POST /v1/recipes/backtest"


def test_what_changes_is_told(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "leave.v4.yaml"
    file.write_text("workflow: leave")
    api.answers[PATH] = answer_json(200, FOUND)
    since = "2026-01-01T00:00:00Z"
    assert main.run(["recipe", "backtest", str(file), "--since", since, "--limit", "9"]) == 0
    assert json.loads(api.asked[0].content) == {
        "recipe": "workflow: leave",
        "file": "leave.v4.yaml",
        "since": since,
        "limit": 9,
    }
    out = capsys.readouterr().out
    for text in (
        "leave v4",
        "two people before, now one or none  1",
        "7d4a0f0c",
        "two people before, now 1; not asked: role:hr; route: manager_approval approved, hr skipped",
        "new: role:law; approved becomes pending; incident at law: nobody there",
        "refused: /days: is required",
    ):
        assert text in out
    assert "unseen" not in out
    api.answers[PATH] = answer_json(200, FOUND | {"items": []})
    assert main.run(["recipe", "backtest", str(file), "--imported"]) == 0
    assert json.loads(api.asked[1].content)["imported"] is True
    assert REQUEST not in capsys.readouterr().out
    assert main.run(["recipe", "backtest", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == []


def test_refusals(api: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "leave.v4.yaml"
    file.write_text("workflow: leave")
    api.answers[PATH] = problem(403, "only administrators and auditors")
    assert main.run(["recipe", "backtest", str(file)]) == Exit.FAILED
    assert main.run(["recipe", "backtest", str(tmp_path / "none.yaml")]) == Exit.USAGE
