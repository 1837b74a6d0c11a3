"""Conditions on inputs as SQL/JSON paths of Postgres. A GIN index (jsonb_path_ops) finds what is `==` a
text, `true` or `false`; the rest is looked at row by row. Values are spelled by JSON, names are words:
what people write stays a value."""

from decimal import Decimal
from typing import assert_never

from pydantic_core import to_json

from contract.conditions import NUMBER, Comparison, Condition, Every, Some

_NUMERIC = f'(@.type() == "number" || @ like_regex "^{NUMBER}$")'


def jsonpath(condition: Condition) -> str:
    """The predicate for `inputs @@ (SELECT $1::text::jsonpath)`: so it is read once, not for each row, also when
    Postgres plans for any value. Strict: lists are not looked into."""
    return f"strict {_predicate(condition)}"


def _predicate(condition: Condition) -> str:
    match condition:
        case Comparison():
            return _comparison(condition)
        case Every(parts):
            return f"({' && '.join(map(_predicate, parts))})"
        case Some(parts):
            return f"({' || '.join(map(_predicate, parts))})"
        case _:
            assert_never(condition)


def _comparison(asked: Comparison) -> str:
    place = "$" + "".join(f'."{name}"' for name in asked.path)
    value = asked.value
    if isinstance(value, Decimal):
        return f"({place} ? {_NUMERIC}.double() {asked.operator} {format(value, 'f')})"
    compared = f"{place} {asked.operator} {to_json(value).decode()}"
    if asked.operator != "!=":
        return f"({compared})"
    kind = "boolean" if isinstance(value, bool) else "string"  # null differs from everything
    return f'({compared} && {place}.type() == "{kind}")'
