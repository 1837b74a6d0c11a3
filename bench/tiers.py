"""Both tiers: what a question costs over a quarter, one request out of the cold tier, and verifying it.

ROWS rows of purchase orders, five a request, over eight months of which half have moved by the real mover
into a folder; a quarter has two cold months and a hot one. Each request has its data key, and what people wrote is
sealed in its rows as the product seals it. The question: every decision of the quarter on orders over
50,000. BENCH_TIERS_ROWS sets another number of rows.
"""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from bench import report, stack
from bench.measure import Spread
from contract import content
from contract.canonical import timestamp
from contract.conditions import condition
from contract.notes import PrivateKey
from recipes.model import Json
from relay.sealing import Sealer, Signing
from storage import months, parquet, regions
from storage.asking import Asked
from storage.cold import Cold
from storage.exporting import EXPORTER
from storage.migrate import migrate
from storage.moving import Mover
from storage.parquet import Reading
from storage.pool import Pool, create_pool
from storage.store import Folder
from storage.trail import Trail
from storage.vault import Vault

ROWS = int(os.environ.get("BENCH_TIERS_ROWS", "5000000"))
CHAIN = 5
PATIENCE = 3600.0
"""Seconds for what is not measured."""
PAGES = 21
SAMPLE = 100
"""Requests of each cold month that are read one by one."""
CHUNK = 5000
MONTHS = [date(2025, number, 1) for number in range(1, 9)]
COLD = MONTHS[:4]
QUARTER = (months.span(MONTHS[2])[0], months.span(MONTHS[4])[1])
KEY = PrivateKey("bench.localhost/audit", bytes(32))
VAULT = Vault([regions.new("bench")])
# Made again when all rows are there: they are not what is measured.
SEARCH_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
 WHERE tablename = 'audit_subjects' AND indexdef LIKE '%USING gin%'
"""
INSERT = """
INSERT INTO {table} (event_id, occurred_at, recorded_at, request_id, seq, workflow_id, workflow_version,
                     event_type, actor, payload, snapshot, body, prev_hash, hash)
SELECT e, o, r, q, s, w, v, t, a::jsonb, p::jsonb, n::jsonb, b, f, h
  FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::uuid[], $5::int[], $6::text[], $7::int[],
              $8::text[], $9::text[], $10::text[], $11::text[], $12::bytea[], $13::bytea[], $14::bytea[])
       AS u(e, o, r, q, s, w, v, t, a, p, n, b, f, h)
"""

SUBJECTS = """
INSERT INTO audit_subjects (request_id, seq, requester, title, inputs)
SELECT r, 1, 'alice', t, i::jsonb FROM unnest($1::uuid[], $2::text[], $3::text[]) AS u(r, t, i)
"""


@dataclass
class Found:
    """Seconds of pages, of the whole answer, of single requests; rows a second verified, hashed alone."""

    loaded: int = 0
    moved: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    rare: list[float] = field(default_factory=list)
    wholes: list[float] = field(default_factory=list)
    answers: int = 0
    requests: list[float] = field(default_factory=list)
    verified: list[float] = field(default_factory=list)
    hashed: list[float] = field(default_factory=list)
    size: int = 0


async def run() -> None:
    """Measure and write the section of RESULTS.md."""
    found = Found()
    with TemporaryDirectory(prefix="bench-tiers-") as folder:
        async with stack.servers() as machine:
            await machine.create_database("tiers")
            await migrate(machine.superuser_url("tiers"))
            requests = await _load(machine.superuser_url("tiers"), found)
            pool = await create_pool(machine.app_url("tiers"), VAULT, max_size=4)
            await _seal(pool)
            await _move(pool, Path(folder), found)
            trail = Trail(Folder(Path(folder)), Cold())
            await _ask(pool, trail, found)
            await _one(pool, trail, requests, found)
            await _verify(pool, trail, found)
            await pool.close()
    report.write("tiers", "\n".join(_lines(found)))


# --- loading ---


@dataclass
class Portion:
    """Rows of some requests as they are to be loaded, with their chains' ends, keys and subjects."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    heads: list[tuple[Any, ...]] = field(default_factory=list)
    keys: list[tuple[Any, ...]] = field(default_factory=list)
    subjects: list[tuple[Any, ...]] = field(default_factory=list)


async def _load(superuser: str, found: Found) -> list[UUID]:
    """Rows in portions of a transaction each; some requests of the cold months."""
    pool = await create_pool(superuser, max_size=1)
    indexes = await pool.fetch(SEARCH_INDEXES)
    for index in indexes:
        await pool.execute(f"DROP INDEX {index['indexname']}")
    sample: list[UUID] = []
    for month in MONTHS:
        await _partition(pool, month)
        portion, writing = Portion(), asyncio.create_task(asyncio.sleep(0))
        for number in range(ROWS // CHAIN // len(MONTHS)):
            _chain(month, number, portion)
            if len(portion.rows) >= CHUNK:
                await writing
                writing = asyncio.create_task(_written(pool, month, portion))
                await asyncio.sleep(0)
                portion = Portion()
        await writing
        await _written(pool, month, portion)
        if month in COLD:
            query = f"SELECT request_id FROM audit_{month:%Y_%m} WHERE seq = 1 LIMIT {SAMPLE}"
            sample += [row["request_id"] for row in await pool.fetch(query)]
        print(f"loaded {month:%Y-%m}")
    for index in indexes:
        await pool.execute(index["indexdef"], timeout=PATIENCE)
    found.loaded = int(await pool.fetchval("SELECT count(*) FROM audit", timeout=PATIENCE))
    await pool.execute("VACUUM ANALYZE", timeout=PATIENCE)
    await pool.close()
    return sample


async def _partition(pool: Pool, month: date) -> None:
    begin, end = months.span(month)
    name = f"audit_{month:%Y_%m}"
    await pool.execute(
        f"CREATE TABLE {name} PARTITION OF audit FOR VALUES FROM ('{begin}') TO ('{end}');"
        f"SELECT audit_protect('{name}'); ALTER TABLE {name} OWNER TO countersign_owner"
    )


async def _written(pool: Pool, month: date, portion: Portion) -> None:
    if not portion.rows:
        return
    insert = INSERT.format(table=f"audit_{month:%Y_%m}")
    heads = ("request_id", "seq", "hash")
    async with pool.acquire() as connection, connection.transaction():
        for statement, rows in ((insert, portion.rows), (SUBJECTS, portion.subjects)):
            await connection.execute(
                statement, *map(list, zip(*rows, strict=True)), timeout=PATIENCE
            )
        await connection.copy_records_to_table(
            "audit_heads", columns=heads, records=portion.heads, timeout=PATIENCE
        )
        await connection.copy_records_to_table("data_keys", records=portion.keys, timeout=PATIENCE)


def _chain(month: date, number: int, portion: Portion) -> None:
    """A request's rows: submitted, assigned, decided, its step completed, final."""
    source = random.Random(f"{month}{number}")
    request_id = UUID(int=source.getrandbits(128), version=4)
    keys, kept = VAULT.make(request_id, None)
    inputs: dict[str, Json] = {
        "amount": source.randrange(10, 60_000),
        "currency": "EUR",
        "item": f"item {number % 997} of Acme Corp",
    }
    title = f"Order {number}"
    payloads: tuple[tuple[str, str, dict[str, Json]], ...] = (
        ("request.created", "alice", {"digest": "d" * 64, "inputs": inputs, "title": title}),
        ("task.assigned", "system:engine", {"assignee": "bob", "chain": [], "step": "manager"}),
        (
            "decision.recorded",
            f"person{number % 300}",
            {"comment": "as agreed", "decision": "approve", "step": "manager"},
        ),
        ("step.completed", "system:engine", {"outcome": "approved", "step": "manager"}),
        ("request.finalized", "system:engine", {"state": "approved", "why": "approved"}),
    )
    at = months.span(month)[0] + timedelta(seconds=source.randrange(27 * 86400))
    before = bytes(32)
    for seq, (kind, user, payload) in enumerate(payloads, 1):
        place, moment = (request_id, seq), at + timedelta(minutes=7 * seq)
        row = _row(place, kind, user, content.sealed(payload, keys), before, moment)
        before = row[13]
        portion.rows.append(row)
    portion.heads.append((request_id, CHAIN, before))
    portion.keys.append((request_id, "shared", kept.region, kept.shared, False, None))
    portion.subjects.append((request_id, title, to_json(inputs).decode()))


def _row(  # noqa: PLR0917 - one after the other as they are in the row
    place: tuple[UUID, int],
    kind: str,
    user: str,
    payload: dict[str, Any],
    before: bytes,
    at: datetime,
) -> tuple[Any, ...]:
    request_id, seq = place
    actor = {"on_behalf_of": None, "role": None, "user": user, "via": []}
    snapshot = {"seq": seq, "state": "pending", "step": "manager"}
    event_id = UUID(int=request_id.int ^ seq)
    said = {
        "actor": actor,
        "event_id": str(event_id),
        "event_type": kind,
        "occurred_at": timestamp(at),
        "payload": payload,
        "recorded_at": timestamp(at),
        "request_id": str(request_id),
        "seq": seq,
        "snapshot": snapshot,
        "workflow_id": "purchase_order",
        "workflow_version": 2,
    }
    body = to_json(said)
    own = sha256(b"\x00" + before + body).digest()
    first = (event_id, at, at, request_id, seq, "purchase_order", 2, kind)
    texts = (to_json(each).decode() for each in (actor, payload, snapshot))
    return (*first, *texts, body, before, own)


async def _seal(pool: Pool) -> None:
    sealer = Sealer(pool, Signing((KEY,), batch=50_000), [])
    await sealer.publish()
    while await sealer.seal():
        pass
    print("sealed")


# --- measuring ---


async def _move(pool: Pool, folder: Path, found: Found) -> None:
    mover = Mover(pool, Folder(folder), (KEY,))
    for month in COLD:
        began = time.monotonic()
        moved = await mover.move(month)
        found.moved.append(moved.rows / (time.monotonic() - began))
        found.size += sum(file.size for file in moved.opened().files)
        print(f"moved {moved.name}: {found.moved[-1]:.0f} rows/s")


async def _ask(pool: Pool, trail: Trail, found: Found) -> None:
    asked = Asked(
        since=QUARTER[0],
        until=QUARTER[1],
        workflow="purchase_order",
        event_type="decision.recorded",
        condition=condition("amount > 50000"),
    )
    rare = replace(asked, condition=condition("amount > 59990"))
    for question, pages in ((asked, found.pages), (rare, found.rare)):
        for number in range(PAGES):
            began = time.monotonic()
            await trail.ask(pool, EXPORTER, question, 50)
            if number:
                pages.append(time.monotonic() - began)
    for _ in range(3):
        began = time.monotonic()
        found.answers = len(await trail.ask(pool, EXPORTER, asked, 10_000_000))
        found.wholes.append(time.monotonic() - began)
    print("pages", Spread.of(found.pages), Spread.of(found.rare), "whole", found.wholes)


async def _one(pool: Pool, trail: Trail, requests: list[UUID], found: Found) -> None:
    random.Random(1).shuffle(requests)
    for number, request_id in enumerate(requests):
        began = time.monotonic()
        rows = await trail.events_of(pool, EXPORTER, request_id)
        assert len(rows) == CHAIN
        if number > 3:
            found.requests.append(time.monotonic() - began)
    print("one request", Spread.of(found.requests))


async def _verify(pool: Pool, trail: Trail, found: Found) -> None:
    """Each hash, leaf and the order of a month's files, against hashing the same bytes alone."""
    [files, *_] = await trail.months(pool, None, None, None)
    for _ in range(3):
        reading, began = Reading(), time.process_time()
        for path in files:
            for batch in parquet.batches(path):
                reading.take(batch)
        found.verified.append(reading.rows / (time.process_time() - began))
        found.hashed.append(await asyncio.to_thread(_hash_alone, files))
        print(f"verified {found.verified[-1]:.0f} rows/s, hashed alone {found.hashed[-1]:.0f}")


def _hash_alone(files: list[Path]) -> float:
    read = [
        row
        for path in files
        for batch in parquet.batches(path)
        for row in zip(
            *(batch.column(name).to_pylist() for name in ("prev_hash", "body", "hash")), strict=True
        )
    ]
    began = time.process_time()
    for before, body, own in read:
        sha256(b"\x00" + before + body).digest()
        sha256(b"\x00" + before[:24] + own).digest()  # as long as a leaf
    return len(read) / (time.process_time() - began)


# --- the section ---


def _lines(found: Found) -> Iterator[str]:
    page, rare, one = map(Spread.of, (found.pages, found.rare, found.requests))
    share = median(mine / other for mine, other in zip(found.verified, found.hashed, strict=True))
    yield (
        f"{found.loaded:,} rows over eight months, four of them in Parquet files of {found.size / 2**20:.0f}"
        f" MiB; moved at {median(found.moved):,.0f} rows/s, each row written, read again, verified and dropped."
    )
    yield ""
    yield "| | p50 | p99 |"
    yield "|---|---|---|"
    yield f"| every decision of a quarter over 50,000 (two cold months, one hot), a page of 50 | {page.p50:.0f} ms | {page.p99:.0f} ms |"
    yield f"| on orders over 59,990, which are rare | {rare.p50:.0f} ms | {rare.p99:.0f} ms |"
    yield f"| over 50,000, all {found.answers:,} rows of it | {median(found.wholes) * 1000:.0f} ms | |"
    yield f"| one request out of the cold tier (target 50 ms) | **{one.p50:.0f} ms** | {one.p99:.0f} ms |"
    yield ""
    yield (
        f"Verifying files: **{median(found.verified):,.0f}** rows/s of one core (target 250,000); hashing"
        f" bodies and leaves alone {median(found.hashed):,.0f} rows/s: {share:.2f} of it."
    )
