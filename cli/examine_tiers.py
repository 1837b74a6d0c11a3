"""What `countersign doctor` looks at of the cold tier: that it can be read, and that months move."""

import asyncio

from cli.finding import Finding
from settings import Settings
from storage import months
from storage.months import Month
from storage.pool import Source
from storage.store import Store, StoreFailed, StoreInvalid, store

_LATE_DAYS = 7
"""A month that should have moved so many days ago does not move by itself."""


async def tiers(source: Source, loaded: Settings) -> list[Finding]:
    found = await months.every(source)
    kept = [month for month in found if month.state in ("detached", "cold")]
    if loaded.audit_store is None:
        return [_without(kept)]
    late = await months.due(source, loaded.audit_hot_days + _LATE_DAYS)
    if late:
        names = ", ".join(f"{month:%Y-%m}" for month in late)
        fix = f"countersign audit move-month {late[0]:%Y-%m} says what keeps it"
        return [Finding("audit tiers", "problem", f"have not moved: {names}", fix)]
    try:
        place = store(loaded.audit_store, loaded.audit_cache)
        await asyncio.to_thread(_look, place, kept[-1:])
    except (StoreInvalid, StoreFailed) as error:
        fix = "make it readable and writable for API and worker (COUNTERSIGN_AUDIT_STORE)"
        return [Finding("audit tiers", "problem", str(error), fix)]
    return [Finding("audit tiers", "ok", f"{len(kept)} months in {place.url}")]


def _without(kept: list[Month]) -> Finding:
    fix = "set COUNTERSIGN_AUDIT_STORE: file:///folder or s3://bucket/prefix"
    if kept:
        return Finding(
            "audit tiers", "problem", f"{kept[-1].name} is in a cold tier: none is set", fix
        )
    return Finding(
        "audit tiers", "warning", "no cold tier is set: every month stays in Postgres", fix
    )


def _look(place: Store, newest: list[Month]) -> None:
    """Whether the newest month's files are there. StoreFailed if not, or it cannot be read."""
    place.names("")
    for month in newest:
        for file in month.opened().files:
            place.path(file)
