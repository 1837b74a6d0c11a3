"""What the command line says of what it is not shown, against an API of canned answers."""

import re

import pytest

from cli import main
from tests.unit.fake_api import REQUEST, TASK, FakeApi, answer_json, request

AT = "2026-03-02T09:20:00Z"


def test_what_is_withheld_is_said_to_be(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    shown = request("rewound") | {
        "title": "Grievance",
        "inputs": {},
        "reason": None,
        "withheld": ["/inputs", "/title", "/reason"],
        "comments": [{"made_at": AT, "user": "alice", "text": None, "withheld": ["/text"]}],
        "questions": [
            {
                "asked_at": AT,
                "asked_by": "bob",
                "asked": "alice",
                "text": None,
                "answer": None,
                "withheld": ["/text"],
            }
        ],
        "attachments": [
            {
                "id": TASK,
                "name": None,
                "size": 5,
                "added_at": AT,
                "added_by": "alice",
                "sha256": "ab12",
                "withheld": ["/name"],
            }
        ],
        "revisions": [
            {"changed": []},
            {
                "changed": [],
                "submitted_at": AT,
                "submitted_by": "alice",
                "comment": None,
                "withheld": ["/changed", "/comment"],
            },
        ],
        "jobs": [
            {
                "step": "pay",
                "run": "pay_out",
                "state": "succeeded",
                "attempts": 1,
                "inputs": None,
                "output": None,
                "error": None,
                "log": [],
                "withheld": ["/inputs", "/output"],
            }
        ],
    }
    api.answers[f"GET /v1/requests/{REQUEST}"] = answer_json(200, shown)
    assert main.run(["request", "show", REQUEST]) == 0
    lines = capsys.readouterr().out.splitlines()

    told = [re.sub(r"\s+", " ", each).strip() for each in lines]
    assert "withheld inputs, title, reason" in told
    assert "reason (withheld)" in told
    # The reason; then the revision, the job, the comment, the question and the file.
    assert [each.count("(withheld)") for each in told if "(withheld)" in each] == [1, 2, 2, 1, 1, 1]
