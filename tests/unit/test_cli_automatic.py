"""Automatic work in `request show`, `countersign notifications`, and what doctor says of functions."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.examine_jobs import automatic
from cli.output import Exit
from settings import Settings
from tests.unit.fake_api import REQUEST, FakeApi, answer_json, page, request

JOB: dict[str, Any] = {
    "id": "3c0c6d3e-7f5f-4f55-9b57-0b8f1de7c011",
    "step": "charge",
    "run": "charge_card",
    "inputs": {"amount": 1500},
    "idempotency_key": f"{REQUEST}:charge",
    "state": "failed",
    "output": None,
    "error": "card declined",
    "attempts": 2,
    "started_at": "2026-03-02T09:20:00Z",
    "ended_at": "2026-03-02T09:20:02Z",
    "log": [
        {"attempt": 1, "at": "2026-03-02T09:20:00Z", "what": "failed", "detail": "answers 503"},
        {"attempt": 2, "at": "2026-03-02T09:20:02Z", "what": "failed", "detail": "card declined"},
    ],
}
DONE = JOB | {"step": "validate", "run": "validate_order", "state": "succeeded", "error": None}
DONE |= {"output": {"total": 7}, "attempts": 1, "log": []}
TOLD: dict[str, Any] = {
    "id": "3c0c6d3e-7f5f-4f55-9b57-0b8f1de7c012",
    "request_id": REQUEST,
    "workflow": "order",
    "title": "Order ORD-001",
    "step": "mail",
    "message": "Your order was charged.",
    "sent_at": "2026-03-02T09:20:02Z",
    "read_at": None,
}


def test_show_prints_automatic_work(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    shown = request("pending") | {"jobs": [DONE, JOB], "waits_until": "2026-03-04T09:20:00Z"}
    api.answers[f"GET /v1/requests/{REQUEST}"] = answer_json(200, shown)
    assert main.run(["request", "show", REQUEST, "--as", "alice"]) == Exit.OK
    told = capsys.readouterr().out
    for text in ("waits until", "validate_order", '{"total":7}', "charge_card", '{"amount":1500}'):
        assert text in told
    assert told.count("card declined") == 2  # of the job, and of its last attempt
    assert "answers 503" in told


def test_notifications_are_read_when_they_are_shown(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["GET /v1/notifications"] = page(TOLD)
    api.answers["POST /v1/notifications/read"] = answer_json(200, {"unread": 0})
    assert main.run(["notifications", "--as", "alice"]) == Exit.OK
    assert "Your order was charged." in capsys.readouterr().out
    assert [asked.method for asked in api.asked] == ["GET"]
    assert main.run(["notifications", "--read", "--ids", "--as", "alice"]) == Exit.OK
    assert capsys.readouterr().out.split() == [TOLD["id"]]
    assert json.loads(api.asked[-1].content) == {"ids": [TOLD["id"]]}


def test_nothing_to_read(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["notifications", "--read", "--as", "alice"]) == Exit.OK
    assert capsys.readouterr().err == "nothing is unread\n"
    assert main.run(["notifications", "--all", "--json", "--as", "alice"]) == Exit.OK
    assert json.loads(capsys.readouterr().out) == []
    assert [asked.url.params["state"] for asked in api.asked] == ["unread", "all"]


def test_the_inbox_says_that_there_is_something_to_read(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["GET /v1/tasks"] = page()
    api.answers["GET /v1/notifications"] = page(TOLD)
    assert main.run(["inbox", "--as", "alice"]) == Exit.OK
    assert "1 unread: countersign notifications --read" in capsys.readouterr().err


def test_what_doctor_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(**changes: Any) -> list[tuple[str, str, str]]:
        found = automatic(Settings(**changes))
        return [(it.part, it.verdict, it.seen) for it in found]

    assert said() == []
    [(part, verdict, seen)] = said(jobs="no_such_module")
    assert (part, verdict) == ("functions", "problem")
    assert "no_such_module cannot be imported" in seen
    file = tmp_path / "connections.yaml"
    file.write_text(
        "books: {url: 'https://books.example.org', auth: bearer, secret_env: BOOKS_X}\n"
    )
    assert said(connections=file) == [
        ("connections", "warning", "without a secret here: books"),
    ]
    monkeypatch.setenv("BOOKS_X", "secret")
    assert said(connections=file) == [("connections", "ok", "books")]
    file.write_text("books: {}\n")
    [(_, verdict, seen)] = said(connections=file)
    assert verdict == "problem"
    assert "`url` is missing" in seen


def test_the_connections_that_are_shipped() -> None:
    file = Path(__file__).parents[2] / "deploy" / "connections.yaml"
    [found] = automatic(Settings(connections=file))
    assert found.seen == "without a secret here: netsuite, old_books"


def test_simulate_supposes_how_tasks_end(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    path = "POST /v1/recipes/order/versions/1/simulate"
    api.answers[path] = answer_json(422, {"title": "t", "status": 422, "detail": "no such task"})
    arguments = ["recipe", "simulate", "order", "--version", "1", "--as", "alice"]
    supposed = ["--output", 'charge={"id": 7}', "--fails", "book=books are closed"]
    assert main.run([*arguments, *supposed]) == Exit.FAILED
    sent = json.loads(api.asked[-1].content)
    assert (sent["outputs"], sent["fails"]) == (
        {"charge": {"id": 7}},
        {"book": "books are closed"},
    )
    for wrong in (["--output", "charge"], ["--output", "charge={"], ["--fails", "=x"]):
        assert main.run([*arguments, *wrong]) == Exit.USAGE
    capsys.readouterr()
