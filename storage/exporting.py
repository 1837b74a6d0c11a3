"""What was asked of the audit, as evidence: each row with its leaf and its way up the tree.

Beside the rows found go those that say what their requests were about: that an amount is over 50,000 is
proved by the row that tells it, not by a column.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from contract.verifying import Place
from storage import asking, evidence
from storage.asking import Asked, Told
from storage.evidence import Exported
from storage.pool import Connection
from storage.trail import Trail
from storage.vault import Reader

PORTION = 500
EXPORTER = Reader("system:export", frozenset(["auditor"]))
"""As whom whoever has the database and the region keys exports: what only named roles may see stays sealed,
unless a recipe names `auditor` for it."""

LEAVES = """
SELECT l.request_id, l.seq, l.leaf FROM audit_leaves l
  JOIN unnest($1::uuid[], $2::int[]) AS w(request_id, seq) USING (request_id, seq)
 WHERE l.leaf < $3
"""
# From which rows on the requests of these rows were about what they were about then.
TOLD_BY = """
SELECT DISTINCT w.request_id, s.seq
  FROM unnest($1::uuid[], $2::int[]) AS w(request_id, seq), LATERAL (
       SELECT e.seq FROM audit_subjects e WHERE e.request_id = w.request_id AND e.seq <= w.seq
        ORDER BY e.seq DESC LIMIT 1) s
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A row as it was found, and as evidence. `asked` is whether it was asked for, or stands beside."""

    row: Told
    sealed: Exported
    asked: bool


async def found(
    connection: Connection, trail: Trail, reader: Reader, asked: Asked, size: int
) -> AsyncIterator[Found]:
    """Rows of both tiers that are in the tree of `size`, the newest first, and after them those that tell
    what they are about. ColdUnavailable."""
    told: set[Place] = set()
    beside: set[Place] = set()
    after: asking.Place | None = None
    while True:
        rows = await trail.ask(connection, reader, asked, PORTION, after)
        places = [(row.request_id, row.seq) for row in rows]
        beside |= await _told_by(connection, places)
        leaves = await _leaves(connection, places, size)
        for row, place in zip(rows, places, strict=True):
            if place in leaves:
                told.add(place)
                yield await _proved(connection, row, leaves[place], size, asked=True)
        if len(rows) < PORTION:
            break
        after = rows[-1].place
    leaves = await _leaves(connection, sorted(beside - told), size)
    for (request_id, seq), leaf in leaves.items():
        [row] = await trail.events_of(connection, reader, request_id, after=seq - 1, limit=1)
        yield await _proved(connection, row, leaf, size, asked=False)


async def _told_by(connection: Connection, places: Sequence[Place]) -> set[Place]:
    rows = await connection.fetch(TOLD_BY, *_columns(places))
    return {(row["request_id"], row["seq"]) for row in rows}


async def _leaves(connection: Connection, places: Sequence[Place], size: int) -> dict[Place, int]:
    rows = await connection.fetch(LEAVES, *_columns(places), size)
    return {(row["request_id"], row["seq"]): row["leaf"] for row in rows}


def _columns(places: Sequence[Place]) -> tuple[list[UUID], list[int]]:
    return [request_id for request_id, _ in places], [seq for _, seq in places]


async def _proved(connection: Connection, row: Told, leaf: int, size: int, *, asked: bool) -> Found:
    plain = Exported(leaf, row.request_id, row.seq, row.prev_hash, row.hash, row.body)
    return Found(row, await evidence.proved(connection, plain, size), asked)
