"""Connections to Postgres."""

import asyncio
from contextlib import suppress
from typing import Any, TypeAlias

import asyncpg
import structlog
from pydantic_core import from_json, to_json

from storage.errors import UNAVAILABLE

_log = structlog.get_logger()

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Source: TypeAlias = "Connection | Pool"
"""What a single query can be run on."""


async def create_pool(url: str, *, min_size: int = 1, max_size: int = 10) -> Pool:
    """A pool whose connections give jsonb as Python values.

    Raises one of `storage.errors.UNAVAILABLE` while Postgres cannot be reached.
    """
    return await asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        init=_prepare,
        reset=_keep,
        command_timeout=30,
        timeout=10,
    )


async def patient_pool(url: str, stopping: asyncio.Event, max_size: int) -> "Pool | None":
    """A pool, as soon as Postgres can be reached; None if `stopping` is set before."""
    while not stopping.is_set():
        try:
            return await create_pool(url, max_size=max_size)
        except UNAVAILABLE as error:
            _log.warning("waiting for Postgres", error=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), 1)
    return None


async def _prepare(connection: Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_encode, decoder=from_json, format="text"
        )


async def _keep(_: Connection) -> None:
    """Leave a released connection as it is: the pool has rolled back what was open.

    asyncpg's own reset is one more round trip for every use of the pool. We need none, as long as
    nobody changes a session: settings and roles are SET LOCAL, advisory locks end with transactions.
    """


def _encode(value: Any) -> str:
    return to_json(value).decode()
