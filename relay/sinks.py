"""Who is told the events of the feed by this relay: webhooks."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from relay import webhooks
from relay.posting import Poster
from relay.webhooks import Webhooks
from settings import Settings
from storage.bell import Bell
from storage.pool import Pool

Repeat = Callable[[Callable[[], Awaitable[bool]], float], Coroutine[None, None, None]]


class Sinks:
    """The sinks of one relay."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool = pool
        self._bell = Bell(settings.database_url)
        poster = Poster(production=settings.production, allowed=settings.webhook_networks)
        self._webhooks = Webhooks(pool, poster, self._bell)

    def work(self, repeat: Repeat) -> list[Coroutine[None, None, None]]:
        """What is to be done again and again, each with a pause in seconds."""
        self._ringing = asyncio.create_task(self._bell.run())
        return [
            repeat(self._webhooks.find, webhooks.LOOK_SECONDS),
            repeat(lambda: webhooks.measure(self._pool), webhooks.LOOK_SECONDS),
        ]

    async def close(self) -> None:
        self._ringing.cancel()
        await self._webhooks.close()
