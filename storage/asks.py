"""What a task was asked for, as its row keeps it: the amount that an approver's limit must cover is an input.

Where anything of a request is confidential the limit is a box: `{"sealed": base64}` (see `storage.sweep`).
"""

from typing import Any

from contract import content
from contract.boxes import Keys
from recipes.model import Json

_LIMIT = "limit"
_SEALED = "sealed"


def kept(ask: dict[str, Json], keys: Keys | None) -> dict[str, Json]:
    """An ask, as JSON, for the row of its task."""
    if keys is None or not keys.private or ask.get(_LIMIT) is None:
        return ask
    return ask | {_LIMIT: {_SEALED: content.boxed(ask[_LIMIT], keys)}}


def opened(ask: Any, keys: Keys | None) -> Any:
    """The ask of a task's row as it was, for whoever carries its request out. CannotOpen."""
    if not sealed(ask):
        return ask
    return ask | {_LIMIT: content.unboxed(ask[_LIMIT][_SEALED], keys)}


def sealed(ask: Any) -> bool:
    """Whether there is something to open."""
    limit = None if ask is None else ask.get(_LIMIT)
    return limit is not None and _SEALED in limit
