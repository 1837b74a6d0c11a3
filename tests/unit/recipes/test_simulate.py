"""Simulations: the path of a request that is only supposed, asked of a directory in memory."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typing_extensions import override

from recipes import simulate
from recipes.asks import Answer, Ask, AskHolders
from recipes.case_directory import Delegation, Directory, Person
from recipes.model import Recipe
from recipes.parse import parse
from recipes.supposed import Otherwise, Simulated, Supposed, Supposition

MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)
RECIPE = """
workflow: test
version: 1
owner: admins
deadline: 30d
inputs: {type: object, properties: {n: {type: number}, who: {type: string}}, required: [n]}
steps:
  - {id: tiny, when: n < 1, action: approve}
  - id: boss
    name: The boss
    approver: "{{ employee.manager }}"
    timeout: 48h
    on_timeout: escalate
    remind: [24h]
    require_comment: [reject]
  - id: team
    when: n > 1
    candidates: role:team
    not_same_as: [boss]
    timeout: 1d
    on_timeout: ["reassign:role:chiefs", expire]
  - id: both
    when: n > 2
    branches: [{id: one, candidates: role:team}, {id: two, candidates: [role:team, user:dave]},
               {id: three, approver: carol}]
  - {id: many, when: n > 3, approvers: "{{ ['erin', 'dave'] }}", quorum: any}
  - {id: absent, when: n > 4, approver: "{{ who }}"}
"""


def people() -> Directory:
    return Directory(
        {
            "alice": Person("alice", "Alice", "bob"),
            "bob": Person("bob", "Bob", "carol"),
            "carol": Person("carol", "Carol"),
            "dave": Person("dave", "Dave", "carol"),
            "erin": Person("erin", "Erin", "carol"),
        },
        {"team": ("bob", "dave", "erin"), "chiefs": ("carol",)},
    )


def play(
    n: float,
    *decisions: Supposition,
    otherwise: Otherwise = "approve",
    recipe: str = RECIPE,
    directory: Directory | None = None,
    **inputs: Any,
) -> Simulated:
    parsed: Recipe = parse(recipe).recipe
    known = directory or people()
    supposed = Supposed("alice", {"n": n, **inputs}, MORNING, decisions, otherwise)
    playing = simulate.play(parsed, supposed)
    try:
        asked = next(playing)
        while True:
            asked = playing.send(known.answer(asked.asks, "alice", parsed.workflow))
    except StopIteration as end:
        found: Simulated = end.value
        return found


def path(found: Simulated) -> list[str]:
    return [f"{step.step} {step.outcome}" for step in found.path]


def hours(moment: datetime | None) -> float | None:
    return None if moment is None else (moment - MORNING) / timedelta(hours=1)


def test_an_action_ends_it_without_anybody() -> None:
    found = play(0.5)
    assert (found.state, path(found), found.ended_at) == ("approved", ["tiny approve"], MORNING)
    assert found.not_reached == ("boss", "team", "both", "many", "absent")
    assert (found.step, found.waiting_for, found.incidents) == (None, (), ())


def test_everybody_approves_at_once() -> None:
    found = play(4)
    assert found.state == "approved"
    assert path(found) == [
        "tiny skipped",
        "boss approved",
        "team approved",
        "both approved",
        "many approved",
        "absent skipped",
    ]
    boss, team, both, many = found.path[1:5]
    assert (found.path[0].when, boss.name, boss.type) == ("n < 1", "The boss", "approval")
    task = boss.tasks[0]
    assert (task.assignee, task.decided_by, task.when_due) == ("bob", "bob", "escalate")
    assert (hours(task.due_at), [hop.rule for hop in task.chain]) == (48, ["person"])
    # Bob decided before, so that he is not among those who could decide here.
    assert team.tasks[0].could_decide == ("dave", "erin")
    assert (team.tasks[0].decided_by, team.tasks[0].when_due) == ("dave", "reassign:role:chiefs")
    # Three people of a step that needs three.
    assert [task.branch for task in both.tasks] == ["one", "two", "three"]
    assert len({task.decided_by for task in both.tasks}) == 3
    assert [task.closing for task in many.tasks] == ["decided", "superseded"]
    assert many.tasks[1].why == "step many is approved"


def test_decisions_are_supposed_by_step_branch_and_person() -> None:
    found = play(
        3,
        Supposition("approve", step="boss", after=7200),
        Supposition("approve", who="erin", step="team"),
        Supposition("wait", who="bob"),
        Supposition("reject", branch="two", after=3600, comment="no"),
        Supposition("reject", step="many"),
    )
    assert (found.state, found.unused) == ("rejected", (4,))
    boss, team, both = found.path[1:]
    assert hours(boss.completed_at) == 2
    assert team.tasks[0].decided_by == "erin"
    assert [(task.branch, task.decided_by, task.decision) for task in both.tasks] == [
        ("one", "dave", "approve"),
        ("two", "erin", "reject"),
        ("three", "carol", "approve"),
    ]
    assert hours(found.ended_at) == 3


def test_who_waits_is_left_out_of_a_shared_task_alone() -> None:
    found = play(2, Supposition("wait", who="dave"))
    assert found.path[2].tasks[0].decided_by == "erin"
    found = play(2, Supposition("wait", who="bob"))
    first, second = found.path[1].tasks
    assert (first.closing, hours(first.closed_at)) == ("expired", 48)
    assert [hours(moment) for moment in first.reminded_at] == [24]
    assert (second.assignee, second.level, second.decided_by) == ("carol", 1, "carol")


def test_time_passes_until_nobody_is_above() -> None:
    found = play(1, otherwise="wait")
    assert (found.state, found.step, found.waiting_for) == ("pending", "boss", ("carol",))
    assert [incident.kind for incident in found.incidents] == ["NoApproverFound"]
    assert hours(found.path[1].incidents[0].at) == 96
    early = play(1, otherwise="wait", recipe=RECIPE.replace("deadline: 30d", "deadline: 3d"))
    assert (early.state, hours(early.ended_at)) == ("expired", 72)
    patient = RECIPE.replace("timeout: 48h\n    on_timeout: escalate\n    remind: [24h]", "")
    assert hours(play(1, otherwise="wait", recipe=patient).ended_at) == 24 * 30
    assert play(1, otherwise="wait", recipe=patient.replace("deadline: 30d", "")).ended_at is None


def test_what_is_due_comes_before_a_decision_of_that_moment() -> None:
    late = Supposition("approve", step="team", after=86_400)
    found = play(2, late)
    first, second = found.path[2].tasks
    assert (first.closing, second.assignee, second.when_due) == ("expired", "carol", "expire")
    assert (hours(second.closed_at), found.state) == (48, "expired")


def test_a_comment_is_supposed_where_one_is_needed() -> None:
    found = play(1, Supposition("reject", step="boss"))
    assert found.path[1].tasks[0].comment_required
    assert found.state == "rejected"


def test_a_request_without_approver_waits_with_its_incident() -> None:
    found = play(5, who="nobody")
    assert (found.state, found.step, found.waiting_for) == ("pending", "absent", ())
    (incident,) = found.path[-1].incidents
    assert (incident.kind, incident.step, found.path[-1].outcome) == (
        "NoApproverFound",
        "absent",
        None,
    )


def test_a_pool_in_which_everybody_left_decides_has_another_part() -> None:
    recipe = """
workflow: test
version: 1
inputs: {type: object, properties: {n: {type: number}}}
steps:
  - id: both
    branches: [{id: one, approver: bob}, {id: two, candidates: user:bob}]
"""
    for rules in ((), (Supposition("approve", branch="two"),)):
        found = play(1, *rules, recipe=recipe)
        assert (found.state, found.waiting_for) == ("pending", ("user:bob",))


def test_delegates_and_turns_are_as_in_life() -> None:
    directory = people()
    directory.delegate(Delegation("bob", "erin"))
    found = play(1, directory=directory)
    task = found.path[1].tasks[0]
    assert (task.assignee, task.on_behalf_of, task.decided_by) == ("erin", "bob", "erin")


def test_it_stops_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "MOST_MOVES", 1)
    found = play(2)
    assert (found.stopped, found.state) == (True, "pending")


class Emptied(Directory):
    """Gives nobody who holds a shared task: they all left between two questions of one moment."""

    @override
    def answer(
        self, asks: tuple[Ask, ...], requester: str, workflow: str = ""
    ) -> tuple[Answer, ...]:
        if isinstance(asks[0], AskHolders):
            self.roles = self.roles | {"team": ()}
        return super().answer(asks, requester, workflow)


def test_a_pool_that_nobody_holds_any_more() -> None:
    there = people()
    found = play(2, directory=Emptied(there.people, there.roles))
    assert found.path[2].tasks[0].decided_by is None


BACK = """
workflow: back
version: 1
owner: x
inputs: {properties: {n: {type: number}}, required: [n]}
steps:
  - {id: boss, approver: bob}
  - id: team
    approver: dave
    on_reject: rewind:boss
    outcomes: [{id: fine, as: approve}]
  - {id: many, approver: erin}
"""


def test_what_leads_back_does_so_once() -> None:
    found = play(
        1,
        Supposition("reject", step="team"),
        Supposition("request_changes", step="many", to="team"),
        Supposition("fine", step="team"),
        Supposition("fine", step="many"),
        recipe=BACK,
    )
    assert path(found) == [
        "boss approved",
        "team rewound to boss",
        "boss approved",
        "team approved",
        "many rewound to team",
        "team approved",
        "many approved",
    ]
    assert (found.state, found.unused, found.stopped) == ("approved", (3,), False)
    assert [step.tasks[0].decision for step in found.path] == [
        "approve",
        "reject",
        "approve",
        "fine",
        "request_changes",
        "fine",
        "approve",
    ]
    assert found.path[4].tasks[0].comment_required


def test_it_ends_where_its_requester_would_have_to_change_it() -> None:
    found = play(1, Supposition("request_changes", step="team"), recipe=BACK)
    assert path(found) == ["boss approved", "team rewound to requester"]
    assert (found.state, found.step, found.waiting_for) == ("rewound", None, ("alice",))
    elsewhere = Supposition("request_changes", step="boss", to="many")
    assert play(1, elsewhere, recipe=BACK).unused == (0,)


def test_a_rejection_that_leads_back_for_ever_is_stopped() -> None:
    found = play(
        1,
        otherwise="reject",
        recipe=BACK.replace("{id: boss", "{id: boss, on_reject: 'rewind:boss'"),
    )
    assert (found.state, found.stopped) == ("pending", True)
