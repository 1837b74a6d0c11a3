"""`countersign doctor` against real parts, whole and broken."""

import asyncio
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client, ScheduleActionExecutionStartWorkflow

from cli.examine import Places, examine
from cli.finding import Finding
from cli.output import Exit
from contract import notes
from contract.names import WORKFLOW_SWEEP
from contract.notes import Checkpoint
from relay.witnesses import Folder
from settings import Settings
from storage import mirror, org
from storage.pool import Pool
from tests.integration.certificates import certificate
from tests.integration.sealed import KEY, happen, seal
from tests.stack import Database, TemporalServer, write_region_key
from worker.schedules import arrange, chores

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
        "erasures",
        "relay",
        "requests",
        "mail",
        "slack",
        "Temporal",
        "search attributes",
    }
    assert found["worker"].seen == "nobody polls the task queue countersign"
    assert found["worker"].verdict == found["API"].verdict == "problem"
    assert found["Temporal's store"].verdict == found["tokens"].verdict == "warning"
    assert found["sealing"].verdict == "warning"
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
    assert re.fullmatch(r"1 messages wait, the oldest for [3-9]\d\d s", relay.seen)
    assert "no route" in (relay.fix or "")


@pytest.mark.parametrize(
    ("part", "setting", "says"),
    [
        ("Kafka", "COUNTERSIGN_KAFKA_CONFIG", 'line 2: No such configuration property: "sasl.usr"'),
        ("mail certificates", "COUNTERSIGN_SMTP_CA_FILE", "holds no certificates"),
    ],
)
async def test_settings_with_which_no_relay_starts(
    parts: Settings, tmp_path: Path, part: str, setting: str, says: str
) -> None:
    """It ends at once, before it asks for anything else, with what doctor says; without that, neither minds."""
    path = tmp_path / "said"
    path.write_text("# ours\nsasl.usr=x\n")
    write_region_key(tmp_path / "region.key")
    values = {
        "COUNTERSIGN_KAFKA_BROKERS": NOWHERE,
        "COUNTERSIGN_SMTP_URL": f"smtp://{NOWHERE}",
        "COUNTERSIGN_MAIL_FROM": "a@example.org",
        "COUNTERSIGN_DATABASE_URL": f"postgresql://{NOWHERE}/x",
        "COUNTERSIGN_DATA_DIR": str(tmp_path),
        setting: str(path),
    }
    ended = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "relay"),
        env=os.environ | values,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await asyncio.wait_for(ended.communicate(), 60)
    assert ended.returncode == Exit.USAGE
    error, fix = told.decode().strip().splitlines()
    assert str(path) in error
    assert says in error
    assert setting in fix
    assert "no relay starts like this" in fix
    wrong = {"kafka_brokers": NOWHERE, "kafka_config": path, "smtp_ca_file": path}
    found = (await _found(parts.model_copy(update=wrong)))[part]
    assert (found.verdict, found.fix is not None and found.fix in fix) == ("problem", True)
    assert says in found.seen
    right = {"kafka_brokers": NOWHERE, "smtp_ca_file": certificate(tmp_path, "mail.example.org")}
    assert (await _found(parts.model_copy(update=right)))[part].verdict == "ok"


async def test_nobodys_tokens_would_count(parts: Settings) -> None:
    found = await _found(parts.model_copy(update={"environment": "production"}))
    assert found["tokens"].verdict == "problem"


async def test_schedules_that_run_and_that_fail_and_that_are_paused(
    parts: Settings, temporal_connection: Client
) -> None:
    part = f"schedule {WORKFLOW_SWEEP}"
    assert (await _found(parts))[part].seen == "is not there"

    async def until(verdict: str) -> Finding:
        async with asyncio.timeout(20):
            while (found := (await _found(parts))[part]).verdict != verdict:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found

    handle = temporal_connection.get_schedule_handle(WORKFLOW_SWEEP)
    await arrange(temporal_connection, chores(parts))
    try:
        assert (await until("ok")).seen == "every 30 s"
        described = await handle.describe()
        while not described.info.recent_actions:
            await asyncio.sleep(0.05)
            described = await handle.describe()
        action = described.info.recent_actions[-1].action
        assert isinstance(action, ScheduleActionExecutionStartWorkflow)
        run = temporal_connection.get_workflow_handle(action.workflow_id)
        await run.terminate()
        assert (await until("problem")).seen == "its last run failed"
        await handle.pause(note="we are moving")
        assert (await until("warning")).seen == "is paused: we are moving"
    finally:
        await handle.delete()


async def test_the_hr_system(parts: Settings, pool: Pool, admin_pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text("request: {path: /people}\nperson: {id: id, name: name}\n")
    url = "https://hr.example.org"
    loaded = parts.model_copy(update={"directory_url": url, "directory_mapping": file})

    async def found() -> Finding:
        return (await _found(loaded))["HR system"]

    assert "HR system" not in await _found(parts)
    assert (await found()).seen == f"{url} was never read"
    await mirror.declare(pool, url, timedelta(hours=24))
    assert (await found()).seen.endswith("never read; nobody is asked any more")
    async with pool.acquire() as connection, connection.transaction():
        at = await org.lock(connection)
        before = await mirror.hold(connection)
        assert before is not None
        await mirror.succeeded(connection, at, before, mirror.Success(timedelta(hours=24), 3))
    assert (await found()).verdict == "ok"
    await admin_pool.execute("UPDATE directory_mirror SET doubts = '{2 managers are not there}'")
    assert (await found()).verdict == "warning"
    async with pool.acquire() as connection:
        await mirror.failed(connection, "it answers 500")
    assert (await found()).seen == f"{url}: it answers 500"
    await admin_pool.execute("UPDATE directory_mirror SET stale_after = now()")
    assert "nobody is asked any more" in (await found()).seen
    file.write_text("request: {path: people}\nperson: {id: id, name: name}\n")
    assert "map.yaml:1:17" in (await found()).seen
    file.unlink()
    assert "No such file" in (await found()).seen


async def test_sealing_is_looked_at(parts: Settings, pool: Pool, tmp_path: Path) -> None:
    away = tmp_path / "away"
    here = Folder(tmp_path / "here")
    here.path.mkdir()
    urls = f"{here.url},{Folder(away).url}"
    loaded = parts.model_copy(update={"seal_witnesses": urls})
    loaded.seal_key.write_text(KEY.written())
    loaded.seal_public_key.write_text(str(KEY.public))
    await happen(pool, rows=2)
    await seal(pool, here)
    found = await _found(loaded)
    assert found["sealing key"].verdict == "problem"
    assert "chmod 600" in found["sealing key"].seen
    loaded.seal_key.chmod(0o600)
    found = await _found(loaded)
    for part in ("sealing", "sealing key", f"witness {here.url}"):
        assert found[part].verdict == "ok", found[part]
    assert found["sealing"].seen.startswith("2 rows")
    assert found["sealing key"].seen == str(KEY.public)
    assert "mount it" in found[f"witness {Folder(away).url}"].seen
    assert (await _found(parts))["witnesses"].verdict == "warning"


async def test_a_database_that_was_put_back_is_a_problem(
    parts: Settings, pool: Pool, tmp_path: Path
) -> None:
    loaded = parts.model_copy(update={"seal_witnesses": Folder(tmp_path).url})
    loaded.seal_public_key.write_text(str(KEY.public))
    ahead = Checkpoint(KEY.name, 9, bytes(32), datetime.now(UTC))
    Folder(tmp_path).keep(ahead, notes.signed(ahead, [KEY]))
    await seal(pool)
    finding = (await _found(loaded))[f"witness {Folder(tmp_path).url}"]
    assert finding.verdict == "problem"
    assert "not the database's" in finding.seen
