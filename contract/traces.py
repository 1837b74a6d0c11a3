"""The trace that work belongs to, as W3C's `traceparent` says it: handed on from a call of the API to whichever part does
what follows from it, so that all their lines in logs name one trace."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

CURRENT: ContextVar[str | None] = ContextVar("countersign_trace", default=None)
"""The `traceparent` of what is done now; what is done behind an answer keeps it."""

_SPELLING = re.compile("00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@contextmanager
def under(traceparent: str | None) -> Iterator[None]:
    """What is done inside `with` belongs to that trace, or to none."""
    token = CURRENT.set(traceparent)
    try:
        yield
    finally:
        CURRENT.reset(token)


def named(traceparent: str | None) -> dict[str, str]:
    """What a line of the log says of it: `trace_id`; nothing where there is none."""
    found = None if traceparent is None else _SPELLING.fullmatch(traceparent)
    return {} if found is None else {"trace_id": found[1]}
