"""`countersign audit impact` and `audit recall` against an API of canned answers."""

import json
from typing import Any

import pytest

from api import past_shapes
from cli import main, recalls
from tests.unit.fake_api import FakeApi, answer_json, page

RULE = ["--workflow", "buy", "--version", "4", "--step", "small"]
RECALL: dict[str, Any] = past_shapes._RECALL
ID = RECALL["id"]
IMPACT: dict[str, Any] = {
    "workflow": "buy",
    "version": 4,
    "step": "small",
    "rule": "amount < 100",
    "action": "approve",
    "requests": 2,
    "recalled": 1,
    "first_at": "2026-11-26T23:10:01Z",
    "last_at": "2026-11-26T23:10:02Z",
    "in_flight": 7,
    "deleted_months": ["2026-05"],
    "groups": [{"value": "EUR", "requests": 2, "sum": "119.5"}],
    "items": [past_shapes._DECIDED, past_shapes._DECIDED | {"recall_id": ID}],
    "next_cursor": None,
}
PLAN: dict[str, Any] = {
    "workflow": "buy",
    "version": 4,
    "step": "small",
    "requests": 2,
    "recalled": 1,
    "in_flight": 0,
    "deleted_months": [],
    "counts": {"possible": 1},
    "items": [
        {
            "request_id": ID,
            "title": "Pens",
            "requester": "al",
            "outcome": "possible",
            "detail": None,
        }
    ],
}


def counts(waiting: int, recalled: int, refused: int, finished: str | None = None) -> Any:
    how_many = {"waiting": waiting, "recalled": recalled, "refused": refused}
    return answer_json(200, RECALL | {"counts": how_many, "finished_at": finished})


@pytest.fixture
def answering(api: FakeApi) -> FakeApi:
    """A recall that takes two calls."""
    api.answers["POST /v1/recalls"] = [answer_json(200, PLAN), answer_json(201, RECALL)]
    api.answers[f"POST /v1/recalls/{ID}/continue"] = [
        counts(1, 1, 0),
        counts(0, 2, 0, "2026-11-27T09:00:00Z"),
    ]
    return api


def test_the_impact_is_counted_and_listed(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/audit/impact"] = answer_json(200, IMPACT)
    command = ["audit", "impact", *RULE, "--where", "amount < 100", "--sum", "amount"]
    assert main.run([*command, "--by", "currency"]) == 0
    out, err = capsys.readouterr()
    assert "not counted: what it decided in months whose time was over: 2026-05" in err
    for text in ("approve when amount < 100", "sum of amount", "119.5", "A box of pens", "yes"):
        assert text in out
    assert dict(api.asked[0].url.params) == {
        "workflow": "buy",
        "version": "4",
        "step": "small",
        "where": "amount < 100",
        "sum": "amount",
        "by": "currency",
        "limit": "1",
    }
    api.answers["GET /v1/audit/impact"] = answer_json(
        200, IMPACT | {"groups": [], "rule": None, "items": []}
    )
    assert main.run(["audit", "impact", *RULE]) == 0
    assert "step small: approve\n" in capsys.readouterr().out
    assert main.run(["audit", "impact", *RULE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 2


def test_a_rule_is_named_in_full(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["audit", "impact", "--workflow", "buy"]) == 2
    assert "add --version, --step" in capsys.readouterr().err
    assert main.run(["audit", "recall", *RULE, "--mark"]) == 2
    assert "add --reason WHY" in capsys.readouterr().err
    assert api.asked == []


def test_a_dry_run_shows_who_would_be_refused(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = PLAN["items"][0] | {"outcome": "refused", "detail": "would approve it again"}
    api.answers["POST /v1/recalls"] = answer_json(200, PLAN | {"items": [refused]})
    command = ["audit", "recall", *RULE, "--review-workflow", "lax", "--reason", "x", "--dry-run"]
    assert main.run(command) == 0
    out, err = capsys.readouterr()
    assert "would approve it again" in out
    assert "of the first 1, 1 would be refused" in err
    assert main.run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 2
    api.answers["POST /v1/recalls"] = answer_json(200, PLAN | {"items": []})
    assert main.run(command) == 0
    assert [asked.url.params["dry_run"] for asked in api.asked] == ["true"] * 3


def test_it_goes_on_until_nothing_waits(
    answering: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["audit", "recall", *RULE, "--review-workflow", "review", "--review-version", "2"]
    assert main.run([*command, "--reason", "a bad night", "--yes"]) == 0
    out, err = capsys.readouterr()
    assert f"countersign audit recall --resume {ID}" in err
    assert "recalled 1, refused 0, waiting 1" in err
    assert ["recalled", "2"] in [line.split() for line in out.splitlines()]
    assert json.loads(answering.asked[1].content) == {
        "workflow": "buy",
        "version": 4,
        "step": "small",
        "since": None,
        "until": None,
        "where": None,
        "review_workflow": "review",
        "review_version": 2,
        "mark": False,
        "reason": "a bad night",
    }
    assert "dry_run" not in answering.asked[1].url.params


def test_it_asks_before_it_begins(
    answering: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["audit", "recall", *RULE, "--mark", "--reason", "x"]
    assert main.run(command) == 2
    assert "add --yes" in capsys.readouterr().err
    monkeypatch.setattr(recalls.sys.stdin, "isatty", lambda: True, raising=False)
    said: list[str] = []

    def confirm(text: str, *, err: bool) -> bool:
        said.append(text)
        return not err

    monkeypatch.setattr(recalls.typer, "confirm", confirm)
    answering.answers["POST /v1/recalls"] = answer_json(200, PLAN)
    assert main.run(command) == 1
    assert said == ["disable buy version 4, and mark 1 requests?"]
    assert "nothing was recalled" in capsys.readouterr().err


def test_one_that_broke_off_is_resumed(
    answering: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    answering.answers[f"GET /v1/recalls/{ID}"] = answer_json(200, RECALL)
    answering.answers[f"POST /v1/recalls/{ID}/continue"] = counts(0, 1, 1, "2026-11-27T09:00:00Z")
    why = {"request_id": ID, "detail": "alice is not in the directory"}
    answering.answers[f"GET /v1/recalls/{ID}/requests"] = page(why)
    assert main.run(["audit", "recall", "--resume", ID, "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["counts"]["refused"] == 1
    assert f"{ID}: alice is not in the directory" in err
    assert main.run(["audit", "recall", "--resume", "x"]) == 2
