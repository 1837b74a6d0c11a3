"""`resolve: at_submit`: who holds what the recipe names is found at submission, and stays."""

from dataclasses import replace

import pytest

from recipes import progress
from recipes.asks import (
    Answer,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskHolders,
    Assignment,
    Refusal,
)
from recipes.effects import OpenTask
from recipes.happenings import Rechecked, Started, Ticked
from recipes.questions import at_step
from recipes.state import FixedSeat, Seat, State
from tests.unit.recipes.test_progress import NOW, Recipe, decided, go, new, recipe
from tests.unit.recipes.test_seats import people


class Holders:
    """A directory of roles that change hands, and of alice's managers."""

    def __init__(self, **roles: str) -> None:
        self.roles = roles
        self.managers = {"id": "bob", "manager": {"id": "erin"}}
        self.down: tuple[str, ...] = ()
        self.asked: list[Ask] = []

    def __call__(self, asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        self.asked.extend(asks)
        return tuple(self.one(ask) for ask in asks)

    def one(self, ask: Ask) -> Answer:
        if ask.kind in self.down:
            return Answer(refusal=Refusal("NoApproverFound", "nobody"))
        match ask:
            case AskEmployee():
                return Answer(employee={"id": "alice", "manager": self.managers})
            case AskHolders(_, references, pool=True):
                pool = tuple(f"user:{self.person(text)}" for text in references)
                return Answer(assignment=Assignment(candidates=pool))
            case AskHolders(_, references):
                return Answer(assignment=Assignment(self.person(references[0])))
            case AskCandidates(_, references):
                return Answer(assignment=Assignment(candidates=references))
            case AskApprover(_, reference, fixed=fixed):
                return Answer(assignment=Assignment(fixed or self.person(reference)))
            case _:
                return Answer(assignment=Assignment("boss"))

    def person(self, reference: str) -> str:
        return self.roles.get(reference, reference).removeprefix("user:")


def at_submit(*steps: str) -> Recipe:
    return replace(recipe(*steps), resolve="at_submit")


def begun(made: Recipe, office: Holders) -> State:
    return go(made, new(made), Started(), answer=office)[0]


STEPS = (
    "{id: a, when: n == 1, approver: hr, timeout: 4h, on_timeout: escalate}",
    '{id: b, approvers: "{{ [employee.manager, employee.manager.manager] }}"}',
    "{id: c, candidates: [hr, fin]}",
)


def test_holders_are_asked_for_once() -> None:
    made, office = at_submit(*STEPS), Holders(hr="ann", fin="flo")
    state = begun(made, office)
    assert office.asked == [
        AskEmployee(("manager", "manager.manager")),
        AskHolders("a", ("hr",), pool=False),
        AskHolders("b/1", ("user:bob",), pool=False),
        AskHolders("b/2", ("user:erin",), pool=False),
        AskHolders("c", ("hr", "fin"), pool=True),
        AskApprover("a", "hr", fixed="ann"),
    ]
    assert state.seq == 1
    assert state.fixed == {
        "a": (FixedSeat(Seat("a", "a"), ("hr",), ("ann",)),),
        "b": (
            FixedSeat(Seat("b/1", "b", "user:bob"), ("user:bob",), ("bob",)),
            FixedSeat(Seat("b/2", "b", "user:erin"), ("user:erin",), ("erin",)),
        ),
        "c": (FixedSeat(Seat("c", "c"), ("hr", "fin"), ("user:ann", "user:flo")),),
    }


def test_what_was_fixed_stays() -> None:
    made, office = at_submit(*STEPS), Holders(hr="ann", fin="flo")
    state = begun(made, office)
    office.roles, office.managers = {"hr": "new", "fin": "new"}, {"id": "new"}
    office.asked.clear()
    state, _ = go(made, state, Rechecked((state.tasks[0].id,), NOW), 1, office)
    assert (people(state), state.tasks_opened) == (["ann"], 1)
    state, _ = go(made, state, decided(state, 0, who="ann"), answer=office)
    assert people(state) == ["bob", "erin"]
    for who in ("bob", "erin"):
        state, effects = go(made, state, decided(state, 0, who=who), answer=office)
    assert state.tasks[0].assignment.candidates == ("user:ann", "user:flo")
    assert [effect.fixed for effect in effects if isinstance(effect, OpenTask)] == [True]
    state, _ = go(made, state, Rechecked((state.tasks[0].id,), NOW), 1, office)
    assert (state.tasks_opened, state.fixed.keys()) == (4, {"a", "b", "c"})
    assert [ask for ask in office.asked if not isinstance(ask, AskEmployee)] == [
        AskApprover("a", "hr", fixed="ann"),
        AskApprover("b/1", "user:bob", fixed="bob"),
        AskApprover("b/2", "user:erin", fixed="erin"),
        AskCandidates("c", ("user:ann", "user:flo")),
        AskCandidates("c", ("user:ann", "user:flo")),
    ]


def test_an_escalation_is_not_fixed() -> None:
    made, office = at_submit(*STEPS), Holders(hr="ann")
    state = begun(made, office)
    state, effects = go(made, state, Ticked(), 4, office)
    assert people(state) == ["boss"]
    assert [effect.fixed for effect in effects if isinstance(effect, OpenTask)] == [False]


def test_what_cannot_be_told_yet_is_asked_when_it_is_reached() -> None:
    made = at_submit(
        "{id: a, when: n == 2, action: reject}",
        '{id: b, approver: "{{ who }}"}',
        '{id: c, approvers: "{{ who }}", quorum: 2}',
        "{id: d, approver: hr}",
    )
    office = Holders(hr="ann")
    state = begun(made, office)
    assert list(state.fixed) == ["d"]
    assert office.asked == [AskHolders("d", ("hr",), pool=False)]
    assert [incident.seat for incident in state.incidents] == ["b"]


def test_a_directory_that_has_no_answer_fixes_nothing() -> None:
    for down in ("employee", "holders"):
        made, office = at_submit(*STEPS), Holders(hr="ann")
        office.down = (down,)
        state = begun(made, office)
        assert (state.fixed, people(state)) == ({}, ["ann"])
        assert state.seq == 1
    # An action alone has nobody to fix.
    made = at_submit("{id: a, action: approve}")
    assert begun(made, Holders()).state == "approved"


def test_a_step_alone() -> None:
    """As explained: any step, whatever its `when`, of a live request or of one that is not."""
    made, office = at_submit(*STEPS), Holders(hr="ann", fin="flo")
    state = begun(made, office)
    office.roles = {"hr": "new", "fin": "new"}
    for step, given, asked in (
        ("b", state, ["bob", "erin"]),
        ("a", state, ["ann"]),
        ("a", new(made), ["new"]),
        ("a", replace(new(made), inputs={"n": 7}), ["new"]),
    ):
        alone, before = at_step(made, given, step)
        found = progress.apply(alone, before, Started(), NOW)
        while found.state.asks:
            found = progress.then(alone, found, office(found.state.asks), NOW)
        opened = [effect.task for effect in found.effects if isinstance(effect, OpenTask)]
        assert [task.assignment.user for task in opened] == asked


def test_only_an_approval_step_can_be_asked_alone() -> None:
    made = recipe("{id: a, when: n == 1, action: approve}", "{id: b, approver: hr}")
    for step in ("a", "x"):
        with pytest.raises(ValueError, match=f"no approval step {step}"):
            at_step(made, new(made), step)
