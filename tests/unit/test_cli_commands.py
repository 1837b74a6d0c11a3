"""Commands against an API of canned answers: what is sent, shown, and which exit code comes of it."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli import inputs, main
from cli.caller import Caller
from cli.output import Exit, Failure
from tests.unit.fake_api import OTHER, REQUEST, TASK, FakeApi
from tests.unit.fake_api import answer_json as _json
from tests.unit.fake_api import page as _page
from tests.unit.fake_api import problem as _problem
from tests.unit.fake_api import request as _request
from tests.unit.fake_api import task as _task


def test_submit_sends_typed_inputs_under_a_key(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["POST /v1/requests"] = _json(201, _request("pending"))
    arguments = ["request", "submit", "leave_request", "days=5", "reason=a trip", "--as", "alice"]
    assert main.run([*arguments, "--input", "phone=0123", "--version", "3"]) == 0
    sent = api.asked[0]
    assert json.loads(sent.content) == {
        "workflow": "leave_request",
        "inputs": {"days": 5, "reason": "a trip", "phone": "0123"},
        "version": 3,
    }
    assert len(sent.headers["Idempotency-Key"]) == 36
    out, err = capsys.readouterr()
    assert "waiting for  user:bob" in out
    assert "submitted: Leave request" in err


def test_submit_waits_a_moment_for_the_first_tasks(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["POST /v1/requests"] = _json(201, _request("created"))
    api.answers[f"GET /v1/requests/{REQUEST}"] = [
        _json(200, _request("created")),
        _json(200, _request("pending")),
    ]
    assert main.run(["request", "submit", "leave_request"]) == 0
    assert "pending" in capsys.readouterr().out


def test_inputs_from_a_file_keep_dates_as_text(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text("from: 2026-07-01\ndays: 3\n")
    api.answers["POST /v1/requests"] = _json(201, _request("pending"))
    file = str(tmp_path / "in.yaml")
    assert main.run(["request", "submit", "leave_request", "--inputs-file", file, "days=4"]) == 0
    assert json.loads(api.asked[0].content)["inputs"] == {"from": "2026-07-01", "days": 4}


@pytest.mark.parametrize("argument", ["days", "=5"])
def test_an_input_is_name_and_value(api: FakeApi, argument: str) -> None:
    assert main.run(["request", "submit", "leave_request", argument]) == Exit.USAGE
    assert api.asked == []


def test_refusals_name_every_place(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [
        {"pointer": "/inputs/days", "message": "is required"},
        {"file": "x.yaml", "line": 3, "column": 5, "path": "steps[0]", "message": "m", "fix": "f"},
    ]
    api.answers["POST /v1/requests"] = _problem(422, "not valid", errors=errors)
    assert main.run(["request", "submit", "leave_request"]) == Exit.FAILED
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: not valid" in err
    assert "/inputs/days: is required" in err
    assert "x.yaml:3:5 steps[0]: m (fix: f)" in err


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, Exit.FAILED),
        (403, Exit.FAILED),
        (404, Exit.NOT_FOUND),
        (409, Exit.CONFLICT),
        (500, Exit.FAILED),
        (503, Exit.UNAVAILABLE),
    ],
)
def test_exit_codes(api: FakeApi, status: int, code: Exit) -> None:
    api.answers[f"GET /v1/requests/{REQUEST}"] = _problem(status, "no")
    assert main.run(["request", "show", REQUEST]) == code


def test_an_answer_that_is_no_problem_document(api: FakeApi) -> None:
    api.answers[f"GET /v1/requests/{REQUEST}"] = httpx.Response(502, text="<html>")
    assert main.run(["request", "show", REQUEST]) == Exit.UNAVAILABLE


def test_no_answer_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.run(["inbox", "--as", "bob", "--url", "http://127.0.0.1:1"])
    assert code == Exit.UNAVAILABLE
    assert "no answer from the API at http://127.0.0.1:1" in capsys.readouterr().err


def test_no_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["inbox"]) == Exit.USAGE
    assert "COUNTERSIGN_TOKEN" in capsys.readouterr().err


def test_lists_follow_the_cursor_up_to_the_limit(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["GET /v1/tasks"] = [_page(_task(), cursor="c1"), _page(_task(OTHER))]
    assert main.run(["inbox", "--limit", "2", "--json"]) == 0
    assert [item["id"] for item in json.loads(capsys.readouterr().out)] == [TASK, OTHER]
    assert [request.url.params.get("cursor") for request in api.asked] == [None, "c1"]
    assert [request.url.params["limit"] for request in api.asked] == ["2", "1"]


def test_the_inbox_as_a_table(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/tasks"] = _page(_task())
    assert main.run(["inbox"]) == 0
    out, err = capsys.readouterr()
    assert TASK in out
    assert " ago" in out
    assert "countersign approve" in err


def test_an_empty_inbox(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/tasks"] = _page()
    assert main.run(["inbox"]) == 0
    assert capsys.readouterr().err == "nothing waits for you\n"


def test_a_decision_is_bound_to_what_the_task_shows(api: FakeApi) -> None:
    api.answers["GET /v1/tasks"] = _page(_task())
    api.answers[f"GET /v1/tasks/{TASK}"] = _json(200, _task())
    api.answers[f"POST /v1/tasks/{TASK}/decisions"] = _json(200, {})
    assert main.run(["approve", TASK[:8], "--comment", "fine"]) == 0
    body = json.loads(api.asked[-1].content)
    assert body == {"decision": "approve", "comment": "fine", "digest": "d1"}


def test_the_loser_is_told_who_won(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers[f"GET /v1/tasks/{TASK}"] = _json(200, _task())
    api.answers[f"POST /v1/tasks/{TASK}/decisions"] = _problem(409, "already decided by carol")
    assert main.run(["reject", TASK]) == Exit.CONFLICT
    assert "already decided by carol" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prefix", "code"), [("aa", Exit.USAGE), ("aa4b", Exit.USAGE), ("bbbb", Exit.NOT_FOUND)]
)
def test_a_prefix_must_name_one_task(api: FakeApi, prefix: str, code: Exit) -> None:
    api.answers["GET /v1/tasks"] = _page(_task(), _task(OTHER))
    assert main.run(["approve", prefix]) == code


def test_cancel_that_is_not_applied_yet(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    pending = {"command_id": REQUEST, "detail": "no worker runs"}
    api.answers[f"POST /v1/requests/{REQUEST}/cancel"] = _json(202, pending)
    assert main.run(["request", "cancel", REQUEST]) == 0
    assert "recorded, not yet applied" in capsys.readouterr().err


def test_a_file_is_published_under_its_name(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "x.v1.yaml").write_text("workflow: x")
    published: dict[str, Any] = {"workflow": "x", "version": 1, "warnings": []}
    api.answers["POST /v1/recipes"] = _json(201, published)
    assert main.run(["recipe", "publish", str(tmp_path / "x.v1.yaml")]) == 0
    assert api.asked[0].headers["X-File-Name"] == "x.v1.yaml"
    assert api.asked[0].content == b"workflow: x"


def _delegation(**changes: Any) -> dict[str, Any]:
    return {
        "id": REQUEST,
        "delegator": "bob",
        "delegate": "dave",
        "scope": "all",
        "from": "2030-12-21T00:00:00Z",
        "to": None,
        "reason": "sea",
        "ended_by": None,
        "end_reason": None,
    } | changes


def test_days_of_a_delegation_stay_days_and_times_are_the_terminals_own(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    api.answers["POST /v1/org/delegations"] = _json(201, _delegation())
    days = ["--from", "2030-10-26", "--to", "2030-10-27", "--scope", "role:hr", "--reason", "sea"]
    assert main.run(["delegation", "set", "dave", *days]) == 0
    body = json.loads(api.asked[0].content)
    assert (body["from"], body["to"]) == ("2030-10-26", "2030-10-27")
    assert (body["delegate"], body["scope"], body["reason"]) == ("dave", "role:hr", "sea")
    times = ["--from", "2030-07-01T12:00", "--to", "2030-07-01T12:00Z"]
    assert main.run(["delegation", "set", "dave", *times]) == 0
    body = json.loads(api.asked[1].content)
    assert body["from"] == "2030-07-01T12:00:00+02:00"
    assert body["to"] == "2030-07-01T12:00:00+00:00"
    out, err = capsys.readouterr()
    assert "until       it is ended" in out
    assert f"countersign delegation end {REQUEST}" in err
    monkeypatch.undo()
    time.tzset()


def test_a_day_that_is_none(api: FakeApi) -> None:
    for text in ("tomorrow", "2030-02-30", "30-12-31"):
        assert main.run(["delegation", "set", "dave", "--to", text]) == Exit.USAGE
    assert api.asked == []


def test_delegations_as_a_table(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    page = _page(_delegation(), _delegation(**{"from": None, "to": None}))
    api.answers["GET /v1/org/delegations"] = [page, _page(_delegation()), _page()]
    assert main.run(["delegation", "list", "--direction", "given", "--state", "all"]) == 0
    assert dict(api.asked[0].url.params) == {"limit": "50", "direction": "given", "state": "all"}
    assert "called off" in capsys.readouterr().out
    assert main.run(["delegation", "list", "--ids"]) == 0
    assert capsys.readouterr().out == f"{REQUEST}\n"
    assert main.run(["delegation", "list"]) == 0
    assert "nobody decides for anybody else" in capsys.readouterr().err


def test_ending_a_delegation(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    ended = _delegation(ended_by="bob", to="2030-12-22T00:00:00Z", end_reason="back early")
    api.answers[f"POST /v1/org/delegations/{REQUEST}/end"] = [
        _json(200, ended),
        _problem(409, "it ended at 2030-12-22"),
    ]
    assert main.run(["delegation", "end", REQUEST, "--reason", "back early"]) == 0
    assert json.loads(api.asked[0].content) == {"reason": "back early"}
    assert "by bob: back early" in capsys.readouterr().out
    assert main.run(["delegation", "end", REQUEST]) == Exit.CONFLICT
    assert main.run(["delegation", "end", "x"]) == Exit.USAGE


def test_explain_says_who_and_every_rule(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[str, Any] = {
        "employee": "alice",
        "at": "2030-12-22T00:00:00Z",
        "user": "dave",
        "role": "hr",
        "on_behalf_of": "bob",
        "via": [],
        "members": [{"id": "bob", "away": True}],
        "chain": [{"text": "it is the turn of bob"}, {"text": "who has delegated to dave"}],
        "refusal": None,
    }
    refusal = {"kind": "NoApproverFound", "detail": "nobody is there"}
    nobody = found | {"user": None, "members": None, "chain": [], "refusal": refusal}
    api.answers["GET /v1/org/explain"] = [_json(200, found), _json(200, nobody)]
    assert main.run(["explain", "role:hr", "--employee", "alice", "--workflow", "w"]) == 0
    asked = dict(api.asked[0].url.params)
    assert asked == {"approver": "role:hr", "employee": "alice", "workflow": "w"}
    out = capsys.readouterr().out
    assert "bob (away)" in out
    assert "2. who has delegated to dave" in out
    assert main.run(["explain", "role:hr", "--at", "2030-12-22"]) == 0
    assert "nobody: NoApproverFound: nobody is there" in capsys.readouterr().out


def test_values_of_pairs() -> None:
    values = {
        "a=5": 5,
        "a=5.5": 5.5,
        "a=true": True,
        'a="5"': "5",
        'a=["x"]': ["x"],
        "a=x=y": "x=y",
        "a=": "",
    }
    assert {text: inputs._pair(text, literal=False)[1] for text in values} == values


def test_roles_go_with_a_minted_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_TOKEN", "t")
    with pytest.raises(Failure, match="--role goes with --as"):
        Caller(role=["admin"]).connect()


def test_an_incident_is_no_missing_worker(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    incident = {"step": "s", "kind": "NoApproverFound", "detail": "nobody holds it"}
    api.answers["POST /v1/requests"] = _json(201, _request("created") | {"incidents": [incident]})
    assert main.run(["request", "submit", "leave_request"]) == 0
    err = capsys.readouterr().err
    assert "no worker" not in err
    assert "it stopped at an incident, step s: NoApproverFound: nobody holds it" in err
    assert f"countersign request retry {REQUEST}" in err


@pytest.mark.parametrize("state", ["open", "closed", "all"])
def test_states_of_the_inbox(api: FakeApi, state: str) -> None:
    api.answers["GET /v1/tasks"] = _page(_task())
    assert main.run(["inbox", "--state", state]) == 0
    assert api.asked[0].url.params["state"] == state


def test_what_was_to_be_text_is_said_how_to_send(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [{"pointer": "/inputs/booking", "message": 'the value is not of type "string"'}]
    api.answers["POST /v1/requests"] = _problem(422, "not valid", errors=errors)
    assert main.run(["request", "submit", "trip", "booking=1234", "days=5"]) == Exit.FAILED
    assert "fix: --input booking=1234\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["inbox", "--state", "decided"],
        ["request", "list", "--state", "lost"],
        ["inbox", "--as", "bob", "--url", "ftp://x"],
    ],
)
def test_mistakes_of_ones_own_are_usage(arguments: list[str]) -> None:
    assert main.run(arguments) == Exit.USAGE


def test_a_token_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_TOKEN", "tökén")
    assert main.run(["inbox"]) == Exit.USAGE


def test_an_empty_organisation_is_refused(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "org.yaml").write_text("\n")
    assert main.run(["org", "import", str(tmp_path / "org.yaml")]) == Exit.USAGE
    assert api.asked == []


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out.strip()


def test_a_request_by_the_beginning_of_its_id(api: FakeApi) -> None:
    api.answers["GET /v1/requests"] = _page(_request("pending"))
    api.answers[f"GET /v1/requests/{REQUEST}"] = _json(200, _request("pending"))
    assert main.run(["request", "show", REQUEST[:8]]) == 0
    assert main.run(["request", "show", "bbbb"]) == Exit.NOT_FOUND
    assert main.run(["request", "show", "nonsense"]) == Exit.USAGE
    api.answers["GET /v1/requests"] = _page(_request("pending"), _request("pending"))
    assert main.run(["request", "show", REQUEST[:8]]) == Exit.USAGE


def test_a_table_fits_a_terminal_of_80_columns(
    api: FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    task = _task() | {"title": "A title that is rather long, as titles come to be " * 2}
    api.answers["GET /v1/tasks"] = _page(task)
    assert main.run(["inbox"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines)
    assert TASK[:8] in lines[2]
    assert TASK not in lines[2]


def test_no_blanks_end_a_line_in_a_pipe(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET /v1/tasks"] = _page(_task())
    assert main.run(["inbox"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [line.rstrip() for line in lines]


def test_an_import_sends_its_format_and_shows_differences(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "org.csv").write_text("id,manager\nann,cid\n")
    found: dict[str, Any] = {
        "managers_changed": 1,
        "dry_run": True,
        "format": "csv",
        "differences": [{"subject": "user:ann", "fact": "manager", "from": "ben", "to": "cid"}],
        "differing": 2,
        "truncated": True,
        "warnings": [{"row": 2, "column": "left", "message": "left out"}],
    }
    wrong = [{"row": 2, "column": "manager", "message": "there is no person cid"}]
    api.answers["POST /v1/org/import"] = [
        _json(200, found),
        _problem(422, "not valid", errors=wrong),
    ]
    file = str(tmp_path / "org.csv")
    assert main.run(["org", "import", file, "--dry-run"]) == 0
    assert api.asked[0].headers["content-type"] == "text/csv"
    assert dict(api.asked[0].url.params) == {"dry_run": "true"}
    shown = capsys.readouterr()
    assert "~ user:ann manager ben -> cid" in shown.out
    assert "warning: row 2, column left: left out" in shown.err
    assert main.run(["org", "import", file, "--format", "json"]) == Exit.FAILED
    assert "row 2, column manager: there is no person cid" in capsys.readouterr().err


def test_people_and_roles_of_the_directory(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    ann: dict[str, Any] = {
        "id": "ann",
        "name": "Ann",
        "email": None,
        "manager": "ben",
        "department": "Sales",
        "time_zone": "UTC",
        "limits": {"EUR": "100"},
    }
    full = {
        **ann,
        "here": True,
        "joined": "2020-01-01T00:00:00Z",
        "left": None,
        "managers": ["ben", "cid"],
        "roles": ["finance"],
        "delegations": None,
    }
    role = {"name": "finance", "members": ["ann"], "description": None}
    api.answers["GET /v1/org/people"] = _page(ann)
    api.answers["GET /v1/org/people/ann"] = _json(200, full)
    api.answers["GET /v1/org/roles"] = _page(role)
    assert main.run(["org", "people", "--query", "an"]) == 0
    assert "EUR 100" in capsys.readouterr().out
    assert main.run(["org", "person", "ann"]) == 0
    assert "ben, cid" in capsys.readouterr().out
    assert main.run(["org", "roles"]) == 0
    assert "finance" in capsys.readouterr().out


def test_claim_and_release(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    mine = _task() | {"candidates": ["role:hr"], "claimed_by": "dave"}
    api.answers["GET /v1/tasks"] = _page(mine)
    api.answers[f"POST /v1/tasks/{TASK}/claim"] = _json(200, mine)
    api.answers[f"POST /v1/tasks/{TASK}/release"] = _problem(409, "claimed by dave since noon")
    assert main.run(["claim", TASK[:6]]) == Exit.OK
    assert main.run(["claim", TASK, "--json"]) == Exit.OK
    assert main.run(["release", TASK]) == Exit.CONFLICT
    assert main.run(["inbox"]) == Exit.OK
    out, err = capsys.readouterr()
    assert "claimed: Leave request (alice), step manager_approval" in err
    assert "claimed by dave since noon" in err
    assert json.loads(out[: out.rindex("}") + 1])["claimed_by"] == "dave"
    assert "claimed by dave" in out


def test_comments(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    said = {"made_at": "2026-11-21T02:55:00Z", "user": "bob", "text": "Monday is fine."}
    api.answers[f"POST /v1/requests/{REQUEST}/comments"] = _json(201, said)
    api.answers[f"GET /v1/requests/{REQUEST}"] = _json(
        200, _request("pending") | {"comments": [said]}
    )
    assert main.run(["comment", REQUEST, "Monday is fine."]) == Exit.OK
    assert json.loads(api.asked[0].content) == {"text": "Monday is fine."}
    assert main.run(["comment", REQUEST, "Monday is fine.", "--json"]) == Exit.OK
    assert main.run(["request", "show", REQUEST]) == Exit.OK
    out, _ = capsys.readouterr()
    assert "bob  Monday is fine." in " ".join(out.split(" ")).replace("   ", "  ")


def test_questions(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {
        "id": OTHER,
        "title": "Leave request",
        "asked_by": "bob",
        "asked": "carol",
        "asked_at": "2026-11-21T02:55:00Z",
        "text": "Who stands in?",
        "answer": None,
    }
    api.answers["GET /v1/tasks"] = _page()
    api.answers["GET /v1/questions"] = _page(asked)
    api.answers[f"POST /v1/tasks/{TASK}/questions"] = _json(201, asked)
    api.answers[f"POST /v1/questions/{OTHER}/answer"] = _json(200, asked)
    api.answers[f"GET /v1/requests/{REQUEST}"] = _json(
        200, _request("pending") | {"questions": [asked]}
    )
    assert main.run(["ask", TASK, "Who stands in?", "--to", "carol"]) == Exit.OK
    assert json.loads(api.asked[-1].content) == {"to": "carol", "text": "Who stands in?"}
    assert main.run(["ask", TASK, "Who stands in?", "--to", "carol", "--json"]) == Exit.OK
    for form in ("--json", "--ids", "--state=open"):
        assert main.run(["questions", form]) == Exit.OK
    assert main.run(["answer", OTHER[:6], "Dave does."]) == Exit.OK
    assert json.loads(api.asked[-1].content) == {"text": "Dave does."}
    assert main.run(["answer", OTHER, "Dave does.", "--json"]) == Exit.OK
    assert main.run(["answer", "dddd", "Dave does."]) == Exit.NOT_FOUND
    assert main.run(["answer", "d", "Dave does."]) == Exit.USAGE
    assert main.run(["inbox"]) == Exit.OK
    assert main.run(["request", "show", REQUEST]) == Exit.OK
    out, err = capsys.readouterr()
    assert "asked carol about Leave request" in err
    assert "questions that wait for your answer" in err
    assert out.count("Who stands in?") >= 4
    api.answers["GET /v1/questions"] = _page()
    assert main.run(["questions"]) == Exit.OK
    assert main.run(["questions", "--state", "all"]) == Exit.OK


def test_watch(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    path, bob = f"/v1/requests/{REQUEST}/watchers", {"person": "bob"}
    api.answers[f"POST {path}"] = _json(200, {"items": [bob]})
    api.answers[f"DELETE {path}/bob"] = _json(200, {"items": []})
    api.answers[f"GET /v1/requests/{REQUEST}"] = _json(
        200, _request("pending") | {"watchers": [bob]}
    )
    assert main.run(["watch", REQUEST, "--person", "bob"]) == Exit.OK
    assert json.loads(api.asked[-1].content) == bob
    assert main.run(["watch", REQUEST, "--json"]) == Exit.OK
    assert main.run(["watch", REQUEST, "--stop"]) == Exit.USAGE
    assert main.run(["watch", REQUEST, "--stop", "--person", "bob"]) == Exit.OK
    assert main.run(["request", "show", REQUEST]) == Exit.OK
    out, err = capsys.readouterr()
    assert "watched by bob" in err
    assert "watched by nobody" in err
    assert "watched by   bob" in out
