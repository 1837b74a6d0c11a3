"""Names, types and numbers from a JSON Schema."""

from typing import Any

from recipes.schema import Variable, coerce, resolve, variables


def test_variables() -> None:
    schema: dict[str, Any] = {
        "required": ["a", "b", "c", "trip", "list_of", "any", "un"],
        "$defs": {"money": {"type": "number"}, "ring": {"$ref": "#/$defs/ring"}},
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": ["string", "null"]},
            "c": {"$ref": "#/$defs/money"},
            "d": {"type": "array", "items": {"type": "string"}},
            "list_of": {"type": "array"},
            "any": True,
            "un": {"type": ["string", "integer"]},
            "ring": {"$ref": "#/$defs/ring"},
            "far": {"$ref": "http://example.org/x"},
            "gone": {"$ref": "#/$defs/gone/away"},
            "no-name": {"type": "integer"},
            "trip": {
                "type": "object",
                "required": ["km"],
                "properties": {"km": {"type": "number"}, "to": {"type": "string"}},
            },
        },
    }
    assert variables(schema) == (
        Variable("a", "int", False),
        Variable("b", "google.protobuf.StringValue", False),
        Variable("c", "double", False),
        Variable("d", "dyn", True),
        Variable("list_of", "list<dyn>", False),
        Variable("any", "dyn", False),
        Variable("un", "dyn", False),
        Variable("ring", "dyn", True),
        Variable("far", "dyn", True),
        Variable("gone", "dyn", True),
        Variable("trip", "map<string,dyn>", False),
        Variable("trip.km", "double", False),
        Variable("trip.to", "google.protobuf.StringValue", True),
    )


def test_a_schema_that_holds_itself_ends() -> None:
    schema: dict[str, Any] = {
        "properties": {"next": {"$ref": "#/$defs/node"}},
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    }
    assert variables(schema)[-1].name == ".".join(["next"] * 9)


def test_numbers_become_what_the_schema_means() -> None:
    schema: dict[str, Any] = {
        "properties": {
            "i": {"type": "integer"},
            "n": {"type": "number"},
            "m": {"type": ["number", "null"]},
            "k": {"type": ["integer", "null"]},
            "l": {"items": {"type": "number"}},
            "o": {"properties": {"n": {"type": "number"}}},
            "any": {},
            "yes": True,
        }
    }
    value = {"i": 3.0, "n": 3, "m": 4, "k": 5.0, "l": [1, 2.5], "o": {"n": 1, "x": 1}}
    value |= {"any": 7, "yes": 8, "more": 9}
    given = coerce(schema, schema, value)
    assert given == value
    assert [type(given[name]) for name in ("i", "n", "m", "k", "any", "yes", "more")] == [
        int, float, float, int, int, int, int,
    ]  # fmt: skip
    assert [type(item) for item in given["l"]] == [float, float]
    assert type(given["o"]["n"]) is float
    assert type(given["o"]["x"]) is int
    flags = {"n": True, "m": None, "i": "x"}
    assert coerce(schema, schema, flags) == flags
    assert type(coerce(schema, schema, {"n": 10**400})["n"]) is int


def test_references() -> None:
    root = {"$defs": {"a/b": {"~c": {"type": "string"}}}}
    assert resolve(root, {"$ref": "#/$defs/a~1b/~0c"}) == {"type": "string"}
    assert resolve(root, {"$ref": "#/$defs/a~1b/x/y"}) is None
