"""The audit's Merkle tree in Postgres: what is to be sealed, sealing it, and parts of the tree.

Written by the database function `audit_seal` alone; see migration 0016.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from contract import merkle
from contract.merkle import Kept, Span, Subtree
from storage.pool import Connection, Source

_OUTRUN = "CS003"


@dataclass(frozen=True, slots=True)
class Row:
    """An audit row that is to become a leaf; `hash` is the chain's."""

    request_id: UUID
    seq: int
    recorded_at: datetime
    hash: bytes

    @property
    def leaf(self) -> bytes:
        return merkle.leaf(self.request_id, self.seq, self.hash)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A checkpoint as it is kept: `note` is all of it."""

    number: int
    size: int
    root: bytes
    sealed_at: datetime
    note: str


@dataclass(frozen=True, slots=True)
class Growth:
    """What a tree grows by: `rows` as its next leaves, the subtrees they complete, and the checkpoint of
    it then. `watermark` as in `Tree`."""

    rows: Sequence[Row]
    nodes: dict[Subtree, bytes]
    checkpoint: Sealed
    watermark: int


@dataclass(frozen=True, slots=True)
class Tree:
    """How far sealing has come. `watermark` is a transaction id: rows of those before it are leaves.
    `now` is when this was so, by the clock that all share."""

    size: int
    watermark: int
    last: Sealed | None
    now: datetime


# The lock ends with the transaction. 0x7365616C is "seal".
LEAD = "SELECT pg_try_advisory_xact_lock(x'7365616C'::int)"


async def lead(connection: Connection) -> bool:
    """Whether this transaction is the only one that seals or publishes now."""
    leads: bool = await connection.fetchval(LEAD)
    return leads


TREE = """
SELECT t.size AS tree_size, t.watermark::text::bigint AS watermark, clock_timestamp() AS now, c.*
  FROM audit_tree t LEFT JOIN audit_checkpoints c ON c.number = t.checkpoints
"""


async def tree(source: Source) -> Tree:
    row = await source.fetchrow(TREE)
    assert row is not None
    last = None if row["number"] is None else _sealed(row)
    return Tree(row["tree_size"], row["watermark"], last, row["now"])


# Whatever can be seen is committed. The oldest transaction under way, as of the same snapshot, is where
# to look next time: rows that commit later are of it or of later ones.
UNSEALED = """
SELECT request_id, seq, recorded_at, hash, xid::text::bigint AS xid,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest
  FROM audit a
 WHERE xid >= $1::text::xid8
   AND NOT EXISTS (SELECT FROM audit_leaves l WHERE l.request_id = a.request_id AND l.seq = a.seq)
 ORDER BY xid, request_id, seq LIMIT $2
"""
OLDEST = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


async def unsealed(source: Source, watermark: int, most: int) -> tuple[list[Row], int]:
    """Rows that are no leaves yet, up to `most` of them, and the watermark once they are.

    Transaction ids begin again in a database that was restored from a dump: then all rows are looked at.
    """
    oldest = await source.fetchval(OLDEST)
    begin = watermark if watermark <= oldest else 0
    rows = await source.fetch(UNSEALED, str(begin), most)
    found = [Row(r["request_id"], r["seq"], r["recorded_at"], r["hash"]) for r in rows]
    if not rows:
        return found, oldest
    if len(rows) == most:
        return found, min(rows[-1]["xid"], rows[-1]["oldest"])
    return found, rows[-1]["oldest"]


SEAL = """
SELECT audit_seal($1, $2::text::xid8, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


async def seal(source: Source, before: Tree, growth: Growth) -> bool:
    """Let the tree grow. False if another sealer was first."""
    rows, nodes, checkpoint = growth.rows, growth.nodes, growth.checkpoint
    try:
        await source.execute(
            SEAL,
            before.size,
            str(growth.watermark),
            [row.request_id for row in rows],
            [row.seq for row in rows],
            [row.recorded_at for row in rows],
            [level for level, _ in nodes],
            [index for _, index in nodes],
            list(nodes.values()),
            checkpoint.root,
            checkpoint.sealed_at,
            checkpoint.note,
        )
    except asyncpg.PostgresError as error:
        if error.sqlstate == _OUTRUN:
            return False
        raise
    return True


KEPT = """
SELECT w.level, k.index, k.hash FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS w(level, first, last),
LATERAL (SELECT leaf AS index, hash FROM audit_leaves
          WHERE w.level = 0 AND leaf >= w.first AND leaf < w.last
         UNION ALL
         SELECT node, hash FROM audit_nodes
          WHERE level = w.level AND node >= w.first AND node < w.last) k
"""


async def kept(source: Source, wanted: Collection[tuple[int, int, int]]) -> dict[Subtree, bytes]:
    """The hashes of leaves and kept subtrees: per level, from a number up to another, not included."""
    rows = await source.fetch(
        KEPT,
        [level for level, _, _ in wanted],
        [a for _, a, _ in wanted],
        [b for _, _, b in wanted],
    )
    return {(row["level"], row["index"]): row["hash"] for row in rows}


async def parts(source: Source, spans: Sequence[Span]) -> list[bytes]:
    """The hashes of these parts of the tree. KeyError if it has not got them."""
    mine: Kept = await kept(source, merkle.needed(spans))
    return [merkle.part(mine, span) for span in spans]


async def root(source: Source, size: int) -> bytes | None:
    """The root that the tree had at a size, from what is kept of it; None if it has not got there."""
    try:
        [found] = await parts(source, [(0, size)])
    except KeyError:
        return None
    return found


CHECKPOINTS = "SELECT * FROM audit_checkpoints WHERE number < $1 ORDER BY number DESC LIMIT $2"


async def checkpoints(source: Source, limit: int, before: int = 2**62) -> list[Sealed]:
    """The newest checkpoints first."""
    return [_sealed(row) for row in await source.fetch(CHECKPOINTS, before, limit)]


WAITING = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8
  FROM (SELECT recorded_at FROM audit a, audit_tree t
         WHERE a.xid >= CASE WHEN t.watermark <= pg_snapshot_xmin(pg_current_snapshot())
                             THEN t.watermark ELSE '0'::xid8 END
           AND NOT EXISTS (SELECT FROM audit_leaves l
                            WHERE l.request_id = a.request_id AND l.seq = a.seq)
         ORDER BY a.xid LIMIT 10000) waiting
"""


async def lag(source: Source) -> tuple[int, float]:
    """How many rows wait to be sealed (10,000 or more count as that), and the age of the oldest, in
    seconds."""
    row = await source.fetchrow(WAITING)
    return (0, 0.0) if row is None else (int(row[0]), max(0.0, float(row[1])))


def _sealed(row: asyncpg.Record) -> Sealed:
    return Sealed(row["number"], row["size"], row["root"], row["sealed_at"], row["note"])
