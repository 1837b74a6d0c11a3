"""Evidence: what the chain costs a writer, how soon a row is sealed, how fast all of it is verified.

* Append: one statement of EVENTS rows a transaction, by WRITERS connections, through `audit_append` and,
  in turn with it, plainly into tables of the same columns and indexes without chain, hash and head. One row
  in three has a comment, which is sealed with its request's key, and found by its words.
* Sealing: RATE rows a second come in for SECONDS, whatever the sealer does; of each row, from when it was
  recorded to when the checkpoint with it was committed.
* Verifying: all of ROWS rows, warm, against hashing their bodies, leaves and nodes alone, on one core.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from statistics import median
from uuid import uuid4

import asyncpg

from bench import report, stack
from bench.measure import Spread
from contract import merkle
from contract.notes import PrivateKey
from recipes.happenings import Actor
from recipes.model import Json
from relay.sealing import Sealer, Signing
from storage import audit, evidence, regions, sealing
from storage.evidence import Scope
from storage.migrate import migrate
from storage.pool import Pool, Source, create_pool
from storage.vault import Vault

EVENTS = 3
WRITERS = 4
ROUNDS = 5
ROUND_SECONDS = 3.0
RATE = 500
SECONDS = 20.0
ROWS = 60_000
CHAIN = 12
KEY = PrivateKey("bench.localhost/audit", bytes(32))
VAULT = Vault([regions.new("bench")])

PLAIN_TABLE = """
CREATE TABLE plain (LIKE audit INCLUDING DEFAULTS) PARTITION BY RANGE (recorded_at);
ALTER TABLE plain ADD PRIMARY KEY (request_id, seq, recorded_at);
CREATE INDEX ON plain (workflow_id, occurred_at);
CREATE INDEX ON plain (occurred_at);
CREATE TABLE plain_all PARTITION OF plain DEFAULT;
CREATE TABLE plain_words (LIKE audit_words INCLUDING ALL);
GRANT INSERT ON plain, plain_words TO countersign_app;
"""
PLAIN = """
WITH e AS MATERIALIZED (
    SELECT * FROM unnest($4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
         WITH ORDINALITY AS e(id, at, type, actor, payload, snapshot, found, n)
), said AS (
    INSERT INTO plain_words (request_id, seq, words)
    SELECT $1::uuid, e.n, to_tsvector('simple', e.found::jsonb->>'said') FROM e WHERE e.found IS NOT NULL
)
INSERT INTO plain (event_id, occurred_at, recorded_at, request_id, seq, workflow_id, workflow_version,
                   event_type, actor, payload, snapshot, body, prev_hash, hash)
SELECT e.id, e.at, clock_timestamp(), $1::uuid, e.n, $2::text, $3::int, e.type, e.actor::jsonb,
       e.payload::jsonb, e.snapshot::jsonb, convert_to(e.actor || e.payload || e.snapshot, 'UTF8'), '', ''
  FROM e
"""


@dataclass
class Found:
    """Appends a second by round; seconds until sealed; rows a second verified, and hashed alone."""

    chained: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    written: int = 0
    verified: list[float] = field(default_factory=list)
    hashed: list[float] = field(default_factory=list)


async def run() -> None:
    """Measure and write the section of RESULTS.md."""
    found = Found()
    async with stack.servers() as machine:
        for name in ("append", "seal", "verify"):
            await machine.create_database(name)
            await migrate(machine.superuser_url(name))
        await _append(machine.superuser_url("append"), machine.app_url("append"), found)
        await _sealing(machine.app_url("seal"), found)
        await _verifying(machine.app_url("verify"), found)
    report.write("audit", _section(found))


# ----------------------------------------------------------------------------- appending ----


async def _append(superuser: str, url: str, found: Found) -> None:
    admin = await asyncpg.connect(superuser)
    await admin.execute(PLAIN_TABLE)
    await admin.close()
    pool = await create_pool(url, min_size=WRITERS, max_size=WRITERS)
    for number in range(ROUNDS + 1):
        for statement, rates in ((audit.APPEND, found.chained), (PLAIN, found.plain)):
            rate = await _written(pool, statement, ROUND_SECONDS if number else 2.0)
            if number:  # the first one warms up
                rates.append(rate)
                print(f"append round {number}: {rate:.0f} rows/s")
    await pool.close()


async def _written(pool: Pool, statement: str, seconds: float) -> float:
    """Rows a second, each statement a transaction of its own on a request that has a few rows."""
    until, began = time.monotonic() + seconds, time.monotonic()

    async def write() -> int:
        count = 0
        async with pool.acquire() as connection:
            while time.monotonic() < until:
                await _append_some(connection, EVENTS, statement)
                count += EVENTS
        return count

    counts = await asyncio.gather(*(write() for _ in range(WRITERS)))
    return sum(counts) / (time.monotonic() - began)


async def _append_some(source: Source, count: int, statement: str = audit.APPEND) -> None:
    """Rows of a new request, as large as those of a request of leave: some 900 bytes each."""
    now, request_id = datetime.now(UTC), uuid4()
    keys, _ = VAULT.make(request_id, None)
    events = [_assigned(now) if number % 3 else _decided(now) for number in range(count)]
    await source.fetch(statement, request_id, "leave_request", 3, *audit.columns(events, keys))


def _assigned(now: datetime) -> audit.AuditEvent:
    return audit.event("task.assigned", now, _payload(), _SNAPSHOT, Actor("system:engine"))


def _decided(now: datetime) -> audit.AuditEvent:
    said = _payload() | {"decision": "approve", "comment": "fine by me, enjoy the mountains"}
    return audit.event("decision.recorded", now, said, _SNAPSHOT, Actor("bob"))


def _payload() -> dict[str, Json]:
    return {
        "assignee": f"p{random.randrange(10_000)}",
        "branch": None,
        "candidates": None,
        "chain": [
            {"delegation": None, "role": None, "rule": "person", "turn": None, "user": "bob"}
        ],
        "delegations": [],
        "digest": "0" * 32,
        "due_at": "2026-11-29T09:00:00.000000Z",
        "level": 0,
        "on_behalf_of": None,
        "role": None,
        "seat": "manager_approval",
        "step": "manager_approval",
        "task_id": str(uuid4()),
        "via": [],
    }


_SNAPSHOT: dict[str, Json] = {
    "incidents": [],
    "open_tasks": [str(uuid4())],
    "seats": {"manager_approval": None},
    "seq": 1,
    "state": "pending",
    "step": "manager_approval",
}


# ------------------------------------------------------------------------------- sealing ----


async def _sealing(url: str, found: Found) -> None:
    pool = await create_pool(url, VAULT, max_size=8)
    sealer = Sealer(pool, Signing((KEY,)), [])
    await sealer.publish()
    committed: dict[int, datetime] = {}
    stopping = asyncio.Event()

    async def seal() -> None:
        """As the relay does it: every second."""
        while not stopping.is_set():
            await sealer.seal()
            last = (await sealing.tree(pool)).last
            if last is not None:
                committed.setdefault(last.number, datetime.now(UTC))
            await asyncio.sleep(1.0)

    sealing_task = asyncio.create_task(seal())
    began, writes = time.monotonic(), list[asyncio.Task[None]]()
    for turn in range(int(SECONDS * RATE / EVENTS)):
        await asyncio.sleep(max(0.0, began + turn * EVENTS / RATE - time.monotonic()))
        writes.append(asyncio.create_task(_append_some(pool, EVENTS)))
    await asyncio.gather(*writes)
    found.written = int(len(writes) * EVENTS / (time.monotonic() - began))
    await asyncio.sleep(2.5)
    stopping.set()
    await sealing_task
    rows = await pool.fetch(
        "SELECT l.recorded_at, (SELECT min(number) FROM audit_checkpoints c WHERE c.size > l.leaf) AS number"
        "  FROM audit_leaves l"
    )
    found.lags = [(committed[r["number"]] - r["recorded_at"]) / timedelta(seconds=1) for r in rows]
    print("sealed", Spread.of(found.lags))
    await pool.close()


# ----------------------------------------------------------------------------- verifying ----


async def _verifying(url: str, found: Found) -> None:
    pool = await create_pool(url, VAULT, max_size=4)

    async def load() -> None:
        for _ in range(ROWS // CHAIN // 4):
            await _append_some(pool, CHAIN)

    await asyncio.gather(*(load() for _ in range(4)))
    sealer = Sealer(pool, Signing((KEY,)), [])
    await sealer.publish()
    while await sealer.seal():
        pass
    for number in range(4):
        rate, alone = await _verified(pool)
        if number:
            found.verified.append(rate)
            found.hashed.append(alone)
            print(f"verified {rate:.0f} rows/s, hashing alone {alone:.0f} rows/s")
    await pool.close()


async def _verified(pool: Pool) -> tuple[float, float]:
    """Rows a second of processor time of this process: all of it, and hashing alone."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        began = time.process_time()
        verified = await evidence.verify(connection, Scope(), (KEY.public,))
        took = time.process_time() - began
        assert verified.findings == (), verified.findings[:3]
        bodies = await connection.fetch("SELECT body, prev_hash, request_id, seq, hash FROM audit")
    began = time.process_time()
    growing = merkle.Growing()
    for body, prev_hash, request_id, seq, _ in bodies:
        own = sha256(b"\x00" + prev_hash + body).digest()
        growing.add(merkle.leaf(request_id, seq, own))
    growing.root()
    return verified.rows / took, len(bodies) / (time.process_time() - began)


# ------------------------------------------------------------------------------- section ----


def _section(found: Found) -> str:
    return "\n".join(_lines(found))


def _lines(found: Found) -> Iterator[str]:
    ratio = median(mine / other for mine, other in zip(found.chained, found.plain, strict=True))
    lag = Spread.of(found.lags)
    share = median(mine / other for mine, other in zip(found.verified, found.hashed, strict=True))
    yield f"Append, {EVENTS} rows a transaction, {WRITERS} writers, {ROUNDS} rounds in turn; rows/s, median:"
    yield ""
    yield "| chained | plain | chained / plain (target 0.65) |"
    yield "|---|---|---|"
    yield f"| {median(found.chained):.0f} | {median(found.plain):.0f} | **{ratio:.2f}** |"
    yield ""
    yield (
        f"Sealing every second while {found.written} rows/s come in for {SECONDS:.0f} s: from recorded to the"
        f" commit of the checkpoint {lag.p50:.0f} ms p50, **{lag.p99:.0f} ms** p99 (target 2000)."
    )
    yield ""
    yield (
        f"Verifying {ROWS:,} rows, warm: **{median(found.verified):,.0f}** rows/s (target 150,000), hashing"
        f" bodies, leaves and nodes alone {median(found.hashed):,.0f} rows/s: {share:.2f} of it."
    )
