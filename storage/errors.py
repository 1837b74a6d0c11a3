"""What storage raises beyond Postgres's own errors."""

import asyncpg
from asyncpg.exceptions._base import DataError
from pydantic import ValidationError

_BAD_ARGUMENT = "invalid input for query argument "  # asyncpg's own, before Postgres hears of it
_LONGEST = 300


class StorageError(Exception):
    """Storage refused."""


class OutOfSequence(StorageError):
    """A transition came for a request that is not at the transition before it."""


class AlreadyOpen(StorageError):
    """A request about an entity was to be made while another of its workflow is open, which its recipe
    does not want."""


class NeverCarriedOut(StorageError):
    """A request that another system had: no engine of ours carried it out."""


class Erased(StorageError):
    """A request of which nothing is left but that it was, and what became of it."""


class TaskClosedOtherwise(StorageError):
    """A transition meant to close a task that is closed, and nobody decided it."""


class ColdUnavailable(StorageError):
    """The cold tier has part of the answer and cannot be asked; the text says why."""


ABOUT_ERASED = "CS005"
"""The SQLSTATE of what was to be written about a request that is erased (migration 0027)."""

BAD_ARGUMENT: type[Exception] = DataError
"""An argument that asyncpg could not encode. It is an InterfaceError, so among `UNAVAILABLE`, but no
waiting makes it right: whoever can, tells it from those first."""

UNFIT: tuple[type[Exception], ...] = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    BAD_ARGUMENT,
)
"""What was to be written cannot be kept, now or later: a constraint is against it, or its type."""

UNAVAILABLE: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that died between two messages
    ConnectionError,
    TimeoutError,
    OSError,
)
"""Errors that mean: Postgres cannot be reached now, try again later."""

FAILED: tuple[type[BaseException], ...] = (asyncpg.PostgresError, *UNAVAILABLE)
"""Whatever can come of asking Postgres: for loops that must outlive it."""


def is_away(error: BaseException) -> bool:
    """Whether Postgres cannot be reached now, rather than that it does not want this one thing."""
    return isinstance(error, UNAVAILABLE) and not isinstance(error, BAD_ARGUMENT)


def is_of_content(error: BaseException) -> bool:
    """Whether it comes of what was read, or is a mistake of ours, rather than of how Postgres fares: what else is
    asked for may well do."""
    return isinstance(error, UNFIT) or not isinstance(error, (StorageError, *FAILED))


def plain(error: BaseException) -> str:
    """What an exception says, without what may be somebody's input: for logs, and for columns that tell of
    failures."""
    match error:
        case asyncpg.DataError() if str(error).startswith(_BAD_ARGUMENT):
            return str(error).partition(":")[0]
        case asyncpg.PostgresError():
            # Detail and context repeat rows and parameters; the message proper may, too.
            names = (error.table_name, error.column_name, error.constraint_name)
            return " ".join(str(part) for part in (f"SQLSTATE {error.sqlstate}", *names) if part)
        case ValidationError():
            found = error.errors(include_url=False, include_context=False, include_input=False)
            return "; ".join(f"{item['loc']}: {item['type']}" for item in found)[:_LONGEST]
        case _ if isinstance(error, BAD_ARGUMENT):
            return str(error).partition(":")[0][:_LONGEST]
        case _:
            return str(error)[:_LONGEST]
