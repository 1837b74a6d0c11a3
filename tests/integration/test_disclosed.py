"""Exports show what people wrote, as far as auditors may see it, and what is shown is what was sealed."""

import asyncio
import csv
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli import main, verify_audit
from cli.output import Exit
from recipes.model import Confidential, Recipe
from storage.pool import Pool
from tests.integration.house import House, shared
from tests.integration.sealed import KEY, seal
from tests.stack import Database, write_region_key

AMOUNT = Confidential(("hr",), ("amount",))
ALL_OF_IT = Confidential(("hr",))
FOR_AUDITORS = Confidential(("auditor",), ("amount",))


@pytest.fixture
async def pay(house: House, database: Database, monkeypatch: pytest.MonkeyPatch) -> House:
    """Decided requests: nothing of them confidential; their amount, for HR; all, for HR; their amount, for
    auditors. Sealed, with the settings of a command line."""
    folder = house.settings.data_dir
    (folder / "seal.pub").write_text(f"{KEY.public}\n")
    write_region_key(folder / "region.key")
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_SEAL_PUBLIC_KEY_FILE", str(folder / "seal.pub"))
    monkeypatch.setenv("COUNTERSIGN_REGION_KEY_FILE", str(folder / "region.key"))
    rules = {"plain": None, "amounts": AMOUNT, "whole": ALL_OF_IT, "audited": FOR_AUDITORS}
    for name, rule in rules.items():
        await house.publish(_confidential(name, rule))
        inputs = {"amount": 7000042000, "supplier": f"Acme {name}"}
        flow = await house.begun("alice", name, inputs)
        decided = await house.decide("bob", flow.task, comment=f"fine, {name}")
        assert decided.status_code == 200, decided.text
    await seal(house.pool)
    return house


def _confidential(name: str, rule: Confidential | None) -> Recipe:
    return replace(shared("user:bob", workflow=name), confidential=rule)


async def _lines(path: Path, *arguments: str) -> list[str]:
    command = ["audit", "export", "--output", str(path), *arguments]
    assert await asyncio.to_thread(main.run, command) == Exit.OK
    return await asyncio.to_thread(lambda: path.read_text().splitlines(keepends=True))


def _problems(lines: list[str]) -> list[str]:
    return list(verify_audit.verify(iter(lines), [str(KEY.public)], []))


def _of(rows: list[dict[str, Any]], workflow: str, event_type: str) -> dict[str, Any]:
    """The row of one event, with what is disclosed of it read."""
    [found] = [
        row
        for row in rows
        if (said := json.loads(row["body"]))["workflow_id"] == workflow
        and said["event_type"] == event_type
    ]
    shown = [json.loads(text) for text in found.get("disclosed", [])]
    return {"shown": shown, "withheld": found.get("withheld", [])}


@pytest.mark.parametrize("asked", [[], ["--since", "2026-01-01"]])
async def test_what_auditors_may_see_is_shown(pay: House, tmp_path: Path, asked: list[str]) -> None:
    lines = await _lines(tmp_path / "export", *asked)
    assert _problems(lines) == []
    rows = [json.loads(line) for line in lines[1:]]
    plain = _of(rows, "plain", "request.created")
    assert [each["inputs"] for each in plain["shown"]] == [
        {"amount": 7000042000, "supplier": "Acme plain"}
    ]
    assert plain["withheld"] == []
    [comment] = _of(rows, "plain", "decision.recorded")["shown"]
    assert comment["comment"] == "fine, plain"
    amounts = _of(rows, "amounts", "request.created")
    assert [each["inputs"] for each in amounts["shown"]] == [{"supplier": "Acme amounts"}]
    assert amounts["withheld"] == ["inputs"]
    whole = _of(rows, "whole", "decision.recorded")
    assert (whole["shown"], whole["withheld"]) == ([], ["comment"])
    audited = _of(rows, "audited", "request.created")
    assert [each["inputs"] for each in audited["shown"]] == [
        {"supplier": "Acme audited"},
        {"amount": 7000042000},
    ]
    text = "".join(lines)
    assert "fine, whole" not in text
    assert text.count("7000042000") == 2


async def test_tables_have_it_too(pay: House, tmp_path: Path) -> None:
    asked = ("--type", "request.created", "--workflow", "amounts", "--format", "csv")
    await _lines(tmp_path / "t.csv", *asked)
    with (tmp_path / "t.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row["withheld"] == "inputs"
    [text] = json.loads(row["disclosed"])
    sealed = json.loads(row["body"])["payload"]["sealed"]
    assert verify_audit.sha256(text.encode()).hex() in {part["sha256"] for part in sealed}


async def test_what_is_erased_is_withheld(pay: House, admin_pool: Pool, tmp_path: Path) -> None:
    await admin_pool.execute("DELETE FROM data_keys")
    lines = await _lines(tmp_path / "export")
    assert _problems(lines) == []
    rows = [json.loads(line) for line in lines[1:]]
    assert not any("disclosed" in row for row in rows)
    assert _of(rows, "plain", "request.created")["withheld"] == ["inputs", "title"]


async def test_without_region_keys_there_is_no_half_export(
    pay: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COUNTERSIGN_REGION_KEY_FILE", str(tmp_path / "none"))
    path = tmp_path / "export"
    for more in ("", "--workflow=plain"):
        command = ["audit", "export", "--output", str(path), *more.split()]
        assert await asyncio.to_thread(main.run, command) == Exit.USAGE
        assert "COUNTERSIGN_REGION_KEY_FILE" in capsys.readouterr().err
        assert not path.exists()


Change = Callable[[list[dict[str, Any]], random.Random], None]


def _showing(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("disclosed")]


def reworded(rows: list[dict[str, Any]], chance: random.Random) -> None:
    texts = chance.choice(_showing(rows))["disclosed"]
    said = json.loads(texts[0])
    name = chance.choice(sorted(said))
    texts[0] = json.dumps(said | {name: "x"}, sort_keys=True, separators=(",", ":"))


def unsalted(rows: list[dict[str, Any]], chance: random.Random) -> None:
    texts = chance.choice(_showing(rows))["disclosed"]
    said = json.loads(texts[0])
    del said["salt"]
    texts[0] = json.dumps(said, sort_keys=True, separators=(",", ":"))


def spaced(rows: list[dict[str, Any]], chance: random.Random) -> None:
    texts = chance.choice(_showing(rows))["disclosed"]
    texts[0] += " "


def swapped(rows: list[dict[str, Any]], chance: random.Random) -> None:
    one, other = chance.sample(_showing(rows), 2)
    one["disclosed"], other["disclosed"] = other["disclosed"], one["disclosed"]


def said_twice(rows: list[dict[str, Any]], chance: random.Random) -> None:
    texts = chance.choice(_showing(rows))["disclosed"]
    texts.append(texts[0])


def invented(rows: list[dict[str, Any]], chance: random.Random) -> None:
    row = chance.choice(rows)
    row["disclosed"] = [*row.get("disclosed", []), '{"comment":"no","salt":"00"}']


def resealed(rows: list[dict[str, Any]], chance: random.Random) -> None:
    """The text and its hash in the body."""
    row = chance.choice(_showing(rows))
    text, *others = row["disclosed"]
    other = text.replace('"salt"', '"comment":"no","salt"')
    row["disclosed"] = [other, *others]
    hashes = [verify_audit.sha256(each.encode()).hex() for each in (text, other)]
    row["body"] = row["body"].replace(*hashes)


CHANGES: list[Change] = [reworded, unsalted, spaced, swapped, said_twice, invented, resealed]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_what_was_not_sealed_so_is_found_out(
    pay: House, tmp_path: Path, change: Change
) -> None:
    head, *lines = await _lines(tmp_path / "export")
    for seed in range(100):
        rows = [json.loads(line) for line in lines]
        change(rows, random.Random(seed))
        assert _problems([head, *(json.dumps(row) for row in rows)]), seed


@pytest.mark.parametrize(
    "body",
    [
        'replace(body, \'"box":"A\', \'"box":"B\')',
        'replace(body, \'"sha256":"\', \'"sha256":"0\')',
        "replace(body, '{', '[')",
        "'[]'",
        "'{\"payload\":[]}'",
    ],
)
async def test_what_was_tampered_with_is_exported_all_the_same(
    pay: House, admin_pool: Pool, tmp_path: Path, body: str
) -> None:
    await admin_pool.execute(
        f"ALTER TABLE audit_{datetime.now(UTC):%Y_%m} DISABLE TRIGGER ALL;"
        "UPDATE audit a SET body = n.body, hash = sha256('\\x00'::bytea || a.prev_hash || n.body)"
        f"  FROM (SELECT event_id, convert_to({body}, 'UTF8') AS body"
        "          FROM (SELECT event_id, convert_from(body, 'UTF8') AS body FROM audit) b) n"
        " WHERE n.event_id = a.event_id AND a.event_type = 'decision.recorded'"
    )
    lines = await _lines(tmp_path / "export")
    count = await admin_pool.fetchval("SELECT count(*) FROM audit_leaves")
    assert len(lines) == 1 + count
    assert _problems(lines)


async def test_a_condition_finds_what_auditors_may_see(pay: House, tmp_path: Path) -> None:
    asked = ("--where", "amount > 50000", "--type", "decision.recorded")
    lines = await _lines(tmp_path / "export", *asked)
    assert _problems(lines) == []
    rows = [json.loads(line) for line in lines[1:]]
    found = {json.loads(row["body"])["workflow_id"] for row in rows if row["asked"]}
    assert found == {"plain", "audited"}
