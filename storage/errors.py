"""What storage raises beyond Postgres's own errors."""

import asyncpg


class StorageError(Exception):
    """Storage refused."""


class OutOfSequence(StorageError):
    """A transition came for a request that is not at the transition before it."""


UNAVAILABLE: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    ConnectionError,
    TimeoutError,
    OSError,
)
"""Errors that mean: Postgres cannot be reached now, try again later."""
