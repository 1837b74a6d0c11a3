"""`recipe migrate`: what would become of each, then the question, then just those."""

import json
from typing import Any

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import REQUEST, FakeApi, answer_json

PATH = "/v1/recipes/w/versions/1/migrate"
COMMAND = ["recipe", "migrate", "w", "1", "2", "--comment", "a better one", "--as", "oscar"]
OTHER = REQUEST.replace("6a4d", "7b5e")


def verdict(outcome: str, request: str = REQUEST, **more: Any) -> dict[str, Any]:
    return {
        "request_id": request,
        "title": "Leave",
        "requester": "alice",
        "step": "boss",
        "outcome": outcome,
        "reasons": [],
        "notes": [],
        "command_id": None,
        **more,
    }


def answered(*items: dict[str, Any], cursor: str | None = None) -> Any:
    return answer_json(200, {"items": list(items), "next_cursor": cursor})


STAYS = verdict("refused", OTHER, reasons=["it is at step boss, which version 2 does not have"])


def test_a_dry_run_shows_all_pages_and_moves_nothing(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers[f"POST {PATH}"] = [answered(verdict("possible"), cursor="next"), answered(STAYS)]
    assert main.run([*COMMAND, "--dry-run"]) == Exit.CONFLICT
    told = capsys.readouterr()
    assert "possible" in told.out
    assert "which version 2 does not have" in told.out
    assert "refused: 1 request" in told.err
    assert [dict(asked.url.params) for asked in api.asked] == [
        {"dry_run": "true", "limit": "200"},
        {"dry_run": "true", "limit": "200", "cursor": "next"},
    ]


def test_what_can_move_is_moved_and_nothing_else(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers[f"POST {PATH}"] = [
        answered(verdict("possible"), STAYS),
        answered(verdict("moved")),
    ]
    assert main.run([*COMMAND, "--yes", "--json"]) == Exit.CONFLICT
    told = capsys.readouterr()
    assert [item["outcome"] for item in json.loads(told.out)] == ["moved", "refused"]
    assert "moved to version 2: 1 request" in told.err
    sent = json.loads(api.asked[-1].content)
    assert sent == {"to": 2, "comment": "a better one", "requests": [REQUEST]}
    assert dict(api.asked[-1].url.params) == {}


def test_those_that_are_named(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers[f"POST {PATH}"] = [answered(verdict("possible")), answered(verdict("recorded"))]
    assert main.run([*COMMAND, "--request", REQUEST, "--yes"]) == Exit.OK
    assert "recorded, and not known yet: 1 request" in capsys.readouterr().err
    assert all(json.loads(asked.content)["requests"] == [REQUEST] for asked in api.asked)


def test_nobody_to_ask(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers[f"POST {PATH}"] = answered(verdict("possible"))
    assert main.run(COMMAND) == Exit.USAGE
    assert "add --yes" in capsys.readouterr().err
    assert len(api.asked) == 1
    assert main.run([*COMMAND, "--request", "6a4d"]) == Exit.USAGE
    assert len(api.asked) == 1


def test_nothing_in_flight(api: FakeApi) -> None:
    api.answers[f"POST {PATH}"] = answered()
    assert main.run([*COMMAND, "--yes"]) == Exit.OK
    assert len(api.asked) == 1
