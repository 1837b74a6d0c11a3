"""Facts: inputs as people read them."""

from zoneinfo import ZoneInfo

import pytest

from api.web import rules
from contract import facts, words
from recipes.model import Json

ORDER: dict[str, Json] = {
    "type": "object",
    "properties": {
        "item": {"type": "string", "title": "What is bought"},
        "amount": {"type": "number", "title": "Amount"},
        "currency": {"type": "string"},
        "needed_on": {"type": "string", "format": "date"},
        "lines": {
            "type": "array",
            "items": {"properties": {"what": {}, "price": {"title": "Price in EUR"}}},
        },
    },
}


def test_amounts_and_days_come_first_and_the_rest_in_the_recipes_order() -> None:
    told = facts.facts(
        ORDER,
        {
            "currency": "EUR",
            "needed_on": "2026-12-21",
            "amount": 7200.5,
            "extra": [1, 2],
            "item": "Oven",
        },
    )
    assert [(each.label, each.text) for each in told.key] == [
        ("Amount", "7,200.50 EUR"),
        ("Needed on", "Mon 21 Dec 2026"),
    ]
    assert [(each.label, each.text) for each in told.rest] == [
        ("What is bought", "Oven"),
        ("Extra", "1, 2"),
    ]


def test_what_a_recipe_shows_is_shown_in_that_order() -> None:
    inputs = {"item": "Oven", "amount": 1, "currency": "EUR"}
    told = facts.facts(ORDER, inputs, show=("currency", "item"))
    assert [each.name for each in (*told.key, *told.rest)] == ["currency", "item"]


def test_what_is_hidden_says_so() -> None:
    told = facts.facts(
        ORDER, {"item": "Oven"}, withheld=["/title", "/inputs/amount", "/inputs/a~1b"]
    )
    hidden = {each.label: each.text for each in told.rest if each.kind == "hidden"}
    assert hidden == {"Amount": facts.HIDDEN, "A/b": facts.HIDDEN}


def test_lists_of_objects_are_tables() -> None:
    [told] = facts.facts(
        ORDER, {"lines": [{"price": 2, "what": "a"}, {"what": "b", "note": True}]}
    ).rest
    assert told.columns == ("What", "Price in EUR", "Note")
    assert told.rows == (("a", "2 EUR", ""), ("b", "", "yes"))


def test_objects_have_their_facts_within() -> None:
    [told] = facts.facts(None, {"address": {"city": "Bilbao", "flat": None}}).rest
    assert [(each.label, each.text) for each in told.parts] == [("City", "Bilbao"), ("Flat", "-")]


@pytest.mark.parametrize(
    ("schema", "value", "text", "kind"),
    [
        ({}, {"amount": 80, "currency": "EUR"}, "80 EUR", "money"),
        ({}, {"amount": True, "currency": "EUR"}, "Amount: yes; Currency: EUR", "group"),
        ({}, {"days": 3, "currency": "EUR"}, "Days: 3; Currency: EUR", "group"),
        ({}, {"a": 1, "to": {"city": "Bilbao", "flat": None}}, "A: 1; To: (City: Bilbao; Flat: -)", "group"),
        ({"properties": {"on": {"format": "date", "title": "First day"}}}, {"on": "2026-04-01"}, "First day: Wed 1 Apr 2026", "group"),
        ({}, {}, "-", "group"),
        ({"items": {"format": "date"}}, ["2026-04-01", "2026-04-02"], "Wed 1 Apr 2026, Thu 2 Apr 2026", "text"),
        ({}, [], "-", "text"),
        ({}, [{"a": 1}, {"a": 2, "b": "x"}, {}, {"a": 4}, {"a": 5}], "1; 2, x; -; and 2 more", "table"),
        ({"format": "date-time"}, "2026-07-01T12:00:00Z", "1 Jul 2026, 14:00 (Europe/Madrid)", "moment"),
        ({"format": "date-time"}, "soon", "soon", "text"),
        ({"format": "date"}, "soon", "soon", "text"),
        ({"format": "duration"}, "P1DT1H30M", "1 day 1 hour 30 minutes", "text"),
        ({"format": "duration"}, "PT", "PT", "text"),
        ({"$ref": "#/$defs/day"}, "2026-04-01", "Wed 1 Apr 2026", "day"),
        (True, False, "no", "text"),
        (True, 0.0049, "0.0049", "number"),
        (True, 1e300, "1E+300", "number"),
    ],
)  # fmt: skip
def test_each_kind_of_value_as_text(schema: Json, value: Json, text: str, kind: str) -> None:
    root: dict[str, Json] = {
        "properties": {"it": schema},
        "$defs": {"day": {"type": "string", "format": "date"}},
    }
    told = facts.facts(root, {"it": value}, zone=ZoneInfo("Europe/Madrid"))
    assert [(it.text, it.kind) for it in (*told.key, *told.rest)] == [(text, kind)]


def test_the_first_few_have_what_decisions_hang_on_and_stay_in_their_order() -> None:
    told = facts.facts(ORDER, {"x": "1", "item": "Oven", "amount": 5, "currency": "EUR", "y": 2})
    assert [each.name for each in told.first(2)] == ["item", "amount"]
    assert [each.name for each in told.first(9)] == ["item", "amount", "x", "y"]


def test_amounts_are_as_exact_as_they_were_given() -> None:
    said = [words.amount(it) for it in (7200, 7200.5, 1.459, 0.1, -5)]
    assert said == ["7,200", "7,200.50", "1.459", "0.10", "-5"]


@pytest.mark.parametrize(
    ("name", "title", "beside", "paid_in"),
    [
        ("amount", None, {"currency": "USD"}, "USD"),
        ("amount", None, {}, None),
        ("total_price", None, {"currency": "USD"}, "USD"),
        ("days", None, {"currency": "USD"}, None),
        ("value", "Value (in EUR)", {}, "EUR"),
        ("value", "Value in VAT", {}, None),
    ],
)
def test_the_currency_of_an_amount(
    name: str, title: str | None, beside: dict[str, Json], paid_in: str | None
) -> None:
    assert facts.currency(name, {"title": title or ""}, beside) == paid_in


def test_without_amounts_and_days_numbers_come_first() -> None:
    told = facts.facts(None, {"a": "x", "days": 5, "sure": True})
    assert [each.name for each in told.key] == ["days"]


def test_changes_are_said_by_label() -> None:
    changed = [
        {"pointer": "/inputs/amount", "from": 5, "to": 4000},
        {"pointer": "/inputs/lines/0/what", "to": "b"},
    ]
    assert facts.changes(changed, {"amount": "Amount in EUR"}) == [
        ("Amount in EUR", "5", "4,000"),
        ("Lines / 0 / what", "nothing", "b"),
    ]


def test_days_and_sizes() -> None:
    assert words.day("2026-02-30") is None
    assert [words.size(n) for n in (1, 1500, 2_500_000)] == ["1 byte", "2 kB", "2.5 MB"]
    assert words.sentence("no. why?") == "No. why?"
    assert words.sentence("no") == "No."


STEP: dict[str, Json] = {
    "id": "two",
    "name": "Two of them",
    "when": "amount > 5",
    "ballots": [
        {"id": "legal", "name": "Legal", "candidates": ["role:legal", "user:x"]},
        {
            "id": "line",
            "name": None,
            "approver": "{{ employee.manager }}",
            "authority": {"amount": "amount", "currency": "'EUR'"},
            "not_same_as": ["one"],
        },
        {"id": "each", "name": None, "approvers": "{{ a }}, {{ b }}"},
    ],
}


def test_the_rule_of_a_step_in_words() -> None:
    recipe = {"steps": [STEP]}
    when = "only when amount > 5"
    assert rules.rule(recipe, "two", "legal") == [
        when,
        "any one of role:legal, user:x decides",
    ]
    assert rules.rule(recipe, "two", "line") == [
        when,
        "employee.manager decides",
        "whose approval limit covers amount EUR",
        "not who decided one",
    ]
    assert rules.rule(recipe, "two", "each") == [when, "each of {{ a }}, {{ b }} is asked"]
    assert rules.rule(recipe, "gone", None) == []
    assert rules.step_name(recipe, "two", "legal") == "Two of them, Legal"
    assert rules.step_name(recipe, "two", "line") == "Two of them, line"
    assert rules.step_name(recipe, "gone") == "gone"
