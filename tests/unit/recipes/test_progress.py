"""Single turns of the engine that the model tests meet too rarely, or cannot judge."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recipes import progress
from recipes.asks import Answer, Ask, AskApprover, AskCandidates, AskEmployee, Assignment, Refusal
from recipes.effects import CloseTask, Effect, OpenTask, Record
from recipes.happenings import (
    Actor,
    Answered,
    Commanded,
    Decided,
    Happening,
    Started,
    Ticked,
    Together,
)
from recipes.machine import COMMANDS_KEPT
from recipes.model import Ballot, Quorum, Recipe, Step
from recipes.parse import parse
from recipes.state import State

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HEAD = "workflow: w\nversion: 1\nowner: x\ninputs: {properties: {n: {type: integer}, who: {}}, required: [n]}\nsteps:\n"


def recipe(*steps: str) -> Recipe:
    return parse(HEAD + "".join(f"  - {step}\n" for step in steps)).recipe


def new(made: Recipe, **inputs: Any) -> State:
    return progress.initial(
        made,
        request_id="3a2f6a2e-5f0b-4f57-9f5c-3d2a7f6a1b00",
        requester="alice",
        inputs={"n": 1, **inputs},
        submitted_at=NOW,
        digest="",
    )


def willing(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
    def one(ask: Ask) -> Answer:
        match ask:
            case AskEmployee():
                return Answer(employee={"id": "alice"})
            case AskCandidates(_, references):
                return Answer(assignment=Assignment(candidates=references))
            case AskApprover(_, reference):
                return Answer(assignment=Assignment(user=reference))
            case _:
                return Answer(assignment=Assignment(user="above"))

    return tuple(one(ask) for ask in asks)


def no_answer(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
    return (Answer(),) * len(asks)


def refusing(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
    return tuple(Answer(refusal=Refusal("NoApproverFound", "nobody")) for _ in asks)


def go(
    made: Recipe, state: State, happening: Happening, hours: float = 0, answer: Any = willing
) -> tuple[State, tuple[Effect, ...]]:
    after = progress.settle(made, state, happening, NOW + timedelta(hours=hours), answer)
    return after.state, after.effects


def decided(state: State, number: int, verdict: Any = "approve", who: str = "bob") -> Decided:
    return Decided(state.tasks[number].id, verdict, Actor(who), NOW, "because")


def incidents(state: State) -> list[str]:
    return [f"{incident.kind}: {incident.detail}" for incident in state.incidents]


def test_open_asks_come_first() -> None:
    made = recipe("{id: a, approver: bob}")
    asking = progress.apply(made, new(made), Started(), NOW).state
    assert asking.asks == (AskApprover("a", "bob"),)
    with pytest.raises(ValueError, match="open asks"):
        progress.apply(made, asking, Ticked(), NOW)
    opened = progress.apply(made, asking, Answered(willing(asking.asks)), NOW)
    assert (opened.state.seq, opened.state.state) == (1, "pending")
    assert progress.has_opened(opened.state, opened.state.tasks[0].id)
    assert not progress.has_opened(opened.state, "another")


def test_an_empty_answer_opens_nothing() -> None:
    made = recipe("{id: a, approver: bob}")
    state, _ = go(made, new(made), Started(), answer=no_answer)
    assert state.tasks == ()


def test_results_of_earlier_steps() -> None:
    made = recipe(
        "{id: a, when: n > 5, approver: bob}",
        "{id: b, approver: bob}",
        "{id: c, when: \"steps.a.outcome == 'skipped' && steps.b.decided_by == ['bob']"
        " && steps.b.comment == 'because'\", action: reject, reason: So.}",
    )
    state, effects = go(made, new(made), Started())
    assert effects[0] == Record("step.skipped", {"step": "a", "when": "n > 5"})
    state, _ = go(made, state, decided(state, 0))
    assert (state.state, state.reason) == ("rejected", "So.")
    assert progress.snapshot(made, state)["step"] is None


def test_a_snapshot_has_no_inputs() -> None:
    made = recipe("{id: a, approver: bob}")
    state, _ = go(made, new(made, who="secret"), Started())
    shown = progress.snapshot(made, state)
    assert shown["step"] == "a"
    assert shown["seats"] == {"a": None}
    assert "secret" not in str(shown)


def test_timeouts_at_one_moment() -> None:
    made = recipe(
        "{id: a, quorum: 2, branches: ["
        "{approver: b, timeout: 1h, on_timeout: approve}, {approver: c, timeout: 1h, on_timeout: reject},"
        "{approver: d, timeout: 1h, on_timeout: escalate}, {approver: e, remind: [30m, 40m]}]}"
    )
    state, _ = go(made, new(made), Started())
    assert progress.next_wakeup(state) == NOW + timedelta(minutes=30)
    state, effects = go(made, state, Ticked(), 1)
    assert [seat.vote for seat in state.seats] == ["approve", "reject", None, None]
    assert [task.assignment.user for task in state.tasks] == ["e", "above"]
    assert [e.to for e in effects if isinstance(e, CloseTask)] == ["expired"] * 3
    assert state.tasks[0].remind_at == ()


def test_silence_expires_and_rejection_rejects() -> None:
    made = recipe("{id: a, approvers: \"{{ ['b', 'c'] }}\", timeout: 1h, on_timeout: expire}")
    started, _ = go(made, new(made), Started())
    assert go(made, started, Ticked(), 1)[0].state == "expired"
    assert go(made, started, decided(started, 1, "reject"))[0].state == "rejected"


def test_the_last_level_repeats() -> None:
    made = recipe(
        "{id: a, approver: bob, timeout: 1h, on_timeout: [escalate, {after: 2h, action: escalate}]}"
    )
    state, _ = go(made, new(made), Started())
    for hours in (1, 3, 5, 7):
        assert progress.next_wakeup(state) == NOW + timedelta(hours=hours)
        state, _ = go(made, state, Ticked(), hours)
    assert (state.tasks[0].level, state.tasks_opened) == (4, 5)


def test_reassignment_to_a_role_and_to_nobody() -> None:
    made = recipe(
        '{id: a, candidates: [x, "{{ who }}"], timeout: 1h, on_timeout: "reassign:{{ who }}"}'
    )
    state, _ = go(made, new(made, who="role:y"), Started())
    assert state.tasks[0].assignment.candidates == ("x", "role:y")
    state, _ = go(made, state, Ticked(), 1)
    assert state.tasks[0].assignment.user == "role:y"
    assert state.tasks[0].due_at is None
    unclear, _ = go(made, new(made, who=3), Started())
    assert incidents(unclear) == [
        "NoApproverFound: {{ who }}: gives a int instead of a person or a role"
    ]
    assert unclear.tasks == ()
    state, _ = go(made, new(made, who="role:y"), Started())
    state, _ = go(made, replace(state, inputs={"n": 1}), Ticked(), 1)
    assert incidents(state) == [
        "NoApproverFound: {{ who }}: gives nobody instead of a person or a role"
    ]
    assert state.tasks[0].due_at is None
    state, _ = go(made, state, retry(0), 3)
    assert len(state.incidents) == 1
    state, _ = go(made, replace(state, inputs={"n": 1, "who": "z"}), retry(1), 3)
    assert (state.tasks[0].assignment.user, state.incidents) == ("z", ())


def retry(number: int) -> Commanded:
    return Commanded(str(number), "retry", Actor("root"), NOW)


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ([], "approvers must give a list of people, not a list"),
        ("bob", "approvers must give a list of people, not a str"),
        (None, "approvers must give a list of people, not nobody"),
        ([""], "gives an empty text instead of a person or a role"),
        ([{"id": 3}], "gives a dict instead of a person or a role"),
    ],
)
def test_lists_of_approvers_that_are_none(who: Any, told: str) -> None:
    made = recipe('{id: a, approvers: "{{ who }}"}')
    state, _ = go(made, new(made, who=who), Started())
    assert told in incidents(state)[0]
    assert state.incidents[0].seat is None
    again, effects = go(made, state, Ticked(), 1)
    assert (again, effects) == (state, ())
    state, _ = go(
        made,
        replace(state, inputs={"n": 1, "who": [{"id": "bob"}, " carol ", "user:bob"]}),
        retry(1),
    )
    assert [task.assignment.user for task in state.tasks] == ["user:bob", "carol"]


def test_a_quorum_over_too_few() -> None:
    made = recipe('{id: a, approvers: "{{ who }}", quorum: 2}')
    state, _ = go(made, new(made, who=["b"]), Started())
    assert incidents(state) == ["NoApproverFound: a: a quorum of 2 over 1 approvers"]


def test_a_condition_without_a_value() -> None:
    made = recipe("{id: a, when: 1 / (n - 1) > 0, approver: bob}")
    state, _ = go(made, new(made), Started())
    assert incidents(state) == [
        "ExpressionError: a.when: `1 / (n - 1) > 0` fails: divide by zero [n: int]"
    ]
    assert state.state == "created"
    state, effects = go(made, state, retry(1))
    assert [e.type for e in effects if isinstance(e, Record)] == [
        "incident.resolved",
        "incident.raised",
    ]
    state, _ = go(made, state, Commanded("2", "cancel", Actor("alice"), NOW, "enough"))
    assert (state.state, state.reason, state.incidents) == ("cancelled", "enough", ())
    assert go(made, state, retry(3))[1][0].applied is False  # type: ignore[union-attr]


def test_what_is_kept_does_not_grow_with_commands() -> None:
    """Whoever may add approvers may do so in vain without end; a state travels with every commit."""
    made = recipe("{id: one, approver: bob}")
    state, _ = go(made, new(made), Started())
    for number in range(3 * COMMANDS_KEPT):
        state, effects = go(made, state, retry(number))
        assert len(effects) == 1
    assert len(state.commands_seen) == COMMANDS_KEPT
    assert go(made, state, retry(3 * COMMANDS_KEPT - 1)) == (state, ())


def test_a_refused_employee_is_asked_again_by_retry_alone() -> None:
    made = recipe('{id: a, approver: "{{ employee.manager }}"}')
    state, _ = go(made, new(made), Started(), answer=refusing)
    assert go(made, state, Ticked(), 1) == (state, ())

    def managed(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        if isinstance(asks[0], AskEmployee):
            return (Answer(employee={"id": "alice", "manager": {"id": "bob"}}),)
        return willing(asks)

    state, _ = go(made, state, retry(1), answer=managed)
    assert [task.assignment.user for task in state.tasks] == ["user:bob"]


def test_an_escalation_to_nobody_leaves_the_task() -> None:
    made = recipe(
        "{id: a, approver: bob, timeout: 4h, on_timeout: escalate, remind: [1h, 1h before]}"
    )
    state, _ = go(made, new(made), Started())
    state, _ = go(made, state, Ticked(), 4, refusing)
    assert (len(state.tasks), len(state.incidents)) == (1, 1)
    assert progress.next_wakeup(state) is None
    retried, _ = go(made, state, retry(1))
    assert retried.tasks[0].assignment.user == "above"
    approved, effects = go(made, state, decided(state, 0))
    assert approved.state == "approved"
    assert "incident.resolved" in [e.type for e in effects if isinstance(e, Record)]


def test_reminders_that_have_no_place_are_dropped() -> None:
    made = recipe(
        "{id: a, approver: bob, timeout: 4h, remind: [3h, 2h before],"
        " on_timeout: [escalate, {after: 1h, action: expire}]}"
    )
    state, effects = go(made, new(made), Started())
    assert [moment - NOW for moment in state.tasks[0].remind_at] == [
        timedelta(hours=2),
        timedelta(hours=3),
    ]
    state, effects = go(made, state, Ticked(), 4)
    opened = next(effect for effect in effects if isinstance(effect, OpenTask))
    assert opened.task.remind_at == ()


def test_a_deadline_beats_everything() -> None:
    made = replace(recipe("{id: a, approver: bob}"), deadline=3600)
    state, _ = go(made, new(made), Started())
    assert progress.next_wakeup(state) == NOW + timedelta(hours=1)
    state, _ = go(made, state, Ticked(), 1)
    assert (state.state, state.reason) == ("expired", "the deadline has passed")
    assert progress.next_wakeup(state) is None
    assert progress.step_of(made, state) is not None


@pytest.mark.parametrize(
    ("quorum", "needed"),
    [
        (Quorum("any"), [1, 1, 1, 1]),
        (Quorum("all"), [1, 2, 3, 10]),
        (Quorum("count", 2), [2, 2, 2, 2]),
        (Quorum("percent", 60), [1, 2, 2, 6]),
        (Quorum("percent", 1), [1, 1, 1, 1]),
    ],
)
def test_quorums(quorum: Quorum, needed: list[int]) -> None:
    assert [quorum.needed(out_of) for out_of in (1, 2, 3, 10)] == needed


def test_a_before_reminder_without_a_timeout_is_nothing() -> None:
    """`check` refuses it; a recipe of another version may still carry it."""
    made = recipe("{id: a, approver: bob, timeout: 4h, on_timeout: expire, remind: [1h before]}")
    (step,) = made.steps
    ballot: Ballot = step.ballots[0]  # type: ignore[union-attr]
    bare: Step = replace(step, ballots=(replace(ballot, levels=()),))  # type: ignore[arg-type]
    state, _ = go(replace(made, steps=(bare,)), new(made), Started())
    assert state.tasks[0].remind_at == ()


def test_decisions_told_together_count_before_anything_follows() -> None:
    made = recipe(
        "{id: a, type: parallel, quorum: any, branches: [{approver: bob}, {approver: ann}, {approver: cy}]}"
    )
    state, _ = go(made, new(made), Started())
    both = (decided(state, 0, "reject"), decided(state, 1, who="ann"))
    after, effects = go(made, state, Together(both))
    assert (after.state, after.seq) == ("approved", 2)
    closed = [effect.task_id for effect in effects if isinstance(effect, CloseTask)]
    assert closed == [state.tasks[2].id]
    assert after.results["a"]["decided_by"] == ["bob", "ann"]
    # One of them told before, one afterwards: each counts once.
    first, _ = go(made, state, both[0])
    rest, _ = go(made, first, Together(both))
    assert (rest.state, rest.results) == (after.state, after.results)
    assert go(made, first, Together(both[:1])) == (first, ())
    assert progress.decisions_of(Together(both)) == both
    assert progress.decisions_of(both[0]) == both[:1]
    assert progress.decisions_of(Ticked()) == ()
