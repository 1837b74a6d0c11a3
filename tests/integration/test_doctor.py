"""`countersign doctor` against real parts, whole and broken."""

from pathlib import Path
from uuid import uuid4

import pytest

from cli.examine import Finding, Places, examine
from settings import Settings
from storage.pool import Pool
from tests.stack import Database, TemporalServer

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def parts(database: Database, temporal_server: TemporalServer, tmp_path: Path) -> Settings:
    return Settings(
        database_url=database.url, temporal_address=temporal_server.address, data_dir=tmp_path
    )


async def _found(loaded: Settings) -> dict[str, Finding]:
    findings = await examine(Places(loaded, f"http://{NOWHERE}"))
    return {finding.part: finding for finding in findings}


async def test_what_is_well_is_ok_and_what_is_missing_is_named(parts: Settings) -> None:
    found = await _found(parts)
    well = {part for part, finding in found.items() if finding.verdict == "ok"}
    assert well == {
        "settings",
        "Postgres",
        "migrations",
        "database role",
        "audit partitions",
        "relay",
        "requests",
        "Temporal",
        "search attributes",
    }
    assert found["worker"].seen == "nobody polls the task queue countersign"
    assert found["worker"].verdict == found["API"].verdict == "problem"
    assert found["Temporal's store"].verdict == found["tokens"].verdict == "warning"
    assert all(finding.fix for finding in found.values() if finding.verdict != "ok")


async def test_nothing_runs(tmp_path: Path) -> None:
    nowhere = Settings(
        database_url=f"postgresql://x@{NOWHERE}/x", temporal_address=NOWHERE, data_dir=tmp_path
    )
    found = await _found(nowhere)
    problems = {part for part, finding in found.items() if finding.verdict == "problem"}
    assert problems == {"Postgres", "Temporal", "API"}


async def test_a_database_without_tables(
    empty_database: Database, temporal_server: TemporalServer, tmp_path: Path
) -> None:
    loaded = Settings(
        database_url=empty_database.admin_url,
        temporal_address=temporal_server.address,
        data_dir=tmp_path,
    )
    found = await _found(loaded)
    assert found["migrations"].verdict == "problem"
    assert found["migrations"].fix == "countersign migrate"


async def test_a_role_that_could_rewrite_the_audit(parts: Settings, database: Database) -> None:
    found = await _found(parts.model_copy(update={"database_url": database.admin_url}))
    assert found["database role"].verdict == "problem"


async def test_messages_that_nobody_takes(parts: Settings, admin_pool: Pool) -> None:
    await admin_pool.execute(
        "INSERT INTO outbox (request_id, kind, created_at, due_at, last_error)"
        " VALUES ($1, 'start', now() - interval '5 minutes', now(), 'no route')",
        uuid4(),
    )
    relay = (await _found(parts))["relay"]
    assert relay.verdict == "problem"
    assert relay.seen == "1 messages wait, the oldest for 300 s"
    assert "no route" in (relay.fix or "")


async def test_nobodys_tokens_would_count(parts: Settings) -> None:
    found = await _found(parts.model_copy(update={"environment": "production"}))
    assert found["tokens"].verdict == "problem"
