"""The sealer: every row becomes a leaf once, whoever dies when; what does not go on from what was
signed is never signed."""

import asyncio
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from typing_extensions import override

from cli import main
from cli.output import Exit
from contract import merkle, notes
from contract.notes import Checkpoint
from relay import sealing as relay_sealing
from relay.witnesses import Folder, Repository, WitnessFailed, WitnessInvalid, witnesses
from storage import sealing
from storage.pool import Pool
from storage.seal_keys import read_keys
from storage.sealing import Growth
from tests.integration.sealed import KEY, NEXT_KEY, happen, seal, sealer
from tests.stack import Database


async def _tree_of(pool: Pool) -> merkle.Growing:
    """The tree as all of its leaves make it, each compared with its row."""
    growing = merkle.Growing()
    rows = await pool.fetch(
        "SELECT l.leaf, l.hash, a.request_id, a.seq, a.hash AS row_hash FROM audit_leaves l"
        " LEFT JOIN audit a USING (request_id, seq, recorded_at) ORDER BY leaf"
    )
    for number, row in enumerate(rows):
        assert row["leaf"] == number
        assert row["hash"] == merkle.leaf(row["request_id"], row["seq"], row["row_hash"])
        growing.add(row["hash"])
    return growing


async def _all_is_sealed(pool: Pool) -> None:
    growing = await _tree_of(pool)
    tree = await sealing.tree(pool)
    assert tree.last is not None
    assert (
        growing.size
        == tree.size
        == tree.last.size
        == await pool.fetchval("SELECT count(*) FROM audit")
    )
    assert growing.root() == tree.last.root
    assert (await sealing.lag(pool))[0] == 0


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "witness"
    path.mkdir()
    return Folder(path)


async def test_rows_become_leaves_and_checkpoints_are_signed(pool: Pool, folder: Folder) -> None:
    assert (await seal(pool, folder)).size == 0
    await happen(pool, rows=3)
    assert (await sealing.lag(pool))[0] == 3
    first = await seal(pool, folder)
    assert first.size == 3
    await happen(pool, rows=600)
    second = await seal(pool, folder, batch=250)
    assert second.size == 603
    await _all_is_sealed(pool)
    kept = [notes.opened(note, [KEY.public]) for note in folder.kept()]
    assert [each.size for each in kept] == [0, 3, 603]
    latest = folder.latest(KEY.name)
    assert latest is not None
    assert notes.opened(latest, [KEY.public]) == second
    numbers = [each.number for each in await sealing.checkpoints(pool, 100)]
    assert numbers == list(range(len(numbers), 0, -1))
    spans = merkle.consistency(first.size, second.size)
    proof = await sealing.parts(pool, spans)
    roots = merkle.roots_of_consistency(first.size, second.size, first.root, proof)
    assert roots == (first.root, second.root)


async def test_empty_periods_are_sealed_but_not_every_time(pool: Pool) -> None:
    await seal(pool)
    mine = sealer(pool, quiet=relay_sealing.QUIET)
    await mine.publish()
    assert not await mine.seal()
    before = (await sealing.tree(pool)).last
    always = sealer(pool)
    await always.publish()
    await always.seal()
    after = (await sealing.tree(pool)).last
    assert before is not None
    assert after is not None
    assert (after.number, after.root) == (before.number + 1, before.root)
    assert after.sealed_at > before.sealed_at


async def test_a_row_that_commits_late_is_not_missed(pool: Pool) -> None:
    """Its transaction id, and its time, are older than those of rows that are sealed already."""
    async with pool.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        await happen(slow, rows=2)
        for _ in range(3):
            await happen(pool)
            assert (await seal(pool)).size == await pool.fetchval("SELECT count(*) FROM audit")
        await transaction.commit()
    assert (await sealing.lag(pool))[0] == 2
    assert (await seal(pool)).size == 5
    await _all_is_sealed(pool)


async def test_sealed_in_portions_of_one_row(pool: Pool) -> None:
    await happen(pool, rows=7)
    await happen(pool)
    assert (await seal(pool, batch=1)).size == 8
    await _all_is_sealed(pool)


async def test_two_sealers_started_by_mistake(pool: Pool, folder: Folder) -> None:
    """Rows come in meanwhile; each is a leaf once, and all checkpoints are of one tree."""
    pair = [sealer(pool, folder, batch=7) for _ in range(2)]
    for each in pair:
        await each.publish()

    async def busy(number: int) -> None:
        for _ in range(20):
            await pair[number].seal()
            await pair[number].publish()

    async def write() -> None:
        for _ in range(40):
            await happen(pool, rows=3)

    await asyncio.gather(busy(0), busy(1), write(), write())
    await seal(pool, folder)
    await _all_is_sealed(pool)
    growing = merkle.Growing()
    sizes: dict[int, bytes] = {}
    for row in await pool.fetch("SELECT hash FROM audit_leaves ORDER BY leaf"):
        growing.add(row["hash"])
        sizes[growing.size] = growing.root()
    for note in folder.kept():
        there = notes.opened(note, [KEY.public])
        assert there.size == 0 or sizes[there.size] == there.root


async def test_who_takes_the_tree_for_smaller_is_refused(pool: Pool) -> None:
    await seal(pool)
    before = await sealing.tree(pool)
    await happen(pool)
    rows, watermark = await sealing.unsealed(pool, before.watermark, 10)
    await seal(pool)
    assert before.last is not None
    assert not await sealing.seal(pool, before, Growth(rows, {}, before.last, watermark))
    await _all_is_sealed(pool)


async def test_only_rows_of_the_audit_become_leaves(pool: Pool) -> None:
    await happen(pool)
    await seal(pool)
    before = await sealing.tree(pool)
    assert before.last is not None
    forged = sealing.Row(await happen(pool), 2, before.now, bytes(32))
    with pytest.raises(asyncpg.InvalidParameterValueError, match="rows of the audit"):
        await sealing.seal(pool, before, Growth([forged], {}, before.last, before.watermark))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_leaves SET leaf = leaf + 1",
        "DELETE FROM audit_checkpoints",
        "TRUNCATE audit_nodes",
        "INSERT INTO audit_leaves VALUES (0, gen_random_uuid(), 1, now(), sha256(''))",
        "UPDATE audit_tree SET size = 0",
    ],
)
async def test_the_application_can_only_add(pool: Pool, sql: str) -> None:
    await happen(pool)
    await seal(pool)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute(sql)


@pytest.mark.parametrize("table", ["audit_leaves", "audit_nodes", "audit_checkpoints"])
async def test_their_owner_cannot_change_them_either(
    pool: Pool, admin_pool: Pool, table: str
) -> None:
    await happen(pool, rows=300)
    await seal(pool)
    with pytest.raises(asyncpg.RestrictViolationError):
        await admin_pool.execute(f"DELETE FROM {table}")
    with pytest.raises(asyncpg.RestrictViolationError):
        await admin_pool.execute(f"TRUNCATE {table}")


# --- crashes ------------------------------------------------------------------------------------------


class _Died(BaseException):
    """As if the process had ended here."""


class _Dying(Folder):
    """A witness whose keeper dies: having kept the checkpoint, or before."""

    @override
    def keep(self, checkpoint: Checkpoint, note: str) -> None:
        raise _Died


@pytest.mark.parametrize("lines", range(1, 400, 15))
async def test_a_crash_at_any_step(pool: Pool, folder: Folder, lines: int) -> None:
    """The sealer is cut off after so many turns of the loop, whatever it was doing; the next one goes on."""
    await happen(pool, rows=5)
    await seal(pool, folder)
    await happen(pool, rows=300)
    mine = sealer(pool, folder, batch=40)

    async def work() -> None:
        await mine.publish()
        while await mine.seal():
            await mine.publish()

    task = asyncio.create_task(work())
    for _ in range(lines):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await seal(pool, folder)
    await _all_is_sealed(pool)


async def test_a_crash_between_the_commit_and_the_witness(pool: Pool, folder: Folder) -> None:
    await happen(pool)
    dying = sealer(pool, _Dying(folder.path))
    await dying.publish()
    await dying.seal()
    with pytest.raises(BaseException):  # noqa: B017,PT011 - a _Died, or a group that holds it
        await dying.publish()
    assert folder.latest(KEY.name) is None
    there = await seal(pool, folder)
    latest = folder.latest(KEY.name)
    assert latest is not None
    assert notes.opened(latest, [KEY.public]) == there


# --- witnesses ----------------------------------------------------------------------------------------


async def test_a_witness_that_fails_stops_nothing_and_catches_up(
    pool: Pool, tmp_path: Path
) -> None:
    away, here = Folder(tmp_path / "away"), Folder(tmp_path / "here")
    here.path.mkdir()
    await happen(pool)
    mine = sealer(pool, away, here)
    await mine.publish()
    for _ in range(2):
        await happen(pool)
        await mine.seal()
        await mine.publish()
    lag = relay_sealing.witness_lag.labels(away.url)
    assert lag._value.get() > 0
    assert relay_sealing.witness_lag.labels(here.url)._value.get() == 0
    with pytest.raises(WitnessFailed, match="make it, or mount it"):
        away.latest(KEY.name)
    away.path.mkdir()
    await mine.publish()
    assert lag._value.get() == 0
    assert away.latest(KEY.name) == here.latest(KEY.name) is not None


async def test_a_witness_never_changes_what_it_keeps(folder: Folder, pool: Pool) -> None:
    there = await seal(pool, folder)
    with pytest.raises(WitnessFailed, match="left as it is"):
        folder.keep(there, notes.signed(there, [NEXT_KEY]))
    older = Checkpoint(there.origin, 0, there.root, there.time.replace(year=2020))
    folder.keep(older, notes.signed(older, [KEY]))
    latest = folder.latest(KEY.name)
    assert latest is not None
    assert notes.opened(latest, [KEY.public]) == there


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    path = tmp_path / "witness.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(path)], check=True)
    return Repository(path)


async def test_a_git_repository_is_a_witness(pool: Pool, repository: Repository) -> None:
    assert repository.latest(KEY.name) is None
    assert list(repository.kept()) == []
    sizes = []
    for _ in range(3):
        await happen(pool, rows=2)
        sizes.append((await seal(pool, repository)).size)
    kept = [notes.opened(note, [KEY.public]) for note in repository.kept()]
    assert [each.size for each in kept if each.size] == sizes
    latest = repository.latest(KEY.name)
    assert latest is not None
    assert notes.opened(latest, [KEY.public]) == kept[-1]
    # An older one does not take its place, and the same again changes nothing.
    repository.keep(kept[0], next(iter(repository.kept())))
    repository.keep(kept[-1], latest)
    assert repository.latest(KEY.name) == latest
    assert len(list(repository.kept())) == len(kept)
    assert witnesses(repository.url) == [repository]


async def test_a_repository_with_files_of_its_own_is_left_alone(pool: Pool, tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout

    git("init", "--quiet")
    await seal(pool, Repository(tmp_path))
    assert git("status", "--porcelain") == ""
    assert "checkpoints/" in git("branch", "--all")
    log = git("log", "--format=%an %s", "--all")
    assert log.startswith("Countersign 0 rows, ")


async def test_a_repository_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(WitnessFailed, match="not a git repository"):
        Repository(tmp_path).latest(KEY.name)
    with pytest.raises(WitnessFailed, match="git init --bare"):
        Repository(tmp_path / "none").latest(KEY.name)


@pytest.mark.parametrize(
    "url", ["git+file://x/y", "x", "file:///", "file://elsewhere/x", "ftp://a/b"]
)
def test_what_names_no_witness_is_refused(url: str) -> None:
    with pytest.raises(WitnessInvalid, match="names no witness"):
        witnesses(f"file:///a, {url}")


# --- going back ---------------------------------------------------------------------------------------

BACK = """
SET session_replication_role = replica;
ALTER TABLE audit_leaves DISABLE TRIGGER ALL;
ALTER TABLE audit_checkpoints DISABLE TRIGGER ALL;
DELETE FROM audit_leaves WHERE leaf >= 3;
DELETE FROM audit_checkpoints WHERE size > 3;
UPDATE audit_tree SET size = 3, checkpoints = (SELECT max(number) FROM audit_checkpoints), watermark = '0';
ALTER TABLE audit_leaves ENABLE ALWAYS TRIGGER audit_rows;
RESET session_replication_role;
"""


@pytest.fixture
async def put_back(pool: Pool, admin_pool: Pool, folder: Folder) -> relay_sealing.Sealer:
    """The database is as it was after three rows; the sealer that signed five still runs."""
    await happen(pool, rows=3)
    await seal(pool)
    await happen(pool, rows=2)
    mine = sealer(pool, folder)
    await mine.publish()
    await mine.seal()
    await mine.publish()
    await admin_pool.execute(BACK)
    return mine


async def test_the_running_sealer_does_not_sign_another_tree(
    put_back: relay_sealing.Sealer, pool: Pool
) -> None:
    before = await sealing.tree(pool)
    assert not await put_back.seal()
    assert relay_sealing.refused._value.get() == 1
    await put_back.publish()
    assert not await put_back.seal()
    after = await sealing.tree(pool)
    assert replace(after, now=before.now) == before


async def test_a_sealer_that_starts_asks_the_witness_first(
    put_back: relay_sealing.Sealer, pool: Pool, folder: Folder
) -> None:
    mine = sealer(pool, folder)
    await mine.publish()
    assert not await mine.seal()
    assert relay_sealing.refused._value.get() == 1
    assert (await sealing.tree(pool)).size == 3
    # Under another name it is another tree, once people have looked.
    other = notes.PrivateKey("example.org/audit-after-the-restore", KEY.seed)
    assert (await seal(pool, folder, keys=(other,))).size == 5
    assert relay_sealing.refused._value.get() == 0


async def test_leaves_that_were_changed_are_not_signed_again(pool: Pool, admin_pool: Pool) -> None:
    await happen(pool, rows=3)
    await seal(pool)
    await admin_pool.execute(
        "ALTER TABLE audit_leaves DISABLE TRIGGER ALL;"
        "UPDATE audit_leaves SET hash = sha256('x') WHERE leaf = 1"
    )
    mine = sealer(pool)
    await mine.publish()
    assert not await mine.seal()
    assert relay_sealing.refused._value.get() == 1


async def test_a_database_restored_from_a_dump_goes_on(pool: Pool, admin_pool: Pool) -> None:
    """Its transaction ids begin again far below those that were sealed."""
    await happen(pool, rows=3)
    await seal(pool)
    await admin_pool.execute(
        "ALTER TABLE audit DISABLE TRIGGER USER; ALTER TABLE audit_tree DISABLE TRIGGER ALL;"
        "UPDATE audit_tree SET watermark = '9000000000000'"
    )
    await happen(pool, rows=2)
    assert (await sealing.lag(pool))[0] == 2
    assert (await seal(pool, batch=1)).size == 5
    await _all_is_sealed(pool)
    assert (await sealing.tree(pool)).watermark < 9000000000000


async def test_a_new_key_follows_the_old_one(pool: Pool) -> None:
    await seal(pool)
    both = await seal(pool, keys=(KEY, NEXT_KEY))
    assert both.keys == (NEXT_KEY.public,)
    await seal(pool, keys=(NEXT_KEY,))
    trusted: tuple[notes.PublicKey, ...] = (KEY.public,)
    for sealed in reversed(await sealing.checkpoints(pool, 100)):
        trusted = notes.announced(trusted, sealed.note)
    assert trusted == (KEY.public, NEXT_KEY.public)


# --- the commands -------------------------------------------------------------------------------------


@pytest.fixture
def command(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of a command line at this database, where `KEY` seals; the path of its file."""
    key = tmp_path / "seal.key"
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_SEAL_KEY_FILE", str(key))
    key.write_text(KEY.written())
    key.chmod(0o600)
    key.with_suffix(".pub").write_text(str(KEY.public))
    return key


async def test_checkpoints_are_shown(
    command: Path, pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    await happen(pool, rows=2)
    there = await seal(pool)
    assert await asyncio.to_thread(main.run, ["audit", "checkpoints", "--json"]) == Exit.OK
    shown = json.loads(capsys.readouterr().out)
    assert notes.opened(shown[0]["note"], [KEY.public]) == there
    assert await asyncio.to_thread(main.run, ["audit", "checkpoints", "--limit", "1"]) == Exit.OK
    assert there.root.hex() in capsys.readouterr().out


async def test_the_old_key_ends_once_the_next_one_is_announced(
    command: Path, pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(name: str) -> int:
        return await asyncio.to_thread(main.run, ["audit", "key", name])

    await seal(pool)
    assert await run("rotate") == Exit.OK
    assert await run("retire") == Exit.FAILED
    assert "no checkpoint has announced" in capsys.readouterr().err
    keys = tuple(read_keys(command))
    await seal(pool, keys=keys)
    assert await run("retire") == Exit.OK
    assert read_keys(command) == [keys[1]]
    assert len(notes.public_keys_of(command.with_suffix(".pub").read_text())) == 2
