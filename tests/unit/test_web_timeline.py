"""The timeline: events of a request, in words."""

from typing import Any

import pytest

from api.web import timeline
from api.web.names import Names, ids_in
from contract import events
from recipes.model import Json

RECIPE: dict[str, Json] = {
    "steps": [{"id": "manager", "name": "Manager", "ballots": [{"id": "manager", "name": None}]}],
    "machine": {
        "actions": [{"id": "publish", "name": "Publish"}],
        "states": [{"id": "published", "name": None}],
    },
}
TOLD = timeline.Told(RECIPE, Names({"bob": "Bob Tanaka", "carol": "Carol Diaz"}))


def event(event_type: str, user: str = "system:engine", /, **payload: Json) -> dict[str, Any]:
    on_behalf_of, via = payload.pop("on_behalf_of_", None), payload.pop("via_", [])
    actor = {"user": user, "on_behalf_of": on_behalf_of, "via": via}
    return {
        "type": event_type,
        "occurred_at": "2026-03-02T09:20:00Z",
        "actor": actor,
        "payload": payload,
    }


@pytest.mark.parametrize(
    ("happened", "said", "quoted"),
    [
        (event(events.REQUEST_CREATED, "bob"), "Bob Tanaka sent it", None),
        (event(events.REQUEST_CREATED, event={"name": "x.y"}), "Started by the event x.y", None),
        (
            event(events.TASK_ASSIGNED, step="manager", assignee="carol", on_behalf_of="bob"),
            "Manager: Carol Diaz was asked, on behalf of Bob Tanaka",
            None,
        ),
        (
            event(events.TASK_ASSIGNED, step="manager", candidates=["role:hr", "user:bob"]),
            "Manager: anyone in hr, Bob Tanaka was asked",
            None,
        ),
        (
            event(
                events.DECISION_RECORDED,
                "dave",
                on_behalf_of_="bob",
                via_=["carol"],
                step="manager",
                decision="request_changes",
                counts_as="rewind",
                to="requester",
                reason="late",
                comment="Too late.",
            ),
            "Manager: dave, on behalf of Bob Tanaka, via Carol Diaz chose Request changes, back to the requester",
            "late\nToo late.",
        ),
        (
            event(events.REQUEST_REWOUND, "bob", to="manager", comment="Again."),
            "Sent back to Manager by Bob Tanaka",
            "Again.",
        ),
        (
            event(events.STEP_COMPLETED, step="manager", outcome="approve"),
            "Manager is approved",
            None,
        ),
        (
            event(events.REQUEST_FINALIZED, state="rejected", reason="No."),
            "The request is rejected",
            "No.",
        ),
        (
            event(events.ACTION_FIRED, "bob", action="publish", to="published"),
            "Bob Tanaka: Publish. Now: Published",
            None,
        ),
        (
            event(events.JOB_FAILED, step="manager", run="http", failure="503"),
            "Manager: http failed",
            "503",
        ),
        (
            event(events.INCIDENT_RAISED, kind="NoApproverFound", detail="x"),
            "People are needed (NoApproverFound)",
            "x",
        ),
        (
            event(events.COMMAND_SETTLED, command="cancel", applied=False, detail="too late"),
            "Cancel came too late",
            "too late",
        ),
        (event(events.WATCHER_ADDED, "bob", person="carol"), "Carol Diaz watches it", None),
        (
            event(events.STEP_WAITING, step="manager", until="2026-03-02T09:20:00Z"),
            "Manager: waits until 2 Mar 2026, 09:20 UTC",
            None,
        ),
        (event(events.NOTIFICATION_SENT, people=["bob"], message="Hi."), "Told Bob Tanaka", "Hi."),
        (
            event(
                events.APPROVER_ADDED,
                "bob",
                person="carol",
                step="manager",
                where="after",
                comment="c",
            ),
            "Bob Tanaka added Carol Diaz to Manager (after)",
            "c",
        ),
        (
            event(events.QUESTION_ASKED, "bob", to="carol", text="?"),
            "Bob Tanaka asked Carol Diaz",
            None,
        ),
    ],
)
def test_events_in_words(happened: dict[str, Any], said: str, quoted: str | None) -> None:
    [line] = timeline.lines([happened], TOLD)
    assert (line.said, line.quoted) == (said, quoted)


@pytest.mark.parametrize(
    "happened",
    [
        event(events.COMMAND_RECEIVED, command="cancel"),
        event(events.COMMAND_SETTLED, command="cancel", applied=True),
        event(events.TASK_REBOUND, step="manager"),
        event("something.new"),
    ],
)
def test_the_machinery_is_left_out(happened: dict[str, Any]) -> None:
    assert timeline.lines([happened], TOLD) == []


def test_whatever_is_withheld_leaves_a_line_all_the_same() -> None:
    """Members that hold what people wrote are not in the payload of whoever may not see them."""
    kinds: list[tuple[str, dict[str, Json]]] = [
        (events.DECISION_RECORDED, {"step": "manager", "decision": "approve"}),
        (events.ATTACHMENT_ADDED, {}),
        (events.QUESTION_ANSWERED, {}),
        (events.JOB_FAILED, {"step": "gone", "run": "http"}),
        (events.REQUEST_ERASED, {}),
    ]
    for kind, payload in kinds:
        [line] = timeline.lines([event(kind, "bob", **payload)], TOLD)
        assert line.quoted is None


def test_all_whom_the_words_name_are_looked_up() -> None:
    found = timeline.people_in(
        [
            event(
                events.DECISION_RECORDED,
                "dave",
                on_behalf_of_="bob",
                via_=["carol"],
                to="requester",
            ),
            event(events.TASK_ASSIGNED, assignee="erin"),
            event(events.NOTIFICATION_SENT, people=["frank"]),
        ]
    )
    assert found == {"dave", "bob", "carol", "requester", "erin", "frank"}


def test_whom_answers_name() -> None:
    request = {
        "requester": "ann",
        "inputs": {"person": "nobody"},
        "waiting_for": ["user:ben", "role:hr"],
        "erased": {"by": "system:api"},
        "tasks": [{"candidates": None, "via": ["cy"], "decision": {"user": "dot", "comment": "x"}}],
    }
    assert ids_in(request, None) == {"ann", "ben", "cy", "dot"}
    names = Names({"ann": "Ann Alm"})
    assert names.listed(["ann", "user:ann", "role:hr", "gone", "system:engine"]) == (
        "Ann Alm, Ann Alm, anyone in hr, gone, Countersign"
    )
