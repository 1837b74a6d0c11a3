"""An event that cannot be put together: it holds up nobody else's, is seen, and is told when it can be again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from contract import events
from contract.webhooks import TRIP
from recipes.happenings import Actor
from relay import kafka, notifying
from relay.kafka import Kafka, configuration
from relay.outliving import mistakes
from storage import audit, feed, telling
from storage import webhooks as endpoints
from storage.bell import Bell
from storage.commands import now
from storage.pool import Pool
from tests.integration.brokers import brokers, records
from tests.integration.house import House
from tests.integration.post_office import STAFF, PostOffice, Relay, mailing, post_office
from tests.integration.receiver import Receiver, receiving
from tests.integration.sealed import happen
from tests.integration.test_webhooks import all_due, attempts, begun, look, made, of

DEEP = 210
"""Levels that Postgres keeps, and that nothing of ours reads."""


async def spoil(pool: Pool, request: UUID) -> None:
    """A row that cannot be read, of a request."""
    payload: Any = 1
    for _ in range(DEEP):
        payload = {"a": payload}
    spoilt = audit.event("a.b", await now(pool), {"n": payload}, {}, Actor("alice"))
    await audit.append(pool, request, "leave", 1, [spoilt])


async def mend(admin: Pool) -> None:
    """As if a newer version could read it."""
    for row in await admin.fetch("SELECT DISTINCT tableoid::regclass::text AS name FROM audit"):
        await admin.execute(f"ALTER TABLE {row['name']} DISABLE TRIGGER ALL")
    await admin.execute("UPDATE audit SET payload = '{}' WHERE length(payload::text) > 600")


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with brokers() as found:
        yield found.brokers


async def test_a_webhook_goes_on_and_the_event_becomes_a_dead_one_that_can_be_sent_again(
    house: House, admin_pool: Pool, there: Receiver
) -> None:
    pool = house.pool
    webhook, _ = await made(pool, there.url)
    mine = await begun(pool, webhook)
    await look(mine, pool)
    bad, good = uuid4(), uuid4()
    await happen(pool, bad)
    await spoil(pool, bad)
    await happen(pool, bad)
    await happen(pool, good, rows=2)
    with capture_logs() as lines:
        await look(mine, pool)
    assert (of(there, bad), of(there, good)) == ([1], [1, 2])
    told = [line for line in lines if line["log_level"] == "error"]
    assert [(line["what"], line["error"].partition(":")[0]) for line in told] == [
        ("an event for a webhook", "ValueError")
    ]
    row = await endpoints.one(pool, webhook)
    assert row is not None
    assert (row["behind"], row["parked"], row["dead"]) == (0, 2, 0)
    assert row["last_error"] == "it cannot be put together: ValueError"
    # Days of attempts later what follows of its request comes, and it is kept, with its reason.
    await admin_pool.execute(
        "UPDATE webhook_parked SET failed_at = now() - interval '4 days' WHERE attempts > 0"
    )
    await all_due(admin_pool)
    await look(mine, pool)
    assert of(there, bad) == [1, 3]
    path = f"/v1/webhooks/{webhook}"
    [item] = (await house.get(f"{path}/dead", "oscar", "admin")).json()["items"]
    assert item["last_error"] == "it cannot be put together: ValueError"
    await mend(admin_pool)
    again = await house.post(
        f"{path}/resend", "oscar", "admin", json={"event_id": item["event_id"]}
    )
    assert again.status_code == 200, again.text
    await look(mine, pool)
    assert of(there, bad) == [1, 3, 2]
    assert await attempts(pool, webhook) == []


async def test_while_none_can_be_put_together_nothing_piles_up_or_dies(
    pool: Pool, admin_pool: Pool, there: Receiver
) -> None:
    webhook, _ = await made(pool, there.url)
    mine = await begun(pool, webhook)
    await look(mine, pool)
    requests = [uuid4() for _ in range(100 + 2 * TRIP)]
    for request in requests:
        await spoil(pool, request)
    await look(mine, pool)
    row = await endpoints.one(pool, webhook)
    assert row is not None
    assert row["probe_at"] is not None
    assert row["behind"] == 2 * TRIP
    await mend(admin_pool)
    await all_due(admin_pool)
    await look(mine, pool)
    assert all(of(there, request) == [1] for request in requests)


async def test_kafka_waits_a_while_and_then_has_its_ids(
    house: House, cluster: str, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = house.pool
    topic = f"t{uuid4().hex}"
    sink = Kafka(pool, configuration(cluster, None), topic, Bell(database.url))
    await feed.sequence(pool)
    await feed.begin(pool, kafka.CONSUMER)
    bad, good = uuid4(), uuid4()
    await happen(pool, bad)
    await spoil(pool, bad)
    await happen(pool, bad)
    await happen(pool, good)
    await feed.sequence(pool)
    before = mistakes._value.get()
    counted = kafka.by_ids.labels("unreadable")._value.get()
    _, last = await feed.ends(pool)
    assert await sink.look()
    for _ in range(2):
        assert not await sink.look()
    assert await pool.fetchval("SELECT position FROM feed_consumers") == last - 3
    assert mistakes._value.get() == before + 1
    monkeypatch.setattr(telling, "GRACE_SECONDS", 0.0)
    assert await sink.look()
    assert await pool.fetchval("SELECT position FROM feed_consumers") == last
    assert kafka.by_ids.labels("unreadable")._value.get() == counted + 1
    await sink.close()
    got = await asyncio.to_thread(records, cluster, topic, 4)
    mine = [value["data"] for key, value, _ in got if key == str(bad)]
    assert [data["seq"] for data in mine] == [1, 2, 3]
    short = {"request_id": None, "seq": 2, "workflow": "leave", "version": 1, "unreadable": True}
    assert [data for data in mine if "unreadable" in data] == [short]


async def test_who_asks_for_the_feed_goes_on_after_it(house: House) -> None:
    request = uuid4()
    await spoil(house.pool, request)
    await happen(house.pool, request)
    await feed.sequence(house.pool)
    page = await house.get("/v1/feed", "tess", "auditor", params={"limit": 200})
    assert page.status_code == 200, page.text
    told = [each["data"] for each in page.json()["items"] if each["partitionkey"] == str(request)]
    assert [data.get("unreadable") for data in told] == [True, None]
    assert [data["seq"] for data in told] == [1, 2]


@asynccontextmanager
async def untold(house: House, rows: int) -> AsyncIterator[tuple[PostOffice, Relay]]:
    """Mail that has told bob of one request, and then so many events of which it cannot find out whom they concern."""
    async with post_office() as office:
        await house.import_org(STAFF)
        relay = mailing(house, office)
        await relay.listen()
        await house.begun()
        await relay.deliver()
        spoilt = audit.event(
            events.TASK_ASSIGNED, await now(house.pool), {"task_id": "none"}, {}, Actor("alice")
        )
        await audit.append(house.pool, uuid4(), "leave", 1, [spoilt] * rows)
        yield office, relay


async def test_people_are_told_of_everything_else(house: House) -> None:
    async with untold(house, 1) as (office, relay):
        before = mistakes._value.get()
        # As long as none can be told, what keeps them from it may be ours, and all wait.
        with pytest.raises(asyncpg.DataError):
            await relay.listen()
        await house.begun()
        await relay.deliver()
        assert office.to == ["bob@example.org"] * 2
        assert mistakes._value.get() == before + 1


async def test_people_wait_no_longer_than_a_while_for_events_that_none_can_be_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "GRACE_SECONDS", 0.0)
    async with untold(house, 2) as (office, relay):
        before = mistakes._value.get()
        await relay.listen()
        assert mistakes._value.get() == before + 2
        await house.begun()
        await relay.deliver()
        assert office.to == ["bob@example.org"] * 2


async def test_what_postgres_fails_at_is_no_fault_of_an_event(pool: Pool, admin_pool: Pool) -> None:
    """It is raised, and all wait: none is told by its ids, and nobody is left out."""
    await feed.sequence(pool)
    await feed.begin(pool, notifying.CONSUMER)
    begun = await pool.fetchval("SELECT position FROM feed_consumers")
    assigned = audit.event(events.TASK_ASSIGNED, await now(pool), {}, {}, Actor("alice"))
    await audit.append(pool, uuid4(), "leave", 1, [assigned, assigned])
    await feed.sequence(pool)
    fed = await feed.after(pool, begun, 10)
    await admin_pool.execute("REVOKE SELECT ON audit FROM PUBLIC, countersign_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await telling.tried(pool, telling.ANYBODY, fed)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await notifying.listen(pool, "one", frozenset(["mail"]))
    assert await pool.fetchval("SELECT position FROM feed_consumers") == begun
