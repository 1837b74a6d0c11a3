"""Submissions: every problem with a pointer, values never repeated."""

import math
from typing import Any

import pytest

from recipes.inputs import SIZE_LIMIT, InputChange, InputProblem, changes, schema_problems, validate
from recipes.model import Recipe
from recipes.parse import parse

TYPED = Recipe(
    "typed",
    1,
    (),
    inputs={
        "type": "object",
        "required": ["days", "a b"],
        "additionalProperties": False,
        "properties": {
            "days": {"type": "integer", "maximum": 30},
            "a b": {"type": "string"},
            "when": {"type": "string", "format": "date"},
            "code": {"type": "string", "pattern": "^(a+)+$"},
            "trip": {
                "type": "object",
                "required": ["to"],
                "properties": {"x/y~z": {"type": "string"}, "stops": {"items": {"type": "string"}}},
            },
        },
    },
)
UNTYPED = parse(
    """
workflow: untyped
version: 1
owner: x
title: "{{ subject }}"
steps:
  - {id: short, when: days < 3, action: approve}
  - {id: boss, when: inputs.days > 5, approver: "{{ boss }}", timeout: 1d, on_timeout: "reassign:{{ other }}"}
  - {id: all, approvers: "{{ [boss] }}"}
  - {id: some, candidates: ["{{ friend }}", bob]}
  - {id: dear, approver: bob, authority: days * rate}
"""
).recipe


def found(recipe: Recipe, inputs: Any) -> dict[str, str]:
    return {problem.pointer: problem.message for problem in validate(recipe, inputs)}


def test_what_fits() -> None:
    assert validate(TYPED, {"days": 3, "a b": "x", "when": "2026-01-31"}) == ()
    assert validate(TYPED, {"days": 3.0, "a b": "x"}) == ()
    every: dict[str, Any] = {
        "subject": 1,
        "days": None,
        "boss": [],
        "other": {},
        "friend": "x",
        "rate": 2,
        "currency": "EUR",
        "more": True,
    }
    assert validate(UNTYPED, every) == ()


def test_all_problems_with_their_pointers() -> None:
    inputs = {
        "days": 31,
        "when": "2026-02-30",
        "zzz": 1,
        "trip": {"x/y~z": 3, "stops": ["a", 2]},
    }
    assert found(TYPED, inputs) == {
        "/a b": "is required",
        "/days": "the value is greater than the maximum of 30",
        "/when": 'the value is not a "date"',
        "/zzz": "is not an input of this recipe",
        "/trip/to": "is required",
        "/trip/x~1y~0z": 'the value is not of type "string"',
        "/trip/stops/1": 'the value is not of type "string"',
    }


def test_values_are_never_repeated() -> None:
    told = " ".join(found(TYPED, {"days": "secret", "a b": "x", "code": "secret" * 9}).values())
    assert "secret" not in told


def test_a_missing_input_names_the_steps_that_use_it() -> None:
    assert validate(UNTYPED, {}) == (
        InputProblem("/subject", "input `subject` is missing; it is used by the title"),
        InputProblem("/days", "input `days` is missing; it is used by steps short, boss, dear"),
        InputProblem("/boss", "input `boss` is missing; it is used by steps boss, all"),
        InputProblem("/other", "input `other` is missing; it is used by step boss"),
        InputProblem("/friend", "input `friend` is missing; it is used by step some"),
        InputProblem("/rate", "input `rate` is missing; it is used by step dear"),
        InputProblem("/currency", "input `currency` is missing; it is used by step dear"),
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**63, "is too large a number"),
        (-(2**63) - 1, "is too large a number"),
        (math.nan, "is not a finite number"),
        (math.inf, "is not a finite number"),
        ("\ud800", "holds half a character (a lone surrogate)"),
        (b"x", "is a bytes, which is not JSON"),
        ({3: 1}, "has a name that is not text"),
        ({"\ud800": 1}, "has a name that is not text"),
    ],
)
def test_what_no_part_behind_could_carry(value: object, message: str) -> None:
    assert found(UNTYPED, {"a/b": [value]}) == {"/a~1b/0": message}


def test_bounds() -> None:
    assert found(UNTYPED, [1]) == {"": "the inputs must be an object"}
    assert found(UNTYPED, {"a": "x" * SIZE_LIMIT}) == {"": "the inputs are larger than 256 KiB"}
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    (problem,) = validate(UNTYPED, {"a": deep})
    assert problem.message == "is nested deeper than 32 levels"


def test_regular_expressions_are_linear() -> None:
    inputs = {"days": 1, "a b": "x", "code": "a" * 50_000 + "b"}
    assert found(TYPED, inputs) == {"/code": 'the value does not match "^(a+)+$"'}
    assert "regex" in schema_problems({"properties": {"a": {"pattern": "(?=a)b"}}})[0][1]


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"type": "objct"}, ("type",), "not valid"),
        ({"properties": {"a": {"minimum": "x"}}}, ("properties", "a", "minimum"), "number"),
        ({"$ref": "http://example.org/x"}, (), "Retrieval is disabled"),
        ({"$ref": "file:///etc/passwd"}, (), "Retrieval is disabled"),
        ({"$ref": "#/nope"}, (), "does not exist"),
        (5, (), "boolean"),
    ],
)
def test_schemas_that_are_none(schema: Any, path: tuple[str, ...], message: str) -> None:
    problems = schema_problems(schema)
    assert problems[0][0] == path
    assert message in problems[0][1]


def test_a_sound_schema() -> None:
    assert schema_problems({"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"}) == ()


def test_where_inputs_differ() -> None:
    old = {"a": 1, "b": {"c/d": [1], "e": None}, "f": True, "g": 0}
    new = {"a": 1, "b": {"c/d": [2], "e": None}, "f": 1, "h": "x"}
    assert list(changes(old, new)) == [
        InputChange("/b/c~1d", ([1],), ([2],)),
        InputChange("/f", (True,), (1,)),
        InputChange("/g", (0,), ()),
        InputChange("/h", (), ("x",)),
    ]
    assert list(changes(old, old)) == []
