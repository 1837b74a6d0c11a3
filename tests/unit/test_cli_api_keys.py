"""`countersign api-key`: what is asked, and what is shown."""

from typing import Any

import pytest

from api.key_shapes import NewApiKey
from cli import main
from tests.unit.fake_api import FakeApi, answer_json, page

MADE: dict[str, Any] = NewApiKey.model_json_schema()["examples"][0]


def test_a_new_key_is_the_only_thing_on_stdout(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["POST /v1/keys"] = answer_json(201, MADE)
    command = ["api-key", "new", "erp", "--scope", "requests:read", "--scope", "requests:write"]
    assert main.run([*command, "--days", "30"]) == 0
    out, err = capsys.readouterr()
    assert out == MADE["key"] + "\n"
    assert "nobody can show it again" in err
    assert b'"scopes":["requests:read","requests:write"]' in api.asked[0].content


def test_a_list_and_a_revoking(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    kept = {name: value for name, value in MADE.items() if name != "key"}
    api.answers["GET /v1/keys"] = page(kept)
    assert main.run(["api-key", "list", "--ended"]) == 0
    assert MADE["id"] in capsys.readouterr().out
    assert api.asked[0].url.params["ended"] == "true"
    path = f"/v1/keys/{MADE['id']}/revoke"
    api.answers[f"POST {path}"] = answer_json(200, kept | {"state": "revoked"})
    assert main.run(["api-key", "revoke", MADE["id"]]) == 0
    assert "counts no more" in capsys.readouterr().err
