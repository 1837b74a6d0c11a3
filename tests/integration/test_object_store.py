"""An object store as witness of the seal, and as the cold tier of the whole trail."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from cli import examine_sealing
from contract import notes
from contract.notes import Checkpoint
from relay import sealing as relay_sealing
from relay import witnesses
from relay.witnesses import Objects, WitnessFailed
from settings import Settings
from storage import evidence, months, proving
from storage.asking import Asked
from storage.cold import Cold
from storage.errors import ColdUnavailable
from storage.evidence import Scope
from storage.moving import Mover
from storage.pool import Pool
from storage.store import Bucket, StoreFailed, store
from storage.trail import Trail
from tests.integration import ancient
from tests.integration.sealed import KEY, NEXT_KEY, happen, seal, sealer
from tests.stack import AUDITOR

EVERYTHING = Scope()


def _opened(found: Iterator[str]) -> list[Checkpoint]:
    return [notes.opened(note, [KEY.public]) for note in found]


def _files(witness: Objects) -> list[str]:
    return Bucket(witness.url, witnesses.S3_PATIENCE).names("")


async def test_a_bucket_is_a_witness(pool: Pool, bucket: str) -> None:
    [witness] = witnesses.witnesses(bucket)
    assert isinstance(witness, Objects)
    assert witness.latest(KEY.name) is None
    assert list(witness.kept()) == []
    sizes = []
    for _ in range(3):
        await happen(pool, rows=2)
        sizes.append((await seal(pool, witness)).size)
    kept = _opened(witness.kept())
    assert [each.size for each in kept if each.size] == sizes
    for reader in (witness, Objects(bucket)):
        latest = reader.latest(KEY.name)
        assert latest is not None
        assert notes.opened(latest, [KEY.public]) == kept[-1]
    assert witness.latest("another.example/tree") is None
    first = _files(witness)[0]
    assert first.startswith(f"example.org=2Faudit/{kept[0].time:%Y-%m-%d}/{kept[0].size:015d}-")


async def test_it_never_changes_what_it_keeps(pool: Pool, bucket: str) -> None:
    witness = Objects(bucket)
    there = await seal(pool, witness)
    files = _files(witness)
    note = witness.latest(KEY.name)
    assert note is not None
    with pytest.raises(WitnessFailed, match="left as it is"):
        witness.keep(there, notes.signed(there, [NEXT_KEY]))
    witness.keep(there, note)
    older = replace(there, time=there.time.replace(year=2020))
    witness.keep(older, notes.signed(older, [KEY]))
    assert witness.latest(KEY.name) == Objects(bucket).latest(KEY.name) == note
    assert len(_files(witness)) == len(files) + 1


def test_who_is_first_of_two_is_so_by_the_store_itself(bucket: str) -> None:
    """Nobody overwrites what another one has put there since they looked."""
    places = [Bucket(bucket, witnesses.S3_PATIENCE) for _ in range(8)]

    def put(n: int) -> bool:
        try:
            places[n].put("x", bytes([n]))
        except StoreFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(put, range(8)))
    assert done.count(True) == 1
    assert places[0].get("x") == bytes([done.index(True)])


async def test_what_another_relay_kept_is_seen(pool: Pool, bucket: str) -> None:
    mine, other = Objects(bucket), Objects(bucket)
    await seal(pool, mine)
    await happen(pool)
    there = await seal(pool, other)
    latest = mine.latest(KEY.name)
    assert latest is not None
    assert notes.opened(latest, [KEY.public]) == there


async def test_a_checkpoint_that_is_gone_is_noticed(pool: Pool, bucket: str) -> None:
    witness = Objects(bucket)
    await seal(pool, witness)
    newest = _files(witness)[-1]
    Bucket(bucket, witnesses.S3_PATIENCE).delete(newest)
    with pytest.raises(WitnessFailed, match="was there and is gone"):
        witness.latest(KEY.name)


async def test_a_bucket_that_is_away_stops_nothing_and_catches_up(
    pool: Pool, bucket: str, monkeypatch: pytest.MonkeyPatch, s3: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(witnesses, "S3_PATIENCE", witnesses.S3_PATIENCE / 20)
    away = Objects(bucket)
    await happen(pool)
    mine = sealer(pool, away)
    await mine.publish()
    await mine.seal()
    await asyncio.sleep(0.01)
    await mine.publish()
    lag = relay_sealing.witness_lag.labels(away.url)
    assert lag._value.get() > 0
    with pytest.raises(WitnessFailed, match="s3://"):
        away.latest(KEY.name)
    with pytest.raises(WitnessFailed, match="s3://"):
        list(away.kept())
    monkeypatch.setenv("AWS_ENDPOINT", s3)
    back = Objects(bucket)
    mine = sealer(pool, back)
    await mine.publish()
    assert lag._value.get() == 0
    assert _opened(back.kept())[-1].size == 1


async def test_a_database_that_was_put_back_is_told_by_a_bucket(
    pool: Pool, admin_pool: Pool, bucket: str
) -> None:
    witness = Objects(bucket)
    await happen(pool, rows=3)
    await seal(pool, witness)
    await happen(pool, rows=2)
    await seal(pool, witness)
    await admin_pool.execute(
        "SET session_replication_role = replica;"
        "ALTER TABLE audit_leaves DISABLE TRIGGER ALL; ALTER TABLE audit_checkpoints DISABLE TRIGGER ALL;"
        "DELETE FROM audit_leaves WHERE leaf >= 3; DELETE FROM audit_checkpoints WHERE size > 3;"
        "UPDATE audit_tree SET size = 3, checkpoints = (SELECT max(number) FROM audit_checkpoints)"
    )
    starting = sealer(pool, Objects(bucket))
    await starting.publish()
    assert not await starting.seal()
    assert relay_sealing.refused._value.get() == 1
    relay_sealing.refused.set(0)


async def test_doctor_looks_at_it(pool: Pool, bucket: str, tmp_path: Path) -> None:
    loaded = Settings(data_dir=tmp_path, seal_witnesses=bucket)
    loaded.seal_public_key.write_text(str(KEY.public))

    async def found() -> tuple[str, str]:
        findings = await examine_sealing.sealed(pool, loaded)
        [one] = [each for each in findings if each.part == f"witness {bucket}"]
        return one.verdict, one.seen

    assert await found() == ("warning", "it has nothing yet")
    await happen(pool, rows=2)
    await seal(pool, Objects(bucket))
    assert await found() == ("ok", "it has 2 rows")


# --- the cold tier ------------------------------------------------------------------------------------


async def test_a_whole_move_through_a_bucket(
    pool: Pool, admin_pool: Pool, bucket: str, tmp_path: Path
) -> None:
    """Moved, asked, verified and exported from there; damaged, it is noticed; deleted, it is gone."""
    month = date(2024, 1, 1)
    await ancient.partition(admin_pool, month)
    for n in range(5):
        await ancient.order(admin_pool, date(2024, 1, 3 + n), 100 + n, f"Acme {n}")
    await seal(pool)
    place = store(bucket, tmp_path / "cache")
    trail = Trail(place, Cold())
    asked = Asked(workflow="orders")
    before = [row.body for row in await trail.ask(pool, AUDITOR, asked, 100)]
    mover = Mover(pool, place, (KEY,), file_rows=8)
    moved = await mover.move(month)
    assert (moved.state, moved.rows, len(before)) == ("cold", 15, 15)
    assert await admin_pool.fetchval("SELECT to_regclass('audit_2024_01')") is None
    files = moved.opened().files
    assert place.names("2024-01/") == sorted(
        ["2024-01/manifest.note", *(file.name for file in files)]
    )
    # By whoever has fetched nothing yet.
    other = Trail(store(bucket, tmp_path / "another"), Cold())
    assert [row.body for row in await other.ask(pool, AUDITOR, asked, 100)] == before
    assert await _findings(pool, other) == []
    assert await _exported(pool, other) >= 15
    damaged = files[0]
    data = place.get(damaged.name)
    assert data is not None
    place.delete(damaged.name)
    place.put(damaged.name, data[:-1] + b"x")
    third = Trail(store(bucket, tmp_path / "third"), Cold())
    with pytest.raises(ColdUnavailable, match="is not the file"):
        await third.ask(pool, AUDITOR, asked, 100)
    place.delete(damaged.name)
    with pytest.raises(ColdUnavailable, match="is not there"):
        await third.ask(pool, AUDITOR, asked, 100)
    place.put(damaged.name, data)
    assert await _findings(pool, third) == []
    assert await mover.expire(month, 1)
    assert place.names("2024-01/") == ["2024-01/manifest.note"]
    gone = await months.one(pool, month)
    assert gone is not None
    assert gone.state == "deleted"
    await seal(pool)
    assert await _findings(pool, other) == []


async def _findings(pool: Pool, trail: Trail) -> list[str]:
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        verified = await evidence.verify(connection, EVERYTHING, (KEY.public,), (), trail)
    return [f"{each.kind}: {each.what}" for each in verified.findings]


async def _exported(pool: Pool, trail: Trail) -> int:
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute(evidence.STAY)
        rows = [row async for row in proving.exported(connection, EVERYTHING, 15, trail)]
    return len(rows)
