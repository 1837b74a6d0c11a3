"""What is written to the directory begins after everybody can see it: so nobody who asks about a moment
gets one answer while a write is under way and another one later."""

import asyncio
from datetime import datetime, timedelta

from recipes.happenings import Actor
from storage import commands, org, org_import
from storage.org import PersonRow
from storage.pool import Connection
from tests.integration.delegating import asked
from tests.integration.house import House

GONE = (PersonRow("bob", "Bob Tanaka", "bob@example.org", "carol", left=True),)


async def _leave(connection: Connection, at: datetime) -> datetime:
    await org_import.load(connection, at, GONE, (), Actor("admin", "admin"))
    return at


async def test_who_asks_while_a_write_is_under_way_is_answered_the_same_later(
    house: House,
) -> None:
    written, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(connection: Connection, at: datetime) -> datetime:
        begins = await _leave(connection, at)
        written.set()
        await go_on.wait()
        return begins

    writing = asyncio.create_task(org.write(house.pool, slowly, timedelta(seconds=20)))
    await written.wait()
    moment = await commands.now(house.pool)
    before = await asked(house, "user:bob", at=moment)
    go_on.set()
    begins = await asyncio.wait_for(writing, 10)
    assert before.user == "bob"
    assert moment < begins
    assert await asked(house, "user:bob", at=moment) == before
    assert (await asked(house, "user:bob", at=begins)).user == "carol"


async def test_a_write_that_takes_longer_is_done_again_with_more_time(house: House) -> None:
    tries: list[datetime] = []

    async def slow_at_first(connection: Connection, at: datetime) -> datetime:
        tries.append(at)
        if len(tries) == 1:
            await connection.execute("SELECT pg_sleep(extract(epoch FROM $1 - now()))", at)
        return await _leave(connection, at)

    begins = await org.write(house.pool, slow_at_first)
    assert tries == [tries[0], begins]
    assert tries[0] < begins
    assert await commands.now(house.pool) >= begins
    assert (await asked(house, "user:bob")).user == "carol"


async def test_each_write_begins_later_than_the_one_before(house: House) -> None:
    async def nothing(_: Connection, at: datetime) -> datetime:
        return at

    far = await org.write(house.pool, nothing, timedelta(seconds=3))
    assert await org.write(house.pool, nothing) > far
