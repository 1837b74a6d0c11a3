"""`keep_approvals: unaffected`: which approvals stay when a request comes in again."""

from dataclasses import replace

import pytest

from recipes.happenings import Actor, Decided, Started
from recipes.keeping import depends_on
from recipes.model import ApprovalStep, Json, Recipe
from recipes.state import State
from tests.unit.recipes.test_progress import NOW, go, new
from tests.unit.recipes.test_rewinding import asked, recipe, records, resubmit, says


def keeping(*steps: str) -> Recipe:
    return recipe(*steps, keep_approvals="unaffected")


def sent_back(made: Recipe, *approved: str, by: str = "zoe") -> State:
    """Once these have approved, and somebody wants changes."""
    state, _ = go(made, new(made, why="a"), Started())
    for who in approved:
        state, _ = go(made, state, says(state, who, "approve", "fine"))
    state, _ = go(made, state, says(state, by, "request_changes", "no"))
    return state


LAST = "{id: last, approver: zoe}"


def test_an_approval_that_nothing_has_changed_for_stays_and_says_so() -> None:
    made = keeping("{id: a, when: n > 0, approver: bob, show: [n]}", LAST)
    state = sent_back(made, "bob")
    task = state.approvals[0].decision.task_id
    state, effects = go(made, state, resubmit(why="b"))
    [kept] = records(effects, "approval.kept")
    assert kept == {
        "step": "a",
        "seat": "a",
        "task_id": task,
        "decision": "approve",
        "user": "bob",
        "on_behalf_of": None,
        "decided_at": NOW,
        "why": "nothing that it rests on has changed",
        "rests_on": ["n"],
    }
    assert asked(effects) == ["zoe"]
    assert state.results["a"] == {
        "outcome": "approved",
        "decided_by": ["bob"],
        "decision": "approve",
        "comment": "fine",
    }


@pytest.mark.parametrize(
    ("step", "inputs", "stays"),
    [
        ("{id: a, approver: bob}", {"n": 1, "why": "a"}, True),
        ("{id: a, approver: bob}", {"n": 1, "why": "b"}, False),
        ("{id: a, approver: bob}", {"n": 1}, False),
        ("{id: a, approver: bob, show: [why]}", {"n": 2, "why": "a"}, True),
        ("{id: a, approver: bob, show: [n, why]}", {"n": 2, "why": "a"}, False),
        ("{id: a, when: n < 9, approver: bob, show: [why]}", {"n": 2, "why": "a"}, False),
        ("{id: a, when: inputs.n < 9, approver: bob, show: [why]}", {"n": 2, "why": "a"}, False),
        (
            "{id: a, when: size(inputs) > 0, approver: bob, show: [why]}",
            {"n": 2, "why": "a"},
            False,
        ),
        (
            "{id: a, approver: \"{{ employee.id == 'x' ? 'y' : 'bob' }}\", show: [why]}",
            {"n": 2, "why": "a"},
            True,
        ),
    ],
)
def test_what_an_approval_rests_on(step: str, inputs: dict[str, Json], stays: bool) -> None:
    made = keeping(step, LAST)
    again = replace(resubmit(), inputs=inputs)
    state, effects = go(made, sent_back(made, "bob"), again)
    assert bool(records(effects, "approval.kept")) is stays
    assert asked(effects) == (["zoe"] if stays else ["bob"])
    # Once it had to be given anew, it is not there again because the inputs are.
    if not stays:
        state, _ = go(made, state, says(state, "bob", "request_changes", "no"))
        state, effects = go(made, state, replace(resubmit(2), inputs={"n": 1, "why": "a"}))
        assert asked(effects) == ["bob"]


def test_what_rests_on_other_steps_rests_on_everything() -> None:
    made = keeping(
        "{id: a, approver: bob, show: [n]}",
        "{id: b, when: \"steps.a.outcome == 'approved'\", approver: carol, show: [n]}",
        LAST,
    )
    step = made.steps[1]
    assert isinstance(step, ApprovalStep)
    assert depends_on(step, step.ballots[0]) is None
    _, effects = go(made, sent_back(made, "bob", "carol"), resubmit(why="b"))
    assert [kept["step"] for kept in records(effects, "approval.kept")] == ["a"]
    assert asked(effects) == ["carol"]


def test_a_recipe_that_keeps_none() -> None:
    made = recipe("{id: a, approver: bob, show: [n]}", LAST)
    state = sent_back(made, "bob")
    assert state.approvals == ()
    assert asked(go(made, state, resubmit(why="a"))[1]) == ["bob"]


def test_what_is_to_be_decided_again_is_decided_again() -> None:
    made = keeping("{id: a, approver: bob}", "{id: b, approver: carol}", LAST)
    state, _ = go(made, new(made), Started())
    for who in ("bob", "carol"):
        state, _ = go(made, state, says(state, who, "approve"))
    state, effects = go(made, state, says(state, "zoe", "request_changes", "no", "b"))
    assert asked(effects) == ["carol"]
    assert [it.step for it in state.approvals] == ["a"]
    # And is not kept either when the request goes all the way back after that.
    state, _ = go(made, state, says(state, "carol", "request_changes", "no"))
    state, effects = go(made, state, resubmit())
    assert [kept["step"] for kept in records(effects, "approval.kept")] == ["a"]


BOARD = (
    "{id: a, quorum: all, branches: [{id: x, approver: bob, show: [n]},"
    " {id: y, approver: carol, show: [why]}, {id: z, approver: zoe}]}"
)


def test_a_step_that_was_approved_in_part_is_so_seat_by_seat() -> None:
    made = keeping(BOARD)
    state, effects = go(made, sent_back(made, "bob", "carol"), resubmit(why="b"))
    assert [kept["seat"] for kept in records(effects, "approval.kept")] == ["a/x"]
    assert asked(effects) == ["carol", "zoe"]
    for who in ("carol", "zoe"):
        state, _ = go(made, state, says(state, who, "approve"))
    assert state.state == "approved"


def test_a_list_of_people_that_comes_in_another_order() -> None:
    made = keeping(
        "{id: a, approvers: \"{{ n > 1 ? ['zoe', 'bob'] : ['bob', 'zoe'] }}\", show: [why]}"
    )
    state = sent_back(made, "bob")
    state, effects = go(made, state, resubmit(n=2, why="a"))
    assert records(effects, "approval.kept") == []  # the list itself rests on n
    made = keeping("{id: a, approvers: \"{{ ['bob', 'zoe'] }}\", show: [why]}")
    state, effects = go(made, sent_back(made, "bob"), resubmit(n=2, why="a"))
    assert [kept["seat"] for kept in records(effects, "approval.kept")] == ["a/1"]
    assert asked(effects) == ["zoe"]


def test_it_may_be_all_there_is_to_decide() -> None:
    made = keeping("{id: a, approver: bob, show: [why]}", "{id: b, when: n < 2, approver: zoe}")
    state, effects = go(made, sent_back(made, "bob"), resubmit(n=2, why="a"))
    assert state.state == "approved"
    assert records(effects, "approval.kept")


def test_nobody_keeps_a_part_that_must_be_anothers_by_now() -> None:
    made = keeping(
        "{id: check, approver: \"{{ n > 1 ? 'bob' : 'ann' }}\"}",
        "{id: a, approver: bob, not_same_as: [check], show: [why]}",
        LAST,
    )
    state = sent_back(made, "ann", "bob")
    state, effects = go(made, state, resubmit(n=2, why="a"))
    assert asked(effects) == ["bob"]
    state, effects = go(made, state, says(state, "bob", "approve"))
    assert records(effects, "approval.kept") == []
    [ask] = [task.ask for task in state.tasks]
    assert ask is not None
    assert set(ask.without) == {"ann", "bob"}


def test_who_approved_last_counts() -> None:
    made = keeping("{id: a, approver: bob, show: [why]}", LAST)
    state = sent_back(made, "bob")
    state, _ = go(made, state, resubmit(why="b"))
    task = state.tasks[0].id
    state, _ = go(made, state, Decided(task, "approve", Actor("bob"), NOW, "second"))
    state, _ = go(made, state, says(state, "zoe", "request_changes", "no"))
    assert [it.decision.comment for it in state.approvals] == ["second"]
