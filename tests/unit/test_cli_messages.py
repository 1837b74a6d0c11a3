"""`countersign preferences` and `countersign message ...` against canned answers."""

import json
from typing import Any

import pytest

from api import message_shapes
from cli import main
from cli.output import Exit
from tests.unit.fake_api import FakeApi, answer_json, page

MESSAGE = "b3b5c0de-58a5-4c8e-9d52-6f0d5a1f2c33"
PLACE = "/v1/me/preferences"


def shown(model: Any) -> dict[str, Any]:
    """The example of a shape."""
    [example] = model.model_config["json_schema_extra"]["examples"]
    model.model_validate(example)
    return dict(example)


def said(api: FakeApi) -> dict[str, Any]:
    request = api.asked[-1]
    assert request.method == "PUT"
    body: dict[str, Any] = json.loads(request.content)
    message_shapes.PreferencesBody.model_validate(body)
    return body


def test_preferences_are_shown(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(message_shapes.PreferencesShown)
    api.answers[f"GET {PLACE}"] = answer_json(200, found | {"ways": ["mail"]})
    assert main.run(["preferences"]) == 0
    out = capsys.readouterr().out
    assert "mail, slack (off here)" in out
    assert "19:00-08:00" in out
    assert "bob@example.org" in out
    assert main.run(["preferences", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clock"] == "Europe/Madrid"
    assert [request.method for request in api.asked] == ["GET", "GET"]


def test_what_is_not_said_stays(api: FakeApi) -> None:
    found = shown(message_shapes.PreferencesShown)
    api.answers[f"GET {PLACE}"] = answer_json(200, found)
    api.answers[f"PUT {PLACE}"] = answer_json(200, found)
    assert main.run(["preferences", "--tell", "task=mail", "--tell", "answer=none"]) == 0
    assert said(api)["channels"] == found["channels"] | {"task": ["mail"], "answer": []}
    assert said(api)["digest_at"] == "08:30"
    assert main.run(["preferences", "--tell", "all=slack", "--quiet", "none", "--gather", "0"]) == 0
    assert {tuple(it) for it in said(api)["channels"].values()} == {("slack",)}
    assert (said(api)["quiet_hours"], said(api)["gather_minutes"]) == (None, 0)
    changes = ["--digest", "outcome, notice", "--quiet", "20:00-07:30", "--time-zone", "none"]
    assert main.run(["preferences", *changes, "--digest-at", "07:00"]) == 0
    assert said(api)["digest"] == ["outcome", "notice"]
    assert said(api)["quiet_hours"] == {"from": "20:00", "to": "07:30"}
    assert (said(api)["time_zone"], said(api)["digest_at"]) == (None, "07:00")


@pytest.mark.parametrize("wrong", [["--tell", "task"], ["--tell", "gossip=mail"], ["--quiet", "8"]])
def test_what_cannot_be_read_is_said(
    api: FakeApi, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers[f"GET {PLACE}"] = answer_json(200, shown(message_shapes.PreferencesShown))
    assert main.run(["preferences", *wrong]) == Exit.USAGE
    assert "such as --" in capsys.readouterr().err
    assert {request.method for request in api.asked} <= {"GET"}


def test_what_was_given_up(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/messages"] = page(shown(message_shapes.DeadMessage))
    assert main.run(["message", "dead"]) == 0
    assert "550 no such mailbox" in capsys.readouterr().out
    assert main.run(["message", "dead", "--ids"]) == 0
    assert capsys.readouterr().out.split() == [MESSAGE]
    api.answers["GET /v1/messages"] = page()
    assert main.run(["message", "dead"]) == 0
    assert "none was given up" in capsys.readouterr().err


def test_resend(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers[f"POST /v1/messages/{MESSAGE}/resend"] = answer_json(200, {"resent": 1})
    api.answers["POST /v1/messages/resend"] = answer_json(200, {"resent": 3})
    assert main.run(["message", "resend", MESSAGE]) == 0
    assert "1 message will be tried again" in capsys.readouterr().err
    assert main.run(["message", "resend", "--all"]) == 0
    assert "3 messages will be tried again" in capsys.readouterr().err
    assert main.run(["message", "resend"]) == Exit.USAGE
    assert main.run(["message", "resend", MESSAGE, "--all"]) == Exit.USAGE
    assert main.run(["message", "resend", "b3b5"]) == Exit.USAGE
    assert len(api.asked) == 2


def test_who_is_who_in_slack(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    known = shown(message_shapes.SlackPerson)
    api.answers["GET /v1/slack/people"] = page(known, known | {"named_by": None})
    api.answers["POST /v1/slack/people"] = answer_json(200, known)
    forgotten = shown(message_shapes.SlackForgotten)
    api.answers["DELETE /v1/slack/people/bob"] = answer_json(200, forgotten)
    assert main.run(["message", "slack"]) == 0
    out = capsys.readouterr().out
    assert "U02BOB" in out
    assert "mail address" in out
    assert main.run(["message", "slack", "bob", "U02BOB"]) == 0
    assert json.loads(api.asked[-1].content) == {"person": "bob", "slack_user": "U02BOB"}
    assert main.run(["message", "slack", "bob", "--forget"]) == 0
    assert "is forgotten" in capsys.readouterr().err
    assert main.run(["message", "slack", "bob"]) == Exit.USAGE
    assert main.run(["message", "slack", "bob", "U02BOB", "--forget"]) == Exit.USAGE
