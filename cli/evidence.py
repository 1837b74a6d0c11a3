"""The audit's evidence straight from Postgres: whoever verifies it asks no API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from cli.examine import places
from cli.output import Exit, Failure
from relay.witnesses import WitnessFailed, WitnessInvalid, witnesses
from storage.errors import UNAVAILABLE
from storage.pool import Connection, NoVault, create_pool
from storage.regions import RegionKeyInvalid
from storage.store import StoreInvalid
from storage.trail import Trail, trail
from storage.vault import open_vault


@asynccontextmanager
async def connected() -> AsyncIterator[Connection]:
    """A connection to the database of the settings, or of the `countersign dev` that runs here; all
    that is read through it is of one moment. Failure if it cannot be reached or has no tables."""
    loaded = places(None).settings
    try:
        vault = open_vault(loaded.region_key) if loaded.region_key.exists() else None
        pool = await create_pool(loaded.database_url, vault, max_size=1)
    except RegionKeyInvalid as error:
        raise Failure(f"the region key: {error}", code=Exit.USAGE) from None
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
    except NoVault:
        fix = "set COUNTERSIGN_REGION_KEY_FILE to that of api, worker and relay"
        raise Failure("this needs the region keys", code=Exit.USAGE, fix=fix) from None
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


def cold_tier() -> Trail:
    """Both tiers, as the settings have them. Failure if the cold one is none."""
    loaded = places(None).settings
    try:
        return trail(loaded.audit_store, loaded.audit_cache)
    except StoreInvalid as error:
        raise Failure(str(error), code=Exit.USAGE) from None


def kept_by_witnesses() -> tuple[str, ...]:
    """Every note that the witnesses of the settings keep. Failure if one of them cannot be read."""
    try:
        places_of_notes = witnesses(places(None).settings.seal_witnesses)
        return tuple(note for place in places_of_notes for note in place.kept())
    except WitnessInvalid as error:
        fix = "set COUNTERSIGN_SEAL_WITNESSES"
        raise Failure(f"a witness: {error}", code=Exit.USAGE, fix=fix) from None
    except WitnessFailed as error:
        fix = "without it nobody sees that the database was put back; mount it"
        raise Failure(
            f"a witness cannot be read: {error}", code=Exit.UNAVAILABLE, fix=fix
        ) from None
