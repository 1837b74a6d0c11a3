"""The cold tier: months move, whatever kills the move; both tiers give the same answers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typing_extensions import override

from contract import manifests
from contract.conditions import condition
from contract.manifests import File
from contract.notes import NoteInvalid
from recipes.happenings import Actor
from storage import evidence, holds, months, sealing
from storage.asking import Asked, Told
from storage.cold import Cold
from storage.errors import ColdUnavailable
from storage.evidence import Scope
from storage.months import MonthRefused
from storage.moving import Mover, NotYet
from storage.parquet import SCHEMA
from storage.pool import Pool
from storage.store import Damaged, Folder, StoreFailed
from storage.trail import Trail
from tests.integration import ancient
from tests.integration.sealed import KEY, NEXT_KEY, happen, seal
from tests.stack import AUDITOR

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)
EVERYTHING = Scope()
AMOUNTS = (70000, "60000.5", 50000, "49999.99", 12)


@dataclass
class Tiers:
    pool: Pool
    folder: Path
    mover: Mover
    trail: Trail
    requests: list[UUID]

    async def told(self, limit: int = 1000, **asked: Any) -> list[Told]:
        """But for what is told of the move itself."""
        found = await self.trail.ask(self.pool, AUDITOR, Asked(**asked), limit)
        return [replace(row, leaf=None) for row in found if row.event_type != "month.moved"]

    async def state(self, month: date) -> str | None:
        found = await months.one(self.pool, month)
        return None if found is None else found.state


@pytest.fixture
async def tiers(pool: Pool, admin_pool: Pool, tmp_path: Path) -> Tiers:
    """Two old months, the second one's decisions of requests of the first; and rows of now."""
    made = []
    for month in (JANUARY, FEBRUARY):
        await ancient.partition(admin_pool, month)
    for month in (JANUARY, FEBRUARY):
        for n, amount in enumerate(AMOUNTS):
            day = month.replace(day=3 + n)
            supplier = f"Acme Corp {month.month}{n}"
            later = day.replace(month=2) if n == 1 else day
            made.append(await ancient.order(admin_pool, day, amount, supplier, decided=later))
    await happen(pool, rows=3)
    await seal(pool)
    store = Folder(tmp_path)
    mover = Mover(pool, store, (KEY,), file_rows=8)
    return Tiers(pool, tmp_path, mover, Trail(store, Cold()), [each.id for each in made])


async def test_a_month_moves(tiers: Tiers, admin_pool: Pool) -> None:
    before = await tiers.told()
    moved = await tiers.mover.move(JANUARY)
    assert (moved.state, moved.rows) == ("cold", 13)
    assert await admin_pool.fetchval("SELECT to_regclass('audit_2024_01')") is None
    manifest = manifests.opened(moved.manifest, [KEY.public])
    assert [file.rows for file in manifest.files] == [13]
    assert sorted(path.name for path in (tiers.folder / "2024-01").iterdir()) == sorted(
        ["manifest.note", *(Path(file.name).name for file in manifest.files)]
    )
    assert (tiers.folder / "2024-01/manifest.note").read_text() == moved.manifest
    with pytest.raises(NoteInvalid):
        manifests.opened(moved.manifest, [NEXT_KEY.public])
    assert await tiers.told() == before
    assert (await tiers.mover.move(JANUARY)).state == "cold", "again, it changes nothing"


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"workflow": "orders", "event_type": "decision.recorded", "actor": "bob"},
        {"condition": condition("amount > 50000")},
        {"condition": condition("amount != 60000.5 && amount <= 70000")},
        {"condition": condition('amount == "60000.5" || supplier == "Acme Corp 14"')},
        {"condition": condition("urgent == false && supplier > 'Acme Corp 12'")},
        {"condition": condition("urgent != false || supplier != 'x'")},
        {"condition": condition("supplier > 5 || amount.deep == 1 || absent != true")},
        {"words": "acme CORP 13"},
        {"words": "fine by me"},
        {"words": "!!"},
        {"outcome": "approve"},
        {"outcome": "approved", "version": 1},
        {"entity_type": "order", "entity_id": "Acme Corp 20"},
        {"since": months.span(FEBRUARY)[0]},
        {"until": months.span(FEBRUARY)[0]},
        {"on_behalf_of": "bob"},
        {"role": "x"},
    ],
)
async def test_both_tiers_answer_alike(tiers: Tiers, asked: dict[str, Any]) -> None:
    before = await tiers.told(**asked)
    await tiers.mover.move(JANUARY)
    assert await tiers.told(**asked) == before
    await tiers.mover.move(FEBRUARY)
    assert await tiers.told(**asked) == before
    if before:
        for look in (4, 1000):
            trail = replace(tiers.trail, look=look)
            rest = await trail.ask(tiers.pool, AUDITOR, Asked(**asked), 3, before[0].place)
            assert [row.place for row in rest] == [row.place for row in before[1:4]]


async def test_a_request_over_both_tiers(tiers: Tiers) -> None:
    across = tiers.requests[1]
    before = await tiers.trail.events_of(tiers.pool, AUDITOR, across)
    await tiers.mover.move(JANUARY)
    found = await tiers.trail.events_of(tiers.pool, AUDITOR, across)
    assert [row.body for row in found] == [row.body for row in before]
    assert [row.leaf for row in found[:1]] != [None], "the first is of the file"
    [last] = await tiers.trail.events_of(tiers.pool, AUDITOR, across, after=2)
    assert last == before[2]


class Killed(Exception):
    """The process is gone."""


def _kill_at(number: int) -> Callable[[str], None]:
    count = 0

    def step(_: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise Killed

    return step


@pytest.mark.parametrize("number", range(1, 6))
async def test_killed_at_each_step(tiers: Tiers, admin_pool: Pool, number: int) -> None:
    before = await tiers.told()
    with pytest.raises(Killed):
        await replace(tiers.mover, step=_kill_at(number)).move(JANUARY)
    assert await tiers.told() == before, "one copy at least, and each row once"
    here = await admin_pool.fetchval("SELECT to_regclass('audit_2024_01')")
    assert here is not None or await tiers.state(JANUARY) == "cold"
    if await tiers.state(JANUARY) in ("detached", "cold"):
        await tiers.mover._whole(await _month(tiers))
    assert (await tiers.mover.move(JANUARY)).state == "cold"
    assert await tiers.told() == before


async def test_what_a_killed_run_left_is_removed(tiers: Tiers) -> None:
    with pytest.raises(Killed):
        await replace(tiers.mover, step=_kill_at(1), file_rows=5).move(JANUARY)
    left = len(tiers.mover.store.names("2024-01/"))
    await tiers.mover.move(JANUARY)
    named = {file.name for file in (await _month(tiers)).opened().files}
    assert left == 1
    assert set(tiers.mover.store.names("2024-01/")) == named | {"2024-01/manifest.note"}


async def test_a_damaged_copy_lets_nothing_go(tiers: Tiers) -> None:
    with pytest.raises(Killed):
        await replace(tiers.mover, step=_kill_at(3)).move(JANUARY)
    [file] = (await _month(tiers)).opened().files
    place = tiers.folder / file.name
    whole = place.read_bytes()
    place.write_bytes(whole[:-1] + b"x")
    with pytest.raises(Damaged, match="is not the file"):
        await tiers.mover.move(JANUARY)
    place.unlink()
    with pytest.raises(Damaged, match="is not there"):
        await tiers.mover.move(JANUARY)
    assert await tiers.state(JANUARY) == "verified"
    place.write_bytes(whole)
    assert (await tiers.mover.move(JANUARY)).state == "cold"


async def test_rows_that_were_changed_do_not_move(tiers: Tiers, admin_pool: Pool) -> None:
    await admin_pool.execute(
        "SET session_replication_role = replica; ALTER TABLE audit_2024_01 DISABLE TRIGGER ALL;"
        "UPDATE audit_2024_01 SET prev_hash = sha256('x'), hash = sha256('\\x00'::bytea || sha256('x') || body)"
        " WHERE seq = 2; SET session_replication_role = DEFAULT"
    )
    with pytest.raises(Damaged, match="not those that were sealed"):
        await tiers.mover.move(JANUARY)
    assert await tiers.state(JANUARY) is None


async def test_what_does_not_move_yet(tiers: Tiers, admin_pool: Pool) -> None:
    now = await sealing.tree(tiers.pool)
    with pytest.raises(MonthRefused, match="not over yet"):
        await tiers.mover.move(now.now.date().replace(day=1))
    with pytest.raises(NotYet, match="not of this key"):
        await replace(tiers.mover, keys=(NEXT_KEY,)).move(JANUARY)
    await ancient.order(admin_pool, date(2024, 1, 20), 5, "Late Ltd")
    with pytest.raises(NotYet, match="not sealed yet"):
        await tiers.mover.move(JANUARY)
    with pytest.raises(NotYet, match="no rows"):
        await tiers.mover.move(date(2023, 12, 1))
    with pytest.raises(StoreFailed, match="make it, or mount it"):
        await replace(tiers.mover, store=Folder(tiers.folder / "away")).move(FEBRUARY)


async def test_the_database_lets_go_of_nothing_unverified(tiers: Tiers) -> None:
    for function in ("audit_detach_month", "audit_drop_month"):
        await tiers.pool.execute(f"SELECT {function}($1)", JANUARY)
    assert len(await tiers.told()) == 33
    with pytest.raises(asyncpg.PostgresError, match="they are not the 13"):
        await tiers.pool.execute(
            "SELECT audit_month_verified($1, 13, sha256('x'), 'note')", JANUARY
        )
    for forbidden in (
        "INSERT INTO audit_months SELECT * FROM audit_months",
        "DROP TABLE audit_2024_01",
        "DELETE FROM audit_subjects",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tiers.pool.execute(forbidden)


async def test_due_months(tiers: Tiers) -> None:
    assert await months.due(tiers.pool, 90) == [JANUARY, FEBRUARY]
    assert await months.due(tiers.pool, 36_000) == []
    with pytest.raises(Killed):
        await replace(tiers.mover, step=_kill_at(3)).move(JANUARY)
    assert await months.due(tiers.pool, 36_000) == [JANUARY]
    await tiers.mover.move(JANUARY)
    assert await months.due(tiers.pool, 90) == [FEBRUARY]


async def test_no_store_is_no_answer(tiers: Tiers) -> None:
    await tiers.mover.move(JANUARY)
    trail = Trail(None, Cold())
    assert await trail.ask(tiers.pool, AUDITOR, Asked(since=months.span(date(2024, 4, 1))[0]), 100)
    with pytest.raises(ColdUnavailable, match="COUNTERSIGN_AUDIT_STORE"):
        await trail.ask(tiers.pool, AUDITOR, Asked(), 100)
    [file] = (await _month(tiers)).opened().files
    (tiers.folder / file.name).unlink()
    with pytest.raises(ColdUnavailable, match="cannot be read"):
        await tiers.trail.ask(tiers.pool, AUDITOR, Asked(), 100)


async def _findings(tiers: Tiers, scope: Scope = EVERYTHING) -> list[str]:
    async with (
        tiers.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        verified = await evidence.verify(connection, scope, (KEY.public,), (), tiers.trail)
    return [f"{each.kind}: {each.what}" for each in verified.findings]


@pytest.mark.parametrize("portion", [1, 4, 2000])
async def test_both_tiers_are_verified_as_one(
    tiers: Tiers, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "PORTION", portion)
    for month in (JANUARY, FEBRUARY):
        await tiers.mover.move(month)
        assert await _findings(tiers) == []
        assert await _findings(tiers, Scope(tiers.requests[1])) == []
        assert await _findings(tiers, Scope(None, *months.span(JANUARY))) == []


async def test_a_cold_file_that_says_something_else(tiers: Tiers) -> None:
    await tiers.mover.move(JANUARY)
    [file] = (await _month(tiers)).opened().files
    place = tiers.folder / file.name
    table = pq.read_table(place)
    users = ["mallory", *table["user"].to_pylist()[1:]]
    changed = table.set_column(table.schema.get_field_index("user"), "user", [users])
    place.write_bytes(b"something else")
    with pytest.raises(ColdUnavailable, match="is not the file"):
        await _findings(tiers)
    pq.write_table(changed.slice(0, 12), place)
    trail = Trail(_Careless(tiers.folder), Cold())
    found = await _findings(replace(tiers, trail=trail))
    assert any(what.startswith("column") and "actor" in what for what in found)
    assert any(what.startswith("missing") for what in found)


DERIVED: dict[str, Any] = {
    "seq": 9,
    "event_id": str(UUID(int=5)),
    "event_type": "a.b",
    "occurred_at": datetime(2024, 1, 9, tzinfo=UTC),
    "recorded_at": datetime(2024, 1, 9, tzinfo=UTC),
    "workflow": "other",
    "version": 9,
    "user": "mallory",
    "role": "boss",
    "on_behalf_of": "mallory",
    "outcome": "reject",
    "requester": "mallory",
    "entity_type": "ship",
    "entity_id": "mallory's",
    "leaf": 1_000_000,
}
"""Of each column that is asked for and is not evidence itself, another value."""


@pytest.mark.parametrize("name", DERIVED)
async def test_each_derived_column_is_compared(tiers: Tiers, name: str) -> None:
    await tiers.mover.move(JANUARY)
    [file] = (await _month(tiers)).opened().files
    table = pq.read_table(tiers.folder / file.name)
    number = table.schema.get_field_index(name)
    shown = {"workflow": "workflow_id", "version": "workflow_version"}.get(name, name)
    shown = "actor" if name in ("user", "role", "on_behalf_of") else shown
    careless = replace(tiers, trail=Trail(_Careless(tiers.folder), Cold()))
    assert await _findings(careless) == []
    for row in range(4):
        values = table[name].to_pylist()
        values[row] = DERIVED[name]
        column = pa.array(values, table.schema.field(number).type)
        changed = table.set_column(number, table.schema.field(number), column)
        pq.write_table(changed, tiers.folder / file.name)
        found = await _findings(careless)
        assert any(what.startswith("column") and shown in what for what in found), (row, found)


def test_every_column_is_evidence_or_compared() -> None:
    """Until they are gone, title, inputs and words are looked up of what is in Postgres, too."""
    known = {*DERIVED, "request_id", "body", "prev_hash", "hash"}
    assert set(SCHEMA.names) - known <= {"title", "inputs", "words", "subject_words"}


class _Careless(Folder):
    """One that looks at nothing."""

    @override
    def path(self, file: File) -> Path:
        return self.root / file.name


async def test_subjects_that_say_something_else(tiers: Tiers, admin_pool: Pool) -> None:
    await admin_pool.execute(
        "UPDATE audit_subjects SET inputs = '{\"amount\": 1}' WHERE inputs->>'amount' = '70000'"
    )
    await admin_pool.execute(
        "INSERT INTO audit_subjects VALUES (gen_random_uuid(), 1, 'x', 'x', '{}')"
    )
    found = await _findings(tiers)
    assert sum("otherwise than the body" in what for what in found) == 2
    assert sum("no row says so" in what for what in found) == 1


async def test_a_month_does_not_move_while_it_is_verified(tiers: Tiers, admin_pool: Pool) -> None:
    await admin_pool.execute("ALTER FUNCTION audit_detach_month SET lock_timeout = '50ms'")
    async with tiers.pool.acquire() as connection, connection.transaction():
        await connection.execute(evidence.STAY)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await tiers.mover.move(JANUARY)
    assert await tiers.state(JANUARY) == "verified"
    assert (await tiers.mover.move(JANUARY)).state == "cold"


async def test_a_month_whose_time_is_over(tiers: Tiers, admin_pool: Pool) -> None:
    for month in (JANUARY, FEBRUARY):
        await tiers.mover.move(month)
    assert await months.aged(tiers.pool, 1) == [JANUARY, FEBRUARY]
    assert not await tiers.mover.expire(JANUARY, 500), "it is not that old"
    olga = Actor("olga", "auditor")
    for scope in (
        holds.Scope(workflow="orders"),
        holds.Scope(month=JANUARY),
        holds.Scope(request_id=tiers.requests[0]),
    ):
        async with tiers.pool.acquire() as connection, connection.transaction():
            hold = await holds.set_hold(connection, olga, "a law suit", scope)
        assert not await tiers.mover.expire(JANUARY, 1)
        async with tiers.pool.acquire() as connection, connection.transaction():
            assert await holds.end_hold(connection, hold["id"], olga, "settled")
            assert await holds.end_hold(connection, hold["id"], olga, "settled") is None
    with pytest.raises(Killed):
        await replace(tiers.mover, step=_kill_at(2)).expire(JANUARY, 1)
    assert await months.due(tiers.pool, 36_000) == [JANUARY]
    assert (await tiers.mover.move(JANUARY)).state == "deleted"
    assert tiers.mover.store.names("2024-01/") == ["2024-01/manifest.note"]
    left = await admin_pool.fetchval("SELECT count(*) FROM audit_subjects")
    assert left == 6, "what has rows in another month stays"
    await seal(tiers.pool)
    assert await _findings(tiers) == [], "what was deleted by policy is not missing"
    assert await _findings(tiers, Scope(tiers.requests[1])) == []
    assert len(await tiers.told(workflow="orders")) == 17
    about = await tiers.trail.ask(tiers.pool, AUDITOR, Asked(workflow="audit"), 100)
    record = [row.event_type for row in about]
    assert record[0] == "month.deleted"
    assert sorted(set(record)) == ["hold.ended", "hold.set", "month.deleted", "month.moved"]
    assert not await tiers.mover.expire(JANUARY, 1)


async def _month(tiers: Tiers) -> months.Month:
    found = await months.one(tiers.pool, JANUARY)
    assert found is not None
    return found
