"""Exports of what is asked for, from both tiers, with proofs that hold without us."""

import asyncio
import csv
import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli import main, verify_audit
from cli.output import Exit
from storage import months
from storage.moving import Mover
from storage.pool import Pool
from storage.store import Folder
from tests.integration import ancient
from tests.integration.sealed import KEY, happen, seal
from tests.stack import Database

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)
OVER = ("--type", "decision.recorded", "--workflow", "orders", "--where", "amount > 50000")


@pytest.fixture
async def orders(
    database: Database,
    pool: Pool,
    admin_pool: Pool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Orders of two months, of which the first is in the cold tier; one was decided in the second."""
    public, cold = tmp_path / "seal.pub", tmp_path / "cold"
    public.write_text(f"{KEY.public}\n")
    cold.mkdir()
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_SEAL_PUBLIC_KEY_FILE", str(public))
    monkeypatch.setenv("COUNTERSIGN_AUDIT_STORE", cold.as_uri())
    for month in (JANUARY, FEBRUARY):
        await ancient.partition(admin_pool, month)
    await ancient.order(admin_pool, date(2024, 1, 5), 70000, "=cmd()|x")
    await ancient.order(admin_pool, date(2024, 1, 6), "60000.5", "Acme", decided=FEBRUARY)
    await ancient.order(admin_pool, date(2024, 1, 7), 50000, "Globex")
    await ancient.order(admin_pool, date(2024, 2, 8), 90000, "Initech")
    await happen(pool, rows=2)
    await seal(pool)
    await Mover(pool, Folder(cold), (KEY,)).move(JANUARY)
    return tmp_path


async def _export(path: Path, *arguments: str) -> int:
    return await asyncio.to_thread(main.run, ["audit", "export", "--output", str(path), *arguments])


def _lines(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the verifier takes without a word."""
    lines = path.read_text().splitlines(keepends=True)
    assert list(verify_audit.verify(iter(lines), [str(KEY.public)], [])) == []
    head, *rows = map(json.loads, lines)
    return head, rows


async def test_what_is_asked_for_with_what_proves_it(orders: Path) -> None:
    path = orders / "over.jsonl"
    assert await _export(path, *OVER) == Exit.OK
    head, rows = _lines(path)
    assert head["asked"]["condition"]
    asked = [json.loads(row["body"]) for row in rows if row["asked"]]
    beside = [json.loads(row["body"]) for row in rows if not row["asked"]]
    assert [each["event_type"] for each in asked] == ["decision.recorded"] * 3
    amounts = {
        json.loads(row["disclosed"][0])["inputs"]["amount"] for row in rows if not row["asked"]
    }
    assert amounts == {70000, "60000.5", 90000}
    assert {each["request_id"] for each in asked} == {each["request_id"] for each in beside}
    path.write_text(path.read_text().replace("fine by me, Acme", "fine by me, ACME"))
    lines = path.read_text().splitlines()
    assert list(verify_audit.verify(iter(lines), [str(KEY.public)], [])) != []


async def test_everything_a_month_and_a_request_of_both_tiers(orders: Path, pool: Pool) -> None:
    await _export(orders / "whole.jsonl")
    head, rows = _lines(orders / "whole.jsonl")
    assert (head["whole"], len(rows)) == (True, 14)
    assert [row["leaf"] for row in rows] == list(range(14))
    await _export(orders / "month.jsonl", "--month", "2024-01")
    assert len(_lines(orders / "month.jsonl")[1]) == 7
    across = await pool.fetchval(
        "SELECT request_id FROM audit_subjects WHERE inputs->>'supplier' = 'Acme'"
    )
    await _export(orders / "one.jsonl", "--request", str(across))
    assert [row["seq"] for row in _lines(orders / "one.jsonl")[1]] == [1, 2, 3]


async def test_tables(orders: Path) -> None:
    assert await _export(orders / "t.csv", *OVER, "--format", "csv") == Exit.OK
    with (orders / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["user"] for row in rows] == ["bob"] * 3
    assert json.loads(rows[-1]["inputs"])["amount"] == 70000
    assert rows[0]["proof"]
    assert await _export(orders / "t.parquet", *OVER, "--format", "parquet") == Exit.OK
    table = pq.read_table(orders / "t.parquet")
    assert table["leaf"].to_pylist() == [int(row["leaf"]) for row in rows]
    assert "example.org/audit" in table.schema.metadata[b"checkpoints"].decode()
    formula = ("--words", "cmd x", "--type", "decision.recorded", "--format", "csv")
    assert await _export(orders / "f.csv", *formula) == Exit.OK
    assert len((orders / "f.csv").read_text().splitlines()) == 2


async def test_what_cannot_be_exported(orders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = orders / "x"
    assert await _export(path, "--where", "amount = 5") == Exit.USAGE
    assert await _export(path, "--month", "2024-01", "--since", "2024-01-05") == Exit.USAGE
    monkeypatch.delenv("COUNTERSIGN_AUDIT_STORE")
    assert await _export(path.with_suffix(".a"), *OVER) == Exit.UNAVAILABLE
    assert await _export(path.with_suffix(".b")) == Exit.UNAVAILABLE
    verify = await asyncio.to_thread(main.run, ["audit", "verify"])
    assert verify == Exit.UNAVAILABLE


async def test_months_move_by_hand(
    orders: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = orders / "seal.key"
    key.touch(0o600)
    key.write_text(KEY.written())
    monkeypatch.setenv("COUNTERSIGN_SEAL_KEY_FILE", str(key))
    move = ["audit", "move-month"]
    assert await asyncio.to_thread(main.run, [*move, "2024-02"]) == Exit.OK
    assert "2024-02 is cold: 5 rows" in capsys.readouterr().err
    assert [month.state for month in await months.every(pool)] == ["cold", "cold"]
    assert await asyncio.to_thread(main.run, [*move, "2024-03"]) == Exit.FAILED
    assert await asyncio.to_thread(main.run, [*move, "May"]) == Exit.USAGE
    assert await asyncio.to_thread(main.run, ["audit", "verify"]) == Exit.OK
