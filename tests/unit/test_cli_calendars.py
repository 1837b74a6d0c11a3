"""`countersign calendar ...` against canned answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import FakeApi, answer_json, page, problem

ES = {
    "name": "es",
    "version": 2,
    "versions": [2, 1],
    "time_zone": "Europe/Madrid",
    "week": ["mon", "tue"],
    "hours": "09:00-18:00",
    "covers": {"from": "2026-01-01", "to": "2026-12-31"},
    "holidays": [{"date": "2026-01-06", "name": "Reyes"}],
    "sha256": "f" * 64,
    "imported_at": "2026-01-02T09:00:00Z",
    "imported_by": "root",
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "es.calendar.yaml"
    path.write_text("calendar: es\n")
    return str(path)


def imported(status: int = 201, tasks: int = 0, **values: Any) -> Any:
    older = {"tasks": tasks, "requests": 0}
    found = {"name": "es", "version": 2, "unchanged": False, "dry_run": False}
    return answer_json(status, {**found, "on_older_versions": older, **values})


def test_import(api: FakeApi, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["POST /v1/calendars"] = [
        imported(tasks=3),
        imported(200, unchanged=True),
        imported(200, dry_run=True),
        imported(),
    ]
    assert main.run(["calendar", "import", file]) == 0
    said = capsys.readouterr().err
    assert "imported es version 2" in said
    assert "on older versions, and staying so: 3 tasks, 0 requests" in said
    assert api.asked[-1].content == b"calendar: es\n"
    assert api.asked[-1].headers["x-file-name"] == "es.calendar.yaml"
    assert main.run(["calendar", "import", file]) == 0
    assert capsys.readouterr().err == "es version 2 says so already, unchanged\n"
    assert main.run(["calendar", "import", file, "--dry-run"]) == 0
    assert capsys.readouterr().err == "would import es version 2\n"
    assert api.asked[-1].url.query == b"dry_run=true"
    assert main.run(["calendar", "import", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["version"] == 2


def test_a_calendar_that_is_wrong(
    api: FakeApi, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {
        "file": "es.calendar.yaml",
        "line": 2,
        "column": 12,
        "path": "time_zone",
        "message": "there is no time zone `x`",
        "fix": "write an IANA name",
    }
    detail = "the calendar has 1 error"
    api.answers["POST /v1/calendars"] = problem(422, detail, errors=[wrong])
    assert main.run(["calendar", "import", file]) == Exit.FAILED
    said = capsys.readouterr().err
    assert "es.calendar.yaml:2:12 time_zone: there is no time zone `x` (fix: write an" in said


def test_list_and_show(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/calendars"] = page(ES)
    assert main.run(["calendar", "list"]) == 0
    assert "2026-01-01 to 2026-12-31" in capsys.readouterr().out
    api.answers["GET /v1/calendars"] = page(ES)
    assert main.run(["calendar", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [ES]
    api.answers["GET /v1/calendars/es"] = answer_json(200, ES)
    assert main.run(["calendar", "show", "es", "--version", "2"]) == 0
    out = capsys.readouterr().out
    assert "es version 2" in out
    assert "Reyes" in out
    assert api.asked[-1].url.query == b"version=2"
    assert main.run(["calendar", "show", "es", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ES
