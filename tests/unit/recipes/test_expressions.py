"""The one port to CEL: the conformance corpus, templates, absent inputs, and errors without values."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from recipes.expressions import SOURCE_LIMIT, Environment, ExpressionError, Want, environment
from recipes.findings import excerpt
from recipes.model import Recipe

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["days", "amount", "name", "tags", "trip", "urgent"],
    "properties": {
        "days": {"type": "integer"},
        "amount": {"type": "number"},
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "trip": {
            "type": "object",
            "required": ["km", "to"],
            "properties": {"km": {"type": "number"}, "to": {"type": "string"}},
        },
        "urgent": {"type": "boolean"},
        "note": {"type": "string"},
        "limit": {"type": "number"},
        "paid": {"type": "boolean"},
        "extra": {"type": "object"},
        "open": {"properties": {"a": {}}, "additionalProperties": True},
    },
}
INPUTS: dict[str, Any] = {
    "days": 5,
    "amount": 250,
    "name": "Zoë",
    "tags": ["a", "b"],
    "trip": {"km": 12, "to": "Bern"},
    "urgent": True,
}
SCOPE: dict[str, Any] = {
    **INPUTS,
    "inputs": INPUTS,
    "employee": {"id": "alice", "name": "Alice", "manager": {"id": "bob", "name": "Bob"}},
    "request": {
        "id": "1",
        "requester": "alice",
        "workflow": "w",
        "version": 3,
        "submitted_at": datetime(2026, 1, 5, 9, tzinfo=UTC),
    },
    "steps": {"first": {"outcome": "approved"}},
}
CORPUS = yaml.safe_load(Path(__file__).with_name("cel_corpus.yaml").read_text())
TYPED = Environment(SCHEMA, ())


def messages(source: str, want: Want = "text", env: Environment = TYPED) -> list[str]:
    return [finding.message for finding in env.check(source, want, ["first"])]


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry["expression"])
def test_corpus(entry: dict[str, Any]) -> None:
    source = entry["expression"]
    if "wrong" in entry:
        assert any(entry["wrong"] in message for message in messages(source)), messages(source)
        return
    assert messages(source) == []
    if "fails" in entry:
        with pytest.raises(ExpressionError, match=r".") as caught:
            TYPED.render("{{ " + source + " }}", SCOPE)
        assert entry["fails"] in str(caught.value)
    else:
        value = TYPED.render("{{ " + source + " }}", SCOPE)
        assert value == entry["is"]
        assert type(value) is type(entry["is"])


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain text", "plain text"),
        ("", ""),
        ("{{ name }} takes {{ days }} days", "Zoë takes 5 days"),
        ("{{ amount }} EUR{{ note }}", "250 EUR"),
        ("{{ amount / 3 }} {{ urgent }}", "83.33333333333333 true"),
        ("{{ tags }} of {{ trip }}", '["a","b"] of {"km":12.0,"to":"Bern"}'),
        ("role:{{ name }}", "role:Zoë"),
        ("{{ '}}' }}-{{ {'a': {'b': '{{'}}['a']['b'] }}", "}}-{{"),
    ],
)
def test_templates_give_text(template: str, text: str) -> None:
    assert TYPED.render(template, SCOPE) == text


@pytest.mark.parametrize("template", ["{{ days", "days }}", "{{ }}", "a {{ ' }} b", "{{ } }}"])
def test_broken_templates(template: str) -> None:
    with pytest.raises(ExpressionError):
        TYPED.render(template, SCOPE)


def test_a_condition_must_be_a_bool() -> None:
    with pytest.raises(ExpressionError, match="gives int instead of true or false"):
        TYPED.condition("days", SCOPE)
    assert TYPED.condition("paid == null", SCOPE)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("secret", "string"), (None, "null"), ([1], "list"), ({"a": 1}, "map"), (True, "bool")],
)
def test_errors_tell_types_and_never_values(value: object, kind: str) -> None:
    env = Environment(None, ["days"])
    with pytest.raises(ExpressionError) as caught:
        env.condition("days < 3", {"days": value, "inputs": {"days": value}})
    assert "secret" not in str(caught.value)
    assert f"`<` does not take {kind}, int [days: {kind}]" in str(caught.value)


def test_the_types_of_members_are_told() -> None:
    with pytest.raises(ExpressionError) as caught:
        TYPED.condition("employee.manager.name < days || request.submitted_at < amount", SCOPE)
    told = "[employee.manager.name: string, days: int, request.submitted_at: timestamp, amount: double]"
    assert told in str(caught.value)


def test_a_constant_has_no_types_to_tell() -> None:
    with pytest.raises(ExpressionError, match=r"divide by zero$"):
        TYPED.condition("1 / 0 == 1", {})


def test_unknown_names_at_run_time() -> None:
    with pytest.raises(ExpressionError, match="uses unknown names: zonk"):
        TYPED.render("{{ zonk }}", SCOPE)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**400])
def test_numbers_beyond_the_engine(number: int) -> None:
    inputs = {**INPUTS, "amount": number, "days": number}
    with pytest.raises(ExpressionError) as caught:
        TYPED.condition("days < 3 || amount < 3.0", {**SCOPE, "inputs": inputs})
    assert str(number) not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "want", "message"),
    [
        ("days", "condition", "gives int instead of true or false"),
        ("days", "person", "gives int instead of a person or a role"),
        ("name", "people", "gives string instead of a list of people"),
        ("[1]", "people", "gives list<int> instead of a list of people"),
    ],
)
def test_what_a_place_needs(source: str, want: Want, message: str) -> None:
    assert messages(source, want) == [message]


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("employee.manager", "person"),
        ("name", "person"),
        ("note", "person"),
        ("tags", "people"),
        ("[employee.manager, employee.manager.manager]", "people"),
        ("[employee.manager, 'role:x']", "people"),
        ("employee.attributes.cost_center.owner", "person"),
        ("days", "text"),
        ("urgent", "condition"),
    ],
)
def test_what_fits_a_place(source: str, want: Want) -> None:
    assert messages(source, want) == []


def test_fixes() -> None:
    def fix(source: str) -> str:
        return TYPED.check(source, "condition", ["first"])[0].fix

    assert fix("dayz < 3") == "did you mean `days`?"
    assert fix("zonk < 3") == "declare `zonk` under `inputs`"
    assert fix("employee.managr == 'x'") == "did you mean `manager`?"
    assert fix("employee.zzzzz == 'x'").startswith("`employee` has id, name")
    assert fix("urgent and urgent") == "write `&&` instead of `and`"
    assert fix("days = 3") == "write `==` to compare"
    assert fix("days <") == "correct the expression"
    assert fix("today() == 3") == "use one of CEL's functions"
    assert fix("steps.frist.outcome == 'x'") == "did you mean `first`?"
    no_step = TYPED.check("steps.a.outcome == 'x'", "condition", [])
    assert no_step[0].fix == "no step comes before this one"


def test_all_findings_at_once_with_their_places() -> None:
    found = TYPED.check("foo > 1 &&\n  days < 'x' && employee.typo == 1", "condition", [])
    assert [(finding.line, finding.column) for finding in found] == [(1, 1), (2, 8), (2, 26)]
    assert excerpt("foo > 1 &&\n  days < 'x'", found[1]) == "  days < 'x'\n       ^"


def test_long_and_deep_sources() -> None:
    long = f"days == {' ' * SOURCE_LIMIT}1"
    assert messages(long) == ["is longer than 2,000 characters"]
    with pytest.raises(ExpressionError, match="longer than"):
        TYPED.condition(long, SCOPE)
    assert messages("(" * 900 + "1" + ")" * 900) == ["is nested too deeply"]
    assert messages("+".join(["1"] * 900)) == ["is nested too deeply"]
    assert messages("\ud800")


def test_undeclared_names_of_an_untyped_recipe() -> None:
    env = Environment(None, ["known"])
    source = "days > known && foo.bar && siez(x) || [1].exists(i, i > lim)"
    assert env.undeclared(source) == ("days", "foo", "x", "lim")
    assert env.undeclared("known") == ()
    assert env.undeclared("(((") == ()


def test_inputs_whose_names_no_expression_can_say() -> None:
    schema: dict[str, Any] = {
        "properties": {"list": {"type": "integer"}, "a-b": {"type": "integer"}, "in": {}}
    }
    env = Environment(schema, ())
    assert messages("inputs['list'] + inputs['a-b'] + inputs['in']", env=env) == []
    inputs = {"list": 1, "a-b": 2, "in": 3}
    assert env.render("{{ inputs['list'] + inputs['a-b'] }}", {"inputs": inputs}) == 3


def test_members_of_open_objects_are_not_judged() -> None:
    assert messages("extra.anything == open.b") == []
    assert messages("open.a == inputs.open.c") == []


def test_environment_of_a_recipe() -> None:
    typed = environment(Recipe("w", 1, (), inputs=SCHEMA))
    assert typed.condition("days == 5", SCOPE)
    untyped = environment(Recipe("w", 1, (), implied=("days",)))
    assert untyped.condition("days == 5.0", {"days": 5, "inputs": {}})


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'a\\x00' }}",
        "{{ ['a\\x00'] }}",
        "{{ {'a\\x00': 1} }}",
        "{{ string(b'\\x00') }} b",
        "a\0 {{ 1 }}",
        "\ud800",
    ],
)
def test_text_that_no_database_takes(template: str) -> None:
    with pytest.raises(ExpressionError, match="a character that no database takes"):
        Environment(None, ()).render(template, {"inputs": {}})


def test_a_long_condition_is_told_in_short() -> None:
    with pytest.raises(ExpressionError) as caught:
        Environment(None, ["n"]).condition("n > 1 || " * 100 + "n > 'x'", {"inputs": {}, "n": None})
    assert len(str(caught.value)) < 250
    assert "[n: null]" in str(caught.value)
