"""The way out: events a second from the audit to an endpoint, and the delay of each, also beside a sink that is down.

EVENTS rows of REQUESTS requests are committed at once: how fast a relay puts them into the feed and posts them to a
local receiver. Then RATE a second, each in a transaction of its own: from its commit until the receiver has it,
rounds with another endpoint that nobody answers at and rounds without one taking turns.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import cast
from uuid import UUID, uuid4

from typing_extensions import override

from bench import report, stack
from bench.measure import Spread, median_ratio
from bench.stack import free_port
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit, feed, regions, webhooks
from storage.audit import AuditEvent
from storage.commands import now
from storage.pool import Pool, create_pool
from storage.vault import Vault
from storage.webhooks import NewWebhook

EVENTS = int(os.environ.get("BENCH_FEED_EVENTS", "20000"))
REQUESTS = 2000
RATE = 200
SECONDS = 10
ROUNDS = 5
ACTOR = Actor("alice")
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Receiver(asyncio.Protocol):
    """Takes every message at once, and writes down when. One for each connection; `taken` is of all."""

    taken: dict[str, float]
    _transport: asyncio.Transport | None = None
    _buffer: bytearray = field(default_factory=bytearray)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:])
            whole = end + 4 + int(headers["content-length"])
            if len(self._buffer) < whole:
                return
            del self._buffer[:whole]
            self.taken.setdefault(headers["webhook-id"], time.perf_counter())
            assert self._transport is not None
            self._transport.write(_ANSWER)


@asynccontextmanager
async def receiving(taken: dict[str, float]) -> AsyncIterator[str]:
    """The URL of a receiver."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Receiver(taken), stack.HOST, 0)
    yield f"http://{stack.HOST}:{server.sockets[0].getsockname()[1]}/"
    server.close()


def _event(at: datetime) -> AuditEvent:
    said: dict[str, Json] = {"decision": "approve", "step": "manager", "comment": "within budget"}
    return audit.event("decision.recorded", at, said, {"state": "pending"}, ACTOR)


async def _add(pool: Pool, url: str) -> UUID:
    item = NewWebhook(uuid4(), url, "", ("decision.recorded",), None)
    async with pool.acquire() as connection, connection.transaction():
        await webhooks.add(connection, item, ACTOR, await now(connection))
    return item.id


async def _remove(pool: Pool, webhook_id: UUID) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await webhooks.remove(connection, webhook_id, ACTOR, await now(connection))


async def _arrived(taken: dict[str, float], wanted: set[str]) -> None:
    async with asyncio.timeout(600):
        while not wanted <= taken.keys():  # noqa: ASYNC110 - by the hundred, not one by one
            await asyncio.sleep(0.05)


async def _burst(pool: Pool, taken: dict[str, float]) -> tuple[float, float]:
    """Events a second into the feed, and to the receiver, of all that are committed at once."""
    at = await now(pool)
    wanted: set[str] = set()
    async with pool.acquire() as connection, connection.transaction():
        for _ in range(REQUESTS):
            events = [_event(at) for _ in range(EVENTS // REQUESTS)]
            wanted |= {str(event.event_id) for event in events}
            await audit.append(connection, uuid4(), "leave", 1, events)
    _, before = await feed.ends(pool)
    begun = time.perf_counter()
    while (await feed.ends(pool))[1] < before + EVENTS:  # noqa: ASYNC110 - another process feeds
        await asyncio.sleep(0.02)
    fed = time.perf_counter() - begun
    await _arrived(taken, wanted)
    return EVENTS / fed, EVENTS / (max(taken[it] for it in wanted) - begun)


async def _steady(pool: Pool, taken: dict[str, float]) -> Spread:
    """Delays from commit to receipt at RATE events a second."""
    committed: dict[str, float] = {}
    requests = [uuid4() for _ in range(50)]

    async def one(number: int) -> None:
        event = _event(await now(pool))
        await audit.append(pool, requests[number % 50], "leave", 1, [event])
        committed[str(event.event_id)] = time.perf_counter()

    async with asyncio.TaskGroup() as group:
        begun = time.perf_counter()
        for number in range(RATE * SECONDS):
            group.create_task(one(number))
            await asyncio.sleep(max(0.0, begun + (number + 1) / RATE - time.perf_counter()))
    await _arrived(taken, set(committed))
    return Spread.of(max(0.0, taken[it] - when) for it, when in committed.items())


async def run() -> None:
    async with stack.servers() as there:
        there.relay({"COUNTERSIGN_WEBHOOK_ALLOW": "127.0.0.0/8"})
        vault = Vault(regions.read_keys(there.folder / "region.key"))
        pool = await create_pool(there.app_url(), vault, max_size=10)
        taken: dict[str, float] = {}
        async with receiving(taken) as url:
            await _add(pool, url)
            bursts = [await _burst(pool, taken) for _ in range(3)]
            alone: list[Spread] = []
            beside: list[Spread] = []
            for _ in range(ROUNDS):
                alone.append(await _steady(pool, taken))
                down = await _add(pool, f"http://{stack.HOST}:{free_port()}/")
                beside.append(await _steady(pool, taken))
                await _remove(pool, down)
        await pool.close()
    _write(bursts, alone, beside)


def _write(bursts: list[tuple[float, float]], alone: list[Spread], beside: list[Spread]) -> None:
    fed, sent = (median(rates) for rates in zip(*bursts, strict=True))
    rows = [
        f"| {name} | {median(it.p50 for it in found):.0f} ms | {median(it.p99 for it in found):.0f} ms |"
        for name, found in (("alone", alone), ("beside one that is down", beside))
    ]
    ratios = [
        median_ratio([getattr(it, name) for it in beside], [getattr(it, name) for it in alone])
        for name in ("p50", "p99")
    ]
    report.write(
        "feed",
        f"""
{EVENTS:,} events of {REQUESTS:,} requests, committed at once, one relay, one endpoint: **{fed:,.0f}** events/s into the
feed, **{sent:,.0f}** events/s to the receiver (median of {len(bursts)}).

{RATE} events/s, each in a transaction of its own, from its commit until the receiver has it ({ROUNDS} rounds of {SECONDS} s each, by
turns):

| | p50 | p99 |
|---|---|---|
{rows[0]}
{rows[1]}
| ratio | {ratios[0]:.2f} | {ratios[1]:.2f} |
""",
    )
