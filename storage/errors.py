"""What storage raises beyond Postgres's own errors."""

import asyncpg


class StorageError(Exception):
    """Storage refused."""


class OutOfSequence(StorageError):
    """A transition came for a request that is not at the transition before it."""


class TaskClosedOtherwise(StorageError):
    """A transition meant to close a task that is closed, and nobody decided it."""


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
