"""Canonical JSON: the one spelling of a value that hashes and signatures cover.

RFC 8785 without its floats: keys sorted by UTF-16 code units, no spaces, UTF-8. A number that is not
an integer below 2^53 is kept as its exact decimal text, so that no reader's arithmetic matters.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from math import isfinite

from recipes.model import Json

_EXACT = 2**53


def canonical(value: Json) -> str:
    """The canonical text of a JSON value; datetimes become RFC 3339 UTC. ValueError if it has none."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def digest(recipe_sha256: str, inputs: dict[str, Json], salt: bytes) -> str:
    """What a decision is bound to: 32 hex digits over the recipe version and the inputs. `salt` is of the
    request's key, so that whoever sees the digest cannot try what the inputs may be."""
    text = canonical({"inputs": inputs, "recipe": recipe_sha256})
    return sha256(salt + text.encode()).hexdigest()[:32]


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as in audit bodies: 2026-01-31T09:00:00.000000Z."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _plain(value: Json) -> Json:
    match value:
        case None | bool():
            return value
        case str():
            value.encode()  # a lone surrogate has no UTF-8: UnicodeEncodeError is a ValueError
            return value
        case int():
            return value if abs(value) < _EXACT else str(value)
        case float():
            if not isfinite(value):
                raise ValueError(f"{value} is not JSON")
            return format(Decimal(repr(value)), "f")
        case datetime():
            return timestamp(value)
        case Mapping():
            names = sorted(value, key=lambda name: name.encode("utf-16-be"))
            return {name: _plain(value[name]) for name in names}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            raise ValueError(f"{type(value).__name__} is not JSON")
