"""Connections to Postgres."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg
import structlog
from pydantic_core import from_json, to_json

from storage.errors import UNAVAILABLE, StorageError
from storage.vault import Vault

_log = structlog.get_logger()

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Source: TypeAlias = "Connection | Pool"
"""What a single query can be run on."""


class NoVault(StorageError):
    """What people wrote was to be sealed or opened over a connection that has no region keys."""


# The stubs of asyncpg have type parameters that its classes lack.
if TYPE_CHECKING:
    _PlainConnection = asyncpg.Connection[asyncpg.Record]
    _PlainPool = asyncpg.Pool[asyncpg.Record]
else:
    _PlainConnection, _PlainPool = asyncpg.Connection, asyncpg.Pool


class _Connection(_PlainConnection):
    """One that knows its process's data keys, as it knows how JSON is read."""

    vault: Vault | None = None


class _Pool(_PlainPool):
    vault: Vault | None = None


async def create_pool(
    url: str, vault: Vault | None = None, *, min_size: int = 1, max_size: int = 10
) -> Pool:
    """A pool whose connections give jsonb as Python values, and have `vault` for what is sealed.

    Raises one of `storage.errors.UNAVAILABLE` while Postgres cannot be reached.
    """

    async def prepare(connection: Connection) -> None:
        assert isinstance(connection, _Connection)
        connection.vault = vault
        for name in ("json", "jsonb"):
            await connection.set_type_codec(
                name, schema="pg_catalog", encoder=_encode, decoder=from_json, format="text"
            )

    pool = _Pool(
        url,
        connection_class=_Connection,
        record_class=asyncpg.Record,
        min_size=min_size,
        max_size=max_size,
        max_queries=50_000,
        max_inactive_connection_lifetime=300.0,
        loop=None,
        init=prepare,
        reset=_keep,
        command_timeout=30,
        timeout=10,
    )
    pool.vault = vault
    return await pool


async def patient_pool(
    url: str, vault: Vault | None, stopping: asyncio.Event, max_size: int
) -> "Pool | None":
    """A pool, as soon as Postgres can be reached; None if `stopping` is set before."""
    while not stopping.is_set():
        try:
            return await create_pool(url, vault, max_size=max_size)
        except UNAVAILABLE as error:
            _log.warning("waiting for Postgres", error=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), 1)
    return None


class _Held:
    """Stands for a pool, and is one connection: what is taken from it is that, and stays open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def acquire(self) -> AbstractAsyncContextManager[Connection]:
        return nullcontext(self._connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def held(connection: Connection) -> Pool:
    """A pool whose every statement, and every transaction as a savepoint, is part of a transaction that is open
    on this connection."""
    return cast("Pool", _Held(connection))


def vault_of(source: Source) -> Vault:
    """The vault of a pool, or of a connection of one. NoVault if it was made without."""
    found: Vault | None = getattr(source, "vault", None)
    if found is None:
        raise NoVault("this connection was made without region keys")
    return found


async def _keep(_: Connection) -> None:
    """Leave a released connection as it is: the pool has rolled back what was open.

    asyncpg's own reset is one more round trip for every use of the pool. We need none, as long as
    nobody changes a session: settings and roles are SET LOCAL, advisory locks end with transactions.
    """


def _encode(value: Any) -> str:
    return to_json(value).decode()
