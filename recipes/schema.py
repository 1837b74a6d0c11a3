"""What a recipe's `inputs`, a JSON Schema, tells expressions: names, types, and which may be missing.

Schema types map to CEL: `string` to string, `integer` to int, `number` to double, `boolean` to bool,
`array` to list, `object` to map; anything else is dynamic. An input that need not be there, or may be
null, has the nullable type: it reads as `null` when it is absent, and the checker lets it be
compared with `null`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from recipes.model import Json

Schema = Mapping[str, Json]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
RESERVED = ("inputs", "employee", "request", "steps")
"""The names every expression may use; no input may have them."""
_WORDS = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "package",
        "namespace",
        "null",
        "return",
        "true",
        "var",
        "void",
        "while",
        "int",
        "uint",
        "double",
        "bool",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "dyn",
    ]
)
"""The engine's own words: an input of such a name is there under `inputs` alone."""

_PLAIN = {
    "string": "string",
    "integer": "int",
    "number": "double",
    "boolean": "bool",
    "object": "map<string,dyn>",
}
_NULLABLE = {
    "string": "google.protobuf.StringValue",
    "integer": "google.protobuf.Int64Value",
    "number": "google.protobuf.DoubleValue",
    "boolean": "google.protobuf.BoolValue",
}
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Variable:
    """A dotted name an expression may use, its CEL type, and whether it may be absent."""

    name: str
    type: str
    optional: bool


def properties(schema: Json) -> dict[str, Json]:
    """The named properties of an object schema; none where it isn't one."""
    known = schema.get("properties") if isinstance(schema, dict) else None
    return known if isinstance(known, dict) else {}


def speakable(name: str) -> bool:
    """Whether `name` can stand in an expression by itself."""
    return _IDENTIFIER.fullmatch(name) is not None and name not in _WORDS


def closed(schema: Json) -> bool:
    """Whether an object of this schema has no members but the ones it names."""
    if not properties(schema):
        return False
    return not schema.get("additionalProperties") and "patternProperties" not in schema


def variables(schema: Schema) -> tuple[Variable, ...]:
    """All inputs as variables: `days`, and dotted ones for the members of objects: `trip.days`."""
    return tuple(_members(schema, schema, "", optional=False, depth=0))


def _members(
    root: Schema, schema: Json, prefix: str, *, optional: bool, depth: int
) -> Iterator[Variable]:
    required = schema.get("required") or ()
    for name, below in properties(schema).items():
        if not speakable(name):
            continue
        inner = resolve(root, below)
        absent = optional or name not in required
        yield Variable(prefix + name, _type(root, inner, optional=absent), absent)
        if properties(inner) and depth < _DEPTH:
            yield from _members(root, inner, f"{prefix}{name}.", optional=absent, depth=depth + 1)


def _type(root: Schema, schema: Json, *, optional: bool) -> str:
    stated = schema.get("type") if isinstance(schema, dict) else None
    kinds = [stated] if isinstance(stated, str) else list(stated or ())
    nullable = optional or "null" in kinds
    solid = [kind for kind in kinds if kind != "null"]
    if len(solid) != 1:
        return "dyn"
    if solid == ["array"] and not nullable:
        item = resolve(root, schema.get("items"))
        return f"list<{_type(root, item, optional=False)}>"
    return (_NULLABLE if nullable else _PLAIN).get(solid[0], "dyn")


def resolve(root: Schema, schema: Json) -> Json:
    """The schema itself, or what its `$ref` into the same document means."""
    seen: set[str] = set()
    while isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
        if reference in seen or not reference.startswith("#/"):
            return None
        seen.add(reference)
        found: Json = root
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        schema = found
    return schema


def coerce(root: Schema, schema: Json, value: Json) -> Json:
    """`value` with its numbers as the schema means them: `number` a float, `integer` an int.

    JSON has one kind of number, CEL has two; without this `5` and `5.0` would be added differently.
    """
    schema = resolve(root, schema)
    if not isinstance(schema, dict):
        return value
    match value:
        case bool():
            return value
        case int() | float():
            return _number(schema.get("type"), value)
        case dict():
            known = properties(schema)
            return {
                name: coerce(root, known[name], item) if name in known else item
                for name, item in value.items()
            }
        case list():
            return [coerce(root, schema.get("items"), item) for item in value]
        case _:
            return value


def _number(kinds: Json, value: float) -> float:
    """What the engine could not carry stays as it is, for the engine to refuse."""
    stated = kinds if isinstance(kinds, list) else [kinds]
    if not -(2**63) <= value < 2**63:
        return value
    if "number" in stated:
        return float(value)
    return int(value) if "integer" in stated else value
