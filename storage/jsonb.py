"""What Postgres's jsonb makes of a JSON value, known before it is written."""

from collections.abc import Mapping
from decimal import Decimal
from math import isfinite

from pydantic_core import to_json

from recipes.model import Json


def kept(value: Json) -> Json:
    """The value as it is read again after jsonb kept it.

    jsonb has decimal numbers: what is written with an exponent is read without, so that 1e20 comes
    back as a whole number, and -0.0 as 0.0. The members of an object come shortest name first. What
    jsonb does not keep at all (NUL, half characters, infinity) is left for others to refuse.
    """
    match value:
        case float():
            return _number(value)
        case Mapping():
            names = sorted(value, key=_order)
            return {name: kept(value[name]) for name in names}
        case list() | tuple():
            return [kept(item) for item in value]
        case _:
            return value


def _order(name: str) -> tuple[int, bytes]:
    spelled = name.encode("utf-8", "surrogatepass")
    return len(spelled), spelled


def _number(value: float) -> Json:
    written = to_json(value).decode()
    if "e" not in written or not isfinite(value):
        return value or 0.0
    plain = format(Decimal(written), "f")
    return float(plain) if "." in plain else int(plain)
