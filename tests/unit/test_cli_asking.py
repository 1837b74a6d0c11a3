"""`countersign audit query`: what it asks the API for, and how it shows rows."""

from typing import Any

import pytest

from api.trail_shapes import TrailRow
from cli import main
from cli.output import Exit
from tests.unit.fake_api import FakeApi, page

ROW: dict[str, Any] = TrailRow.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index,call-overload]


def test_query(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/audit"] = page(ROW)
    asked = ["--since", "2026-07-01", "--until", "2026-10-01T00:00:00Z", "--in-role", "hr"]
    more = ["--where", "amount > 50000", "--entity", "booking:4711", "--type", "decision.recorded"]
    assert main.run(["audit", "query", *asked, *more]) == 0
    out = capsys.readouterr().out
    for shown in ("dave on behalf of bob", "A press", "purchase_order@2", "amount=72000"):
        assert shown in out
    assert "withheld" not in out
    [request] = api.asked
    sent = dict(request.url.params)
    assert sent["since"] == "2026-07-01T00:00:00Z"
    assert sent["until"] == "2026-10-01T00:00:00Z"
    assert (sent["role"], sent["where"]) == ("hr", "amount > 50000")
    assert (sent["entity_type"], sent["entity_id"]) == ("booking", "4711")


def test_what_is_withheld_is_named(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    row = ROW | {"withheld": ["comment", "inputs"], "inputs": {"supplier": "Acme"}}
    api.answers["GET /v1/audit"] = page(row)
    assert main.run(["audit", "query"]) == 0
    assert "supplier=Acme, withheld=comment inputs" in " ".join(capsys.readouterr().out.split())
    request = row["request_id"]
    api.answers[f"GET /v1/requests/{request}/events"] = page(row | {"payload": {"step": "hr"}})
    assert main.run(["request", "events", request]) == 0
    assert "step=hr, withheld=comment inputs" in " ".join(capsys.readouterr().out.split())


def test_nothing_and_no_time(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/audit"] = page()
    assert main.run(["audit", "query"]) == 0
    assert "nothing of the kind" in capsys.readouterr().err
    assert main.run(["audit", "query", "--since", "yesterday"]) == Exit.USAGE
    assert "no day and no moment" in capsys.readouterr().err
