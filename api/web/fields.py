"""What a form asks for, from the JSON Schema of a recipe's inputs. Pure.

Every part of the schema becomes a field that people can fill in; a part that no field fits (alternatives of
objects, objects whose members nobody named, what nests too deep) is asked for as JSON. What the schema demands
beyond that is left to the API, which says at which field it is not met.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic_core import to_json

from api.web import hints
from contract.facts import resolved
from contract.words import label
from recipes.model import Json
from recipes.schema import Schema, properties

Kind = Literal[
    "text",
    "integer",
    "number",
    "yes_no",
    "choice",
    "several",
    "tick",
    "fixed",
    "date",
    "moment",
    "time",
    "any",
    "json",
    "group",
    "list",
]
"""`tick` is one value or none, `fixed` one value whatever people say, `any` whatever JSON is typed."""

_DEEPEST = 5
_KINDS: Mapping[str, Kind] = {"integer": "integer", "number": "number", "boolean": "yes_no"}
_FORMATS: Mapping[str, Kind] = {"date": "date", "date-time": "moment", "time": "time"}
_OF_TEXT = ("minLength", "maxLength", "pattern", "format")
_OF_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_ELSEWHERE = ("allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas")
"""Where a schema may speak of members beside its `properties`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that can be chosen, by the token that stands for it in the form."""

    token: str
    text: str
    value: Json


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to fill in. `members` are those of a group, `item` is each row of a list. `more`: a group may
    have members that no field asks for; `asks_more` where its schema says which. `default` holds one value or
    none, as does an absent answer everywhere here."""

    key: str
    kind: Kind
    label: str
    required: bool = False
    nullable: bool = False
    description: str | None = None
    hints: tuple[str, ...] = ()
    attributes: Mapping[str, str] | None = None
    choices: tuple[Choice, ...] = ()
    members: tuple["Field", ...] = ()
    item: "Field | None" = None
    least: int = 0
    most: int | None = None
    more: bool = False
    asks_more: bool = False
    default: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the schema of all inputs, `root`, one is: how deep, and within which references."""

    root: Schema
    deep: int = 0
    within: tuple[str, ...] = ()

    def below(self, schema: Mapping[str, Any]) -> "_Place":
        return _Place(self.root, self.deep + 1, (*self.within, *_references(schema)))

    def fits(self) -> bool:
        """Whether there may be fields within this one: not within what refers to itself."""
        return self.deep < _DEEPEST and len(set(self.within)) == len(self.within)


def of_recipe(inputs: Schema | None, implied: Sequence[str]) -> Field:
    """The group of all inputs of a recipe; of one without a schema those that its expressions name."""
    if inputs is None:
        asked = tuple(_any(name, {}, required=True) for name in implied)
        return Field("", "group", "", required=True, members=asked, more=True)
    return _group(_Place(inputs), "", inputs, required=True)


def _field(place: _Place, key: str, schema: Json, *, required: bool) -> Field:
    """The field for a value of `schema`, which is called `key` where it stands."""
    place = place.below(schema if isinstance(schema, dict) else {})
    schema = resolved(place.root, schema)
    found = replace(
        _bare(place, key, schema, required=required),
        label=_title(schema) or label(key),
        description=_text(schema.get("description")),
        required=required,
    )
    if "default" in schema:
        found = replace(found, default=(schema["default"],))
    return found


def _bare(place: _Place, key: str, schema: dict[str, Any], *, required: bool) -> Field:
    kinds = _solid(schema)
    nullable = "null" in _stated(schema)
    choices = _choices(place.root, schema)
    if choices is not None:
        nullable = nullable or any(each.value is None for each in choices)
        solid = tuple(each for each in choices if each.value is not None)
        return _of_choices(key, solid, required=required, nullable=nullable)
    if kinds == ["object"]:
        if properties(schema) and place.fits():
            return replace(_group(place, key, schema, required=required), nullable=nullable)
        return _json(key, nullable=nullable)
    if kinds == ["array"]:
        return replace(_list(place, key, schema, required=required), nullable=nullable)
    if len(kinds) == 1 and not any(name in schema for name in ("anyOf", "oneOf")):
        return _scalar(key, kinds[0], schema, nullable=nullable)
    if {"object", "array"} & set(kinds) or any(name in schema for name in ("anyOf", "oneOf")):
        return _json(key, nullable=nullable)
    return _any(key, schema, required=required)


def _scalar(key: str, kind: str, schema: dict[str, Any], *, nullable: bool) -> Field:
    found = _KINDS.get(kind) or _FORMATS.get(str(schema.get("format")), "text")
    told, attributes = hints.of(kind, schema)
    return Field(key, found, "", nullable=nullable, hints=told, attributes=attributes)


def _any(key: str, schema: Mapping[str, Any], *, required: bool) -> Field:
    told, _ = hints.of("any", schema)
    said = _title(schema) or label(key)
    return Field(key, "any", said, required=required, hints=told)


def _json(key: str, *, nullable: bool) -> Field:
    note = "This part is asked for as JSON: its recipe describes it in a way that no form fits."
    return Field(key, "json", "", nullable=nullable, hints=(note,))


def _group(place: _Place, key: str, schema: Mapping[str, Any], *, required: bool) -> Field:
    needed = [name for name in schema.get("required") or () if isinstance(name, str)]
    known = properties(schema)
    asked = known | dict.fromkeys(name for name in needed if name not in known)
    members = tuple(
        _field(place, name, each, required=name in needed) for name, each in asked.items()
    )
    elsewhere = any(name in schema for name in _ELSEWHERE) or not members
    named = isinstance(schema.get("additionalProperties"), dict)
    is_open = schema.get("additionalProperties") is not False
    return Field(
        key,
        "group",
        "",
        required=required,
        members=members,
        more=is_open or elsewhere,
        asks_more=named or (is_open and elsewhere) or "patternProperties" in schema,
    )


def _list(place: _Place, key: str, schema: dict[str, Any], *, required: bool) -> Field:
    items = schema.get("items", {})
    if not place.fits() or "prefixItems" in schema or not isinstance(items, dict):
        return _json(key, nullable=False)
    told = hints.of_list(schema)
    choices = _choices(place.root, resolved(place.root, items))
    if choices and schema.get("uniqueItems") is True:
        return Field(key, "several", "", required=required, choices=choices, hints=told)
    item = _field(place, "", items, required=True)
    most = schema.get("maxItems")
    return Field(
        key,
        "list",
        "",
        required=required,
        item=item,
        least=int(schema.get("minItems", 0)),
        most=most if isinstance(most, int) else None,
        hints=told,
    )


# --- choices --------------------------------------------------------------------------------------


def _of_choices(key: str, choices: tuple[Choice, ...], *, required: bool, nullable: bool) -> Field:
    if len(choices) != 1:
        kind: Kind = "choice"
        if [each.value for each in choices] in ([True, False], [False, True]):
            kind = "yes_no"
        return Field(key, kind, "", nullable=nullable, choices=choices)
    agreed = choices[0].value is True
    kind = "tick" if agreed or nullable or not required else "fixed"
    return Field(key, kind, "", nullable=nullable, choices=choices)


def _choices(root: Schema, schema: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """The values that `enum`, `const`, or `oneOf` with a `const` each leave; None where there are others."""
    listed = schema.get("oneOf", schema.get("anyOf"))
    if "const" in schema:
        named = [(schema["const"], None)]
    elif isinstance(schema.get("enum"), list):
        named = [(value, None) for value in schema["enum"]]
    elif isinstance(listed, list) and listed:
        each = [resolved(root, one) for one in listed]
        if not all("const" in one for one in each):
            return None
        named = [(one["const"], _title(one)) for one in each]
    else:
        return None
    texts = [
        value for value, _ in named if isinstance(value, str) and value and value == value.strip()
    ]
    plain = len(texts) == len(named)
    return tuple(
        Choice(value if plain else to_json(value).decode(), title or _called(value), value)
        for value, title in named
    )


def _called(value: Json) -> str:
    match value:
        case bool():
            return "Yes" if value else "No"
        case str() if value.strip():
            return label(value)
    return to_json(value).decode()


# --- reading schemas ------------------------------------------------------------------------------


def _references(schema: Mapping[str, Any]) -> tuple[str, ...]:
    said = schema.get("$ref")
    return (said,) if isinstance(said, str) else ()


def _stated(schema: Mapping[str, Any]) -> list[str]:
    said = schema.get("type")
    return [said] if isinstance(said, str) else list(said or ())


def _solid(schema: Mapping[str, Any]) -> list[str]:
    """The types that a value can have beside null; as one would guess where none is said."""
    stated = [kind for kind in _stated(schema) if kind != "null"]
    if sorted(stated) == ["integer", "number"]:
        return ["number"]
    if stated:
        return stated
    if properties(schema):
        return ["object"]
    if "items" in schema:
        return ["array"]
    if any(name in schema for name in _OF_TEXT):
        return ["string"]
    return ["number"] if any(name in schema for name in _OF_NUMBERS) else []


def _title(schema: Mapping[str, Any]) -> str | None:
    return _text(schema.get("title"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
