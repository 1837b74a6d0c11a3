"""Sending back and resubmitting, against an API of canned answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import REQUEST, TASK, FakeApi, answer_json, page, problem, request, task

SHOW = f"GET /v1/requests/{REQUEST}"
RESUBMIT = f"POST /v1/requests/{REQUEST}/resubmit"
DECIDE = f"POST /v1/tasks/{TASK}/decisions"


def deciding(api: FakeApi) -> None:
    api.answers[f"GET /v1/tasks/{TASK}"] = answer_json(200, task())
    api.answers[DECIDE] = answer_json(200, task())


@pytest.mark.parametrize(
    ("arguments", "sent", "said"),
    [
        (
            ["request-changes", TASK, "--comment", "which?", "--to", "boss"],
            {"decision": "request_changes", "comment": "which?", "to": "boss"},
            "sent back: Leave request",
        ),
        (
            ["decide", TASK, "fine", "--reason", "dear"],
            {"decision": "fine", "reason": "dear"},
            "decided fine: Leave request",
        ),
        (
            ["reject", TASK, "--comment", "no", "--reason", "dear"],
            {"decision": "reject", "comment": "no", "reason": "dear"},
            "rejected: Leave request",
        ),
    ],
)
def test_decisions(
    api: FakeApi,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sent: dict[str, str],
    said: str,
) -> None:
    deciding(api)
    assert main.run(arguments) == 0
    assert json.loads(api.asked[-1].content) == sent | {"digest": "d1"}
    assert said in capsys.readouterr().err


def test_what_has_changed_is_told(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    deciding(api)
    changed = [
        {"pointer": "/inputs/days", "from": 5, "to": 4},
        {"pointer": "/inputs/why", "to": "x"},
    ]
    api.answers[DECIDE] = problem(409, "this is not what was looked at", changed=changed)
    assert main.run(["approve", TASK]) == Exit.CONFLICT
    err = capsys.readouterr().err
    assert "/inputs/days: 5 has become 4" in err
    assert '/inputs/why: nothing has become "x"' in err


def test_a_request_is_resubmitted_with_what_changes(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers[SHOW] = answer_json(200, request("rewound"))
    revision = {
        "number": 2,
        "submitted_at": "2026-11-21T02:55:00Z",
        "submitted_by": "alice",
        "changed": [{"pointer": "/inputs/days", "from": 5, "to": 4}],
        "comment": "a day less",
    }
    after = request("pending") | {"revisions": [{"number": 1}, revision]}
    api.answers[RESUBMIT] = answer_json(200, after)
    arguments = ["request", "resubmit", REQUEST, "days=4", "--comment", "a day less"]
    assert main.run([*arguments, "--input", "phone=12"]) == 0
    assert json.loads(api.asked[-1].content) == {
        "inputs": {"days": 4, "phone": "12"},
        "comment": "a day less",
    }
    assert "/inputs/days: 5 has become 4" in capsys.readouterr().out


def test_all_inputs_come_from_a_file(
    api: FakeApi, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "in.yaml"
    file.write_text("why: x\n")
    api.answers[SHOW] = answer_json(200, request("rewound"))
    pending = {"command_id": TASK, "detail": "recorded"}
    api.answers[RESUBMIT] = answer_json(202, pending)
    assert main.run(["request", "resubmit", REQUEST, "--inputs-file", str(file)]) == 0
    assert json.loads(api.asked[-1].content)["inputs"] == {"why": "x"}
    assert "not yet applied" in capsys.readouterr().err
    assert main.run(["request", "resubmit", REQUEST, "days=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == pending


def test_the_inbox_has_what_was_sent_back(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    offering = task() | {"outcomes": [{"id": "approve"}, {"id": "fine"}]}
    api.answers["GET /v1/tasks"] = page(offering)
    back = request("rewound") | {"reason": "which press?", "resubmit_by": None}
    api.answers["GET /v1/requests"] = page(back)
    assert main.run(["inbox"]) == 0
    out, err = capsys.readouterr()
    assert "which press?" in out
    assert "countersign request resubmit REQUEST" in err
    assert "countersign decide TASK OUTCOME (fine)" in err
    [asked] = [it for it in api.asked if it.url.path == "/v1/requests"]
    assert dict(asked.url.params) | {"limit": ""} == {
        "limit": "",
        "state": "rewound",
        "mine": "true",
    }


def test_many_need_a_reason(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    shown: dict[str, Any] = {"items": [{"task_id": TASK}], "tasks": [task()], "more": False}
    needed: dict[str, Any] = {"need_comment": [], "need_reason": [TASK]}
    api.answers["POST /v1/decisions/preview"] = answer_json(200, shown | needed)
    decided = {"items": [{"status": 200, "problem": None}], "decided": 1, "refused": 0}
    api.answers["POST /v1/decisions"] = answer_json(200, decided)
    assert main.run(["decide-all", "request_changes", "--yes"]) == Exit.USAGE
    assert "1 of them need a reason to request_changes" in capsys.readouterr().err
    arguments = ["decide-all", "fine", "--yes", "--reason", "dear", "--to", "boss"]
    assert main.run(arguments) == 0
    [item] = json.loads(api.asked[-1].content)["items"]
    assert item == {"task_id": TASK, "comment": None, "reason": "dear", "to": "boss"}
    assert "decided fine: 1 task" in capsys.readouterr().err
