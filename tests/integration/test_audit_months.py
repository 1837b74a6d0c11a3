"""The audit's partitions: whatever happened to one month, the others are made; and what may be appended."""

from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from storage import audit, migrate
from storage.inspection import inspect
from storage.pool import Pool
from tests.integration.house import House
from tests.stack import Database

MONTHS = """
SELECT inhrelid::regclass::text AS name FROM pg_inherits
 WHERE inhparent = 'audit'::regclass AND inhrelid <> 'audit_rest'::regclass ORDER BY 1
"""


async def _months(admin_pool: Pool) -> list[str]:
    return [row["name"] for row in await admin_pool.fetch(MONTHS)]


async def test_rows_without_a_month_do_not_stop_the_months_after(
    house: House, admin_pool: Pool
) -> None:
    months = await _months(admin_pool)
    this = f"audit_{datetime.now(UTC):%Y_%m}"
    assert months[0] == this
    assert len(months) == 4
    for name in months:
        await admin_pool.execute(f"DROP TABLE {name}")
    await house.submit()
    stray = await admin_pool.fetchval("SELECT count(*) FROM audit_rest")
    assert stray == 1
    for _ in range(2):
        await audit.prepare_months(house.pool)
        assert await _months(admin_pool) == months[1:]
    assert await admin_pool.fetchval("SELECT count(*) FROM audit_rest") == stray
    found = await inspect(house.pool)
    assert (found.astray, found.this_month, found.next_month) == (True, False, True)
    # The trail goes on beside them, and is as protected as ever.
    await house.submit()
    assert await admin_pool.fetchval("SELECT count(*) FROM audit_rest") == stray + 1
    with pytest.raises(asyncpg.RestrictViolationError):
        await admin_pool.execute(f"TRUNCATE {months[1]}")


async def test_a_reader_is_not_waited_for_for_long(pool: Pool, admin_pool: Pool) -> None:
    [*kept, last] = await _months(admin_pool)
    await admin_pool.execute(f"DROP TABLE {last}")
    await admin_pool.execute("ALTER FUNCTION audit_prepare_months SET lock_timeout = '50ms'")
    async with admin_pool.acquire() as reader, reader.transaction():
        await reader.execute("LOCK TABLE audit_rest IN ACCESS SHARE MODE")
        await audit.prepare_months(pool)
        assert await _months(admin_pool) == kept
    await audit.prepare_months(pool)
    assert await _months(admin_pool) == [*kept, last]


@pytest.mark.parametrize("ahead", [-1, 25, 2000, None])
async def test_how_far_ahead_is_limited(pool: Pool, ahead: int | None) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="between 0 and 24"):
        await pool.execute("SELECT audit_prepare_months($1)", ahead)


async def test_to_migrate_makes_the_months(database: Database, admin_pool: Pool) -> None:
    months = await _months(admin_pool)
    await admin_pool.execute(f"DROP TABLE {months[2]}")
    assert await migrate.migrate(database.url.replace(migrate.APP, migrate.MIGRATOR)) == []
    assert await _months(admin_pool) == months


APPEND = "SELECT audit_append($1, now(), $2, 'leave', 1, 'a.b', $3, $4, $5)"


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "text",
    [
        '"alice"',
        "1.5e3",
        "[]",
        "null",
        " {}",
        "{} ",
        "{}\n",
        '{},"event_type":"x.y"',
        '{},"event_type":{}',
        '{"a":1}{"b":2}',
        "{a}",
        "",
        None,
    ],
)
async def test_what_is_appended_is_three_objects(pool: Pool, place: int, text: str | None) -> None:
    texts: list[str | None] = ["{}", "{}", "{}"]
    await pool.execute(APPEND, uuid4(), uuid4(), *texts)
    texts[place] = text
    with pytest.raises(asyncpg.DataError):
        await pool.execute(APPEND, uuid4(), uuid4(), *texts)
    assert await pool.fetchval("SELECT count(*) FROM audit") == 1
