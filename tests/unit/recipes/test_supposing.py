"""Whom a step would ask: at any step, of any state, changing nothing."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from recipes import parse, progress, supposing
from recipes.asks import Answer, AskApprover, AskCandidates, AskEmployee, Assignment, Limit
from recipes.expressions import ExpressionError
from recipes.happenings import Actor, Started
from recipes.state import FixedSeat, Seat, State

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
RECIPE = parse.parse("""
workflow: spend
version: 1
inputs:
  type: object
  required: [amount]
  properties:
    amount: {type: number}
    friend: {type: string}
    people: {type: array}
steps:
  - id: manager
    approver: "{{ employee.manager }}"
  - id: cheap
    when: amount < 5
    action: approve
  - id: finance
    when: amount > 100
    approver: role:hr
    not_same_as: [manager]
    authority: {amount: amount, currency: EUR}
  - id: friends
    when: friend == "erin"
    type: parallel
    branches:
      - {id: one, approver: "{{ inputs.friend }}"}
      - {id: all, approver: "user:{{ size(inputs) }}"}
  - id: pool
    candidates: [role:hr, user:frank]
  - id: many
    approvers: "{{ people }}"
""").recipe


def begun(**inputs: Any) -> State:
    return progress.initial(
        RECIPE,
        request_id=str(UUID(int=1)),
        requester="alice",
        inputs={"amount": 500} | inputs,
        submitted_at=NOW,
        digest="d",
    )


def asked(state: State, name: str) -> tuple[supposing.Supposed, ...]:
    step = supposing.approval_step(RECIPE, name)
    assert step is not None
    return supposing.suppose(RECIPE, supposing.at_step(RECIPE, state, step), None, NOW)


def holds(state: State, name: str) -> bool | None:
    step = supposing.approval_step(RECIPE, name)
    assert step is not None
    return supposing.applies(RECIPE, supposing.at_step(RECIPE, state, step), None, NOW)


def test_steps_that_ask() -> None:
    assert supposing.approval_step(RECIPE, "manager") is RECIPE.steps[0]
    assert supposing.approval_step(RECIPE, "cheap") is None
    assert supposing.approval_step(RECIPE, "nowhere") is None


def test_a_step_that_is_not_reached() -> None:
    state = replace(begun(), deciders={"manager": ("bob",)})
    [found] = asked(state, "finance")
    assert (found.seat, found.ballot, found.refusal) == ("finance", "finance", None)
    assert found.ask == AskApprover("finance", "role:hr", ("bob",), Limit("500", "EUR"))
    [pool] = asked(state, "pool")
    assert pool.ask == AskCandidates("pool", ("role:hr", "user:frank"))


def test_the_step_where_it_is_keeps_its_tasks() -> None:
    asks: list[object] = []

    def directory(wanted: tuple[Any, ...]) -> tuple[Answer, ...]:
        asks.extend(wanted)
        return tuple(
            Answer(employee={"id": "alice", "manager": {"id": "bob"}})
            if isinstance(ask, AskEmployee)
            else Answer(assignment=Assignment("bob"))
            for ask in wanted
        )

    state = progress.settle(RECIPE, begun(), Started(), NOW, directory).state
    step = supposing.approval_step(RECIPE, "manager")
    assert step is not None
    assert supposing.at_step(RECIPE, state, step) is state
    employee = {"id": "alice", "manager": {"id": "bob"}}
    [found] = supposing.suppose(RECIPE, state, employee, NOW)
    assert found.ask == asks[-1]
    later = supposing.at_step(RECIPE, replace(state, state="cancelled"), step)
    assert (later.tasks, later.seats, later.state) == ((), (), "pending")
    voted = replace(state.seats[0], vote="approve", by=Actor("bob"))
    assert supposing.suppose(RECIPE, replace(state, seats=(voted,)), employee, NOW) == ()


def test_what_was_fixed_at_submission() -> None:
    fixed = FixedSeat(Seat("finance", "finance"), ("role:hr",), ("dave",))
    [found] = asked(replace(begun(), fixed={"finance": (fixed,)}), "finance")
    assert isinstance(found.ask, AskApprover)
    assert found.ask.fixed == "dave"


def test_what_cannot_be_told_is_refused() -> None:
    one, another = asked(begun(), "friends")
    assert one.ask is None
    assert one.refusal is not None
    assert (another.ask, another.refusal) == (AskApprover("friends/all", "user:1"), None)
    with pytest.raises(ExpressionError):
        asked(begun(), "many")


def test_whether_it_applies() -> None:
    assert holds(begun(), "manager") is True
    assert holds(begun(), "finance") is True
    assert holds(begun(amount=5), "finance") is False
    assert holds(replace(begun(), inputs={}), "finance") is None


def test_which_inputs_a_step_reads() -> None:
    read: dict[str, tuple[str, ...]] = {}
    conditions: set[str] = set()
    for name in ("manager", "finance", "friends", "pool", "many"):
        step = supposing.approval_step(RECIPE, name)
        assert step is not None
        read[name] = supposing.inputs_read(RECIPE, step)
        if supposing.condition_reads_inputs(RECIPE, step):
            conditions.add(name)
    assert conditions == {"finance", "friends"}
    assert read == {
        "manager": (),
        "finance": ("amount",),
        "friends": ("friend", "inputs"),
        "pool": (),
        "many": ("people",),
    }
