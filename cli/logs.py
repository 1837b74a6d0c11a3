"""Logging of the long-running parts: one line an event, on stdout, JSON or for people to read.

An exception is told by where it was raised and what it is. Never by the values of variables, and not by
a message that repeats what somebody put in: inputs stay out of logs.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import TextIO, TypeAlias

import structlog
from structlog.typing import Processor

from settings import Settings
from storage.errors import plain

_MOST_CAUSES = 5
_MOST_FRAMES = 40

_Raised: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]


def set_up(settings: Settings, part: str) -> None:
    """Send structlog and the standard library's logging the same way. `part` is on every line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor]
    if settings.log_format == "json":
        last = [
            structlog.processors.ExceptionRenderer(told),
            structlog.processors.JSONRenderer(),
        ]
    else:
        last = [
            structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=_print)
        ]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    structlog.contextvars.bind_contextvars(part=part)


def told(exc_info: _Raised) -> str:
    """An exception with its causes as Python tells it, but for values: see the top."""
    return "\n".join(_told(list(_causes(exc_info[1]))))


def _print(sio: TextIO, exc_info: _Raised) -> None:
    sio.write("\n" + told(exc_info))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, and what led to it, at most `_MOST_CAUSES`."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen and len(seen) < _MOST_CAUSES:
        yield cause
        seen.add(id(cause))
        hidden = cause.__suppress_context__
        cause = cause.__cause__ or (None if hidden else cause.__context__)


def _told(errors: list[BaseException]) -> Iterator[str]:
    for number, error in enumerate(errors):
        if number:
            yield "\nwhich came of:\n"
        yield "Traceback (most recent call last):"
        # The innermost frames: what raised it.
        stack = traceback.extract_tb(error.__traceback__, limit=-_MOST_FRAMES)
        yield "".join(stack.format()).rstrip("\n")
        yield f"{type(error).__module__}.{type(error).__qualname__}: {plain(error)}"
