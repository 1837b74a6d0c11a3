"""`recipe diff`, `recipe requests` and what `recipe list` says is in flight."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import REQUEST, FakeApi, answer_json, page, problem
from tests.unit.fake_api import request as made

OLD = "workflow: w\nversion: 1\nsteps:\n  - {id: a, approver: bob}\n"
NEW = OLD.replace("bob", "eve")


def test_two_files_offline(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "w.v1.yaml", tmp_path / "w.v2.yaml"
    old.write_text(OLD)
    new.write_text(NEW)
    assert main.run(["recipe", "diff", str(old), str(new)]) == 0
    assert "steps.a.approver" in (out := capsys.readouterr().out)
    assert "bob becomes eve" in out
    assert main.run(["recipe", "diff", str(old), str(new), "--json"]) == 0
    [change] = json.loads(capsys.readouterr().out)
    assert (change["from"], change["to"], change["kind"]) == ("bob", "eve", "changed")
    assert main.run(["recipe", "diff", str(old), str(old)]) == 0
    assert "the same" in capsys.readouterr().err
    assert api.asked == []


def test_published_versions(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"place": "steps.a.approver", "kind": "changed", "text": "bob becomes eve"}
    api.answers["GET /v1/recipes/w"] = answer_json(200, {"version": 2})
    api.answers["GET /v1/recipes/w/diff"] = answer_json(200, {"changes": [told]})
    assert main.run(["recipe", "diff", "w@1", "w"]) == 0
    assert "bob becomes eve" in capsys.readouterr().out
    assert dict(api.asked[-1].url.params) == {"from": "1", "to": "2"}
    file = tmp_path / "w.v3.yaml"
    file.write_text(NEW)
    api.answers["GET /v1/recipes/w/versions/2"] = answer_json(200, {"source": OLD})
    assert main.run(["recipe", "diff", "w", str(file)]) == 0
    assert "bob becomes eve" in capsys.readouterr().out
    other = NEW.replace("workflow: w", "workflow: x")
    api.answers["GET /v1/recipes/x/versions/1"] = answer_json(200, {"source": other})
    assert main.run(["recipe", "diff", "w@2", "x@1"]) == 0
    assert "bob becomes eve" in capsys.readouterr().out
    api.answers["GET /v1/recipes/x/versions/1"] = answer_json(200, {"source": "no recipe"})
    assert main.run(["recipe", "diff", "w@2", "x@1"]) == Exit.FAILED
    api.answers["GET /v1/recipes/gone"] = problem(404, "there is no such recipe")
    assert main.run(["recipe", "diff", "gone", "w"]) == Exit.NOT_FOUND


def test_what_is_no_recipe(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(OLD.replace("approver", "aprover"))
    assert main.run(["recipe", "diff", str(bad), str(bad)]) == Exit.FAILED
    err = capsys.readouterr().err
    assert "bad.yaml:4:" in err
    assert "fix:" in err
    assert main.run(["recipe", "diff", "no/such.yaml", str(bad)]) == Exit.USAGE


def test_requests_in_flight(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/recipes/w/versions/1/requests"] = page(made("pending"))
    assert main.run(["recipe", "requests", "w", "1"]) == 0
    assert REQUEST in capsys.readouterr().out
    assert main.run(["recipe", "requests", "w", "1", "--ids"]) == 0
    assert capsys.readouterr().out == f"{REQUEST}\n"
    assert main.run(["recipe", "requests", "w", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == REQUEST


def test_the_list_counts_them(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    item: dict[str, Any] = {
        "workflow": "w", "version": 2, "versions": [2, 1], "disabled_versions": [], "title": None,
        "published_at": None, "published_by": "root", "disabled": None,
        "in_flight": {"1": 3, "2": 10},
    }  # fmt: skip
    one = item | {"workflow": "x", "versions": [2], "in_flight": {"2": 7}}
    none: dict[str, Any] = item | {"workflow": "y", "in_flight": {}}
    api.answers["GET /v1/recipes"] = page(item, one, none, one | {"in_flight": {}})
    assert main.run(["recipe", "list"]) == 0
    out = capsys.readouterr().out
    assert "10 on v2, 3 on v1" in out
    assert "7" in out


def test_a_picture(api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "w.v1.yaml", tmp_path / "w.svg"
    file.write_text(OLD)
    assert main.run(["recipe", "diagram", str(file), "--output", str(picture)]) == 0
    assert picture.read_text().startswith("<svg ")
    assert main.run(["recipe", "diagram", str(file), "--format", "mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart TD")
    assert main.run(["recipe", "diagram", str(file), "--format", "png"]) == Exit.USAGE
    nowhere = str(tmp_path / "none" / "w.svg")
    assert main.run(["recipe", "diagram", str(file), "--output", nowhere]) == Exit.USAGE
    assert api.asked == []
    api.answers["GET /v1/recipes/w"] = answer_json(200, {"version": 2})
    api.answers["GET /v1/recipes/w/versions/2/diagram.mmd"] = httpx.Response(200, text="flowchart")
    assert main.run(["recipe", "diagram", "w", "--format", "mermaid"]) == 0
    api.answers["GET /v1/recipes/w/versions/1/diagram.svg"] = httpx.Response(200, text="<svg/>")
    capsys.readouterr()
    assert main.run(["recipe", "diagram", "w@1"]) == 0
    assert capsys.readouterr().out == "<svg/>\n"
