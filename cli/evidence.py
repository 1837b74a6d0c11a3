"""The audit's evidence straight from Postgres: whoever verifies it asks no API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from cli.examine import places
from cli.output import Exit, Failure
from storage.errors import UNAVAILABLE
from storage.pool import Connection, create_pool


@asynccontextmanager
async def connected() -> AsyncIterator[Connection]:
    """A connection to the database of the settings, or of the `countersign dev` that runs here; all
    that is read through it is of one moment. Failure if it cannot be reached or has no tables."""
    url = places(None).settings.database_url
    try:
        pool = await create_pool(url, max_size=1)
    except (*UNAVAILABLE, asyncpg.PostgresError, ValueError) as error:
        raise _away(error) from None
    try:
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection
    except asyncpg.UndefinedTableError:
        raise Failure("the database is not migrated", fix="countersign migrate") from None
    except UNAVAILABLE as error:
        raise _away(error) from None
    finally:
        await pool.close()


def _away(error: BaseException) -> Failure:
    return Failure(
        f"Postgres cannot be reached: {error}",
        code=Exit.UNAVAILABLE,
        fix="start it (countersign dev), or set COUNTERSIGN_DATABASE_URL",
    )
