"""`countersign session end`: what is asked, and what is said."""

import json

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import FakeApi, answer_json, problem

ENDED = {"person": "bob", "before": "2026-11-28T09:12:03.118204Z"}


def test_somebody_is_signed_out(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["POST /v1/sessions/end"] = answer_json(200, ENDED)
    assert main.run(["session", "end", "bob"]) == 0
    assert json.loads(api.asked[0].content) == {"person": "bob"}
    out, err = capsys.readouterr()
    assert (out, err) == ("", "sessions of bob from before 2026-11-28 09:12 UTC count no more\n")
    assert main.run(["session", "end", "bob", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ENDED


def test_who_may_not_is_told(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["POST /v1/sessions/end"] = problem(403, "only an administrator may do this")
    assert main.run(["session", "end", "bob"]) == Exit.FAILED
    assert "only an administrator may do this" in capsys.readouterr().err
