"""What a field says of the values it takes, in words and as constraints that browsers check. Pure.

Browsers check only what they are sure to read as the API does: what they let pass, the API still judges.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from recipes.model import Json

_LONG = 200
"""Characters from which on a text gets several lines."""
_TYPES = {
    "email": "email",
    "uri": "url",
    "date": "date",
    "date-time": "datetime-local",
    "time": "time",
}
_SPOKEN = {
    "uuid": "such as 123e4567-e89b-12d3-a456-426614174000",
    "duration": "such as P3D or PT48H",
    "ipv4": "such as 192.0.2.7",
    "ipv6": "such as 2001:db8::7",
    "time": "in UTC",
    "regex": "a regular expression",
}
_ANY = (
    'Numbers, true and false count as such; for text that looks like one write "28001" in quotes.'
)
# What every browser reads as we do, also with the flag `v`: no escapes but these, no set operations.
_PLAIN = r"[A-Za-z0-9 _@:,;=#%~<>!'\"&-]|\\[dws.]"
_BROWSERS = re.compile(
    rf"\^?(?:(?:{_PLAIN}|\.|\[\^?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _.@:,;=#%~]|\\[dws])+\]|\(\?:|\((?!\?)|\)|\|)"
    r"(?:[*+?]|\{\d+(?:,\d*)?\})?)*\$?"
)


def of(kind: str, schema: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The hints and the HTML attributes of a field for a JSON type, or for `any`."""
    match kind:
        case "integer" | "number":
            return tuple(_of_number(kind, schema)), _number_attributes(kind, schema)
        case "string":
            return tuple(_of_text(schema)), _text_attributes(schema)
        case "any":
            return (*_examples(schema), _ANY), {}
    return tuple(_examples(schema)), {}


def of_list(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The hints of a list."""
    least, most = schema.get("minItems"), schema.get("maxItems")
    said = _between(least if least else None, most, "of them")
    return (said,) if said else ()


def _of_number(kind: str, schema: Mapping[str, Any]) -> Iterator[str]:
    if kind == "integer":
        yield "a whole number"
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    least, most = schema.get("minimum"), schema.get("maximum")
    said = [
        f"more than {_figure(above)}" if above is not None else "",
        _between(least, most, ""),
        f"less than {_figure(below)}" if below is not None else "",
    ]
    if any(said):
        yield ", ".join(each for each in said if each)
    step = schema.get("multipleOf")
    if step not in (None, 1, 0.01):
        yield f"in steps of {_figure(step)}"
    yield from _examples(schema)


def _of_text(schema: Mapping[str, Any]) -> Iterator[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    told = most if most is None or most < _LONG else None
    said = _between(least if least > 1 else None, told, "characters")
    if said:
        yield said
    examples = list(_examples(schema))
    if "pattern" in schema and not examples and "description" not in schema:
        yield f"in the form {schema['pattern']}"
    spoken = _SPOKEN.get(str(schema.get("format")))
    if spoken and not examples:
        yield spoken
    yield from examples


def _between(least: float | None, most: float | None, unit: str) -> str:
    unit = f" {unit}" if unit else ""
    if least is None and most is None:
        return ""
    if most is None:
        return f"at least {_figure(least)}{unit}"
    if least is None:
        return f"at most {_figure(most)}{unit}"
    return (
        f"exactly {_figure(most)}{unit}"
        if least == most
        else f"{_figure(least)} to {_figure(most)}{unit}"
    )


def _figure(value: Json) -> str:
    return (
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:,.10g}"
        if isinstance(value, float)
        else str(value)
    )


def _examples(schema: Mapping[str, Any]) -> Iterator[str]:
    said = schema.get("examples")
    shown = (
        [str(each) for each in said if isinstance(each, str | int | float)]
        if isinstance(said, list)
        else []
    )
    if shown:
        yield f"such as {' or '.join(shown[:2])}"


def _number_attributes(kind: str, schema: Mapping[str, Any]) -> dict[str, str]:
    step = schema.get("multipleOf")
    whole = kind == "integer"
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    least, most = schema.get("minimum", above), schema.get("maximum", below)
    if whole and "minimum" not in schema and isinstance(above, int):
        least = above + 1
    if whole and "maximum" not in schema and isinstance(below, int):
        most = below - 1
    found = {"type": "number", "inputmode": "numeric" if whole else "decimal"}
    # Steps count from the least: only where that is one of them do they mean what `multipleOf` does.
    steady = isinstance(step, int | float) and (least is None or (least / step).is_integer())
    found["step"] = str(step) if steady else "1" if whole and step is None else "any"
    return found | {
        name: str(value) for name, value in (("min", least), ("max", most)) if value is not None
    }


def _text_attributes(schema: Mapping[str, Any]) -> dict[str, str]:
    longest = schema.get("maxLength")
    found = {"type": _TYPES.get(str(schema.get("format")), "text")}
    if found["type"] != "text":
        return found
    if isinstance(longest, int) and longest > _LONG:
        found["rows"] = "4"
    found |= {
        name.lower(): str(schema[name]) for name in ("minLength", "maxLength") if name in schema
    }
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and _BROWSERS.fullmatch(pattern) and _compiles(pattern):
        found["pattern"] = f".*(?:{pattern}).*"
    return found


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
