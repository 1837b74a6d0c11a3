"""Whom the seats of a step are asked for: what goes wrong with that, and how `retry` repairs it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from recipes import progress
from recipes.asks import Answer, Ask, AskApprover, AskEmployee, AskManager, Assignment, Refusal
from recipes.effects import SettleCommand
from recipes.happenings import Started, Ticked
from recipes.state import State
from tests.unit.recipes.test_progress import (
    NOW,
    decided,
    go,
    incidents,
    new,
    recipe,
    retry,
    willing,
)

Answers = Callable[[tuple[Ask, ...]], tuple[Answer, ...]]


class Office:
    """A directory whose facts change. `managers` is the requester's line, nearest first."""

    def __init__(self, *managers: str) -> None:
        self.managers = managers
        self.away: set[str] = set()
        self.asked: list[tuple[Ask, ...]] = []

    def __call__(self, asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        self.asked.append(asks)
        return tuple(self.one(ask) for ask in asks)

    def one(self, ask: Ask) -> Answer:
        match ask:
            case AskEmployee() if "alice" not in self.away:
                tree: dict[str, Any] = {}
                for person in reversed(self.managers):
                    tree = {"id": person, **({"manager": tree} if tree else {})}
                return Answer(employee={"id": "alice", **({"manager": tree} if tree else {})})
            case AskApprover(_, reference) if (name := reference.split(":")[-1]) not in self.away:
                return Answer(assignment=Assignment(user=name))
            case AskManager(_, user) if user not in self.away:
                return Answer(assignment=Assignment(user="boss"))
            case _:
                return Answer(refusal=Refusal("NoApproverFound", "is away"))


def people(state: State) -> list[str | None]:
    return [task.assignment.user for task in state.tasks]


def test_retry_asks_for_the_employee_afresh() -> None:
    made = recipe('{id: a, approver: "{{ employee.manager }}"}')
    office = Office()
    state, _ = go(made, new(made), Started(), answer=office)
    assert incidents(state) == [
        "NoApproverFound: {{ employee.manager }}: has no value: there is no `manager`"
    ]
    assert state.entered
    state, _ = go(made, state, retry(0), answer=office)
    assert len(state.incidents) == 1
    office.managers = ("bob",)
    state, _ = go(made, state, retry(1), answer=office)
    assert (people(state), state.incidents, state.employee) == (["bob"], (), None)


def test_retry_beside_live_seats() -> None:
    made = recipe(
        '{id: a, quorum: 2, branches: [{approver: dave}, {approver: "{{ employee.manager }}"}, {approver: carol}]}'
    )
    office = Office()
    office.away = {"carol"}
    state, _ = go(made, new(made), Started(), answer=office)
    assert [incident.seat for incident in state.incidents] == ["a/2", "a/3"]
    office.away.clear()
    office.asked.clear()
    office.managers = ("bob",)
    state, _ = go(made, state, retry(1), answer=office)
    assert office.asked == [
        (AskEmployee(("manager",)), AskApprover("a/3", "carol")),
        (AskApprover("a/2", "user:bob"),),
    ]
    assert (people(state), state.incidents) == (["dave", "carol", "bob"], ())


def test_an_employee_who_is_refused_to_waiting_seats() -> None:
    made = recipe(
        '{id: a, branches: [{approver: "{{ employee.manager }}"}, {approver: "{{ employee.manager.manager }}"}]}'
    )
    office = Office()
    state, _ = go(made, new(made), Started(), answer=office)
    office.away = {"alice"}
    state, _ = go(made, state, retry(1), answer=office)
    assert [(incident.seat, incident.detail) for incident in state.incidents] == [
        ("a/1", "is away"),
        ("a/2", "is away"),
    ]
    office.away, office.managers = set(), ("bob", "erin")
    state, _ = go(made, state, retry(2), answer=office)
    assert (people(state), state.incidents) == (["bob", "erin"], ())


def test_a_reassignment_reads_the_employee_of_its_day() -> None:
    made = recipe(
        '{id: a, approver: "{{ employee.manager }}", timeout: 1h,'
        ' on_timeout: ["reassign:{{ employee.manager }}", {after: 1h, action: escalate}]}'
    )
    office = Office("bob")
    state, _ = go(made, new(made), Started(), answer=office)
    office.managers = ("carol",)
    state, _ = go(made, state, Ticked(), 1, office)
    assert people(state) == ["carol"]
    office.asked.clear()
    state, _ = go(made, state, Ticked(), 2, office)
    assert office.asked == [(AskManager("a", "carol"),)]
    assert people(state) == ["boss"]


def test_a_reassignment_that_is_refused_the_employee() -> None:
    made = recipe(
        '{id: a, approver: bob, timeout: 1h, on_timeout: "reassign:{{ employee.manager }}"}'
    )
    office = Office("carol")
    state, _ = go(made, new(made), Started(), answer=office)
    office.away = {"alice"}
    state, _ = go(made, state, Ticked(), 1, office)
    assert (people(state), [i.seat for i in state.incidents]) == (["bob"], ["a"])
    assert progress.next_wakeup(state) is None
    office.away = set()
    state, _ = go(made, state, retry(1), 2, office)
    assert (people(state), state.incidents) == (["carol"], ())


def test_one_incident_to_a_seat_however_often() -> None:
    made = recipe(
        '{id: a, candidates: ["{{ employee.manager }}", "{{ employee.manager.manager }}"]}'
    )
    office = Office()
    state, _ = go(made, new(made), Started(), answer=office)
    for number in range(4):
        assert len(state.incidents) == 1
        state, _ = go(made, state, retry(number), answer=office)
    office.managers = ("bob", "erin")
    state, _ = go(made, state, retry(9), answer=willing_with(office))
    assert state.incidents == ()
    assert state.tasks[0].assignment.candidates == ("user:bob", "user:erin")


def willing_with(office: Office) -> Answers:
    return lambda asks: office(asks) if isinstance(asks[0], AskEmployee) else willing(asks)


def test_retry_asks_once_for_a_seat_of_two_incidents() -> None:
    """A request of an earlier engine may hold them."""
    made = recipe("{id: a, approver: bob}")
    office = Office()
    office.away = {"bob"}
    state, _ = go(made, new(made), Started(), answer=office)
    office.away = set()
    state, effects = go(
        made, replace(state, incidents=state.incidents * 2), retry(1), answer=office
    )
    assert (people(state), state.incidents) == (["bob"], ())
    assert any(isinstance(effect, SettleCommand) for effect in effects)


def test_a_hundred_people_and_no_more() -> None:
    made = recipe('{id: a, approvers: "{{ who }}"}')
    crowd = [f"p{n}" for n in range(101)]
    state, _ = go(made, new(made, who=crowd[:100]), Started())
    assert len(state.tasks) == 100
    state, _ = go(made, new(made, who=crowd), Started())
    assert incidents(state) == ["NoApproverFound: a: approvers gives 101, more than 100"]
    state, _ = go(made, new(made, who=["bob"] * 101), Started())
    assert len(state.incidents) == 1


@pytest.mark.parametrize("who", ["x" * 60_000, "not a name", "team:bob"])
def test_what_an_incident_says_is_short(who: str) -> None:
    padding = " " * 1_500
    made = recipe(f"{{id: a, approver: \"{{{{ who + {padding} '' }}}}\"}}")
    state, _ = go(made, new(made, who=who), Started())
    assert state.incidents[0].detail.startswith("{{ who + '' }}: gives ")
    assert len(state.incidents[0].detail) < 120
    office = Office()
    office.one = lambda _: Answer(refusal=Refusal("NoApproverFound", "why " * 1_000))  # type: ignore[method-assign]
    made = recipe("{id: a, approver: bob}")
    state, _ = go(made, new(made), Started(), answer=office)
    assert len(state.incidents[0].detail) == 300


def test_one_person_of_many_spellings_has_one_seat() -> None:
    made = recipe('{id: a, approvers: "{{ who }}"}')
    who = ["bob", "user:bob", " bob", "user: bob", {"id": "bob"}, "role:bob"]
    state, _ = go(made, new(made, who=who), Started())
    assert [seat.reference for seat in state.seats] == ["bob", "role:bob"]


def test_the_directory_gives_one_person_for_two_seats() -> None:
    made = recipe('{id: a, approvers: "{{ who }}"}')
    office = Office()
    state, _ = go(made, new(made, who=["bob", "role:bob", "carol"]), Started(), answer=office)
    assert people(state) == ["bob", "carol"]
    assert [incident.seat for incident in state.incidents] == ["a/2"]
    assert incidents(state) == ["NoApproverFound: bob already has a seat in step a"]
    state, _ = go(made, state, decided(state, 0, who="bob"))
    state, _ = go(made, state, retry(1), answer=office)
    assert incidents(state) == ["NoApproverFound: bob already has a seat in step a"]
    state, _ = go(made, state, retry(2))
    assert people(state) == ["carol", "role:bob"]


def test_two_branches_are_two_people() -> None:
    branches = "branches: [{approver: bob}, {approver: 'user:bob'}]"
    made = recipe(f"{{id: a, {branches}}}")
    state, _ = go(made, new(made), Started(), answer=Office())
    assert (people(state), [i.seat for i in state.incidents]) == (["bob"], ["a/2"])
    made = recipe(f"{{id: a, quorum: any, {branches}}}")
    state, _ = go(made, new(made), Started(), answer=Office())
    assert (people(state), state.incidents) == (["bob", "bob"], ())


def test_an_escalation_gives_nobody_a_second_seat() -> None:
    made = recipe(
        "{id: a, approvers: \"{{ ['bob', 'carol'] }}\", timeout: 1h, on_timeout: escalate}"
    )
    state, _ = go(made, new(made), Started(), answer=Office())
    state, effects = go(made, state, Ticked(), 1, Office())
    assert people(state) == ["carol", "boss"]
    assert incidents(state) == ["NoApproverFound: boss already has a seat in step a"]
    assert len(effects) == 3
    assert progress.next_wakeup(state) is not None
    assert state.tasks[1].due_at > NOW  # type: ignore[operator]
