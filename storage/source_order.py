"""The order in which a recipe's author wrote what its recipe is kept without: JSON in Postgres has none."""

from functools import lru_cache
from typing import Any

import yaml

from recipes.model import Json

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def as_written(value: Json, source: str, key: str) -> Json:
    """The value, which is what a published recipe's `source` says under `key`, with its members in the order
    that they have there."""
    return _ordered(value, _read(source).get(key))


@lru_cache(maxsize=500)
def _read(source: str) -> dict[str, Any]:
    """A recipe that was published: whatever could blow up was refused then."""
    found = yaml.load(source, _LOADER)  # noqa: S506 (it is a safe one)
    return found if isinstance(found, dict) else {}


def _ordered(value: Json, like: Json) -> Json:
    match value, like:
        case dict(), dict():
            names = [name for name in like if name in value]
            names += [name for name in value if name not in like]
            return {name: _ordered(value[name], like.get(name)) for name in names}
        case list(), list() if len(value) == len(like):
            return [_ordered(*pair) for pair in zip(value, like, strict=True)]
        case _:
            return value
