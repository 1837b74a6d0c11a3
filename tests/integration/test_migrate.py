"""Migrations: from empty, again, two at once, and every way a database can surprise the runner."""

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from storage import migrate
from storage.migrate import MigrationRefused
from storage.pool import Pool
from tests.stack import Database

NAMES = [migration.name for migration in migrate.available()]

_AN_OPEN_TASK = """
INSERT INTO people (id, name) VALUES ('ann', 'Ann'), ('ben', 'Ben'), ('cid', 'Cid');
INSERT INTO recipes (workflow, version, sha256, source, recipe, published_by)
VALUES ('leave', 1, repeat('a', 64), '', '{}', 'x');
INSERT INTO requests (id, workflow, version, requester, title, inputs, digest)
VALUES ('00000000-0000-0000-0000-000000000001', 'leave', 1, 'ann', 'Leave', '{}', 'd');
INSERT INTO tasks (id, request_id, step, seat, assignee, digest, opened_at)
VALUES ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001',
        's', 's', 'ben', 'd', now());
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Migrations of the test's own: the first two of a small history."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id int);")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (id int);")
    return tmp_path


async def test_from_empty_then_nothing_more(empty_database: Database) -> None:
    before = await migrate.status(empty_database.admin_url)
    assert before == migrate.Status((), tuple(NAMES))
    assert await migrate.migrate(empty_database.admin_url) == NAMES
    assert await migrate.migrate(empty_database.admin_url) == []
    assert await migrate.status(empty_database.url) == migrate.Status(tuple(NAMES), ())


async def test_from_the_first_schema_with_what_is_in_it(
    empty_database: Database, tmp_path: Path
) -> None:
    first, *later = migrate.available()
    shutil.copy(migrate.FOLDER / f"{first.name}.sql", tmp_path)
    assert await migrate.migrate(empty_database.admin_url, tmp_path) == [first.name]
    connection = await asyncpg.connect(empty_database.admin_url)
    await connection.execute(_AN_OPEN_TASK)
    assert await migrate.migrate(empty_database.admin_url) == [item.name for item in later]
    assert await connection.fetchval("SELECT delegations FROM tasks") == []
    await connection.execute(
        "INSERT INTO delegations (id, delegator, delegate, valid, created_by)"
        " VALUES (gen_random_uuid(), 'ann', 'ben', tstzrange(now(), NULL), 'ann')"
    )
    with pytest.raises(asyncpg.ExclusionViolationError):
        await connection.execute(
            "INSERT INTO delegations (id, delegator, delegate, valid, created_by)"
            " VALUES (gen_random_uuid(), 'ann', 'cid', tstzrange(now(), NULL), 'ann')"
        )
    await connection.close()


async def test_only_what_is_new_is_applied(empty_database: Database, folder: Path) -> None:
    assert await migrate.migrate(empty_database.admin_url, folder) == ["0001_first", "0002_second"]
    (folder / "0003_third.sql").write_text("ALTER TABLE second ADD COLUMN name text;")
    assert await migrate.migrate(empty_database.admin_url, folder) == ["0003_third"]


async def test_runners_take_turns(empty_database: Database) -> None:
    runs = await asyncio.gather(*(migrate.migrate(empty_database.admin_url) for _ in range(4)))
    assert sorted(runs) == [[], [], [], NAMES]


async def test_a_failing_file_leaves_no_trace(empty_database: Database, folder: Path) -> None:
    (folder / "0003_broken.sql").write_text("CREATE TABLE third (id int); SELECT 1/0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate.migrate(empty_database.admin_url, folder)
    status = await migrate.status(empty_database.admin_url, folder)
    assert status == migrate.Status(("0001_first", "0002_second"), ("0003_broken",))
    (folder / "0003_broken.sql").unlink()
    (folder / "0003_third.sql").write_text("CREATE TABLE third (id int);")
    assert await migrate.migrate(empty_database.admin_url, folder) == ["0003_third"]


async def test_an_edited_file_is_refused(empty_database: Database, folder: Path) -> None:
    await migrate.migrate(empty_database.admin_url, folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE first (id bigint);")
    with pytest.raises(MigrationRefused, match="0001_first was applied with other contents"):
        await migrate.migrate(empty_database.admin_url, folder)


async def test_a_newer_database_is_refused(empty_database: Database, folder: Path) -> None:
    await migrate.migrate(empty_database.admin_url, folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(MigrationRefused, match="0002_second, which this program does not know"):
        await migrate.migrate(empty_database.admin_url, folder)


async def test_a_late_number_is_refused(empty_database: Database, folder: Path) -> None:
    (folder / "0002_second.sql").rename(folder / "0005_second.sql")
    await migrate.migrate(empty_database.admin_url, folder)
    (folder / "0003_late.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationRefused, match="0003_late comes before 0005_second"):
        await migrate.migrate(empty_database.admin_url, folder)


async def test_a_lock_held_by_others_stops_it_soon(
    empty_database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate.migrate(empty_database.admin_url, folder)
    (folder / "0003_third.sql").write_text("ALTER TABLE first ADD COLUMN name text;")
    monkeypatch.setattr(migrate, "_LOCK_TIMEOUT", "50ms")
    reader = await asyncpg.connect(empty_database.admin_url)
    async with reader.transaction():
        await reader.execute("LOCK TABLE first IN ACCESS SHARE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await migrate.migrate(empty_database.admin_url, folder)
    await reader.close()
    assert await migrate.migrate(empty_database.admin_url, folder) == ["0003_third"]


async def test_another_runner_that_hangs_is_named(
    empty_database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_RUNNER_TIMEOUT", "50ms")
    other = await asyncpg.connect(empty_database.admin_url)
    await other.execute("SELECT pg_advisory_lock($1)", migrate._LOCK)
    with pytest.raises(MigrationRefused, match="another migration has been running"):
        await migrate.migrate(empty_database.admin_url, folder)
    await other.close()


async def test_the_application_may_not_migrate(empty_database: Database, folder: Path) -> None:
    with pytest.raises(MigrationRefused, match="Migrate as countersign_migrator"):
        await migrate.migrate(empty_database.url, folder)


async def test_the_migrator_may_and_needs_no_superuser(
    empty_database: Database, folder: Path
) -> None:
    await migrate.migrate(empty_database.admin_url, folder)
    (folder / "0003_third.sql").write_text("CREATE TABLE third (id int);")
    url = empty_database.url.replace(migrate.APP, migrate.MIGRATOR)
    assert await migrate.migrate(url, folder) == ["0003_third"]
    connection = await asyncpg.connect(url)
    owner = await connection.fetchval("SELECT tableowner FROM pg_tables WHERE tablename = 'third'")
    await connection.close()
    assert owner == migrate.OWNER


@pytest.mark.parametrize("name", ["1_short.sql", "0003-dashes.sql", "0003_Upper.sql"])
def test_a_bad_name_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(MigrationRefused, match="a migration is named like"):
        migrate.available(folder)


def test_a_number_used_twice_is_refused(folder: Path) -> None:
    shutil.copy(folder / "0002_second.sql", folder / "0002_other.sql")
    with pytest.raises(MigrationRefused, match="0002_other has this number too"):
        migrate.available(folder)


async def test_the_application_cannot_change_the_schema_nor_the_audit(pool: Pool) -> None:
    for statement in (
        "CREATE TABLE mine (id int)",
        "DROP TABLE requests",
        "INSERT INTO schema_migrations VALUES (99, 'x', 'x')",
        "DELETE FROM audit",
        "UPDATE audit SET payload = '{}'",
        "TRUNCATE audit",
        "DELETE FROM decisions",
        "UPDATE recipes SET source = ''",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)
