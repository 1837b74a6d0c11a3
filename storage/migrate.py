"""Migrations: numbered SQL files, forward only, each applied once in a transaction of its own.

Whoever runs them is a superuser (development, tests) or `countersign_migrator`; the files run as
`countersign_owner`, which owns everything and cannot log in. One runner works at a time (advisory
lock); a file that was applied is never edited (checksum).
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import asyncpg

from storage import audit
from storage.errors import StorageError
from storage.pool import Connection

FOLDER = Path(__file__).parent / "migrations"
OWNER = "countersign_owner"
APP = "countersign_app"
MIGRATOR = "countersign_migrator"

_LOCK = 0x636F756E74  # "count": the advisory lock of migrations
_LOCK_TIMEOUT = "5s"
_RUNNER_TIMEOUT = "60s"
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class MigrationRefused(StorageError):
    """The database cannot be migrated; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `name` without its suffix, `sha256` of its bytes."""

    number: int
    name: str
    sha256: str
    sql: str


@dataclass(frozen=True, slots=True)
class Status:
    """What a database has, by name: `applied`, and `pending` which this program has besides."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]


def available(folder: Path = FOLDER) -> list[Migration]:
    """The files of `folder` by number. MigrationRefused for a bad name or a number used twice."""
    migrations: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationRefused(f"{path.name}: a migration is named like 0002_what_it_does.sql")
        number, source = int(match[1]), path.read_bytes()
        if number in migrations:
            raise MigrationRefused(f"{path.name}: {migrations[number].name} has this number too")
        digest = sha256(source).hexdigest()
        migrations[number] = Migration(number, path.stem, digest, source.decode())
    return list(migrations.values())


async def create_database(maintenance_url: str, name: str) -> None:
    """Make the database if there is none; `maintenance_url` is of another one on that server."""
    connection: Connection = await asyncpg.connect(maintenance_url, timeout=10)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


async def migrate(url: str, folder: Path = FOLDER) -> list[str]:
    """Bring the database up to date; the names applied now, in order.

    Raises MigrationRefused, or an error of Postgres: then the failed file left no trace.
    """
    migrations = available(folder)
    connection: Connection = await asyncpg.connect(url, timeout=10)
    try:
        await _wait_for_turn(connection)
        await _prepare(connection)
        applied = await _applied(connection)
        _refuse_surprises(migrations, applied)
        pending = [migration for migration in migrations if migration.number not in applied]
        for migration in pending:
            await _apply(connection, migration)
        await _prepare_months(connection)
        return [migration.name for migration in pending]
    finally:
        await connection.close()  # and with it the advisory lock


async def status(url: str, folder: Path = FOLDER) -> Status:
    """What is applied and what is not; needs no more than to connect and read."""
    connection: Connection = await asyncpg.connect(url, timeout=10)
    try:
        there = await connection.fetchval("SELECT to_regclass('public.schema_migrations')")
        applied = await _applied(connection) if there is not None else {}
    finally:
        await connection.close()
    pending = [item.name for item in available(folder) if item.number not in applied]
    return Status(tuple(item.name for item in applied.values()), tuple(pending))


async def _wait_for_turn(connection: Connection) -> None:
    await connection.execute(f"SET lock_timeout = '{_RUNNER_TIMEOUT}'")
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    except asyncpg.LockNotAvailableError:
        raise MigrationRefused(
            f"another migration has been running for {_RUNNER_TIMEOUT}; look for it in"
            " pg_stat_activity, then run this again"
        ) from None
    await connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'")


async def _prepare(connection: Connection) -> None:
    """Make sure of the three roles, of the owner's right to create, and of the list of migrations."""
    me = await connection.fetchrow(_WHO_AM_I)
    assert me is not None
    missing = [
        role
        for role in (OWNER, APP, MIGRATOR)
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    ]
    if missing and not me["can_create_roles"]:
        raise MigrationRefused(
            f"the roles {', '.join(missing)} are missing and {me['name']} may not create them."
            f" A superuser runs:\n{_ROLES_SQL}"
        )
    if missing:
        await connection.execute(_ROLES_SQL)
    async with connection.transaction():
        if me["superuser"]:
            await connection.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}")
        try:
            await connection.execute(f"SET LOCAL ROLE {OWNER}")
            await connection.execute(_LIST_SQL)
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationRefused(
                f"{me['name']} may not work as {OWNER} here ({error})."
                f" Migrate as {MIGRATOR} (COUNTERSIGN_MIGRATE_DATABASE_URL), for which a superuser"
                f" ran in this database:\nGRANT {OWNER} TO {MIGRATOR};\n"
                f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER};"
            ) from None


async def _applied(connection: Connection) -> dict[int, Migration]:
    rows = await connection.fetch(
        "SELECT number, name, sha256 FROM schema_migrations ORDER BY number"
    )
    return {row["number"]: Migration(row["number"], row["name"], row["sha256"], "") for row in rows}


def _refuse_surprises(migrations: list[Migration], applied: dict[int, Migration]) -> None:
    known = {migration.number: migration for migration in migrations}
    for number, there in applied.items():
        if number not in known:
            raise MigrationRefused(
                f"the database has {there.name}, which this program does not know:"
                " it was migrated by a newer one. Run that one"
            )
        if known[number].sha256 != there.sha256:
            raise MigrationRefused(
                f"{there.name} was applied with other contents than it has now. An applied"
                " migration is never edited: restore it and put the change into a new file"
            )
    for migration in migrations:
        if migration.number not in applied and migration.number < max(applied, default=0):
            raise MigrationRefused(
                f"{migration.name} comes before {applied[max(applied)].name}, which is applied:"
                " give it the next free number"
            )


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL ROLE {OWNER}")
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.sha256,
        )


async def _prepare_months(connection: Connection) -> None:
    """The audit's partitions do not wait for a relay; what cannot be made now, it makes later."""
    function = "public.audit_prepare_months(int)"
    if await connection.fetchval("SELECT to_regprocedure($1)", function) is None:
        return
    async with connection.transaction():
        await connection.execute(f"SET LOCAL ROLE {OWNER}")
        await audit.prepare_months(connection)


_WHO_AM_I = """
SELECT rolname AS name, rolsuper AS superuser, rolsuper OR rolcreaterole AS can_create_roles
FROM pg_roles WHERE rolname = current_user
"""

# Roles belong to the whole server: another database's runner may be making them at this moment.
_ROLES_SQL = f"""
DO $$ BEGIN CREATE ROLE {OWNER} NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE {APP} LOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE {MIGRATOR} LOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
GRANT {OWNER} TO {MIGRATOR};
"""

_LIST_SQL = f"""
CREATE TABLE IF NOT EXISTS public.schema_migrations (
    number      int         PRIMARY KEY,
    name        text        NOT NULL,
    sha256      text        NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON public.schema_migrations TO {APP}, {MIGRATOR};
"""
