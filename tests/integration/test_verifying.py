"""Whatever is changed in the audit is found, whoever changed it; and nothing is found where nothing was.

A superuser changes rows, leaves, heads and checkpoints in a transaction, past every trigger, is found
out, and it is rolled back. Each class of tampering is tried with hundreds of seeds.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from contract import merkle, notes
from contract.notes import Checkpoint
from contract.verifying import Finding
from relay.sealing import Signing, grow
from relay.witnesses import Folder
from storage import evidence, sealing
from storage.evidence import Scope, Verified
from storage.pool import Connection, Pool
from tests.integration.sealed import KEY, NEXT_KEY, Trail, happen, seal

SEEDS = 120
EVERYTHING = Scope()
TABLES = """
SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit'::regclass
UNION ALL VALUES ('audit_leaves'), ('audit_nodes'), ('audit_checkpoints')
"""


@dataclass
class Tampered:
    """A trail within a superuser's transaction. `rows` is as it was: request, seq, leaf."""

    connection: Connection
    trail: Trail
    rows: list[tuple[UUID, int, int]]
    kept: tuple[str, ...]

    async def run(self, sql: str, *values: object) -> None:
        await self.connection.execute(sql, *values)

    async def verified(self, scope: Scope = EVERYTHING, *, witnessed: bool = True) -> Verified:
        kept = self.kept if witnessed else ()
        return await evidence.verify(self.connection, scope, (KEY.public,), kept)

    async def findings(self, scope: Scope = EVERYTHING) -> list[Finding]:
        return list((await self.verified(scope)).findings)


@pytest.fixture
async def trail(pool: Pool, tmp_path: Path) -> Trail:
    return await Trail.grown(pool, tmp_path)


@asynccontextmanager
async def _past_triggers(admin_pool: Pool) -> AsyncIterator[Connection]:
    """A superuser's transaction in which no trigger fires; it is rolled back."""
    async with admin_pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        for row in await connection.fetch(TABLES):
            await connection.execute(f"ALTER TABLE {row['name']} DISABLE TRIGGER ALL")
        yield connection
        await transaction.rollback()


@pytest.fixture
async def tampered(trail: Trail, admin_pool: Pool) -> AsyncIterator[Tampered]:
    rows = await admin_pool.fetch("SELECT request_id, seq, leaf FROM audit_leaves ORDER BY leaf")
    kept = tuple(trail.folder.kept())
    async with _past_triggers(admin_pool) as connection:
        yield Tampered(connection, trail, [tuple(row) for row in rows], kept)


async def _rehash(t: Tampered, request_id: UUID, *, leaves: bool = False) -> None:
    """Make a request's chain right again after its bodies were changed; and its leaves, if they like."""
    previous = bytes(32)
    rows = await t.connection.fetch(
        "SELECT seq, body FROM audit WHERE request_id = $1 ORDER BY seq", request_id
    )
    last = 0
    for row in rows:
        last = row["seq"]
        found = sha256(b"\x00" + previous + row["body"]).digest()
        await t.run(
            "UPDATE audit SET prev_hash = $3, hash = $4 WHERE request_id = $1 AND seq = $2",
            request_id, last, previous, found,
        )  # fmt: skip
        if leaves:
            await t.run(
                "UPDATE audit_leaves SET hash = $3 WHERE request_id = $1 AND seq = $2",
                request_id, last, merkle.leaf(request_id, last, found),
            )  # fmt: skip
        previous = found
    await t.run(
        "UPDATE audit_heads SET seq = $2, hash = $3 WHERE request_id = $1",
        request_id,
        last,
        previous,
    )


async def _edit(t: Tampered, place: tuple[UUID, int, int], n: int) -> None:
    """Another number in the payload, in body and column alike."""
    await t.run(
        "UPDATE audit SET body = convert_to(regexp_replace(convert_from(body, 'UTF8'), '\"n\":\\d+',"
        " '\"n\":' || $3::int), 'UTF8'), payload = jsonb_set(payload, '{n}', to_jsonb($3::int)),"
        " hash = sha256('\\x00'::bytea || prev_hash || convert_to(regexp_replace(convert_from(body, 'UTF8'),"
        " '\"n\":\\d+', '\"n\":' || $3::int), 'UTF8')) WHERE request_id = $1 AND seq = $2",
        place[0], place[1], n,
    )  # fmt: skip


async def edited_row(t: Tampered, chance: random.Random) -> UUID | None:
    """Body, column and the row's own hash; not the rows after it, nor its leaf."""
    place = chance.choice(t.rows)
    await _edit(t, place, chance.randrange(10, 10**9))
    return place[0]


async def edited_past_its_constraint(t: Tampered, chance: random.Random) -> UUID | None:
    """The body alone, which the database itself would refuse."""
    place = chance.choice(t.rows)
    await t.run("ALTER TABLE audit DROP CONSTRAINT audit_check")
    change = b"\xff" if chance.random() < 0.2 else b" "
    await t.run(
        "UPDATE audit SET body = $3 || body WHERE request_id = $1 AND seq = $2", *place[:2], change
    )
    return place[0]


async def edited_column(t: Tampered, chance: random.Random) -> UUID | None:
    place = chance.choice(t.rows)
    change = chance.choice(
        [
            "payload = payload || '{\"n\": 77}'",
            'actor = actor || \'{"user": "mallory"}\'',
            "event_type = 'b.c'",
            "occurred_at = occurred_at - interval '1 microsecond'",
            "workflow_version = 2",
            "event_id = gen_random_uuid()",
            "snapshot = '{}'",
            "workflow_id = 'other'",
            "recorded_at = recorded_at + interval '1 microsecond'",
        ]
    )
    await t.run(f"UPDATE audit SET {change} WHERE request_id = $1 AND seq = $2", *place[:2])
    return place[0]


async def rehashed_edit(t: Tampered, chance: random.Random) -> UUID | None:
    place = chance.choice(t.rows)
    await _edit(t, place, chance.randrange(10, 10**9))
    await _rehash(t, place[0])
    return place[0]


async def rehashed_edit_with_leaves(t: Tampered, chance: random.Random) -> UUID | None:
    """Everything that is not signed agrees."""
    place = chance.choice(t.rows)
    await _edit(t, place, chance.randrange(10, 10**9))
    await _rehash(t, place[0], leaves=True)
    return None


async def deleted_row(t: Tampered, chance: random.Random) -> UUID | None:
    place = chance.choice(t.rows)
    await t.run("DELETE FROM audit WHERE request_id = $1 AND seq = $2", *place[:2])
    if chance.random() < 0.5:
        await t.run("DELETE FROM audit_leaves WHERE leaf = $1", place[2])
    return None


async def dropped_tail(t: Tampered, chance: random.Random) -> UUID | None:
    """The last rows of a request, its head put back to them."""
    request_id = chance.choice(t.trail.requests)
    count = chance.randrange(1, 4)
    await t.run(
        "DELETE FROM audit WHERE request_id = $1 AND seq > (SELECT max(seq) FROM audit WHERE request_id = $1) - $2",
        request_id, count,
    )  # fmt: skip
    await _rehash(t, request_id)
    return request_id


async def dropped_request(t: Tampered, chance: random.Random) -> UUID | None:
    """All of it, with its leaves if they like."""
    request_id = chance.choice(t.trail.requests)
    tables = ["audit", "audit_heads", *["audit_leaves"][: chance.randrange(2)]]
    for table in tables:
        await t.run(f"DELETE FROM {table} WHERE request_id = $1", request_id)
    return None


async def swapped_rows(t: Tampered, chance: random.Random) -> UUID | None:
    """Two rows of a request have changed places, and the chain is made right."""
    request_id = chance.choice(t.trail.requests)
    one, other = chance.sample(range(1, 5), 2)
    for source, to in ((one, 1000), (other, one), (1000, other)):
        await t.run(
            "UPDATE audit SET seq = $3 WHERE request_id = $1 AND seq = $2", request_id, source, to
        )
    if chance.random() < 0.5:
        await _rehash(t, request_id)
    return request_id


async def rows_of_another_request(t: Tampered, chance: random.Random) -> UUID | None:
    """The rows of two requests, one for the other."""
    one, other = chance.sample(t.trail.requests, 2)
    spare = uuid4()
    for source, to in ((one, spare), (other, one), (spare, other)):
        await t.run("UPDATE audit SET request_id = $2 WHERE request_id = $1", source, to)
    return one


async def forged_request(t: Tampered, chance: random.Random) -> UUID | None:
    """As the product would have written it, some days ago, by a transaction of then."""
    request_id = await happen(t.connection, rows=chance.randrange(1, 4))
    ago = timedelta(hours=chance.randrange(1, 24))
    await _backdate(t, request_id, ago)
    await t.run("UPDATE audit SET xid = '3' WHERE request_id = $1", request_id)
    return request_id


async def forged_and_sealed(t: Tampered, chance: random.Random) -> UUID | None:
    """The same, and the sealer takes it for an honest one that came late."""
    request_id = await happen(t.connection, rows=chance.randrange(1, 4))
    await _backdate(t, request_id, timedelta(hours=chance.randrange(1, 24)))
    rows = await t.connection.fetch(
        "SELECT request_id, seq, recorded_at, hash FROM audit WHERE request_id = $1 ORDER BY seq",
        request_id,
    )
    size = await t.connection.fetchval("SELECT size FROM audit_tree")
    growing = merkle.Growing()
    for row in await t.connection.fetch("SELECT hash FROM audit_leaves ORDER BY leaf"):
        growing.add(row["hash"])
    for n, row in enumerate(rows):
        leaf = merkle.leaf(request_id, row["seq"], row["hash"])
        growing.add(leaf)
        await t.run(
            "INSERT INTO audit_leaves VALUES ($1, $2, $3, $4, $5)",
            size + n, request_id, row["seq"], row["recorded_at"], leaf,
        )  # fmt: skip
    await _checkpoint(t, growing.size, growing.root(), datetime.now(UTC))
    return request_id


async def rolled_back(t: Tampered, chance: random.Random) -> UUID | None:
    """The database is as it was some checkpoints ago, as a backup would have it."""
    [first] = await t.connection.fetch(
        "SELECT number, size FROM audit_checkpoints WHERE size > 0 ORDER BY random() LIMIT 1"
    )
    size = await t.connection.fetchval("SELECT size FROM audit_tree")
    if first["size"] == size:
        first = {"number": 1, "size": 6}
    cut = first["size"]
    await t.run(
        "DELETE FROM audit a USING audit_leaves l WHERE l.leaf >= $1 AND (a.request_id, a.seq) = (l.request_id, l.seq)",
        cut,
    )
    await t.run("DELETE FROM audit_leaves WHERE leaf >= $1", cut)
    await t.run("DELETE FROM audit_checkpoints WHERE size > $1", cut)
    await t.run(
        "UPDATE audit_tree SET size = $1, checkpoints = (SELECT max(number) FROM audit_checkpoints)",
        cut,
    )
    await t.run(
        "UPDATE audit_heads h SET seq = a.seq, hash = a.hash FROM (SELECT DISTINCT ON (request_id) * FROM audit"
        " ORDER BY request_id, seq DESC) a WHERE a.request_id = h.request_id"
    )
    return None


async def another_history(t: Tampered, chance: random.Random) -> UUID | None:
    """Whoever has the key, too, changes a row and signs everything again: only witnesses know better."""
    place = chance.choice(t.rows)
    await _edit(t, place, chance.randrange(10, 10**9))
    await _rehash(t, place[0], leaves=True)
    growing, roots = merkle.Growing(), {0: merkle.EMPTY}
    for row in await t.connection.fetch("SELECT hash FROM audit_leaves ORDER BY leaf"):
        growing.add(row["hash"])
        roots[growing.size] = growing.root()
    for row in await t.connection.fetch("SELECT * FROM audit_checkpoints"):
        mark = Checkpoint(KEY.name, row["size"], roots[row["size"]], row["sealed_at"])
        await t.run(
            "UPDATE audit_checkpoints SET root = $2, note = $3 WHERE number = $1",
            row["number"], mark.root, notes.signed(mark, [KEY]),
        )  # fmt: skip
    return None


async def forged_checkpoint(t: Tampered, chance: random.Random) -> UUID | None:
    """A checkpoint was changed, signed by another key, or taken away."""
    number = chance.randrange(
        1, await t.connection.fetchval("SELECT max(number) FROM audit_checkpoints")
    )
    change = chance.choice(
        [
            "UPDATE audit_checkpoints SET note = replace(note, 'time 20', 'time 19') WHERE number = $1",
            "DELETE FROM audit_checkpoints WHERE number = $1",
            "UPDATE audit_checkpoints SET note = $2 WHERE number = $1",
        ]
    )
    mark = Checkpoint(KEY.name, 0, merkle.EMPTY, datetime.now(UTC))
    values = [number, notes.signed(mark, [NEXT_KEY])][: change.count("$")]
    await t.run(change, *values)
    return None


async def _backdate(t: Tampered, request_id: UUID, ago: timedelta) -> None:
    """The rows say that they were recorded earlier, hashes and all."""
    for row in await t.connection.fetch(
        "SELECT seq, body, recorded_at FROM audit WHERE request_id = $1", request_id
    ):
        now, then = (
            f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}".encode()
            for moment in (row["recorded_at"], row["recorded_at"] - ago)
        )
        body = row["body"].replace(b'"recorded_at":"' + now, b'"recorded_at":"' + then)
        previous = bytes(32)
        await t.run(
            "UPDATE audit SET body = $3, recorded_at = $4, prev_hash = $5,"
            " hash = sha256('\\x00'::bytea || $5 || $3) WHERE request_id = $1 AND seq = $2",
            request_id, row["seq"], body, row["recorded_at"] - ago, previous,
        )  # fmt: skip
    await _rehash(t, request_id)


async def _checkpoint(t: Tampered, size: int, root: bytes, time: datetime) -> None:
    mark = Checkpoint(KEY.name, size, root, time)
    await t.run(
        "INSERT INTO audit_checkpoints SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4 FROM audit_checkpoints",
        size, root, time, notes.signed(mark, [KEY]),
    )  # fmt: skip
    await t.run("UPDATE audit_tree SET size = $1, checkpoints = checkpoints + 1", size)


Tamper = Callable[[Tampered, random.Random], Awaitable[UUID | None]]
CLASSES: list[Tamper] = [
    edited_row,
    edited_past_its_constraint,
    edited_column,
    rehashed_edit,
    rehashed_edit_with_leaves,
    deleted_row,
    dropped_tail,
    dropped_request,
    swapped_rows,
    rows_of_another_request,
    forged_request,
    forged_and_sealed,
    rolled_back,
    another_history,
    forged_checkpoint,
]


KINDS: dict[str, set[str]] = {
    "edited_row": {"chain", "tail"},
    "edited_past_its_constraint": {"edited"},
    "edited_column": {"column"},
    "rehashed_edit": {"rehashed"},
    "rehashed_edit_with_leaves": {"tree"},
    "deleted_row": {"missing", "tree", "rollback"},
    "dropped_tail": {"missing"},
    "dropped_request": {"missing", "tree", "rollback"},
    "swapped_rows": {"rehashed", "column"},
    "rows_of_another_request": {"rehashed"},
    "forged_request": {"forged"},
    "forged_and_sealed": {"backdated"},
    "rolled_back": {"rollback"},
    "another_history": {"fork"},
    "forged_checkpoint": {"checkpoint"},
}


@pytest.mark.parametrize("tamper", CLASSES, ids=lambda tamper: tamper.__name__)
async def test_none_is_missed(tampered: Tampered, tamper: Tamper) -> None:
    """Each seed another row and another way; found as a whole, and where a request is named by its own."""
    assert await tampered.findings() == []
    for seed in range(SEEDS):
        chance = random.Random(seed)
        savepoint = tampered.connection.transaction()
        await savepoint.start()
        request_id = await tamper(tampered, chance)
        found = await tampered.findings()
        assert found, f"{tamper.__name__} with seed {seed} was missed"
        assert {each.kind for each in found} & KINDS[tamper.__name__], (seed, found)
        if request_id is not None:
            assert request_id in {each.request_id for each in found}, seed
            assert await tampered.findings(Scope(request_id)), seed
        await savepoint.rollback()
    assert await tampered.findings() == []


async def test_it_says_which_row_and_since_when(tampered: Tampered) -> None:
    """Six rows were sealed at a time: the eighth by the checkpoint of twelve."""
    await _edit(tampered, tampered.rows[7], 99)
    await _rehash(tampered, tampered.rows[7][0])
    found = await tampered.findings()
    sealed_at = await tampered.connection.fetchval(
        "SELECT min(sealed_at) FROM audit_checkpoints WHERE size = 12"
    )
    request_id, seq, leaf = tampered.rows[7]
    first = next(each for each in found if each.kind == "rehashed")
    assert (first.request_id, first.seq, first.leaf, first.since) == (
        request_id,
        seq,
        leaf,
        sealed_at,
    )


async def test_a_tree_that_was_changed_is_narrowed_down(tampered: Tampered) -> None:
    await _edit(tampered, tampered.rows[7], 99)
    await _rehash(tampered, tampered.rows[7][0], leaves=True)
    [finding] = await tampered.findings()
    assert finding.kind == "tree"
    assert "leaves 6 to 11" in finding.what


async def test_without_witnesses_a_database_that_was_put_back_looks_right(
    tampered: Tampered,
) -> None:
    """What docs/evidence.md says: they are what this is seen by."""
    await rolled_back(tampered, random.Random(1))
    assert (await tampered.verified(witnessed=False)).findings == ()
    assert (await tampered.verified()).findings != ()


async def test_by_month(tampered: Tampered) -> None:
    now = datetime.now(UTC)
    day = timedelta(days=1)
    this = Scope(since=now - day, until=now + day)
    verified = await tampered.verified(this)
    assert (verified.findings, verified.rows) == ((), 24)
    assert (await tampered.verified(Scope(since=now + day, until=now + 2 * day))).rows == 0
    await edited_row(tampered, random.Random(1))
    assert await tampered.findings(this)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("'\\xff7b'::bytea", "edited"),
        ("'{}'::bytea", "column"),
        ("body || ' '::bytea", "misspelt"),
        (
            "convert_to(replace(convert_from(body, 'UTF8'), '\"n\":0', '\"n\":1,\"n\":0'), 'UTF8')",
            "misspelt",
        ),
        ("convert_to(replace(convert_from(body, 'UTF8'), 'Zoë', 'Zo\\u00eb'), 'UTF8')", "misspelt"),
        (
            "convert_to(replace(convert_from(body, 'UTF8'), '\"n\":0', '\"n\":0.0'), 'UTF8')",
            "misspelt",
        ),
    ],
)
async def test_bodies_that_are_no_json_or_spelt_otherwise(
    tampered: Tampered, body: str, kind: str
) -> None:
    """Hashed and sealed as they are: what could be read in two ways is not taken."""
    request_id = tampered.trail.requests[0]
    hashed = f"sha256('\\x00'::bytea || prev_hash || {body})"
    await tampered.run(
        f"UPDATE audit SET body = {body}, hash = {hashed} WHERE request_id = $1 AND seq = 1",
        request_id,
    )
    await _rehash(tampered, request_id, leaves=True)
    assert kind in {each.kind for each in await tampered.findings(Scope(request_id))}


async def test_nothing_is_found_while_rows_wait(pool: Pool, trail: Trail) -> None:
    for request_id in trail.requests:
        await happen(pool, request_id, rows=2)
    async with pool.acquire() as connection, connection.transaction():
        verified = await evidence.verify(connection, EVERYTHING, (KEY.public,))
    assert (verified.findings, verified.rows, verified.size) == ((), 36, 24)


async def test_a_sealer_that_was_away_catches_up_without_alarm(
    pool: Pool, admin_pool: Pool, tmp_path: Path
) -> None:
    """Rows of hours ago are sealed in portions, each signed as one after which others wait; a row put
    there once it had caught up is found."""
    async with _past_triggers(admin_pool) as connection:
        empty = Tampered(connection, Trail(pool, Folder(tmp_path)), [], ())
        await _checkpoint(empty, 0, merkle.EMPTY, datetime.now(UTC) - timedelta(hours=5))
        for _ in range(3):
            await _backdate(empty, await happen(connection), timedelta(hours=3))
        await _catch_up(connection)
        verified = await empty.verified()
        assert (verified.findings, verified.rows, verified.size) == ((), 3, 3)
        await _backdate(empty, await happen(connection), timedelta(hours=3))
        await _catch_up(connection)
        assert {each.kind for each in await empty.findings()} == {"backdated"}


async def _catch_up(connection: Connection) -> None:
    """As the sealer does it, row by row, within the transaction."""
    signing = Signing((KEY,), batch=1)
    while True:
        before = await sealing.tree(connection)
        grown = await grow(connection, signing, before)
        if grown is None:
            return
        await sealing.seal(connection, before, grown)


async def test_whoever_has_the_first_key_alone_follows_the_next_ones(
    pool: Pool, trail: Trail
) -> None:
    await seal(pool, keys=(KEY, NEXT_KEY))
    await happen(pool)
    await seal(pool, keys=(NEXT_KEY,))
    async with pool.acquire() as connection, connection.transaction():
        verified = await evidence.verify(connection, EVERYTHING, (KEY.public,))
        assert verified.findings == ()
        assert verified.keys == (KEY.public, NEXT_KEY.public)
        stranger = notes.PrivateKey(KEY.name, bytes(32)).public
        lost = await evidence.verify(connection, EVERYTHING, (stranger,))
        assert {each.kind for each in lost.findings} == {"checkpoint"}
