"""`countersign audit months` and `move-month`: the cold tier."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import Exit, Failure, say, table, when, write_json

if TYPE_CHECKING:
    from datetime import date

    from settings import Settings
    from storage.months import Month


@calling
def months(*, caller: Caller, as_json: AsJson = False) -> None:
    """List the months in the cold tier, as an auditor or administrator."""
    found = caller.connect().get("/v1/audit/months")["items"]
    if as_json:
        write_json(found)
    elif not found:
        say("every month is in Postgres")
    else:
        table(
            ("month", "state", "rows", "first event", "last event"),
            (
                (
                    item["month"],
                    item["state"],
                    item["rows"],
                    when(item["first_at"]),
                    when(item["last_at"]),
                )
                for item in found
            ),
        )


def move_month(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="One that is over: 2026-05.")],
) -> None:
    """Move a month to the cold tier now, or go on with it, where the database and the key that seals are.

    The worker does it every night with those that are over since 90 days.
    """
    from cli.examine import places

    moved = asyncio.run(_moved(places(None).settings, _day(month)))
    say(f"{moved.name} is {moved.state}: {moved.rows} rows, verified")


def _day(month: str) -> "date":
    try:
        return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise Failure(f"{month!r}: a month is like 2026-05", code=Exit.USAGE) from None


async def _moved(loaded: "Settings", month: "date") -> "Month":
    from contract.notes import KeyInvalid
    from storage.errors import UNAVAILABLE
    from storage.months import MonthRefused
    from storage.moving import Mover, NotYet
    from storage.pool import create_pool
    from storage.seal_keys import read_keys
    from storage.store import StoreFailed, StoreInvalid, store

    if loaded.audit_store is None:
        fix = "set COUNTERSIGN_AUDIT_STORE: file:///folder or s3://bucket/prefix"
        raise Failure("there is no cold tier", code=Exit.USAGE, fix=fix)
    try:
        keys = tuple(read_keys(loaded.seal_key))
        place = store(loaded.audit_store, loaded.audit_cache)
        pool = await create_pool(loaded.database_url, max_size=2)
    except (KeyInvalid, StoreInvalid) as error:
        raise Failure(str(error), code=Exit.USAGE) from None
    except UNAVAILABLE as error:
        fix = "set COUNTERSIGN_DATABASE_URL"
        raise Failure(
            f"Postgres cannot be reached: {error}", code=Exit.UNAVAILABLE, fix=fix
        ) from None
    try:
        return await Mover(pool, place, keys).move(month)
    except (NotYet, MonthRefused, StoreFailed) as error:
        raise Failure(str(error)) from None
    finally:
        await pool.close()
