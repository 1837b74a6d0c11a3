"""Sealed rows with the proofs that they are in the tree: what exports are made of, of both tiers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID

from contract import merkle
from storage import sealing
from storage.evidence import PORTION, Scope
from storage.pool import Connection, Source
from storage.trail import HOT_ALONE, Trail

# Rows with their leaves, of leaves from $1 up to, not including, $2; of one request, or of some time.
SEALED_ROWS = """
SELECT l.leaf, l.request_id, l.seq, a.prev_hash, a.hash, a.body
  FROM audit_leaves l JOIN audit a USING (request_id, seq, recorded_at)
 WHERE l.leaf >= $1 AND l.leaf < $2
   AND l.recorded_at >= coalesce($3::timestamptz, '-infinity')
   AND l.recorded_at < coalesce($4::timestamptz, 'infinity')
 ORDER BY l.leaf LIMIT $5
"""
SEALED_ROWS_OF = """
SELECT l.leaf, l.request_id, l.seq, a.prev_hash, a.hash, a.body
  FROM audit_leaves l JOIN audit a USING (request_id, seq, recorded_at)
 WHERE l.request_id = $1 AND l.leaf < $2 ORDER BY l.seq
"""
# The first note that announces each key, so that whoever has the oldest key can follow.
ANNOUNCEMENTS = r"""
SELECT note FROM audit_checkpoints WHERE number IN (
    SELECT min(number) FROM audit_checkpoints WHERE note LIKE E'%\nkey %'
     GROUP BY substring(note from E'\nkey [^\n]+')
) ORDER BY number
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """A sealed row; `proof` are the hashes beside its way up the tree. `disclosed` are plain texts of what
    people wrote, as far as it is opened: `body` has the SHA-256 of each; `withheld` names what is not."""

    leaf: int
    request_id: UUID
    seq: int
    prev_hash: bytes
    hash: bytes
    body: bytes
    proof: tuple[bytes, ...] = ()
    disclosed: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()


COUNT = """
SELECT count(*) FROM audit_leaves
 WHERE leaf < $1 AND ($2::uuid IS NULL OR request_id = $2)
   AND recorded_at >= coalesce($3::timestamptz, '-infinity')
   AND recorded_at < coalesce($4::timestamptz, 'infinity')
"""


async def count(connection: Connection, scope: Scope, size: int) -> int:
    """How many leaves of the tree of `size` are of a scope."""
    found = await connection.fetchval(COUNT, size, scope.request_id, scope.since, scope.until)
    return int(found)


async def announcements(connection: Connection) -> list[str]:
    return [row["note"] for row in await connection.fetch(ANNOUNCEMENTS)]


async def exported(
    connection: Connection, scope: Scope, size: int, trail: Trail = HOT_ALONE
) -> AsyncIterator[Exported]:
    """The rows of a scope that are in the tree of `size`, of both tiers; with proofs unless they are
    everything. ColdUnavailable."""
    everything = scope.request_id is None and scope.since is None
    async for row in _sealed_rows(connection, scope, size, trail):
        yield row if everything else await proved(connection, row, size)


async def _sealed_rows(
    connection: Connection, scope: Scope, size: int, trail: Trail
) -> AsyncIterator[Exported]:
    """In the order of the tree; a request's in that of its chain."""
    times = (scope.since, scope.until)
    moved = await trail.months(connection, scope.request_id, *times)
    files = [path for month in moved for path in month]
    cold = await asyncio.to_thread(trail.cold.by_leaf, files, scope.request_id, *times)
    if scope.request_id is not None:
        rows = [Exported(*each) for each in await asyncio.to_thread(cold.take, size, None)]
        found = await connection.fetch(SEALED_ROWS_OF, scope.request_id, size)
        for row in sorted([*rows, *(Exported(*each) for each in found)], key=lambda row: row.seq):
            yield row
        return
    begin = 0
    while begin < size:
        found = await connection.fetch(SEALED_ROWS, begin, size, *times, PORTION)
        end = size if len(found) < PORTION else found[-1]["leaf"] + 1
        before = await asyncio.to_thread(cold.take, end, PORTION)
        if len(before) == PORTION:
            end = before[-1][0] + 1
        rows = [Exported(*each) for each in (*before, *found) if each[0] < end]
        for row in sorted(rows, key=lambda row: row.leaf):
            yield row
        begin = end


async def proved(connection: Connection, row: Exported, size: int) -> Exported:
    return replace(row, proof=tuple(await proof(connection, row.leaf, size)))


async def proof(source: Source, leaf: int, size: int) -> list[bytes]:
    """The hashes beside the way up from a leaf, in the tree of `size`. KeyError if some are gone."""
    return await sealing.parts(source, merkle.inclusion(leaf, size))


LEAF = "SELECT leaf, hash FROM audit_leaves WHERE request_id = $1 AND seq = $2"


async def leaf_of(source: Source, request_id: UUID, seq: int) -> tuple[int, bytes] | None:
    """The number and the hash of a row's leaf; None while it is not sealed, or there is no such row."""
    row = await source.fetchrow(LEAF, request_id, seq)
    return None if row is None else (row["leaf"], row["hash"])
