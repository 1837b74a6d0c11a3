"""`countersign import history`: which file is sent how, and what is told of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli import main
from tests.unit.fake_api import FakeApi, answer_json, problem

PATH = "POST /v1/imports"
FOUND: dict[str, Any] = {
    "id": "0d7b0f7e-9f0f-4d8e-8f52-6f3a7a4a5c11",
    "source": "hr",
    "sha256": "4e7c",
    "imported_by": "oscar",
    "imported_at": "2026-11-27T20:00:00Z",
    "requests": 2,
    "decisions": 3,
    "already": 1,
    "warnings": [
        {"message": "not in the directory: zoe"},
        {"message": "decided their own", "row": 4, "column": "decisions.1.user"},
        {"message": "has no step x", "pointer": "/3/decisions/0/step"},
    ],
    "dry_run": False,
    "again": False,
}


@pytest.mark.parametrize(
    ("suffix", "options", "media_type"),
    [
        ("csv", [], "text/csv"),
        ("json", [], "application/json"),
        ("ndjson", [], "application/x-ndjson"),
        ("txt", ["--format", "jsonl"], "application/x-ndjson"),
    ],
)
def test_a_file_goes_as_what_it_is(
    api: FakeApi, tmp_path: Path, suffix: str, options: list[str], media_type: str
) -> None:
    api.answers[PATH] = answer_json(201, FOUND)
    file = tmp_path / f"past.{suffix}"
    file.write_text("x")
    assert main.run(["import", "history", str(file), "--source", "hr", *options]) == 0
    [asked] = api.asked
    assert asked.headers["content-type"] == media_type
    assert (dict(asked.url.params), asked.content) == ({"source": "hr"}, b"x")


def test_what_is_told(api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "past.csv"
    file.write_text("x")
    command = ["import", "history", str(file), "--source", "hr"]
    api.answers[PATH] = answer_json(201, FOUND)
    assert main.run(command) == 0
    out, err = capsys.readouterr()
    assert ["there", "already", "1"] in [line.split() for line in out.splitlines()]
    assert "warning: not in the directory: zoe" in err
    assert "warning: row 4, decisions.1.user: decided their own" in err
    assert "warning: /3/decisions/0/step: has no step x" in err
    api.answers[PATH] = answer_json(200, FOUND | {"id": None, "dry_run": True})
    assert main.run([*command, "--dry-run"]) == 0
    assert api.asked[-1].url.params["dry_run"] == "true"
    assert "a dry run: nothing was written" in capsys.readouterr().err
    api.answers[PATH] = answer_json(200, FOUND | {"again": True})
    assert main.run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["again"] is True
    assert main.run(command) == 0
    assert "this file was imported before" in capsys.readouterr().err


def test_wrong_files(api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "past.dat"
    file.write_text("x")
    assert main.run(["import", "history", str(file), "--source", "hr"]) == 2
    assert "--format csv, json or jsonl" in capsys.readouterr().err
    assert main.run(["import", "history", str(tmp_path / "no.csv"), "--source", "hr"]) == 2
    errors = [{"row": 3, "column": "outcome", "message": "is missing"}]
    api.answers[PATH] = problem(422, "row 3, column outcome: is missing", errors=errors)
    good = file.rename(tmp_path / "past.csv")
    assert main.run(["import", "history", str(good), "--source", "hr"]) == 1
    assert "row 3, column outcome: is missing" in capsys.readouterr().err
