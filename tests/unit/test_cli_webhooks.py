"""`countersign webhook`: what is asked, and what is shown."""

from typing import Any

import pytest

from api.webhook_shapes import DeadEvent, NewWebhook
from cli import main
from cli.output import Exit
from tests.unit.fake_api import FakeApi, answer_json, page

MADE: dict[str, Any] = NewWebhook.model_json_schema()["examples"][0]
KEPT = {name: value for name, value in MADE.items() if name != "secret"}
PATH = f"/v1/webhooks/{MADE['id']}"


def test_its_secret_is_the_only_thing_on_stdout(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["POST /v1/webhooks"] = answer_json(201, MADE)
    command = ["webhook", "add", MADE["url"], "--event", "approval.request.finalized"]
    assert main.run([*command, "--workflow", "purchase_order"]) == 0
    out, err = capsys.readouterr()
    assert out == MADE["secret"] + "\n"
    assert "nobody can show it again" in err
    assert b'"types":["approval.request.finalized"]' in api.asked[0].content
    assert b'"workflows":["purchase_order"]' in api.asked[0].content
    api.answers[f"POST {PATH}/rotate"] = answer_json(200, {"secret": "whsec_x"})
    assert main.run(["webhook", "rotate", MADE["id"]]) == 0
    assert capsys.readouterr().out == "whsec_x\n"


def test_how_they_fare(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    failing = KEPT | {"state": "failing", "failures": 7, "last_error": "503", "parked": 12}
    api.answers["GET /v1/webhooks"] = page(failing)
    api.answers[f"GET {PATH}"] = answer_json(200, failing)
    assert main.run(["webhook", "list"]) == 0
    assert "503" in capsys.readouterr().out
    assert main.run(["webhook", "show", MADE["id"]]) == 0
    out = capsys.readouterr().out
    for text in ("failing", "12", "503", "approval.request.finalized", "purchase_order"):
        assert text in out
    for name, state in (("pause", "paused"), ("resume", "active")):
        api.answers[f"POST {PATH}/{name}"] = answer_json(200, KEPT | {"state": state})
        assert main.run(["webhook", name, MADE["id"]]) == 0
        assert state in capsys.readouterr().out
    api.answers[f"DELETE {PATH}"] = answer_json(200, KEPT)
    assert main.run(["webhook", "remove", MADE["id"]]) == 0
    assert "is gone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        ("sent", 0, "took"),
        ("failed", Exit.FAILED, "503"),
        ("waiting", Exit.UNAVAILABLE, "no relay"),
    ],
)
def test_what_came_of_a_test(
    api: FakeApi, capsys: pytest.CaptureFixture[str], outcome: str, code: int, said: str
) -> None:
    found = {"id": MADE["id"], "outcome": outcome, "error": "503" if outcome == "failed" else None}
    api.answers[f"POST {PATH}/test"] = answer_json(202 if outcome == "waiting" else 200, found)
    assert main.run(["webhook", "test", MADE["id"]]) == code
    assert said in capsys.readouterr().err


def test_dead_events(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    dead: dict[str, Any] = DeadEvent.model_json_schema()["examples"][0]
    api.answers[f"GET {PATH}/dead"] = page(dead)
    assert main.run(["webhook", "dead", MADE["id"]]) == 0
    assert dead["event_id"] in capsys.readouterr().out
    api.answers[f"POST {PATH}/resend"] = answer_json(200, {"resent": 3})
    assert main.run(["webhook", "resend", MADE["id"], "--all"]) == 0
    assert "3" in capsys.readouterr().err
    assert main.run(["webhook", "resend", MADE["id"], dead["event_id"]]) == 0
    assert main.run(["webhook", "resend", MADE["id"]]) == Exit.USAGE
    assert main.run(["webhook", "resend", MADE["id"], dead["event_id"], "--all"]) == Exit.USAGE
