"""`countersign event send`, and entities on the command line."""

import json

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import REQUEST, FakeApi, answer_json, page, problem, request

SEND = ["event", "send", "booking.cancelled", "--entity", "booking:a:4711"]
STARTED = {"id": REQUEST, "workflow": "booking_cancellation", "version": 2}


def test_send(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"event_id": "e-1", "requests": [STARTED]}
    api.answers["POST /v1/events"] = answer_json(201, made)
    more = ["refund=780.5", "--input", "note=007", "--by", "alice", "--id", "e-1", "--as", "oscar"]
    assert main.run([*SEND, *more]) == 0
    assert json.loads(api.asked[0].content) == {
        "event": "booking.cancelled",
        "event_id": "e-1",
        "entity_type": "booking",
        "entity_id": "a:4711",
        "initiated_by": "alice",
        "inputs": {"refund": 780.5, "note": "007"},
    }
    out, err = capsys.readouterr()
    assert REQUEST in out
    assert "booking_cancellation" in out
    assert "received as e-1" in err
    assert main.run([*SEND, "--ids"]) == 0
    assert capsys.readouterr().out == f"{REQUEST}\n"
    assert main.run([*SEND, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == made


def test_nobody_listens(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["POST /v1/events"] = answer_json(201, {"event_id": "e-1", "requests": []})
    assert main.run(SEND) == 0
    assert "no recipe in use listens to booking.cancelled" in capsys.readouterr().err


def test_refused(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["POST /v1/events"] = problem(409, "nothing was started: a request is open")
    assert main.run(SEND) == Exit.CONFLICT
    assert "nothing was started" in capsys.readouterr().err


@pytest.mark.parametrize("entity", ["booking", ":1", "booking:"])
def test_an_entity_is_a_type_and_an_id(
    api: FakeApi, capsys: pytest.CaptureFixture[str], entity: str
) -> None:
    assert main.run(["event", "send", "x", "--entity", entity]) == Exit.USAGE
    assert "TYPE:ID" in capsys.readouterr().err
    assert api.asked == []


def test_submit_and_list_by_entity(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    shown = request("pending") | {"entity": {"type": "booking", "id": "4711"}}
    api.answers["POST /v1/requests"] = answer_json(201, shown)
    assert main.run(["request", "submit", "a", "--entity", "booking:4711"]) == 0
    assert json.loads(api.asked[0].content)["entity"] == {"type": "booking", "id": "4711"}
    assert "booking:4711" in capsys.readouterr().out
    api.answers["GET /v1/requests"] = page()
    for text, query in (
        ("booking:4711", "entity_type=booking&entity_id=4711"),
        ("booking", "entity_type=booking"),
    ):
        assert main.run(["request", "list", "--entity", text]) == 0
        assert query in str(api.asked[-1].url)
        assert ("entity_id" in str(api.asked[-1].url)) == (":" in text)
