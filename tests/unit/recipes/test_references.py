"""What may name a person or a role, and what is the same person."""

from typing import Any

import pytest

from recipes.expressions import ExpressionError
from recipes.references import once, reference


@pytest.mark.parametrize(
    ("value", "is_"),
    [
        ("bob", "bob"),
        (" bob ", "bob"),
        ("user: bob", "user:bob"),
        ("role:hr", "role:hr"),
        ({"id": "bob@example.org", "name": "Bob"}, "user:bob@example.org"),
        ("b" * 128, "b" * 128),
    ],
)
def test_references(value: Any, is_: str) -> None:
    assert reference(value) == is_


@pytest.mark.parametrize(
    "value",
    [
        "b" * 129,
        "bob" + " " * 200,
        "team:bob",
        "role:",
        "bob smith",
        "-bob",
        "bob\n\n,",
        "böb",
        "a\0",
    ],
)
def test_texts_that_name_nobody(value: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        reference(value)
    assert str(caught.value) == "gives a text that can be no person's and no role's name"


def test_the_same_person_once() -> None:
    given = ["bob", "user:bob", "role:x", "x", "user:carol", "carol", "role:x"]
    assert once(given) == ["bob", "role:x", "x", "user:carol"]
