"""Judges a recipe's `inputs` as a JSON Schema: what is none, and what expressions could not name."""

from collections.abc import Iterator
from difflib import get_close_matches

from recipes.inputs import schema_problems
from recipes.model import Json
from recipes.schema import RESERVED, properties, speakable
from recipes.source import Book, below

_DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"
_KEYWORDS = frozenset(
    [
        "$schema",
        "$id",
        "$ref",
        "$defs",
        "$anchor",
        "$dynamicRef",
        "$dynamicAnchor",
        "$vocabulary",
        "$comment",
        "type",
        "enum",
        "const",
        "title",
        "description",
        "default",
        "deprecated",
        "readOnly",
        "writeOnly",
        "examples",
        "format",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxContains",
        "minContains",
        "maxProperties",
        "minProperties",
        "required",
        "dependentRequired",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "dependentSchemas",
        "prefixItems",
        "items",
        "contains",
        "properties",
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
    ]
)
_SCHEMAS = (
    "not",
    "if",
    "then",
    "else",
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
)
_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
_SCHEMA_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "dependentSchemas")


def check_schema(schema: dict[str, Json], book: Book) -> None:
    """Write all that is wrong with `inputs` into the book."""
    for parts, message in schema_problems(schema):
        path = "inputs"
        for part in parts:
            path = below(path, part)
        spelled = parts[-1:] == ("type",) and parts[-2:-1] != ("properties",)
        named = _at(schema, parts) if spelled else None
        if isinstance(named, str):
            close = get_close_matches(named.lower(), _TYPES, n=1)
            fix = f"did you mean `{close[0]}`?" if close else f"types are {', '.join(_TYPES)}"
            book.error(path, f"`{named}` is no type of JSON Schema", fix)
            continue
        outside = "retriev" in message.lower()
        fix = "put it under `$defs` here" if outside else "see JSON Schema 2020-12"
        book.error(path, f"is no JSON Schema: {message}", fix)
    if schema.get("$schema", _DRAFT_2020) != _DRAFT_2020:
        book.error("inputs.$schema", "only JSON Schema 2020-12 is understood", "leave it out")
    if schema.get("type", "object") != "object":
        book.error("inputs.type", "inputs are an object", "write `type: object` and `properties`")
    for path, key in _unknown_keywords(schema, "inputs"):
        close = get_close_matches(key, _KEYWORDS, n=1, cutoff=0.75)
        fix = f"did you mean `{close[0]}`?" if close else "name inputs under `properties`"
        book.error(path, f"`{key}` is no JSON Schema keyword", fix)
    for name in properties(schema):
        path = below("inputs.properties", name)
        if name in RESERVED:
            book.error(
                path,
                f"no input can be called `{name}`: expressions mean something else by it",
                "choose another name",
            )
        elif not speakable(name):
            fix = f'in expressions write inputs["{name}"]'
            book.warning(path, f"`{name}` is no name that an expression can use", fix)


def mended(schema: dict[str, Json]) -> dict[str, Json] | None:
    """The schema with whatever is wrong in it left open; None if little would be left.

    A mistake in one input must not hide what is wrong with the expressions.
    """
    sound = dict(schema)
    for parts, _ in schema_problems(schema):
        key = str(parts[0]) if parts else ""
        part = sound.get(key)
        if len(parts) > 1 and isinstance(part, dict) and key in _SCHEMA_MAPS:
            sound[key] = {**part, str(parts[1]): {}}
        elif key == "required":
            sound["required"] = list(properties(schema))
        elif key not in {"", "properties"}:
            sound.pop(key, None)
        else:
            return None
    return None if schema_problems(sound) else sound


def _at(schema: Json, parts: tuple[str | int, ...]) -> Json:
    for part in parts:
        schema = schema[part]
    return schema


def _unknown_keywords(schema: Json, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        place = below(path, key)
        if key not in _KEYWORDS and not key.startswith("x-"):
            yield place, key
        elif key in _SCHEMAS:
            yield from _unknown_keywords(value, place)
        elif key in _SCHEMA_LISTS and isinstance(value, list):
            for index, item in enumerate(value):
                yield from _unknown_keywords(item, below(place, index))
        elif key in _SCHEMA_MAPS and isinstance(value, dict):
            for name, item in value.items():
                yield from _unknown_keywords(item, below(place, name))
