"""`kill -9` of the sealer and of the mover, as processes, wherever they wait: the next run goes on, and
nothing is lost."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from contract import merkle, notes
from relay.witnesses import Folder as Witness
from storage import evidence, months, sealing
from storage.asking import Asked
from storage.cold import Cold
from storage.evidence import Scope
from storage.moving import Mover
from storage.pool import Pool
from storage.store import Folder as Store
from storage.trail import Trail
from tests.integration import ancient
from tests.integration.killed import Killer
from tests.integration.sealed import KEY, happen, seal
from tests.stack import AUDITOR, Database

EVERYTHING = Scope()
AT_MOST = 300
"""More often nothing is waited for."""


async def _findings(pool: Pool, witness: Witness, trail: Trail) -> list[str]:
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        kept = tuple(witness.kept())
        verified = await evidence.verify(connection, EVERYTHING, (KEY.public,), kept, trail)
    return [f"{each.kind}: {each.what}" for each in verified.findings]


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    killer = Killer.started()
    yield killer
    killer.stop()


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    path = tmp_path / "witness"
    path.mkdir()
    return Witness(path)


# --- the sealer ---------------------------------------------------------------------------------------


async def _sealed_by_the_next(pool: Pool, witness: Witness) -> None:
    """Postgres may take a moment to notice that the one before is gone; until then it leads."""
    async with asyncio.timeout(30):
        while (await sealing.lag(pool))[0] > 0:
            await seal(pool, witness)


async def test_the_sealer_killed_wherever_it_waits(
    killer: Killer, database: Database, pool: Pool, witness: Witness
) -> None:
    """Between reading and sealing, within the transaction, before the witness has it, while it writes."""
    trail = Trail(None, Cold())
    rows = place = 0
    was_killed = True
    while was_killed:
        place += 1
        assert place < AT_MOST
        await happen(pool, rows=6)
        rows += 6
        was_killed = await killer.killed("seal", database.url, witness.path, place)
        assert await _findings(pool, witness, trail) == [], f"killed at {place}"
        await _sealed_by_the_next(pool, witness)
    assert place > 20
    latest = await seal(pool, witness)
    assert await _findings(pool, witness, trail) == []
    leaves = await pool.fetch("SELECT leaf, request_id, seq FROM audit_leaves ORDER BY leaf")
    assert [row["leaf"] for row in leaves] == list(range(rows)), "each row is a leaf once"
    assert len({(row["request_id"], row["seq"]) for row in leaves}) == rows
    growing = merkle.Growing()
    roots = {0: growing.root()}
    for row in await pool.fetch("SELECT hash FROM audit_leaves ORDER BY leaf"):
        growing.add(row["hash"])
        roots[growing.size] = growing.root()
    kept = [notes.opened(note, [KEY.public]) for note in witness.kept()]
    assert kept[-1] == latest
    assert all(roots[mark.size] == mark.root for mark in kept), "all of one tree"


# --- the mover ----------------------------------------------------------------------------------------

STEPS = ("written", "signed", "verified", "detached", "dropped")
MONTHS = [date(year, month, 1) for year in range(2000, 2006) for month in range(1, 13)]


@dataclass
class Moves:
    """Months that each have an order, all sealed, and what moves them."""

    killer: Killer
    url: str
    witness: Witness
    mover: Mover

    @property
    def pool(self) -> Pool:
        return self.mover.pool

    @property
    def trail(self) -> Trail:
        return Trail(self.mover.store, Cold())

    async def killed(self, month: date, place: int | str) -> bool:
        """Whether it was killed there. Checked at that moment, and again when the next run went on."""
        before = await self._told(month)
        assert len(before) == 3
        folder = Path(self.mover.store.url.removeprefix("file://"))
        was_killed = await self.killer.killed("move", self.url, folder, place, month)
        assert await self._copied(month), f"killed at {place}: no copy"
        assert await self._told(month) == before, f"killed at {place}"
        assert await self.findings() == [], f"killed at {place}"
        found = await self.mover.move(month)
        assert found.state == "cold"
        assert await self._told(month) == before, f"killed at {place}"
        await self.mover._whole(found)
        return was_killed

    async def findings(self) -> list[str]:
        return await _findings(self.pool, self.witness, self.trail)

    async def _told(self, month: date) -> list[bytes]:
        """The bodies of its rows, as both tiers have them."""
        since, until = months.span(month)
        asked = Asked(since=since, until=until, workflow="orders")
        return [row.body for row in await self.trail.ask(self.pool, AUDITOR, asked, 100)]

    async def _copied(self, month: date) -> bool:
        """Whether one copy at least is there: the table, or all files of what was verified."""
        table = f"audit_{month:%Y_%m}"
        if await self.pool.fetchval("SELECT to_regclass($1)", table) is not None:
            return True
        found = await months.one(self.pool, month)
        if found is None or found.state != "cold":
            return False
        await self.mover._whole(found)
        return True


@pytest.fixture
async def moves(
    killer: Killer, database: Database, admin_pool: Pool, mover: Mover, witness: Witness
) -> Moves:
    for month in MONTHS:
        await ancient.partition(admin_pool, month)
        await ancient.order(admin_pool, month.replace(day=7), 50, "Acme")
    await seal(mover.pool, witness)
    return Moves(killer, database.url, witness, mover)


@pytest.fixture
def mover(pool: Pool, tmp_path: Path) -> Mover:
    path = tmp_path / "store"
    path.mkdir()
    return Mover(pool, Store(path), (KEY,))


async def test_the_mover_killed_at_each_step(moves: Moves) -> None:
    for month, step in zip(MONTHS, STEPS, strict=False):
        assert await moves.killed(month, step)
    await seal(moves.pool, moves.witness)
    assert await moves.findings() == []


async def test_the_mover_killed_wherever_it_waits(moves: Moves) -> None:
    """While it reads, writes, reads again, within the transactions that verify, detach and drop."""
    place = 1
    while await moves.killed(MONTHS[place], place):
        place += 1
    assert place > 20
    await seal(moves.pool, moves.witness)
    assert await moves.findings() == []
