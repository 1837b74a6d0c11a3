"""`countersign keys ...`: the region keys, which wrap the data keys of requests.

One file (0600), the same for api, worker and relay. Without it nothing that people wrote can be read in the
audit or in histories; keep a copy where the database's backups are not.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cli.output import Exit, Failure, say, write
from settings import Settings
from storage import regions
from storage.regions import RegionKey, RegionKeyInvalid

DEV_NAME = "dev"

app = typer.Typer(no_args_is_help=True, help="Region keys: they wrap the data keys of requests.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the key, such as eu-2026: rows name it.")],
) -> None:
    """Make a region key: what wraps from the next start of api, worker and relay on. Those of before stay
    in the file, to open what they wrapped."""
    loaded = _settings()
    try:
        key = regions.new(name)
    except RegionKeyInvalid as error:
        raise Failure(str(error), code=Exit.USAGE) from None
    before = _keys(loaded) if loaded.region_key.exists() else []
    if name in {it.name for it in before}:
        raise Failure(f"there is a region key {name} already", code=Exit.CONFLICT)
    _write(loaded.region_key, [key, *before])
    say(f"{loaded.region_key}: {name} wraps from the next start on")
    if before:
        say("then countersign keys rewrap wraps again what the older ones did")


@app.command()
def show() -> None:
    """Print the names of the region keys, the one that wraps first."""
    for key in _keys(_settings()):
        write(key.name)


@app.command()
def rewrap() -> None:
    """Wrap every data key with the first region key: after that the others are not needed any more."""
    loaded = _settings()
    count = asyncio.run(_rewrap(loaded, _keys(loaded)))
    say(f"wrapped {count} keys again: {loaded.region_key} needs its first line alone now")


def ensure(loaded: Settings) -> None:
    """The key of `countersign dev`, made now if there is none."""
    if not loaded.region_key.exists():
        _write(loaded.region_key, [regions.new(DEV_NAME)])


async def _rewrap(loaded: Settings, keys: list[RegionKey]) -> int:
    from storage import vault, webhooks
    from storage.errors import UNAVAILABLE
    from storage.pool import create_pool

    try:
        pool = await create_pool(loaded.database_url, max_size=1)
    except UNAVAILABLE as error:
        fix = "start it (countersign dev), or set COUNTERSIGN_DATABASE_URL"
        raise Failure(
            f"Postgres cannot be reached: {error}", code=Exit.UNAVAILABLE, fix=fix
        ) from None
    try:
        mine = vault.Vault(keys)
        return await vault.rewrap(pool, mine) + await webhooks.rewrap(pool, mine)
    except vault.RegionKeyMissing as error:
        raise Failure(str(error), fix="put that key's line into the file again") from None
    finally:
        await pool.close()


def _settings() -> Settings:
    from cli.examine import places

    return places(None).settings


def _keys(loaded: Settings) -> list[RegionKey]:
    try:
        return regions.read_keys(loaded.region_key)
    except RegionKeyInvalid as error:
        fix = "countersign keys new NAME makes the first one (COUNTERSIGN_REGION_KEY_FILE)"
        raise Failure(str(error), fix=fix) from None


def _write(path: Path, keys: list[RegionKey]) -> None:
    from cli.audit_keys import replace

    replace(path, regions.written(keys), fix="set COUNTERSIGN_REGION_KEY_FILE")
