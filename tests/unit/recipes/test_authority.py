"""`authority`: which limit is asked for, exactly, and what is none."""

from typing import Any

import pytest

from recipes.asks import Answer, Ask, AskApprover, AskEmployee, AskManager, Assignment, Limit
from recipes.happenings import Rechecked, Started, Ticked
from recipes.parse import parse
from recipes.state import State
from tests.unit.recipes.test_progress import NOW, Recipe, go, incidents, new, willing

HEAD = "workflow: w\nversion: 1\nowner: x\ninputs: {properties: {n: {type: integer}, amount: {}, currency: {}}, required: [n, amount, currency]}\nsteps:\n"


def costly(rest: str = "") -> Recipe:
    return parse(f"{HEAD}  - {{id: a, approver: bob, authority: amount{rest}}}\n").recipe


def asked(made: Recipe, amount: Any, currency: Any = "EUR") -> tuple[Ask | None, State]:
    """The first question that a request for so much asks, and the request then."""
    found: list[Ask] = []

    def answer(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        found.extend(asks)
        return willing(asks)

    state, _ = go(made, new(made, amount=amount, currency=currency), Started(), answer=answer)
    return (found[0] if found else None), state


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (5000, "5000"),
        (0, "0"),
        (4999.99, "4999.99"),
        (5000.0, "5000"),
        (1e21, "1000000000000000000000"),
        (0.1, "0.1"),
        ("12345678901234567890.05", "12345678901234567890.05"),
        (" 7 ", "7"),
    ],
)
def test_amounts_are_exact(amount: Any, text: str) -> None:
    ask, state = asked(costly(), amount)
    assert ask == AskApprover("a", "bob", limit=Limit(text, "EUR"))
    assert state.tasks[0].ask == ask


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        (-1, "gives a int that is no amount: a number from 0 up"),
        (-0.5, "gives a float that is no amount: a number from 0 up"),
        ("1e3", "gives a str that is no amount: a number from 0 up"),
        ("NaN", "gives a str that is no amount: a number from 0 up"),
        ("\u0661", "gives a str that is no amount: a number from 0 up"),
        ("", "gives an empty text that is no amount: a number from 0 up"),
        (1e-40, "gives a float that is no amount: a number from 0 up"),
        (True, "gives a bool instead of an amount"),
        (None, "gives nobody instead of an amount"),
        ([1], "gives a list instead of an amount"),
    ],
)
def test_what_is_no_amount(amount: Any, told: str) -> None:
    ask, state = asked(costly(), amount)
    assert ask is None
    assert incidents(state) == [f"ExpressionError: a.authority: {told}"]


@pytest.mark.parametrize("currency", ["eur", "EURO", "EUR ", "", 978, None])
def test_what_is_no_currency(currency: Any) -> None:
    _, state = asked(costly(), 1, currency)
    assert incidents(state)[0].startswith("ExpressionError: a.authority: gives ")
    assert incidents(state)[0].endswith(" that is no currency code such as EUR")


def test_a_quotient_by_nothing() -> None:
    made = parse(
        f"{HEAD}  - {{id: a, approver: bob, authority: {{amount: 100 / n, currency: CHF}}}}\n"
    ).recipe
    state, _ = go(made, new(made, n=0), Started())
    assert incidents(state) == ["ExpressionError: a.authority: fails: divide by zero"]
    state, _ = go(made, new(made, n=3), Started())
    assert state.tasks[0].ask == AskApprover("a", "bob", limit=Limit("33", "CHF"))


def test_whoever_comes_later_needs_the_limit_too() -> None:
    made = costly(", timeout: 1h, on_timeout: [escalate, {after: 1h, action: 'reassign:carol'}]")
    _, state = asked(made, 5)
    limit = Limit("5", "EUR")
    questions = [state.tasks[0].ask]
    for hours in (1, 2):
        state, _ = go(made, state, Ticked(), hours)
        questions.append(state.tasks[0].ask)
    assert questions == [
        AskApprover("a", "bob", limit=limit),
        AskManager("a", "bob", limit=limit),
        AskApprover("a", "carol", limit=limit),
    ]


def test_an_amount_may_be_the_employees() -> None:
    made = parse(
        f"{HEAD}  - {{id: a, approver: bob,"
        " authority: {amount: employee.attributes.budget, currency: EUR}}\n"
    ).recipe

    def answer(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        if isinstance(asks[0], AskEmployee):
            return (Answer(employee={"id": "alice", "attributes": {"budget": 70}}),)
        return (Answer(assignment=Assignment("bob")),)

    state, _ = go(made, new(made), Started(), answer=answer)
    assert state.tasks[0].ask == AskApprover("a", "bob", limit=Limit("70", "EUR"))
    again, _ = go(made, state, Rechecked((state.tasks[0].id,), NOW), 1, answer)
    assert again.tasks == state.tasks
