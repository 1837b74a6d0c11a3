"""Endpoints that are slow or lie, all at once beside one that is well: that one has everything meanwhile, what is
wrong with each is seen, and nothing is lost, dead, or sent again that was taken.

Down, and back: test_webhooks.py. What each kind of answer is taken for: test_posting.py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_network
from typing import Any
from uuid import UUID, uuid4

import pytest

from relay import webhooks
from relay.posting import Poster
from relay.webhooks import Webhooks
from storage import feed
from storage import webhooks as endpoints
from storage.bell import Bell
from storage.commands import now
from storage.pool import Pool
from tests.integration.receiver import DRIPS, Message, Receiver, receiving
from tests.integration.sealed import happen
from tests.integration.test_webhooks import OSCAR, all_due, made
from tests.stack import Database

LOOPBACK = (ip_network("127.0.0.0/8"),)
WELL = "well"
Answer = str | bytes


@dataclass
class Street:
    """Endpoints of one relay, each with a fault of its own until it is `mended`, and one that is well."""

    pool: Pool
    admin: Pool
    database: Database
    stack: AsyncExitStack
    request: UUID = field(default_factory=uuid4)
    there: dict[str, Receiver] = field(default_factory=dict)
    ids: dict[str, UUID] = field(default_factory=dict)
    relay: Webhooks = field(init=False)

    async def begin(self, faults: Mapping[str, Answer], **poster: Any) -> None:
        """`faults` is what each answers to events of the request."""
        self.opened(**poster)
        for name, answer in {**faults, WELL: "200"}.items():
            self.there[name] = await self.stack.enter_async_context(receiving())
            self.there[name].answer = partial(self._answer, answer)
            self.ids[name], _ = await made(self.pool, self.there[name].url)

    def opened(self, **poster: Any) -> None:
        """A relay that starts now."""
        mine = Poster(production=False, allowed=LOOPBACK, **poster)
        self.relay = Webhooks(self.pool, mine, Bell(self.database.url))

    def _answer(self, answer: Answer, message: Message) -> Answer:
        return answer if message.event["partitionkey"] == str(self.request) else "200"

    async def happens(self, rows: int) -> None:
        await happen(self.pool, self.request, rows)

    async def until(self, done: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(60):
            while not await done():
                await feed.sequence(self.pool)
                await self.relay.find()
                await asyncio.sleep(0.01)

    async def rows(self) -> dict[str, Any]:
        """Each endpoint as the API tells of it."""
        found = {name: await endpoints.one(self.pool, each) for name, each in self.ids.items()}
        return {name: row for name, row in found.items() if row is not None}

    async def all_wait(self, count: int) -> None:
        """Each has so many events that it has still to take, and the one that is well has all."""

        async def wait() -> bool:
            rows = await self.rows()
            well = rows.pop(WELL)
            parked = all(row["parked"] == count for row in rows.values())
            return parked and well["behind"] == well["parked"] == 0

        await self.until(wait)
        assert self.seqs(WELL) == list(range(1, count + 1))

    def seqs(self, name: str) -> list[int]:
        """Which events of the request it was sent, each time."""
        key = str(self.request)
        there = self.there[name].seen
        return [it.event["data"]["seq"] for it in there if it.event["partitionkey"] == key]

    def mended(self) -> None:
        for receiver in self.there.values():
            receiver.answer = lambda _: "200"
            receiver.seen.clear()

    async def all_have(self, *seqs: int) -> None:
        """Some time later each was sent just these, in their order, and has nothing to take any more."""

        async def have() -> bool:
            await all_due(self.admin)
            return all(row["parked"] == row["behind"] == 0 for row in (await self.rows()).values())

        await self.until(have)
        assert {name: self.seqs(name) for name in self.ids if name != WELL} == {
            name: list(seqs) for name in self.ids if name != WELL
        }
        assert {row["dead"] for row in (await self.rows()).values()} == {0}


@pytest.fixture
async def street(
    pool: Pool, admin_pool: Pool, database: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Street]:
    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 0.02)
    async with AsyncExitStack() as stack:
        found = Street(pool, admin_pool, database, stack)
        yield found
        await found.relay.close()


def head(status: str, *lines: str) -> bytes:
    """An answer without a body."""
    text = "\r\n".join([f"HTTP/1.1 {status}", *lines, "content-length: 0", "", ""])
    return text.encode("latin-1")


async def test_those_that_lie(street: Street) -> None:
    """Nothing goes where they say; the events that follow wait for the one that they did not take."""
    inside = await street.stack.enter_async_context(receiving())
    answers: dict[str, tuple[Answer, str]] = {
        "goes elsewhere": (head("302 X", f"location: {inside.url}"), "302: redirects are not"),
        "with its body": (head("307 X", f"location: {inside.url}"), "307: redirects are not"),
        "for good": (head("308 X", f"location: {inside.url}"), "308: redirects are not"),
        "nothing changed": (b"HTTP/1.1 304 X\r\n\r\n", "304: redirects are not"),
        "not HTTP any more": (head("101 X", "connection: upgrade", "upgrade: x"), "is not HTTP"),
        "no HTTP": ("garbage", "its answer is not HTTP"),
        "two lengths": (head("200 X", "content-length: 9"), "its answer is not HTTP"),
        "no status": (head("200000 X"), "its answer is not HTTP"),
        "no end of a head": ("long head", "its answer is not HTTP"),
        "hangs up": ("close", "it closed the connection before it answered"),
        "who are you": (head("401 X", "www-authenticate: Basic"), "401"),
    }
    await street.begin({name: answer for name, (answer, _) in answers.items()})
    await street.happens(3)
    await street.all_wait(3)
    rows = await street.rows()
    told = {name: why in rows[name]["last_error"] for name, (_, why) in answers.items()}
    assert told == dict.fromkeys(answers, True)
    street.mended()
    await street.all_have(1, 2, 3)
    assert inside.connections == 0


async def test_what_they_say_besides_that_they_took_it_is_nothing_to_us(street: Street) -> None:
    faults: dict[str, Answer] = {
        "garbage": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{{{\xff\x00...",
        "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
        "in pieces": b"HTTP/1.1 202 X\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "old": b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\nretry-after: 900\r\n\r\n",
        "says it twice": "twice",
        "hangs up in the middle": "cut",
        "says too much": "huge",
        "never ends": "drips a body",
    }
    await street.begin(faults, timeout=1.0)
    await street.happens(2)
    await street.all_have(1, 2)
    rows = await street.rows()
    assert {name: row["last_error"] for name, row in rows.items()} == dict.fromkeys(rows)


ABSURD = (
    "99999999999999999999999",
    "1" * 400,
    "-900",
    "soon",
    "1e9",
    "\xb2",
    "nan",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Fri, 31 Dec 1999 23:59:59 -9999",
    "Thu, 01 Jan 1970 00:00:00",
    "",
)


async def test_those_that_ask_for_absurd_patience(street: Street) -> None:
    """They are given an hour at most, and their next attempt all the same."""
    await street.begin({asked: head("429 X", f"retry-after: {asked}") for asked in ABSURD})
    await street.happens(1)
    await street.all_wait(1)
    rows = await street.pool.fetch(
        "SELECT extract(epoch FROM next_at - tried_at)::float8 AS rests, last_error FROM webhook_parked"
    )
    assert len(rows) == len(ABSURD)
    assert {row["last_error"] for row in rows} == {"429"}
    assert all(3.0 < row["rests"] < 3700.0 for row in rows)
    street.mended()
    await street.all_have(1)


async def test_those_that_are_slow_keep_nobody_else(street: Street) -> None:
    """While they are waited for. If their relay ends meanwhile, what is in doubt is sent again."""
    await street.begin({name: name for name in (*DRIPS, "hang")})
    await street.happens(3)

    async def waited_for() -> bool:
        well = (await street.rows())[WELL]
        return well["behind"] == 0 and all(street.seqs(name) == [1] for name in (*DRIPS, "hang"))

    await street.until(waited_for)
    assert street.seqs(WELL) == [1, 2, 3]
    assert all(row["behind"] >= 3 for name, row in (await street.rows()).items() if name != WELL)
    await street.relay.close()
    street.mended()
    street.opened()
    await street.all_have(1, 2, 3)


async def test_those_that_are_slow_are_waited_for_so_long_in_all(street: Street) -> None:
    """What comes meanwhile, bit by bit, buys them nothing."""
    slow = ("drips a head", "wants patience", "hang")
    await street.begin({name: name for name in slow}, timeout=0.5)
    await street.happens(2)
    await street.all_wait(2)
    rows = await street.rows()
    assert [rows[name]["last_error"] for name in slow] == ["no answer in time"] * 3
    street.mended()
    street.opened()
    await street.all_have(1, 2)


async def test_one_that_says_it_is_gone_is_asked_no_more_and_misses_nothing(street: Street) -> None:
    await street.begin({"gone": "410"})
    await street.happens(2)

    async def paused() -> bool:
        return bool((await street.rows())["gone"]["paused_at"])

    await street.until(paused)
    await street.happens(1)

    async def well_has_all() -> bool:
        return street.seqs(WELL) == [1, 2, 3]

    await street.until(well_has_all)
    assert street.seqs("gone") == [1]
    street.mended()
    async with street.pool.acquire() as connection, connection.transaction():
        await endpoints.resume(connection, street.ids["gone"], OSCAR, await now(connection))
    await street.all_have(1, 2, 3)


async def test_one_whose_name_leads_inside_later(street: Street) -> None:
    """Nothing goes there, and what was for it waits until its name is its own again."""
    address = "127.0.0.1"

    async def resolve(host: str, _: int) -> list[str]:
        return [address if host == "hook.example.test" else "127.0.0.1"]

    await street.begin({}, resolve=resolve)
    there = street.there["named"] = await street.stack.enter_async_context(receiving())
    named = there.url.replace("127.0.0.1", "hook.example.test")
    street.ids["named"], _ = await made(street.pool, named)
    await street.happens(1)
    await street.all_have(1)
    address = "169.254.169.254"
    there.stop()  # the connections that were kept
    await street.happens(2)

    async def waits() -> bool:
        rows = await street.rows()
        return rows["named"]["parked"] == 2 and rows[WELL]["behind"] == 0

    await street.until(waits)
    assert (await street.rows())["named"]["last_error"].startswith("nobody connects to it: 169.254")
    assert street.seqs(WELL) == [1, 2, 3]
    address = "127.0.0.1"
    await street.all_have(1, 2, 3)
