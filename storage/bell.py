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

    def unhear(self, heard: int, position: int) -> None:
        """What was heard of is not there, as whoever looked found: the database was put back to an earlier state.
        Nobody looks again before there is news."""
        if self.position == heard:
            self.position = min(heard, position)

    async def run(self) -> None:
        """Listen until cancelled. A connection that breaks is made again."""
        why = None
        while True:
            try:
                await self._listen()
                why = None
            except FAILED as error:
                if why != plain(error):
                    why = plain(error)
                    _log.warning("the feed cannot be listened to now", error=why)
            await asyncio.sleep(_PAUSE)

    async def _listen(self) -> None:
        """Until the connection ends."""
        ended = asyncio.Event()
        connection: Connection = await asyncpg.connect(self._url, timeout=10)
        try:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(feed.CHANNEL, self._heard)
            # What was told while nobody listened.
            _, last = await feed.ends(connection)
            self._ring(last)
            await ended.wait()
        finally:
            connection.terminate()

    def _heard(self, _connection: object, _process: int, _channel: str, payload: object) -> None:
        self._ring(int(str(payload)))

    def _ring(self, position: int) -> None:
        """The last position is this one now: a lower one than before if the database was put back."""
        self.position = position
        self._rung.set()
        self._rung = asyncio.Event()
