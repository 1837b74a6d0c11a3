"""Kafka: every event as a record, each request's in order, on librdkafka's mock brokers in a process of their own."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from relay import kafka
from relay.kafka import Kafka, KafkaInvalid, configuration, configured
from storage import feed
from storage.bell import Bell
from storage.pool import Pool
from tests.integration.brokers import Cluster, Record, brokers, records
from tests.integration.house import House
from tests.integration.sealed import happen
from tests.stack import Database


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with brokers() as found:
        yield found


@pytest.fixture
def topic() -> str:
    return f"t{uuid4().hex}"


@pytest.fixture
async def bell(database: Database) -> AsyncIterator[Bell]:
    found = Bell(database.url)
    ringing = asyncio.create_task(found.run())
    yield found
    ringing.cancel()


async def told(cluster: Cluster, topic: str, count: int) -> list[Record]:
    return await asyncio.to_thread(records, cluster.brokers, topic, count)


async def sent(pool: Pool, *sinks: Kafka) -> None:
    """Everything fed and sent."""
    while await feed.sequence(pool):
        pass
    _, last = await feed.ends(pool)
    async with asyncio.timeout(300):
        while (
            await pool.fetchval("SELECT position FROM feed_consumers WHERE name = 'kafka'") != last
        ):
            await asyncio.gather(*(sink.look() for sink in sinks))


async def test_every_event_is_a_record_of_its_request(
    house: House, cluster: Cluster, topic: str, bell: Bell
) -> None:
    sink = Kafka(house.pool, configuration(cluster.brokers, None), topic, bell)
    await feed.begin(house.pool, kafka.CONSUMER, 0)
    flow = await house.begun()
    await house.begun()
    assert (await house.decide("bob", flow.task, comment="fine")).status_code == 200
    await sent(house.pool, sink)
    count = (await feed.ends(house.pool))[1]
    page = await house.get("/v1/feed", "tess", "auditor", params={"limit": 200})
    wanted = {it["id"]: it for it in page.json()["items"]}
    assert len(wanted) == count
    got = await told(cluster, topic, count)
    assert {value["id"]: value for _, value, _ in got} == wanted
    for key, value, headers in got:
        assert key == value["partitionkey"]
        assert headers["ce_id"] == value["id"]
        assert headers["ce_type"] == value["type"]
        assert headers["content-type"] == "application/cloudevents+json"
        assert headers.get("ce_subject") == value.get("subject")
    for request in {key for key, _, _ in got}:
        order = [value["data"]["seq"] for key, value, _ in got if key == request]
        assert order == sorted(order)
    await sink.close()


async def test_brokers_that_do_not_answer_and_come_back(
    pool: Pool, cluster: Cluster, topic: str, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor rests meanwhile; what may have got there is sent again. A relay that starts without brokers waits
    for them, too."""
    sink = Kafka(pool, configuration(cluster.brokers, None), topic, bell)
    await feed.begin(pool, kafka.CONSUMER)
    requests = [await happen(pool, rows=2) for _ in range(3)]
    await sent(pool, sink)
    position = await pool.fetchval("SELECT position FROM feed_consumers")
    monkeypatch.setattr(kafka, "PATIENCE", 0.5)
    cluster.halt()
    try:
        for request in requests:
            await happen(pool, request)
        await feed.sequence(pool)
        for _ in range(2):
            assert not await sink.look()
        assert kafka.closed._value.get() == 1
    finally:
        cluster.go_on()
    assert await pool.fetchval("SELECT position FROM feed_consumers") == position
    monkeypatch.undo()
    await sent(pool, sink)
    assert kafka.closed._value.get() == 0
    await sink.close()
    nowhere = Kafka(pool, configuration("127.0.0.1:1", None), topic, bell)
    monkeypatch.setattr(kafka, "PATIENCE", 0.5)
    await happen(pool, requests[0])
    await feed.sequence(pool)
    assert not await nowhere.look()
    await nowhere.close()
    monkeypatch.undo()
    again = Kafka(pool, configuration(cluster.brokers, None), topic, bell)
    await sent(pool, again)
    await again.close()
    got = await told(cluster, topic, 10)
    for request in requests:
        first = dict.fromkeys(value["data"]["seq"] for key, value, _ in got if UUID(key) == request)
        assert list(first)[:3] == [1, 2, 3]


async def test_two_relays_one_of_which_ends(
    pool: Pool, cluster: Cluster, topic: str, bell: Bell
) -> None:
    sinks = [Kafka(pool, configuration(cluster.brokers, None), topic, bell) for _ in range(2)]
    await feed.begin(pool, kafka.CONSUMER)
    request = await happen(pool, rows=3)
    await sent(pool, *sinks)
    await sinks[0].close()
    await sinks[1].close()
    await happen(pool, request)
    await sent(pool, sinks[1])
    got = await told(cluster, topic, 4)
    assert [value["data"]["seq"] for _, value, _ in got] == [1, 2, 3, 4]


def test_configurations(tmp_path: Path) -> None:
    path = tmp_path / "kafka.conf"
    path.write_text("# ours\nclient.id = c\n\nsasl.password=a=b\nacks=0\n")
    found = configuration("b:9092", path)
    assert found["client.id"] == "c"
    assert found["sasl.password"] == "a=b"
    assert (found["acks"], found["bootstrap.servers"]) == ("all", "b:9092")
    assert configured(None, path) is None
    with pytest.raises(KafkaInvalid, match="cannot be read"):
        configuration("b:9092", tmp_path / "none")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("one", r", line 1: it is not like name=value"),
        ("# ours\nsasl.usernam=a", r', line 2: No such configuration property: "sasl.usernam"'),
        ("security.protocol=SSLX", r', line 1: Invalid value "SSLX" for .*security.protocol"'),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN", r": .*sasl.password must be set"),
        ("stats_cb=x", r", line 1: expected stats_cb property as a callable function"),
    ],
)
def test_a_setting_that_is_none_is_named(tmp_path: Path, said: str, why: str) -> None:
    path = tmp_path / "kafka.conf"
    path.write_text(said)
    with pytest.raises(KafkaInvalid, match=re.escape(str(path)) + why):
        configuration("b:9092", path)


async def test_an_event_too_large_for_the_brokers_goes_by_its_ids(
    house: House, cluster: Cluster, topic: str, bell: Bell
) -> None:
    small = {**configuration(cluster.brokers, None), "message.max.bytes": "100000"}
    sink = Kafka(house.pool, small, topic, bell)
    await feed.begin(house.pool, kafka.CONSUMER, 0)
    await house.submit("alice", "leave", {"days": 5, "why": "x" * 200_000})
    flow = await house.begun()
    await sent(house.pool, sink)
    got = await told(cluster, topic, (await feed.ends(house.pool))[1])
    short = [value for _, value, _ in got if value["data"].get("too_large")]
    assert [value["type"] for value in short] == ["approval.request.created"]
    assert short[0]["data"].keys() == {"request_id", "seq", "workflow", "version", "too_large"}
    assert str(flow.state.request_id) in {key for key, _, _ in got}
    await sink.close()
