"""The directory has changed: who has an open task is asked again, and people choose for themselves."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from recipes import outcomes, progress
from recipes.asks import (
    Answer,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskManager,
    Assignment,
    Hop,
    Refusal,
)
from recipes.effects import CloseTask, Effect, OpenTask, SettleCommand
from recipes.happenings import Actor, Commanded, Decided, Rechecked, Started, Ticked
from recipes.model import ApprovalStep
from recipes.state import State
from tests.unit.recipes.test_progress import NOW, decided, go, incidents, new, recipe, retry
from tests.unit.recipes.test_seats import Office, people

Answers = Callable[[tuple[Ask, ...]], tuple[Answer, ...]]


def recheck(state: State) -> Rechecked:
    return Rechecked(tuple(task.id for task in state.tasks), NOW)


def giving(assignment: Assignment) -> Answers:
    return lambda asks: (Answer(assignment=assignment),) * len(asks)


def unavailable(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
    return tuple(Answer(refusal=Refusal("DirectoryUnavailable", "stale")) for _ in asks)


def no_questions(_: tuple[Ask, ...]) -> tuple[Answer, ...]:
    raise AssertionError("nothing is to be asked")


def reassign(to: str | None, seat: str | None = "a", number: int = 1) -> Commanded:
    return Commanded(str(number), "reassign", Actor("root"), NOW, "she is on leave", seat, to)


def settled(effects: tuple[Effect, ...]) -> tuple[bool, str]:
    return next((e.applied, e.detail) for e in effects if isinstance(e, SettleCommand))


def test_the_same_answer_changes_nothing() -> None:
    made = recipe('{id: a, approver: "{{ employee.manager }}"}')
    office = Office("bob")
    state, _ = go(made, new(made), Started(), answer=office)
    office.asked.clear()
    again, effects = go(made, state, recheck(state), 1, office)
    assert (replace(again, seq=state.seq), effects) == (state, ())
    assert again.seq == state.seq + 1
    assert office.asked == [(AskEmployee(("manager",)),), (AskApprover("a", "user:bob"),)]


def test_another_answer_moves_the_task_and_keeps_its_time() -> None:
    made = recipe(
        '{id: a, approver: "{{ employee.manager }}", timeout: 48h, on_timeout: escalate,'
        " remind: [12h, 24h]}"
    )
    office = Office("bob")
    state, _ = go(made, new(made), Started(), answer=office)
    state, _ = go(made, state, Ticked(), 12, office)
    old = state.tasks[0]
    office.managers = ("carol",)
    state, effects = go(made, state, recheck(state), 13, office)
    [task] = state.tasks
    [step] = made.steps
    assert isinstance(step, ApprovalStep)
    assert effects == (
        CloseTask(old.id, "a", "reassigned", "to carol"),
        OpenTask(task, "a", None, outcomes.offer(made, step, step.ballots[0]), ""),
    )
    assert (task.level, task.due_at, task.remind_at) == (0, old.due_at, old.remind_at)
    assert (task.opened_at, task.assignment.user) == (NOW + timedelta(hours=13), "carol")
    # Told late, of a task that is closed by now, it is nothing.
    late = Rechecked((old.id,), NOW)
    assert go(made, state, late, 14, no_questions) == (state, ())


@pytest.mark.parametrize(
    "other",
    [
        Assignment("bob", role="hr"),
        Assignment("bob", on_behalf_of="carol"),
        Assignment("bob", chain=(Hop("delegation", "bob", delegation="7"),)),
        Assignment(candidates=("user:bob",)),
    ],
)
def test_what_makes_another_assignment(other: Assignment) -> None:
    made = recipe("{id: a, approver: bob}")
    state, _ = go(made, new(made), Started())
    moved, _ = go(made, state, recheck(state), 1, giving(other))
    assert moved.tasks[0].assignment == other
    same, _ = go(made, state, recheck(state), 1, giving(Assignment("bob", chain=(Hop("person"),))))
    assert same.tasks == state.tasks


def test_a_refusal_leaves_the_task_until_retry() -> None:
    made = recipe("{id: a, approver: bob, timeout: 4h, on_timeout: escalate}")
    office = Office()
    state, _ = go(made, new(made), Started(), answer=office)
    office.away = {"bob"}
    state, _ = go(made, state, recheck(state), 1, office)
    assert (people(state), incidents(state)) == (["bob"], ["NoApproverFound: is away"])
    assert go(made, state, recheck(state), 1, no_questions) == (state, ())
    office.away = set()
    state, _ = go(made, state, retry(1), 2, office)
    assert (people(state), state.incidents, state.tasks_opened) == (["bob"], (), 1)
    state, _ = go(made, state, Ticked(), 4, office)
    assert people(state) == ["boss"]


def test_time_goes_on_beside_an_incident() -> None:
    made = recipe(
        "{id: a, quorum: 2, branches: [{approver: bob, timeout: 4h, on_timeout: escalate},"
        " {approver: carol, timeout: 4h, on_timeout: approve}, {approver: dave}]}"
    )
    office = Office()
    state, _ = go(made, new(made), Started(), answer=office)
    office.away = {"bob", "carol"}
    state, _ = go(made, state, recheck(state), 1, office)
    assert [i.seat for i in state.incidents] == ["a/1", "a/2"]
    office.away = set()
    state, _ = go(made, state, Ticked(), 4, office)
    assert (state.incidents, people(state)) == ((), ["dave", "boss"])


def test_escalated_tasks_ask_their_own_question_again() -> None:
    made = recipe("{id: a, approver: bob, timeout: 4h, on_timeout: escalate}")
    office = Office()
    state, _ = go(made, new(made), Started(), answer=office)
    state, _ = go(made, state, Ticked(), 4, office)
    office.asked.clear()
    go(made, state, recheck(state), 5, office)
    assert office.asked == [(AskManager("a", "bob"),)]
    # The earliest histories do not know the question: then it is left alone.
    old = replace(state, tasks=(replace(state.tasks[0], ask=None),))
    assert go(made, old, recheck(old), 5, no_questions) == (old, ())


def test_a_roles_turn_is_kept() -> None:
    made = recipe("{id: a, approver: 'role:hr', timeout: 4h, on_timeout: 'reassign:fin'}")
    asked: list[Ask] = []

    def answer(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        asked.extend(asks)
        turn = Hop("round_robin", "bob", "hr", 3)
        if asks[0] == AskApprover("a", "fin"):
            turn = Hop("kept", "frank", "fin")
        behalf = Hop("delegation", "carol", delegation="7")
        return (Answer(assignment=Assignment("carol", (), "hr", "bob", (), (turn, behalf))),)

    state, _ = go(made, new(made), Started(), answer=answer)
    state, _ = go(made, state, recheck(state), 1, answer)
    state, _ = go(made, state, Ticked(), 4, answer)
    state, _ = go(made, state, recheck(state), 5, answer)
    assert asked == [
        AskApprover("a", "role:hr"),
        AskApprover("a", "role:hr", keep="bob"),
        AskApprover("a", "fin"),
        AskApprover("a", "fin", keep="frank"),
    ]


def test_pools_are_asked_again() -> None:
    made = recipe("{id: a, candidates: ['role:hr']}")
    state, _ = go(made, new(made), Started())
    assert state.tasks[0].ask == AskCandidates("a", ("role:hr",))
    state, _ = go(made, state, recheck(state), 1)
    assert state.tasks_opened == 1


def test_a_template_that_fails_by_now() -> None:
    made = recipe('{id: a, approver: "{{ employee.manager }}"}')
    office = Office("bob")
    state, _ = go(made, new(made), Started(), answer=office)
    office.managers = ()
    state, _ = go(made, state, recheck(state), 1, office)
    assert (people(state), len(state.incidents)) == (["bob"], 1)


def test_what_one_leaves_another_may_take() -> None:
    made = recipe(
        '{id: a, branches: [{approver: "{{ employee.manager }}"},'
        ' {approver: "{{ employee.manager.manager }}"}, {approver: zoe}]}'
    )
    office = Office("bob", "erin")
    state, _ = go(made, new(made), Started(), answer=office)
    office.managers = ("erin", "frank")
    moved, _ = go(made, state, recheck(state), 1, office)
    assert (set(people(moved)), moved.incidents) == ({"erin", "frank", "zoe"}, ())
    office.managers = ("erin", "bob")
    moved, _ = go(made, state, recheck(state), 1, office)
    assert (sorted(map(str, people(moved))), moved.incidents) == (["bob", "erin", "zoe"], ())
    # Erin cannot go, because Zoe has a seat: so Bob keeps his, too.
    office.managers = ("erin", "zoe")
    moved, _ = go(made, state, recheck(state), 1, office)
    assert sorted(map(str, people(moved))) == ["bob", "erin", "zoe"]
    assert incidents(moved) == [
        "NoApproverFound: zoe already has a seat in step a",
        "NoApproverFound: erin already has a seat in step a",
    ]
    assert moved.tasks_opened == 3


def test_a_directory_that_is_back() -> None:
    made = recipe(
        '{id: a, when: "employee.manager != null", branches: [{approver: bob},'
        " {approver: carol, timeout: 1h, on_timeout: escalate}]}"
    )
    office = Office("x")
    state, _ = go(made, new(made), Started(), answer=unavailable)
    assert [i.seat for i in state.incidents] == [None]
    still, effects = go(made, state, Rechecked((), NOW), 1, unavailable)
    assert (still.incidents, effects) == (state.incidents, ())

    def no_bob(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        down = unavailable(asks[:1]) if isinstance(asks[0], AskApprover) else ()
        return (*down, *office(asks[len(down) :]))

    state, _ = go(made, state, Rechecked((), NOW), 2, no_bob)
    assert ([i.seat for i in state.incidents], people(state)) == (["a/1"], ["carol"])
    state, _ = go(made, state, Ticked(), 3, unavailable)
    assert [i.seat for i in state.incidents] == ["a/1", "a/2"]
    state, _ = go(made, state, Rechecked((), NOW), 4, office)
    assert (people(state), state.incidents) == (["bob", "boss"], ())
    state, _ = go(made, state, recheck(state), 5, unavailable)
    assert [i.seat for i in state.incidents] == ["a/1", "a/2"]
    state, effects = go(made, state, Rechecked((), NOW), 6, office)
    assert (state.incidents, state.tasks_opened) == ((), 3)
    refused, _ = go(made, state, recheck(state), 7, unavailable)
    office.away = {"bob", "carol"}
    replaced, _ = go(made, refused, Rechecked((), NOW), 8, office)
    assert [i.kind for i in replaced.incidents] == ["NoApproverFound"] * 2


# --- by hand ---


def test_a_task_is_given_to_somebody() -> None:
    made = recipe("{id: a, approver: bob, timeout: 4h, on_timeout: escalate, remind: [2h]}")
    office = Office()
    state, _ = go(made, new(made), Started(), answer=office)
    old = state.tasks[0]
    after, effects = go(made, state, reassign("dave"), 1, office)
    [task] = after.tasks
    assert settled(effects) == (True, "reassigned to dave")
    assert after.reassigning is None
    assert (task.assignment.user, task.by_hand, task.level) == ("dave", True, 0)
    assert (task.due_at, task.remind_at) == (old.due_at, old.remind_at)
    assert task.assignment.chain == (Hop("reassigned", "root"),)
    assert [e.to for e in effects if isinstance(e, CloseTask)] == ["reassigned"]
    # Asked again it is Dave still; when he has left, whoever the directory gives for him.
    office.asked.clear()
    same, _ = go(made, after, recheck(after), 2, office)
    assert office.asked == [(AskApprover("a", "user:dave"),)]
    assert same.tasks == after.tasks
    moved, _ = go(
        made, after, recheck(after), 2, giving(Assignment("erin", chain=(Hop("manager"),)))
    )
    assert moved.tasks[0].assignment.chain == (Hop("reassigned", "root"), Hop("manager"))
    # And in time it goes up Dave's line.
    office.asked.clear()
    late, _ = go(made, after, Ticked(), 4, office)
    assert office.asked == [(AskManager("a", "dave"),)]
    assert (late.tasks[0].by_hand, late.tasks[0].level) == (False, 1)
    assert go(made, after, reassign("dave"), 2, no_questions) == (after, ())


def test_an_incident_is_given_to_somebody() -> None:
    made = recipe("{id: a, approver: bob}")
    office = Office()
    office.away = {"bob"}
    state, _ = go(made, new(made), Started(), answer=office)
    state, effects = go(made, state, reassign("dave"), 1, office)
    assert (people(state), state.incidents, state.tasks[0].by_hand) == (["dave"], (), True)
    assert settled(effects) == (True, "reassigned to dave")


def test_who_is_away_is_decided_for() -> None:
    made = recipe("{id: a, approver: bob}")
    state, _ = go(made, new(made), Started())
    given = giving(Assignment("carol", on_behalf_of="dave"))
    state, effects = go(made, state, reassign("dave"), 1, given)
    assert people(state) == ["carol"]
    assert settled(effects) == (True, "reassigned to carol on behalf of dave")


def test_an_overdue_task_is_handed_on_by_hand() -> None:
    made = recipe(
        "{id: a, approver: bob, timeout: 4h, on_timeout: [escalate, {after: 2h, action: expire}]}"
    )
    office = Office()
    state, _ = go(made, new(made), Started(), answer=office)
    office.away = {"bob"}
    state, _ = go(made, state, Ticked(), 4, office)
    assert len(state.incidents) == 1
    state, _ = go(made, state, reassign("dave"), 5, office)
    [task] = state.tasks
    assert (task.level, task.due_at, state.incidents) == (1, NOW + timedelta(hours=7), ())


@pytest.mark.parametrize(
    ("to", "seat", "why"),
    [
        ("alice", "b/1", "alice is the requester: nobody decides their own request"),
        ("ann", "b/1", "ann decided step a, and another person has to decide here"),
        ("cy", "b/1", "cy already has a seat in step b"),
        ("ben", "b/1", "it is ben's already"),
        (None, "b/1", "it does not say to whom"),
        ("dave", "a", "nothing is waiting to be decided at a"),
        ("dave", None, "nothing is waiting to be decided at None"),
        ("dave", "b/3", "nothing is waiting to be decided at b/3"),
        ("gone", "b/1", "is away"),
    ],
)
def test_reassignments_that_are_refused(to: str | None, seat: str | None, why: str) -> None:
    made = recipe(
        "{id: a, approver: ann}",
        "{id: b, quorum: 2, branches: [{approver: ben, not_same_as: [a]}, {approver: cy},"
        " {approver: di}]}",
    )
    office = Office()
    office.away = {"gone"}
    state, _ = go(made, new(made), Started(), answer=office)
    state, _ = go(made, state, decided(state, 0, who="ann"), answer=office)
    state, _ = go(made, state, decided(state, 2, who="di"), answer=office)
    after, effects = go(made, state, reassign(to, seat), 1, office)
    assert settled(effects) == (False, why)
    assert len(effects) == 1
    assert (after.tasks, after.reassigning, after.asks) == (state.tasks, None, ())
    for given, told in (
        (Assignment("cy", on_behalf_of="dave"), "cy already has a seat in step b"),
        (Assignment("erin"), "dave cannot be asked here"),
        (Assignment(), "dave cannot be asked here"),
    ):
        after, effects = go(made, state, reassign("dave", "b/1"), 1, giving(given))
        assert settled(effects) == (False, told)
    assert go(made, after, Rechecked((), NOW), 1, no_questions) == (after, ())


def test_a_step_that_is_not_entered_has_no_seat() -> None:
    made = recipe("{id: a, when: 1 / (n - 1) > 0, approver: bob}")
    state, _ = go(made, new(made), Started())
    _, effects = go(made, state, reassign("dave"), 1, no_questions)
    assert settled(effects) == (False, "nothing is waiting to be decided at a")


def test_after_the_end_nothing_is_asked() -> None:
    made = recipe("{id: a, approver: bob}")
    state, _ = go(made, new(made), Started())
    asked_again = recheck(state)
    state, _ = go(made, state, decided(state, 0))
    assert go(made, state, asked_again, 1, no_questions) == (state, ())
    _, effects = go(made, state, reassign("dave"), 1, no_questions)
    assert settled(effects) == (False, "the request is already approved")


def _decided_for(state: State, who: str, behalf: str) -> Decided:
    return Decided(state.tasks[0].id, "approve", Actor(who, None, behalf), NOW)


def test_two_persons_over_two_steps() -> None:
    made = recipe(
        "{id: a, approver: ann}",
        "{id: b, approver: ben, not_same_as: [a], timeout: 1h, on_timeout: escalate}",
        "{id: c, candidates: [x, y], not_same_as: [a, b], timeout: 1h, on_timeout: 'reassign:z'}",
    )
    asked: list[Ask] = []

    def office(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        asked.extend(asks)
        return Office()(asks) if isinstance(asks[0], AskManager) else giving(Assignment("p"))(asks)

    state, _ = go(made, new(made), Started(), answer=office)
    state, _ = go(made, state, _decided_for(state, "dora", "ann"), answer=office)
    assert state.deciders == {"a": ("dora", "ann")}
    state, _ = go(made, state, Ticked(), 1, office)
    state, _ = go(made, state, recheck(state), 1, office)
    state, _ = go(made, state, decided(state, 0, who="ben"), answer=office)
    state, _ = go(made, state, Ticked(), 2, office)
    state, _ = go(made, state, recheck(state), 2, office)
    two, three = ("dora", "ann"), ("dora", "ann", "ben")
    assert asked == [
        AskApprover("a", "ann"),
        AskApprover("b", "ben", two),
        AskManager("b", "p", two),
        AskManager("b", "p", two),
        AskCandidates("c", ("x", "y"), three),
        AskApprover("c", "z", three),
        AskApprover("c", "z", three),
    ]


def test_a_state_of_the_first_engine_goes_on() -> None:
    """Its tasks do not say what was asked: at the first level the recipe does."""
    made = recipe('{id: a, approver: "{{ employee.manager }}"}')
    office = Office("bob")
    state, _ = go(made, new(made), Started(), answer=office)
    old = replace(state, tasks=(replace(state.tasks[0], ask=None),), deciders={}, fixed={})
    office.managers = ("carol",)
    state, _ = go(made, old, recheck(old), 1, office)
    assert people(state) == ["carol"]
    assert progress.next_wakeup(state) is None


def test_one_seat_is_enough_for_two() -> None:
    made = recipe("{id: a, quorum: any, branches: [{approver: bob}, {approver: carol}]}")
    state, _ = go(made, new(made), Started(), answer=Office())
    state, _ = go(made, state, reassign("carol", "a/1"), 1, Office())
    assert people(state) == ["carol", "carol"]
    state, _ = go(made, state, recheck(state), 2, giving(Assignment("dave")))
    assert people(state) == ["dave", "dave"]
