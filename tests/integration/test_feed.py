"""The feed: every committed event once, in order, whoever sequences and whoever commits when."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from contract.events import RECIPE_PUBLISHED
from recipes.happenings import Actor
from storage import audit, feed
from storage.bell import Bell
from storage.commands import now
from storage.feed import Fed, Forgotten, LeaseLost
from storage.pool import Pool
from tests.integration.house import House
from tests.integration.sealed import happen
from tests.stack import Database


async def _all(pool: Pool) -> list[Fed]:
    """The whole feed: positions without a gap, each request's events by their seq, each once."""
    found: list[Fed] = []
    while more := await feed.after(pool, len(found), 500):
        found += more
    assert [each.position for each in found] == list(range(1, len(found) + 1))
    last: dict[UUID, int] = {}
    for each in found:
        assert each.seq == last.get(each.request_id, 0) + 1
        last[each.request_id] = each.seq
    return found


async def _everything_is_fed(pool: Pool) -> None:
    assert len(await _all(pool)) == await pool.fetchval("SELECT count(*) FROM audit")
    assert await feed.lag(pool) == (0, 0.0)


async def test_events_get_positions_as_they_are_committed(pool: Pool) -> None:
    assert await feed.sequence(pool) == 0
    first = await happen(pool, rows=3)
    assert (await feed.lag(pool))[0] == 3
    assert await feed.sequence(pool) == 3
    second = await happen(pool)
    await happen(pool, first)
    assert await feed.sequence(pool) == 2
    assert await feed.sequence(pool) == 0
    found = await _all(pool)
    assert [(each.request_id, each.seq) for each in found] == [
        *((first, seq) for seq in (1, 2, 3)),
        (second, 1),
        (first, 4),
    ]
    rows = await pool.fetch("SELECT event_id FROM audit ORDER BY recorded_at")
    assert [each.event_id for each in found] == [row["event_id"] for row in rows]
    assert await feed.after(pool, 3, 1) == [found[3]]


async def test_a_long_transaction_loses_nothing_and_holds_up_nobody(pool: Pool) -> None:
    """The classic lost row: its transaction, and its time, are older than those of rows that were told."""
    async with pool.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        late = await happen(slow, rows=2)
        for _ in range(3):
            early = await happen(pool)
            assert await feed.sequence(pool) == 1
            assert (await _all(pool))[-1].request_id == early
        assert await feed.lag(pool) == (0, 0.0)
        await transaction.commit()
    assert (await feed.lag(pool))[0] == 2
    assert await feed.sequence(pool) == 2
    assert [each.request_id for each in (await _all(pool))[-2:]] == [late, late]
    await _everything_is_fed(pool)


async def test_a_request_s_events_stand_by_seq_whatever_their_times(
    pool: Pool, admin_pool: Pool
) -> None:
    """A row's time is taken before its place in the chain is: one that waited has the earlier time."""
    request_id = await happen(pool)
    async with pool.acquire() as waits, admin_pool.acquire() as goes:
        transaction = goes.transaction()
        await transaction.start()
        await goes.execute("SELECT FROM audit_heads WHERE request_id = $1 FOR UPDATE", request_id)
        process = await waits.fetchval("SELECT pg_backend_pid()")
        waiting = asyncio.create_task(happen(waits, request_id))
        while not await admin_pool.fetchval("SELECT pg_blocking_pids($1) <> '{}'", process):
            pass
        await happen(goes, request_id)
        await transaction.commit()
        await waiting
    times = await pool.fetch("SELECT recorded_at FROM audit ORDER BY seq")
    assert times[2]["recorded_at"] < times[1]["recorded_at"]
    assert await feed.sequence(pool) == 3
    await _everything_is_fed(pool)


async def test_several_sequencers_and_writers_at_once(pool: Pool) -> None:
    """Rows of some requests by many writers, one of them in a transaction that stays open for long."""
    requests = [uuid4() for _ in range(4)]
    done = asyncio.Event()

    async def write(number: int) -> None:
        for turn in range(30):
            await happen(pool, requests[(number + turn) % 4], rows=1 + turn % 3)

    async def hold() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await happen(connection, rows=3)
            await done.wait()

    async def sequence() -> None:
        while not done.is_set():
            await feed.sequence(pool, most=7)
            await asyncio.sleep(0)

    async def read() -> list[UUID]:
        """What somebody is told who goes on from the last position each time."""
        told: list[UUID] = []
        while not done.is_set():
            told += [each.event_id for each in await feed.after(pool, len(told), 5)]
        return told

    async def write_all() -> None:
        await asyncio.gather(*(write(number) for number in range(3)))
        done.set()

    _, _, _, told, _ = await asyncio.gather(sequence(), sequence(), hold(), read(), write_all())
    while await feed.sequence(pool, most=7):
        pass
    await _everything_is_fed(pool)
    assert told == [each.event_id for each in await _all(pool)][: len(told)]


async def test_one_that_dies_leaves_all_to_the_next(pool: Pool, admin_pool: Pool) -> None:
    """Its connection ends within the pass: while it holds the sequencer's row, and after its statement."""
    await happen(pool, rows=5)
    for statement in (
        "SELECT 1",
        "UPDATE feed_state SET position = 77, snapshot = pg_current_snapshot()",
    ):
        async with pool.acquire() as dying:
            transaction = dying.transaction()
            await transaction.start()
            await dying.execute(f"{feed.LEAD} FOR UPDATE SKIP LOCKED")
            await dying.execute(statement)
            assert await feed.sequence(pool) == 0
            process = await dying.fetchval("SELECT pg_backend_pid()")
            await admin_pool.execute("SELECT pg_terminate_backend($1, 10000)", process)
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await transaction.commit()
    assert await feed.sequence(pool) == 5
    await _everything_is_fed(pool)


async def test_more_than_a_pass_takes(pool: Pool) -> None:
    for _ in range(5):
        await happen(pool, rows=3)
    assert [await feed.sequence(pool, most=4) for _ in range(5)] == [4, 4, 4, 3, 0]
    await _everything_is_fed(pool)


async def test_events_of_the_house_are_told_as_such(house: House) -> None:
    created = await house.submit("alice")
    await feed.sequence(house.pool)
    found = {each.event_type: each for each in await _all(house.pool)}
    assert not found[RECIPE_PUBLISHED].of_request
    assert found["request.created"].of_request
    assert found["request.created"].request_id == UUID(created["id"])
    assert found["request.created"].workflow == "leave"


async def test_a_database_that_was_put_back_elsewhere(pool: Pool, admin_pool: Pool) -> None:
    """Its ids of transactions count anew, so rows of the past have the ids that new ones get."""
    await happen(pool, rows=2)
    await feed.sequence(pool)
    unfed = await happen(pool)
    await admin_pool.execute(
        "UPDATE feed_state SET cluster = 1, snapshot = '900000000:900000000:'::pg_snapshot"
    )
    assert await feed.sequence(pool, most=1) == 1
    assert (await _all(pool))[-1].request_id == unfed
    # As if the count had come to where it was before.
    await admin_pool.execute("UPDATE feed_state SET snapshot = '10:10:'::pg_snapshot")
    new = await happen(pool)
    assert await feed.sequence(pool) == 1
    assert (await _all(pool))[-1].request_id == new
    await _everything_is_fed(pool)


async def test_what_is_old_is_forgotten_and_said_to_be(pool: Pool, admin_pool: Pool) -> None:
    await happen(pool, rows=6)
    await feed.sequence(pool)
    await admin_pool.execute(
        "UPDATE feed SET fed_at = now() - interval '31 days' WHERE position < 5"
    )
    assert [await feed.forget(pool, 30, most=3) for _ in range(3)] == [3, 1, 0]
    assert [each.position for each in await feed.after(pool, 4, 9)] == [5, 6]
    for ask in (feed.after(pool, 3, 9), feed.among(pool, 3, 9)):
        with pytest.raises(Forgotten) as caught:
            await ask
        assert caught.value.oldest == 4
    assert await feed.ends(pool) == (4, 6)
    assert await feed.sequence(pool) == 0


async def test_those_of_a_kind(pool: Pool) -> None:
    at = await now(pool)
    events = [
        audit.event(f"a.{'bcd'[n % 3]}", at, {}, {"state": "pending"}, Actor("alice"))
        for n in range(9)
    ]
    await audit.append(pool, uuid4(), "leave", 1, events)
    await audit.append(pool, uuid4(), "order", 1, events[:1])
    await feed.sequence(pool)
    found, position = await feed.among(pool, 0, 2, types=["a.b"])
    assert [each.position for each in found] == [1, 4]
    assert position == 4
    found, position = await feed.among(pool, position, 2, types=["a.b"], workflows=["order"])
    assert [each.workflow for each in found] == ["order"]
    assert position == 10
    assert await feed.among(pool, position, 2) == ([], 10)


async def test_one_relay_does_a_consumer_s_work_until_its_lease_ends(
    pool: Pool, admin_pool: Pool
) -> None:
    await happen(pool, rows=5)
    await feed.sequence(pool)
    await feed.begin(pool, "late")
    await feed.begin(pool, "mail", 0)
    await feed.begin(pool, "mail", 3)
    assert await feed.lease(pool, "late", "one", 60) == 5
    assert await feed.lease(pool, "mail", "one", 60) == 0
    assert await feed.lease(pool, "mail", "two", 60) is None
    await feed.advance(pool, "mail", "one", 2)
    assert await feed.lease(pool, "mail", "one", 60) == 2
    [late, mail] = await feed.behind(pool)
    assert (late.events, late.seconds, mail.events) == (0, 0.0, 3)
    assert mail.seconds > 0
    await admin_pool.execute("UPDATE feed_consumers SET leased_until = clock_timestamp()")
    with pytest.raises(LeaseLost):
        await feed.advance(pool, "mail", "one", 3)
    assert await feed.lease(pool, "mail", "two", 60) == 2
    with pytest.raises(LeaseLost):
        await feed.advance(pool, "mail", "one", 3)
    with pytest.raises(LeaseLost):
        await feed.advance(pool, "mail", "two", 1)
    await feed.release(pool, "mail", "one")
    assert await feed.lease(pool, "mail", "three", 60) is None
    await feed.release(pool, "mail", "two")
    assert await feed.lease(pool, "mail", "three", 60) == 2
    await feed.end(pool, "mail")
    assert await feed.lease(pool, "mail", "three", 60) is None


async def test_the_bell_rings_when_the_feed_grows(pool: Pool, database: Database) -> None:
    await happen(pool)
    await feed.sequence(pool)
    bell = Bell(database.url)
    running = asyncio.create_task(bell.run())
    assert await bell.wait(0, 30)
    assert not await bell.wait(1, 0.01)
    waiting = asyncio.create_task(bell.wait(1, 30))
    await happen(pool)
    await feed.sequence(pool)
    assert await waiting
    assert bell.position == 2
    running.cancel()


async def test_the_bell_listens_again_after_its_connection_broke(
    pool: Pool, database: Database, admin_pool: Pool
) -> None:
    bell = Bell(database.url)
    running = asyncio.create_task(bell.run())
    listening = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT position%'"
    await happen(pool)
    await feed.sequence(pool)
    assert await bell.wait(0, 30)
    process = await admin_pool.fetchval(listening)
    await admin_pool.execute("SELECT pg_terminate_backend($1, 10000)", process)
    await happen(pool)
    await feed.sequence(pool)
    assert await bell.wait(1, 30)
    running.cancel()
