"""What names a person or a role: `user:x`, `role:x`, or a bare name."""

import re

from recipes.expressions import ExpressionError
from recipes.model import Json

REFERENCE_LIMIT = 200
"""Characters of a text that may be a reference; spaces around it count."""

SPELLING = r"(?:(?P<kind>user|role):\s*)?(?P<name>[A-Za-z0-9][A-Za-z0-9._@+-]{0,127})"
"""As the directory spells its people and roles (the CHECKs of `people` and `roles`)."""

_SPELLING = re.compile(SPELLING, re.ASCII)


def reference(value: Json) -> str:
    """The reference that an expression's value is, without spaces: a text, or a person's `id`.

    ExpressionError, which repeats nothing of the value, if it can be nobody's.
    """
    if isinstance(value, dict) and isinstance(value.get("id"), str):
        value = f"user:{value['id']}"
    if not isinstance(value, str) or not value.strip():
        raise ExpressionError(f"gives {kind(value)} instead of a person or a role")
    spelled = _SPELLING.fullmatch(value.strip()) if len(value) <= REFERENCE_LIMIT else None
    if spelled is None:
        raise ExpressionError("gives a text that can be no person's and no role's name")
    return f"{spelled['kind']}:{spelled['name']}" if spelled["kind"] else spelled["name"]


def once(references: list[str]) -> list[str]:
    """The references, each of them once. `bob` and `user:bob` are taken for the same person."""
    first: dict[str, str] = {}
    for text in references:
        first.setdefault(text.removeprefix("user:"), text)
    return list(first.values())


def kind(value: Json) -> str:
    """What a value is, in words that tell nothing of it."""
    if value is None:
        return "nobody"
    return "an empty text" if value == "" else f"a {type(value).__name__}"
