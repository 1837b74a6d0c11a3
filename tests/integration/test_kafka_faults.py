"""Brokers that are slow or lie: the place in the feed rests, why is told, other sinks go on, and when they are well
again every event is there, each request's in their order.

Away, and back: test_kafka.py.
"""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from relay import kafka
from relay.kafka import Kafka, configuration
from storage import feed
from storage.bell import Bell
from storage.pool import Pool
from tests.integration.brokers import INIT_PRODUCER_ID, PRODUCE, Liars, records
from tests.integration.receiver import receiving
from tests.integration.sealed import happen
from tests.integration.test_webhooks import begun, look, made, of
from tests.stack import Database

ROWS = 3


@pytest.fixture(scope="module")
def liars() -> Iterator[Liars]:
    found = Liars()
    yield found
    found.end()


@dataclass
class Wrong:
    """A sink, and brokers that a test tells what to do."""

    pool: Pool
    liars: Liars
    topic: str
    sink: Kafka
    requests: list[UUID]

    async def place(self) -> int:
        query = "SELECT position FROM feed_consumers WHERE name = 'kafka'"
        found: int = await self.pool.fetchval(query)
        return found

    async def refused(self, why: str) -> None:
        """It sends in vain, once, and says why."""
        before, failures = await self.place(), kafka.failed._value.get()
        with capture_logs() as lines:
            assert not await self.sink.look()
        assert await self.place() == before
        assert kafka.closed._value.get() == 1
        assert kafka.failed._value.get() == failures + 1
        [line] = [it for it in lines if it["event"] == "Kafka does not take events now"]
        assert re.search(why, line["error"])

    async def sent(self) -> None:
        _, last = await feed.ends(self.pool)
        async with asyncio.timeout(60):
            while await self.place() != last:
                await self.sink.look()
        assert kafka.closed._value.get() == 0

    async def all_there(self, most: int, more: int = 0) -> list[dict[str, Any]]:
        """The events, and so many of nobody's, each so many times at most, each request's in their order by the first of each."""
        count = len(self.requests) * ROWS + more
        got = await asyncio.to_thread(records, self.liars.brokers, self.topic, count)
        values = [value for _, value, _ in got]
        for request in self.requests:
            of_it = [it for it in values if it["partitionkey"] == str(request)]
            assert list(dict.fromkeys(it["data"]["seq"] for it in of_it)) == [1, 2, 3]
        assert max(Counter(value["id"] for value in values).values()) <= most
        return values


@pytest.fixture
async def requests(pool: Pool) -> list[UUID]:
    """With rows that Kafka is to have. What was before is not for it."""
    while await feed.sequence(pool):
        pass
    await feed.begin(pool, kafka.CONSUMER)
    found = [uuid4() for _ in range(9)]  # of several partitions, surely
    for _ in range(ROWS):
        for request in found:
            await happen(pool, request)
    await feed.sequence(pool)
    return found


@pytest.fixture
async def wrong(
    pool: Pool, database: Database, liars: Liars, requests: list[UUID]
) -> AsyncIterator[Wrong]:
    topic = f"t{uuid4().hex}"
    liars.make(topic, 4)
    sink = Kafka(pool, configuration(liars.brokers, None), topic, Bell(database.url))
    yield Wrong(pool, liars, topic, sink, requests)
    await sink.close()
    liars.mend(topic)


OVER = "the brokers want no more of this producer|Local: Fatal error|Local: Purged"
"""What there may be of it."""
REFUSALS: dict[str, tuple[Callable[[Liars, str], None], str]] = {
    "takes some and may not have the others": (
        lambda it, _: it.answer(PRODUCE, 0, 29),
        "Broker: Topic authorization failed",
    ),
    "takes some and does not like the others": (
        lambda it, _: it.answer(PRODUCE, 0, 87),
        "Broker: Broker failed to validate record",
    ),
    "has a policy against them": (lambda it, _: it.answer(PRODUCE, 44), "Policy violation"),
    "has lost count of us": (
        lambda it, _: it.answer(PRODUCE, 45),
        f"out of order|desynchronization|{OVER}",
    ),
    "knows a newer one of us": (lambda it, _: it.answer(PRODUCE, 47), "old epoch"),
    "does not let us write": (
        lambda it, _: it.answer(INIT_PRODUCER_ID, *[31] * 4),
        f"Cluster authorization failed|{OVER}",
    ),
    "does not let us see the topic": (lambda it, topic: it.say(topic, 29), "authorization failed"),
    "has no topic of such a name": (
        lambda it, topic: it.say(topic, 17),
        "Invalid topic|Unknown topic",
    ),
    "has no such topic": (lambda it, topic: it.say(topic, 3), "Unknown topic or partition"),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_brokers_that_refuse(
    wrong: Wrong, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(kafka, "PATIENCE", 3.0)
    lie, why = REFUSALS[what]
    lie(wrong.liars, wrong.topic)
    await wrong.refused(why)
    wrong.liars.mend(wrong.topic)
    monkeypatch.undo()
    await wrong.sent()
    await wrong.all_there(most=2)


@pytest.mark.parametrize("codes", [(0, -195), (56, 6), (19,), (7,), (59,)])
async def test_brokers_that_are_well_again_at_once(wrong: Wrong, codes: tuple[int, ...]) -> None:
    """Hang up, have no disk, no leader or too few of them, no time, or no memory of us: we hear nothing of it, and
    nothing comes twice."""
    wrong.liars.answer(PRODUCE, *codes)
    await wrong.sent()
    await wrong.all_there(most=1)


@pytest.mark.parametrize("one", [False, True])
async def test_events_that_are_too_large_together_go_alone(wrong: Wrong, *, one: bool) -> None:
    """Brokers refuse all that came at once. Only what is too large by itself goes without its content."""
    wrong.liars.answer(PRODUCE, *[10] * 4)  # as many as partitions
    await wrong.refused("Message size too large")
    assert len(wrong.sink._suspected) > 1
    wrong.liars.mend(wrong.topic)
    counted = kafka.by_ids.labels("too_large")._value.get()
    if one:
        wrong.liars.answer(PRODUCE, 10)
        assert not await wrong.sink.look()
    large = set(wrong.sink._too_large)
    assert len(large) == one
    await wrong.sent()
    values = await wrong.all_there(most=3)
    assert {value["id"] for value in values if "too_large" in value["data"]} == large
    assert kafka.by_ids.labels("too_large")._value.get() == counted + one
    assert wrong.sink._suspected == wrong.sink._too_large == set()


async def test_nothing_of_a_request_overtakes_what_was_refused(
    wrong: Wrong, database: Database
) -> None:
    """What is sent together is so in one batch, however small those are."""
    wrong.topic = f"t{uuid4().hex}"
    wrong.liars.make(wrong.topic, 1)
    small = configuration(wrong.liars.brokers, None) | {"batch.size": "2500"}
    wrong.sink = Kafka(wrong.pool, small, wrong.topic, Bell(database.url))
    for _ in range(3):
        wrong.liars.answer(PRODUCE, 87)
        await wrong.refused("failed to validate record")
        wrong.liars.mend(wrong.topic)
        await wrong.sink.look()
    await wrong.sent()
    await wrong.sink.close()
    await wrong.all_there(most=1)


@contextmanager
def nobody(says: bytes | None) -> Iterator[str]:
    """A server that is no broker; it hangs up where it `says` None."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    there, _ = server.accept()
                    taken.append(there)
                    if says is None:
                        there.close()
                    else:
                        there.sendall(says)

        serving = Thread(target=serve)
        serving.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        serving.join()
    for there in taken:
        there.close()


HTTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"
NO_BROKERS: dict[str, tuple[bytes | None, dict[str, str], str]] = {
    "says nothing": (b"", {}, "Broker transport failure"),
    "hangs up": (None, {}, "brokers are down|Disconnected|transport failure"),
    "is no broker": (HTTP, {}, "Invalid response size"),
    "has no TLS": (HTTP, {"security.protocol": "SSL"}, "wrong version number"),
}


@pytest.mark.parametrize("what", NO_BROKERS)
async def test_brokers_that_are_none_keep_no_other_sink(
    wrong: Wrong, database: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """An endpoint has all meanwhile, and other brokers later."""
    monkeypatch.setattr(kafka, "PATIENCE", 3.0)
    says, more, why = NO_BROKERS[what]
    good = wrong.sink
    with nobody(says) as brokers:
        config = configuration(brokers, None) | more
        wrong.sink = Kafka(wrong.pool, config, wrong.topic, Bell(database.url))
        extra = await _meanwhile(wrong, why)
        await wrong.sink.close()
    monkeypatch.undo()
    wrong.sink = good
    wrong.requests.append(extra)
    await wrong.sent()
    await wrong.all_there(most=1, more=1)  # that there is an endpoint


async def _meanwhile(wrong: Wrong, why: str) -> UUID:
    """A request of which an endpoint has all before Kafka is given up for now."""
    async with receiving() as there:
        webhook, _ = await made(wrong.pool, there.url)
        mine = await begun(wrong.pool, webhook)
        in_vain = asyncio.create_task(wrong.refused(why))
        extra = await happen(wrong.pool, rows=ROWS)
        await look(mine, wrong.pool)
        assert of(there, extra) == [1, 2, 3]
        assert not in_vain.done()
        await in_vain
        return extra
