"""`countersign request erase` and `countersign audit erased` against an API of canned answers."""

import json
from typing import Any

import pytest

from cli import erasure, main
from tests.unit.fake_api import REQUEST, FakeApi, answer_json, page, problem, request

ERASED = {"at": "2026-11-27T09:00:00Z", "by": "root", "reason": "Case 2026-118."}
BLANK = request("approved") | {"title": "Erased request", "inputs": {}, "erased": ERASED}
COMMAND = ["request", "erase", REQUEST, "--reason", "Case 2026-118."]
ROW: dict[str, Any] = {
    "request_id": REQUEST,
    "workflow": "leave_request",
    "occurred_at": "2026-11-27T09:00:00Z",
    "actor": {"user": "root"},
    "payload": {"reason": "Case 2026-118."},
}


@pytest.fixture
def answering(api: FakeApi) -> FakeApi:
    api.answers[f"GET /v1/requests/{REQUEST}"] = answer_json(200, request("approved"))
    api.answers[f"POST /v1/requests/{REQUEST}/erase"] = answer_json(200, BLANK)
    return api


def test_it_is_erased_and_shown(answering: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([*COMMAND, "--yes"]) == 0
    assert json.loads(answering.asked[-1].content) == {"reason": "Case 2026-118."}
    out = capsys.readouterr().out
    assert "Erased request" in out
    assert "Case 2026-118. (root, " in out
    assert main.run([*COMMAND, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["erased"] == ERASED


def test_nobody_to_ask(answering: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(COMMAND) == 2
    assert "add --yes" in capsys.readouterr().err
    assert [asked.method for asked in answering.asked] == ["GET"]


def test_whoever_is_there_is_asked(
    answering: FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure.sys.stdin, "isatty", lambda: True, raising=False)
    said: list[str] = []
    answers = [False, True]

    def confirm(text: str, *, err: bool) -> bool:
        said.append(text)
        return answers.pop(0) and err

    monkeypatch.setattr(erasure.typer, "confirm", confirm)
    assert main.run(COMMAND) == 1
    assert "nothing was erased" in capsys.readouterr().err
    answering.answers[f"GET /v1/requests/{REQUEST}"] = answer_json(200, request("approved"))
    assert main.run(COMMAND) == 0
    assert said == [f"erase {REQUEST}, Leave request, by alice? Nobody can undo it."] * 2


def test_why_not_is_said(answering: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    why = "the request cannot be erased: it is still under way"
    answering.answers[f"POST /v1/requests/{REQUEST}/erase"] = problem(409, why)
    assert main.run([*COMMAND, "--yes"]) == 3
    assert "still under way" in capsys.readouterr().err


def test_what_was_erased_is_listed(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/audit"] = page(ROW)
    assert main.run(["audit", "erased"]) == 0
    assert "Case 2026-118." in capsys.readouterr().out
    assert api.asked[0].url.params["type"] == "request.erased"
    assert main.run(["audit", "erased", "--ids"]) == 0
    assert capsys.readouterr().out == f"{REQUEST}\n"
    assert main.run(["audit", "erased", "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert (found["id"], found["by"]) == (REQUEST, "root")
    api.answers["GET /v1/audit"] = page()
    assert main.run(["audit", "erased"]) == 0
    assert "nothing was erased" in capsys.readouterr().err
