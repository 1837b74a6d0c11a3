"""Forms from schemas: what people are asked, what they see, and what their answers mean."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.web import forms
from api.web.fields import Field, of_recipe
from api.web.forms import Line
from recipes import inputs
from recipes.model import Json

ZONE = "Europe/Madrid"
NAME = "/inputs"


def asked(**known: Json) -> Field:
    """The form of these properties, all of them required."""
    schema = {"type": "object", "properties": known, "required": list(known)}
    return of_recipe(schema | {"additionalProperties": False}, ())


def line(schema: Json, draft: Any = None) -> Line:
    """The line of one required property of this schema."""
    field = asked(it=schema)
    draft = forms.blank(field, ZONE) if draft is None else {"it": draft, forms.MORE: ""}
    return forms.laid_out(field, draft, NAME, {}).lines[0]


def sent(shown: Line) -> dict[str, list[str]]:
    """What a browser sends of a form: line ends of its own, and nothing for what is not ticked."""
    found: dict[str, list[str]] = {}
    for each in shown.each:
        if each.field.kind == "list":
            found[each.name] = [str(number) for number, _ in enumerate(each.lines)]
        elif each.field.kind == "several":
            found[each.name] = list(each.draft)
        elif each.field.kind not in ("group", "fixed"):
            text = each.draft.replace("\n", "\r\n") if each.several_lines else each.draft
            found[each.name] = [text] if text else []
    return found


def answered(field: Field, given: dict[str, list[str]]) -> tuple[tuple[Json, ...], dict[str, str]]:
    """The value of what was sent, and what is wrong."""
    wrong: dict[str, str] = {}
    draft = forms.tidy(field, forms.drafted(field, NAME, given))
    return forms.read(field, draft, NAME, ZONE, wrong), wrong


def said(schema: Json, *texts: str) -> Json:
    """The value, or the message, of what is typed into one field."""
    value, wrong = answered(asked(it=schema), {f"{NAME}/it": list(texts)})
    return wrong[f"{NAME}/it"] if wrong else value[0]["it"]


# --- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, "text"),
        ({"type": ["string", "null"]}, "text"),
        ({"maxLength": 3}, "text"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "format": "date-time"}, "moment"),
        ({"type": "string", "format": "time"}, "time"),
        ({"type": "integer"}, "integer"),
        ({"type": ["integer", "number"]}, "number"),
        ({"minimum": 0}, "number"),
        ({"type": "boolean"}, "yes_no"),
        ({"enum": [True, False]}, "yes_no"),
        ({"enum": ["a", "b"]}, "choice"),
        ({"oneOf": [{"const": 1, "title": "One"}, {"const": 2}]}, "choice"),
        ({"const": True}, "tick"),
        ({"const": "EUR"}, "fixed"),
        ({"type": "array", "items": {"type": "string"}}, "list"),
        ({"type": "array"}, "list"),
        ({"type": "array", "uniqueItems": True, "items": {"enum": [1, 2]}}, "several"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "json"),
        ({"properties": {"a": {}}}, "group"),
        ({"type": "object"}, "json"),
        ({"type": ["string", "object"]}, "json"),
        ({"oneOf": [{"type": "object"}, {"type": "string"}]}, "json"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "json"),
        ({"type": ["string", "integer"]}, "any"),
        ({}, "any"),
        (True, "any"),
    ],
)
def test_each_schema_has_its_kind_of_field(schema: Json, kind: str) -> None:
    assert line(schema).field.kind == kind


def test_what_the_author_wrote_is_what_people_read() -> None:
    field = asked(
        cost_center={"type": "string", "pattern": "^[0-9]{4}$"},
        amount={
            "type": "number",
            "title": "Amount in EUR",
            "description": "With tax.",
            "exclusiveMinimum": 0,
            "maximum": 10000,
            "examples": [12.5],
        },
    )
    center, amount = field.members
    assert (center.label, center.hints) == ("Cost center", ("in the form ^[0-9]{4}$",))
    assert center.attributes == {"type": "text", "pattern": ".*(?:^[0-9]{4}$).*"}
    assert (amount.label, amount.description) == ("Amount in EUR", "With tax.")
    assert amount.hints == ("more than 0, at most 10,000", "such as 12.5")
    assert amount.attributes is not None
    assert (amount.attributes["min"], amount.attributes["max"]) == ("0", "10000")


@pytest.mark.parametrize(
    ("schema", "attributes"),
    [
        ({"type": "integer", "exclusiveMinimum": 0}, {"min": "1", "step": "1"}),
        ({"type": "integer", "exclusiveMaximum": 10}, {"max": "9"}),
        ({"type": "number", "minimum": 0.5, "multipleOf": 0.5}, {"step": "0.5"}),
        # From 0.2 on browsers would count 0.7, 1.2 ...
        ({"type": "number", "minimum": 0.2, "multipleOf": 0.5}, {"step": "any"}),
        ({"type": "string", "maxLength": 2000}, {"rows": "4", "maxlength": "2000"}),
        ({"type": "string", "format": "email"}, {"type": "email"}),
    ],
)
def test_browsers_check_what_they_can(schema: Json, attributes: dict[str, str]) -> None:
    assert attributes.items() <= (line(schema).field.attributes or {}).items()


@pytest.mark.parametrize(
    "pattern", [r"^\p{L}+$", "(?i)a", "[a-z&&[^x]]", r"a\-b", "[(]", "(", "^a|b$|^c", "x{2}{3}"]
)
def test_patterns_that_browsers_may_read_otherwise_are_left_to_the_api(pattern: str) -> None:
    schema = {"type": "string", "pattern": pattern}
    assert "pattern" not in (line(schema).field.attributes or {})


def test_an_untyped_recipe_asks_for_what_its_expressions_name() -> None:
    field = of_recipe(None, ["days", "why"])
    assert [(each.key, each.kind, each.required) for each in field.members] == [
        ("days", "any", True),
        ("why", "any", True),
    ]


def test_a_schema_that_refers_to_itself_ends_in_json() -> None:
    node = {"type": "object", "properties": {"name": {}, "next": {"$ref": "#/$defs/node"}}}
    schema = {"$defs": {"node": node}, "properties": {"first": {"$ref": "#/$defs/node"}}}
    first = of_recipe(schema, ()).members[0]
    assert (first.kind, first.members[1].kind) == ("group", "json")
    assert "no form fits" in first.members[1].hints[0]


def test_what_a_schema_says_elsewhere_is_asked_for_as_json() -> None:
    schema: Json = {"properties": {"a": {}}, "patternProperties": {"^x": {"type": "string"}}}
    field = of_recipe(schema, ())
    shown = forms.laid_out(field, forms.blank(field, ZONE), NAME, {})
    assert shown.more is not None
    assert answered(field, {shown.more.name: ['{"x1": "y"}']})[0] == ({"x1": "y"},)


def test_defaults_stand_there_and_count_only_where_they_are_sent() -> None:
    schema = {
        "properties": {
            "currency": {"enum": ["EUR", "USD"], "default": "EUR"},
            "trip": {"properties": {"class": {"type": "string", "default": "second"}}},
        }
    }
    field = of_recipe(schema, ())
    draft = forms.blank(field, ZONE)
    # A group that nobody needs to fill in must not count as filled in.
    assert (draft["currency"], draft["trip"]["class"]) == ("EUR", "")
    assert answered(field, {"/inputs/currency": [""]})[0] == ({},)


# --- what is answered -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "  Acme  ", "Acme"),
        ({"type": "string"}, "two\r\nlines", "two\nlines"),
        ({"type": "number"}, "1250.50", 1250.5),
        ({"type": "number"}, "1 250", 1250),
        ({"type": "integer"}, "5.0", 5),
        ({"type": "integer"}, "9007199254740993", 9007199254740993),
        ({"type": "boolean"}, "false", False),
        (
            {"type": "string", "format": "date-time"},
            "2026-07-01T09:30",
            "2026-07-01T09:30:00+02:00",
        ),
        (
            {"type": "string", "format": "date-time"},
            "2026-01-01 09:30",
            "2026-01-01T09:30:00+01:00",
        ),
        (
            {"type": "string", "format": "date-time"},
            "2026-01-01T09:30Z",
            "2026-01-01T09:30:00+00:00",
        ),
        ({"type": "string", "format": "time"}, "09:30", "09:30:00Z"),
        ({"enum": [1, "1"]}, '"1"', "1"),
        ({}, "5", 5),
        ({}, "28001x", "28001x"),
        ({}, "007", "007"),
        ({}, '"28001"', "28001"),
        ({}, '"so" he said', '"so" he said'),
        ({}, "true", True),
        ({}, '{"a": [1]}', {"a": [1]}),
        ({"type": ["string", "null"]}, "", None),
    ],
)
def test_texts_are_values_of_the_right_type(schema: Json, text: str, value: Json) -> None:
    found = said(schema, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("schema", "text", "message"),
    [
        ({"type": "string"}, "  ", "is needed"),
        ({"const": True}, "", "must be ticked"),
        ({"type": "number"}, "1,250", "write a number with a point and without commas, such as 1250.50"),
        ({"type": "number"}, "1e999", "is too large a number"),
        ({"type": "integer"}, "9" * 30, "is too large a number"),
        ({"type": "integer"}, "2.5", "write a whole number"),
        ({"type": "string", "format": "date"}, "2026-02-30", "write a day such as 2026-12-21"),
        ({"type": "string", "format": "date-time"}, "tomorrow", "write a day and a time such as 2026-12-21T09:30"),
        (
            {"type": "string", "format": "date-time"},
            "2026-03-29T02:30",
            "there is no such time in Europe/Madrid: clocks are put forward over it",
        ),
        ({"type": "string", "format": "time"}, "25:00", "write a time such as 09:30"),
        ({"enum": ["a", "b"]}, "c", "choose one of these"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_what_to_write(schema: Json, text: str, message: str) -> None:
    assert said(schema, text) == message


def test_json_that_is_none_says_where() -> None:
    assert "line 1 column" in said({"type": "object"}, "{a}")
    assert 'put it in "double quotes"' in said({}, "[draft] of it")
    assert said({"type": "object"}, '{"a": NaN}').startswith("is not JSON")
    field = of_recipe({"properties": {"a": {}}}, ())
    for text, message in (("[1]", "must be a JSON object"), ('{"a": 1}', "a: has a field")):
        assert message in answered(field, {NAME + forms.MORE: [text]})[1][NAME + forms.MORE]


def test_a_text_that_is_no_day_is_not_dropped_by_the_browser() -> None:
    schema = {"type": "string", "format": "date"}
    assert line(schema, "2026-12-21").type == "date"
    assert line(schema, "next week").type == "text"


ITEMS = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["what", "price"],
        "properties": {
            "what": {"type": "string"},
            "price": {"type": "number"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
    },
}


def test_rows_are_added_and_removed_by_name() -> None:
    field = asked(items=ITEMS)
    draft = forms.padded(field, forms.blank(field, ZONE), ZONE)
    assert len(draft["items"]) == 1
    draft["items"][0]["what"] = "chairs"
    draft = forms.with_row(field, draft, NAME, "/inputs/items", ZONE)
    draft = forms.with_row(field, draft, NAME, "/inputs/items/1/tags", ZONE)
    assert [len(row["tags"]) for row in draft["items"]] == [0, 1]
    draft = forms.without_row(field, draft, NAME, "/inputs/items/0")
    assert [row["what"] for row in draft["items"]] == [""]
    assert forms.without_row(field, draft, NAME, "/inputs/nothing/0") == draft


def test_rows_left_blank_are_nothing() -> None:
    given = {
        "/inputs/items": ["0", "1", "3", "x", "-1", "99999999999"],
        "/inputs/items/1/what": ["desks"],
        "/inputs/items/1/price": ["80"],
        "/inputs/items/3/what": ["chairs"],
        "/inputs/items/3/price": ["cheap"],
    }
    value, wrong = answered(asked(items=ITEMS), given)
    assert value[0]["items"][0] == {"what": "desks", "price": 80}
    # The message stands where the row will be shown: the blank one is gone.
    assert list(wrong) == ["/inputs/items/1/price"]


def test_problems_stand_at_the_nearest_field() -> None:
    field = asked(note={"type": "string"}, data={"type": "object"})
    shown = forms.laid_out(field, forms.blank(field, ZONE), NAME, {})
    found, rest = forms.placed(
        [shown],
        {"/inputs/note": "is too long", "/inputs/data/a/0": "must be text", "/inputs/x": "is foreign", "/entity": "is needed", "": "no"},
    )  # fmt: skip
    assert found == {
        "/inputs/note": "is too long",
        "/inputs/data": "a/0: must be text",
        "/inputs": "x: is foreign",
    }
    assert rest == ["/entity: is needed", "no"]


def test_browsers_insist_only_on_what_must_be_there() -> None:
    inner = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    schema = {"properties": {"must": inner, "may": inner}, "required": ["must"]}
    field = of_recipe(schema, ())
    must, may = forms.laid_out(field, forms.blank(field, ZONE), NAME, {}).lines
    assert (must.lines[0].must, may.lines[0].must) == (True, False)
    value, wrong = answered(field, {"/inputs/must/a": ["x"]})
    assert (value, wrong) == (({"must": {"a": "x"}},), {})


# --- there and back -------------------------------------------------------------------------------

_LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])
TEXTS = st.text(_LETTERS, min_size=1, max_size=20).filter(lambda text: text == text.strip())
LINES = st.lists(TEXTS, min_size=1, max_size=3).map("\n".join)
WHOLE = st.integers(-(2**63) + 1, 2**63 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes(datetime(1902, 1, 1), datetime(2150, 1, 1))  # noqa: DTZ001 (made aware below)


def _moment(naive: datetime, hours: int) -> str:
    return (naive.replace(tzinfo=UTC) + timedelta(hours=hours)).isoformat()


JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | NUMBERS | LINES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
SCALARS: dict[str, tuple[Json, st.SearchStrategy[Json]]] = {
    "string": ({"type": "string"}, LINES),
    "integer": ({"type": "integer"}, WHOLE),
    "number": ({"type": "number"}, NUMBERS | WHOLE),
    "boolean": ({"type": "boolean"}, st.booleans()),
    "enum": ({"enum": [1, "1", True, "a b"]}, st.sampled_from([1, "1", True, "a b"])),
    "date": ({"type": "string", "format": "date"}, st.dates().map(date.isoformat)),
    "moment": (
        {"type": "string", "format": "date-time"},
        st.builds(_moment, MOMENTS, st.integers(0, 3)),
    ),
    "any": ({}, JSON),
    "json": ({"type": "object"}, st.dictionaries(TEXTS, JSON, min_size=1, max_size=3)),
}


@st.composite
def pairs(draw: st.DrawFn, depth: int = 2) -> tuple[Json, Json]:
    """A schema, and a value of it that is not blank."""
    kinds = [*SCALARS, *(["object", "array"] if depth else [])]
    kind = draw(st.sampled_from(kinds))
    if kind in SCALARS:
        schema, values = SCALARS[kind]
        return schema, draw(values.filter(lambda value: value not in ("", None, {}, [])))
    if kind == "array":
        schema, first = draw(pairs(depth - 1))
        return {"type": "array", "items": schema}, [first] * draw(st.integers(1, 3))
    known: dict[str, Json] = {}
    value: dict[str, Json] = {}
    for name in draw(st.lists(TEXTS, min_size=1, max_size=4, unique=True)):
        known[name], value[name] = draw(pairs(depth - 1))
    here = draw(st.sets(st.sampled_from(sorted(known)), min_size=1))
    required = draw(st.sets(st.sampled_from(sorted(here))))
    schema = {"type": "object", "properties": known, "required": sorted(required)}
    return schema, {name: value[name] for name in known if name in here}


def same(one: Json, other: Json) -> bool:
    """Whether two values mean the same: moments may be told with another offset."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
        case list(), list():
            return len(one) == len(other) and all(map(same, one, other))
        case str(), str() if one != other:
            return datetime.fromisoformat(one) == datetime.fromisoformat(other)
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@settings(max_examples=150, deadline=None)
@given(pairs())
def test_a_value_comes_back_from_its_form(pair: tuple[Json, Json]) -> None:
    schema, value = pair
    whole, field = {"it": value}, asked(it=schema)
    shown = forms.laid_out(field, forms.shown(field, whole, ZONE), NAME, {})
    found, wrong = answered(field, sent(shown))
    assert wrong == {}
    assert same(found[0], whole), (found[0], whole)
    assert inputs.against({"properties": {"it": schema}}, found[0]) == ()


@settings(max_examples=60, deadline=None)
@given(pairs(), st.data())
def test_nothing_that_was_typed_is_lost(pair: tuple[Json, Json], data: st.DataObject) -> None:
    schema, value = pair
    field = asked(it=schema)
    shown = forms.laid_out(field, forms.shown(field, {"it": value}, ZONE), NAME, {})
    typed = {name: data.draw(TEXTS) for name in texts(shown)}
    given = sent(shown) | {name: [text] for name, text in typed.items()}
    _, wrong = answered(field, given)
    draft = forms.tidy(field, forms.drafted(field, NAME, given))
    again = forms.laid_out(field, draft, NAME, wrong)
    assert texts(again) == typed
    assert {each.name for each in again.each if each.problem} == set(wrong)


def texts(shown: Line) -> dict[str, str]:
    """What stands in its fields of text."""
    return {
        each.name: each.draft for each in shown.each if isinstance(each.draft, str) and each.draft
    }
