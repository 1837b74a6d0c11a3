"""A bell that rings in this process when the feed grows: one connection that listens, any number that wait."""

import asyncio
from contextlib import suppress

import asyncpg
import structlog

from storage import feed
from storage.errors import FAILED, plain
from storage.pool import Connection

_log = structlog.get_logger()
_PAUSE = 1.0


class Bell:
    """`position` is the last one of the feed that this process heard of. `run` has to run for it to ring."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.position = 0
        self._rung = asyncio.Event()

    async def wait(self, position: int, seconds: float) -> bool:
        """Wait until there is more in the feed than up to a position: whether there is, within so many
        seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.position <= position:
                    await self._rung.wait()
        return self.position > position

    async def run(self, stopping: asyncio.Event) -> None:
        """Listen until `stopping` is set. A connection that breaks is made again."""
        while not stopping.is_set():
            try:
                await self._listen(stopping)
            except FAILED as error:
                _log.warning("not heard of the feed now", error=plain(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), _PAUSE)

    async def _listen(self, stopping: asyncio.Event) -> None:
        """Until the connection ends, or `stopping` is set."""
        ended = asyncio.Event()
        connection: Connection = await asyncpg.connect(self._url, timeout=10)
        try:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(feed.CHANNEL, self._heard)
            # What was told while nobody listened.
            self.ring((await feed.ends(connection))[1])
            waits = [asyncio.create_task(each.wait()) for each in (ended, stopping)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in waits:
                each.cancel()
        finally:
            connection.terminate()

    def _heard(self, _connection: object, _process: int, _channel: str, payload: object) -> None:
        self.ring(int(str(payload)))

    def ring(self, position: int) -> None:
        """There is a position now."""
        self.position = max(self.position, position)
        self._rung.set()
        self._rung = asyncio.Event()
