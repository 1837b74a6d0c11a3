"""Long activities tell Temporal that they still run, so that a dead worker's is begun again soon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from temporalio import activity

_BEAT = 5.0


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Heartbeats, as long as the block lasts."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(_BEAT)

    heart = asyncio.create_task(beat())
    try:
        yield
    finally:
        heart.cancel()
        with suppress(asyncio.CancelledError):
            await heart
