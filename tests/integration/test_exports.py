"""What leaves the house: `countersign audit verify` and `export`, and the file that verifies exports alone."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import main, verify_audit
from cli.output import Exit
from contract.notes import PrivateKey
from storage.pool import Pool
from tests.integration.sealed import KEY, NEXT_KEY, Trail, happen, seal
from tests.stack import Database

VERIFIER = Path(verify_audit.__file__)


@pytest.fixture
def command(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a command line at this database, with the witness of `trail`."""
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_SEAL_WITNESSES", (tmp_path / "witness").as_uri())
    public = tmp_path / "seal.pub"
    public.write_text(f"{KEY.public}\n")
    monkeypatch.setenv("COUNTERSIGN_SEAL_PUBLIC_KEY_FILE", str(public))
    (tmp_path / "witness").mkdir()


@pytest.fixture
async def trail(command: None, pool: Pool, tmp_path: Path) -> Trail:
    return await Trail.grown(pool, tmp_path / "witness")


async def _run(*arguments: str) -> int:
    return await asyncio.to_thread(main.run, ["audit", *arguments])


async def _exported(path: Path, *arguments: str) -> list[str]:
    assert await _run("export", "--output", str(path), *arguments) == Exit.OK
    return await asyncio.to_thread(lambda: path.read_text().splitlines(keepends=True))


def _problems(lines: list[str], *keys: PrivateKey, witnesses: tuple[str, ...] = ()) -> list[str]:
    texts = [str(key.public) for key in keys or (KEY,)]
    return list(verify_audit.verify(iter(lines), texts, list(witnesses)))


async def test_the_command_verifies_everything(
    trail: Trail, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await _run("verify") == Exit.OK
    assert "24 rows hold, against" in capsys.readouterr().err
    assert await _run("verify", "--json", "--request", str(trail.requests[0])) == Exit.OK
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["size"], report["findings"]) == (4, 24, [])
    assert await _run("verify", "--month", "2026-01") == Exit.OK
    assert await _run("verify", "--month", "May") == Exit.USAGE
    assert (
        await _run("verify", "--request", str(trail.requests[0]), "--month", "2026-01")
        == Exit.USAGE
    )
    assert (
        await _run("verify", "--request", "00000000-0000-0000-0000-000000000000") == Exit.NOT_FOUND
    )
    assert await _run("verify", "--key", "x") == Exit.USAGE


async def test_the_command_says_what_is_wrong(
    trail: Trail, admin_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    await admin_pool.execute(
        "SET session_replication_role = replica; ALTER TABLE audit_leaves DISABLE TRIGGER ALL;"
        "DELETE FROM audit_leaves WHERE leaf >= 20"
    )
    assert await _run("verify") == Exit.FAILED
    out = capsys.readouterr().out
    assert "rollback" in out
    assert "forged" in out
    assert await _run("verify", "--json") == Exit.FAILED
    report = json.loads(capsys.readouterr().out)
    assert {each["kind"] for each in report["findings"]} == {"rollback", "forged"}


async def test_a_witness_that_is_away_is_no_witness(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_SEAL_WITNESSES", (tmp_path / "gone").as_uri())
    assert await _run("verify") == Exit.UNAVAILABLE


async def test_exports_hold_with_the_public_key_alone(trail: Trail, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    lines = await _exported(whole)
    assert len(lines) == 25
    kept = tuple(trail.folder.kept())
    assert _problems(lines, witnesses=kept) == []
    for scope in (["--request", str(trail.requests[2])], ["--month", _month(lines)]):
        part = await _exported(tmp_path / f"{scope[0]}.jsonl", *scope)
        assert len(part) in (5, 25)
        assert _problems(part) == []
    assert await _run("verify", "--export", str(whole)) == Exit.OK
    assert await _run("verify", "--export", str(tmp_path / "none")) == Exit.USAGE
    assert await _run("export", "--output", str(whole)) == Exit.FAILED


def _month(lines: list[str]) -> str:
    recorded: str = json.loads(json.loads(lines[1])["body"])["recorded_at"]
    return recorded[:7]


async def test_the_file_runs_alone(trail: Trail, tmp_path: Path) -> None:
    """On a machine that has no database, nothing of ours and nothing installed."""
    export = tmp_path / "export.jsonl"
    lines = await _exported(export)
    alone = tmp_path / "alone" / "verify_audit.py"
    witness = tmp_path / "note"

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-I", "-S", str(alone), str(export), *more]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)

    def scenario() -> list[subprocess.CompletedProcess[str]]:
        alone.parent.mkdir()
        alone.write_bytes(VERIFIER.read_bytes())
        witness.write_text(trail.folder.latest(KEY.name) or "")
        key = ["--key", str(KEY.public)]
        good = run(*key, "--witness", str(witness))
        export.write_text("".join(lines[:-1]))
        return [good, run(*key), run("--key", "x"), run("--key", str(NEXT_KEY.public))]

    good, short, bad_key, stranger = await asyncio.to_thread(scenario)
    assert (good.returncode, good.stdout) == (0, "it holds\n"), good.stderr
    assert short.returncode == 1
    assert "some are missing" in short.stdout
    assert bad_key.returncode == 2
    assert "not signed by a key that you trust" in stranger.stdout


Change = Callable[[list[dict[str, Any]], random.Random], None]


def edited(rows: list[dict[str, Any]], chance: random.Random) -> None:
    row = chance.choice(rows)
    row["body"] = row["body"].replace("alice", "carol")


def rehashed(rows: list[dict[str, Any]], chance: random.Random) -> None:
    row = chance.choice(rows)
    row["body"] = row["body"].replace("alice", "carol")
    hashed = b"\x00" + bytes.fromhex(row["prev_hash"]) + row["body"].encode()
    row["hash"] = verify_audit.sha256(hashed).hex()


def deleted(rows: list[dict[str, Any]], chance: random.Random) -> None:
    rows.remove(chance.choice(rows))


def cut(rows: list[dict[str, Any]], chance: random.Random) -> None:
    del rows[chance.randrange(1, len(rows)) :]


def swapped(rows: list[dict[str, Any]], chance: random.Random) -> None:
    one, other = chance.sample(range(len(rows)), 2)
    for name in ("body", "hash", "prev_hash"):
        rows[one][name], rows[other][name] = rows[other][name], rows[one][name]


def repeated(rows: list[dict[str, Any]], chance: random.Random) -> None:
    rows.append(dict(chance.choice(rows)))


def moved(rows: list[dict[str, Any]], chance: random.Random) -> None:
    chance.choice(rows)["seq"] += 1


def misspelt(rows: list[dict[str, Any]], chance: random.Random) -> None:
    row = chance.choice(rows)
    row["body"] = " " + row["body"]


CHANGES: list[Change] = [edited, rehashed, deleted, cut, swapped, repeated, moved, misspelt]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_a_changed_export_is_found_out(
    trail: Trail, tmp_path: Path, change: Change, whole: bool
) -> None:
    scope = [] if whole else ["--request", str(trail.requests[0])]
    head, *lines = await _exported(tmp_path / "export", *scope)
    for seed in range(100):
        rows = [json.loads(line) for line in lines]
        change(rows, random.Random(seed))
        assert _problems([head, *(json.dumps(row) for row in rows)]), seed


async def test_a_signature_that_was_changed_is_found_out(trail: Trail, tmp_path: Path) -> None:
    head, *lines = await _exported(tmp_path / "export")
    note = json.loads(head)["checkpoints"][-1]
    for place in range(0, len(note), 7):
        other = "A" if note[place] != "A" else "B"
        changed = json.loads(head) | {"checkpoints": [note[:place] + other + note[place + 1 :]]}
        try:
            found = _problems([json.dumps(changed), *lines])
        except (ValueError, KeyError):
            continue  # it is not read at all
        assert found, place


async def test_an_export_follows_new_keys(trail: Trail, pool: Pool, tmp_path: Path) -> None:
    await seal(pool, keys=(KEY, NEXT_KEY))
    await happen(pool)
    await seal(pool, keys=(NEXT_KEY,))
    lines = await _exported(tmp_path / "export")
    assert _problems(lines, KEY) == _problems(lines, NEXT_KEY) == []
    assert _problems(lines, PrivateKey(KEY.name, bytes(32))) != []


async def test_what_is_no_export_is_refused() -> None:
    for text in ("", "{}", "[]"):
        with pytest.raises(verify_audit.Unreadable):
            _problems([text] if text else [])


def test_ed25519_is_that_of_cryptography() -> None:
    chance = random.Random(1)
    for _ in range(30):
        key = PrivateKey("x", chance.randbytes(32))
        message = chance.randbytes(chance.randrange(200)).hex()
        signature = key.sign(message)
        assert verify_audit.is_signed(key.public.raw, message.encode(), signature)
        place = chance.randrange(64)
        other = bytearray(signature)
        other[place] ^= 1 << chance.randrange(8)
        assert not verify_audit.is_signed(key.public.raw, message.encode(), bytes(other))
        assert not verify_audit.is_signed(key.public.raw, message.encode() + b"x", signature)
    assert not verify_audit.is_signed(b"\xff" * 32, b"", bytes(64))
