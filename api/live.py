"""What happens, told to open pages at once: one connection of each process listens to the feed.

What is new is read once, whoever it concerns; each page has a mailbox. One that does not keep up is closed, not
waited for: its browser comes back, and says with which position.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import structlog
from pydantic_core import to_json

from api.auth import Caller
from api.errors import Problem
from api.requests import allowed
from storage import feed, live
from storage.errors import FAILED
from storage.live import Happened
from storage.pool import Pool

PORTION = 1_000
"""Positions that are read at once; who is further behind is told to look at everything again."""
LOOK_SECONDS = 5.0
"""The feed is looked at this often even if nobody tells of it: a connection may have died in silence."""
_AGAIN_SECONDS = 1.0
_ROOM = 100
_log = structlog.get_logger(__name__)

LOOK_AGAIN = b"event: look\ndata: {}\n\n"
"""More happened than is told one by one."""


@dataclass(eq=False, slots=True)
class Mailbox:
    """Of one open page. None in it says that it is closed."""

    caller: Caller
    letters: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_ROOM))
    closed: bool = False

    def put(self, letter: bytes) -> None:
        """Or close it, where there is no room."""
        if self.closed:
            return
        if self.letters.full():
            self.close()
        else:
            self.letters.put_nowait(letter)

    def close(self) -> None:
        self.closed = True
        while not self.letters.empty():
            self.letters.get_nowait()
        self.letters.put_nowait(None)


class Live:
    """The open pages of one process. `run` until it is cancelled."""

    def __init__(self, database_url: str, pool: Pool) -> None:
        self._url = database_url
        self._pool = pool
        self._rooms: dict[str, set[Mailbox]] = defaultdict(set)
        self._position: int | None = None
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._lock = asyncio.Lock()  # between reading what is new and telling it, nobody comes

    @property
    def pages(self) -> int:
        """How many are open."""
        return sum(map(len, self._rooms.values()))

    async def enter(self, caller: Caller, seen: int | None) -> tuple[Mailbox, list[bytes]]:
        """A mailbox for a page of somebody, and what they have not seen since a position, if they say one.
        UNAVAILABLE."""
        mailbox = Mailbox(caller)
        async with self._lock:
            if self._position is None:
                self._position = (await feed.ends(self._pool))[1]
            now = self._position
            self._rooms[caller.id].add(mailbox)
        self._wanted.set()
        try:
            return mailbox, await self._missed(caller, seen, now)
        except BaseException:
            self.leave(mailbox)
            raise

    def leave(self, mailbox: Mailbox) -> None:
        mailbox.closed = True
        person = mailbox.caller.id
        room = self._rooms[person]
        room.discard(mailbox)
        if not room:
            del self._rooms[person]

    async def _missed(self, caller: Caller, seen: int | None, now: int) -> list[bytes]:
        begin = b"retry: 3000\nid: %d\nevent: ready\ndata: {}\n\n" % now
        if seen is None or seen >= now:
            return [begin]
        if now - seen > PORTION:
            return [LOOK_AGAIN, begin]
        found = await live.concerned(self._pool, seen, now, [caller.id])
        told = [it for it in found if it.people or await self._sees(caller, it.request_id)]
        return [*map(letter, told), begin]

    def close(self) -> None:
        """Send all away: this process ends, and others go on."""
        for room in self._rooms.values():
            for mailbox in room:
                mailbox.close()

    async def run(self) -> None:
        """Listen from the first page on, and tell. Whatever stands against it is tried again."""
        await self._wanted.wait()
        while True:
            try:
                await self._listen()
            except FAILED as error:
                _log.warning("open pages are not told now", error=type(error).__name__)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=10)
        try:
            connection.add_termination_listener(lambda _: self._news.set())
            await connection.add_listener(feed.CHANNEL, lambda *_: self._news.set())
            while not connection.is_closed():
                await self._tell()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._news.wait()
        finally:
            with suppress(*FAILED):
                await connection.close(timeout=2)

    async def _tell(self) -> None:
        """All that is new, to whom it concerns."""
        self._news.clear()
        async with self._lock:
            _, last = await feed.ends(self._pool)
            position, self._position = self._position, last
            if position is None or position >= last or not self._rooms:
                return
            if last - position > PORTION:
                self._put(LOOK_AGAIN, [it for room in self._rooms.values() for it in room])
                return
            try:
                found = await live.concerned(self._pool, position, last, list(self._rooms))
                told = [(letter(each), await self._to(each)) for each in found]
            except BaseException:
                self._position = position
                raise
            for said, mailboxes in told:
                self._put(said, mailboxes)

    async def _to(self, happened: Happened) -> list[Mailbox]:
        """The mailboxes of those it concerns: who watches the request or stands in for somebody, if they may see it."""
        found = [it for who in happened.people for it in self._rooms.get(who, ())]
        perhaps = [it for who in happened.perhaps for it in self._rooms.get(who, ())]
        return found + [it for it in perhaps if await self._sees(it.caller, happened.request_id)]

    async def _sees(self, caller: Caller, request_id: UUID) -> bool:
        """Whether somebody may see a request now."""
        if caller.sees_all:
            return True
        try:
            await allowed(self._pool, caller, "see", request_id)
        except Problem:
            return False
        return True

    def _put(self, said: bytes, mailboxes: Iterable[Mailbox]) -> None:
        for mailbox in mailboxes:
            mailbox.put(said)


def letter(happened: Happened) -> bytes:
    """An event of Server-Sent Events."""
    said = to_json(
        {
            "request_id": happened.request_id,
            "type": happened.type,
            "by": happened.by,
            "called": happened.called,
            "at": happened.at,
            "task_id": happened.task_id,
        }
    )
    return b"id: %d\nevent: happened\ndata: %s\n\n" % (happened.position, said)
