"""What `countersign doctor` says of the cold tier: none, in order, late, damaged, away."""

from datetime import date
from pathlib import Path

import pytest

from cli import examine_tiers
from cli.finding import Finding
from settings import Settings
from storage import months
from storage.moving import Mover
from storage.pool import Pool
from storage.store import Folder
from tests.integration import ancient
from tests.integration.sealed import KEY, seal

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


@pytest.fixture
async def place(pool: Pool, admin_pool: Pool, tmp_path: Path) -> Path:
    """A store, with two months in Postgres that could move there."""
    for month in (JANUARY, FEBRUARY):
        await ancient.partition(admin_pool, month)
        await ancient.order(admin_pool, month.replace(day=7), 50, "Acme")
    await seal(pool)
    place = tmp_path / "store"
    place.mkdir()
    return place


async def _seen(pool: Pool, tmp_path: Path, store: str | None, hot_days: int = 90) -> Finding:
    settings = Settings(data_dir=tmp_path, audit_store=store, audit_hot_days=hot_days)
    [found] = await examine_tiers.tiers(pool, settings)
    assert found.part == "audit tiers"
    return found


async def test_no_cold_tier(pool: Pool, place: Path, tmp_path: Path) -> None:
    found = await _seen(pool, tmp_path, None)
    assert (found.verdict, "stays in Postgres" in found.seen) == ("warning", True)
    await Mover(pool, Folder(place), (KEY,)).move(JANUARY)
    found = await _seen(pool, tmp_path, None)
    assert found.verdict == "problem"
    assert found.seen == "2024-01 is in a cold tier: none is set"
    assert "COUNTERSIGN_AUDIT_STORE" in (found.fix or "")


async def test_months_that_should_have_moved(pool: Pool, place: Path, tmp_path: Path) -> None:
    found = await _seen(pool, tmp_path, place.as_uri())
    assert (found.verdict, found.seen) == ("problem", "have not moved: 2024-01, 2024-02")
    assert found.fix == "countersign audit move-month 2024-01 says what keeps it"
    # It was due within the last week: the next night it moves.
    begun = await pool.fetchval("SELECT now()::date - '2024-02-01'::date")
    assert (await _seen(pool, tmp_path, place.as_uri(), begun - 3)).verdict == "ok"


async def test_what_is_in_order_and_what_is_damaged(
    pool: Pool, place: Path, tmp_path: Path
) -> None:
    url = place.as_uri()
    for month in (JANUARY, FEBRUARY):
        await Mover(pool, Folder(place), (KEY,)).move(month)
    found = await _seen(pool, tmp_path, url)
    assert (found.verdict, found.seen) == ("ok", f"2 months in {url}")
    moved = await months.one(pool, FEBRUARY)
    assert moved is not None
    [file] = moved.opened().files
    (place / file.name).write_bytes(b"x")
    found = await _seen(pool, tmp_path, url)
    assert (found.verdict, "is not the file" in found.seen) == ("problem", True)
    assert "readable and writable" in (found.fix or "")


async def test_a_store_that_is_away_or_none(pool: Pool, tmp_path: Path) -> None:
    found = await _seen(pool, tmp_path, (tmp_path / "away").as_uri())
    assert (found.verdict, "mount it" in found.seen) == ("problem", True)
    found = await _seen(pool, tmp_path, "s3:///no-bucket")
    assert (found.verdict, "names no store" in found.seen) == ("problem", True)
