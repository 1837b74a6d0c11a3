"""The counts of `/v1/stats`."""

import asyncio
import time

from recipes.model import Json
from storage import stats
from storage.pool import Source

_KEPT = 5.0


class Counts:
    """The counts of `/v1/stats`, which read a lot, kept for five seconds and taken once at a time."""

    def __init__(self, pool: Source) -> None:
        self._pool = pool
        self._lock = asyncio.Lock()
        self._kept: dict[str, Json] = {}
        self._until = float("-inf")

    async def fresh(self) -> dict[str, Json]:
        async with self._lock:
            if time.monotonic() >= self._until:
                self._kept = await self._taken()
                self._until = time.monotonic() + _KEPT
            return self._kept

    async def _taken(self) -> dict[str, Json]:
        counts = await stats.counts(self._pool)
        outbox = await stats.outbox(self._pool)
        return {
            "at": counts.at,
            "requests": counts.requests,
            "imported": counts.imported,
            "open_tasks": counts.open_tasks,
            "incidents": counts.incidents,
            "outbox": outbox.rows,
            "outbox_oldest_seconds": outbox.oldest_seconds,
        }
