"""Conditions on inputs: what they say, and how what says nothing is refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.conditions import (
    Comparison,
    Condition,
    ConditionInvalid,
    Every,
    Some,
    condition,
    names,
)
from storage.jsonpath import jsonpath

AMOUNT = Comparison(("amount",), ">", Decimal(50000))
EUR = Comparison(("currency",), "==", "EUR")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("amount > 50000", AMOUNT),
        ("  inputs.amount>50000 ", AMOUNT),
        ("50000 < amount", AMOUNT),
        ("amount > 50000 && currency == 'EUR'", Every((AMOUNT, EUR))),
        ('amount > 50000 || (currency == "EUR" && amount > 50000)', Some((AMOUNT, Every((EUR, AMOUNT))))),
        ("ship.to.city != 'Łódź \\u00e9\\''", Comparison(("ship", "to", "city"), "!=", "Łódź é'")),
        ("""note == 'say "hi"'""", Comparison(("note",), "==", 'say "hi"')),
        ("urgent == true", Comparison(("urgent",), "==", True)),
        ("-780.50 >= x", Comparison(("x",), "<=", Decimal("-780.50"))),
    ],
)  # fmt: skip
def test_what_is_said(source: str, said: Condition) -> None:
    assert condition(source) == said


@pytest.mark.parametrize(
    ("source", "column", "fix"),
    [
        ("", 1, "an input or a value belongs here"),
        ("amount = 5", 8, "write =="),
        ("amount > 5 and b == 1", 12, "write &&"),
        ("amount > 5 OR b == 1", 12, "write ||"),
        ("amount > 5 & b == 1", 12, "write &&"),
        ("amount > 5 b", 12, "&& or ||"),
        ("amount > 5)", 11, "&& or ||"),
        ("(amount > 5", 12, "close the bracket"),
        ("amount", 7, "one of == !="),
        ("amount >", 9, "an input or a value"),
        ("amount > other", 1, "such as amount > 50000"),
        ("5 > 3", 1, "such as"),
        ("urgent > true", 8, "use == or !="),
        ('name == "Acme', 9, "close it with"),
        ("amount > 5e3", 10, "write numbers as"),
        ("amount > 1234567890123456", 10, "use fewer"),
        (r'name == "\x41"', 9, "escape as in JSON"),
        (r'name == "\u0000"', 9, "leave it out"),
        ("inputs == 3", 1, "name one"),
        ("amount > 5; DROP TABLE audit", 11, "such as"),
        ("(" * 30 + "a == 1" + ")" * 30, 22, "use fewer"),
        ("a == 1" + " " * 2000, 2000, "ask for less"),
        ("!urgent", 1, "write !="),
    ],
)
def test_what_is_refused_has_its_place_and_a_fix(source: str, column: int, fix: str) -> None:
    with pytest.raises(ConditionInvalid, match="column") as refused:
        condition(source)
    assert refused.value.column == column
    assert fix in str(refused.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(source: str) -> None:
    try:
        said = condition(source)
    except ConditionInvalid as error:
        column = error.column
    else:
        column = 1
        assert jsonpath(said).startswith("strict (")
    assert 1 <= column <= len(source) + 1


def test_which_inputs_it_is_on() -> None:
    assert names(condition('a > 1 && (b.c == "x" || 2 < d) && a < 9')) == {"a", "b", "d"}
