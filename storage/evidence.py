"""What is read to verify the audit: rows, leaves, heads and checkpoints, each in order, in portions.

Run within one REPEATABLE READ transaction, so that all of it is of the same moment.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import asyncpg

from contract import merkle, notes
from contract.notes import Checkpoint, PublicKey
from contract.verifying import (
    LATE,
    Chains,
    Finding,
    Head,
    Leaf,
    Leaves,
    Row,
    TreeCut,
    backdated,
    when_sealed,
)
from storage import sealing
from storage.pool import Connection, Source
from storage.sealing import Tree

PORTION = 2000
_FIRST: tuple[UUID, int] = (UUID(int=0), 0)
_LAST: tuple[UUID, int] = (UUID(int=2**128 - 1), 2**31 - 1)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is verified: one request, the rows recorded `since` and before `until`, or everything."""

    request_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def whole(self) -> bool:
        """Whether chains are read from their first rows."""
        return self.since is None

    @property
    def places(self) -> tuple[tuple[UUID, int], tuple[UUID, int]]:
        """After which place, and up to which."""
        if self.request_id is None:
            return _FIRST, _LAST
        return (self.request_id, 0), (self.request_id, _LAST[1])


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of it: of so many `rows`, in a tree of `size`, sealed up to `sealed_at`."""

    findings: tuple[Finding, ...]
    rows: int
    size: int
    checkpoints: int
    sealed_at: datetime | None
    keys: tuple[PublicKey, ...]


# $1 $2 after this place, $3 $4 up to this one, $5 $6 times, $7 how many; $8 $9: of which transaction and
# time on a row may be waiting to be sealed.
ROWS = """
SELECT request_id, seq, prev_hash, hash, body, jsonb_build_object(
           'actor', actor, 'event_id', event_id, 'event_type', event_type, 'payload', payload,
           'occurred_at', to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           'recorded_at', to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           'request_id', request_id, 'seq', seq, 'snapshot', snapshot, 'workflow_id', workflow_id,
           'workflow_version', workflow_version)::text AS said,
       xid >= $8::text::xid8 AND recorded_at >= coalesce($9::timestamptz, '-infinity') AS fresh,
       recorded_at
  FROM audit
 WHERE (request_id, seq) > ($1::uuid, $2::int) AND (request_id, seq) <= ($3::uuid, $4::int)
   AND recorded_at >= coalesce($5::timestamptz, '-infinity')
   AND recorded_at < coalesce($6::timestamptz, 'infinity')
 ORDER BY request_id, seq LIMIT $7
"""
LEAVES_OF = """
SELECT request_id, seq, leaf, hash, recorded_at FROM audit_leaves
 WHERE (request_id, seq) > ($1::uuid, $2::int) AND (request_id, seq) <= ($3::uuid, $4::int)
   AND recorded_at >= coalesce($5::timestamptz, '-infinity')
   AND recorded_at < coalesce($6::timestamptz, 'infinity')
 ORDER BY request_id, seq
"""
LEAVES_OF_REQUEST = """
SELECT request_id, seq, leaf, hash, recorded_at FROM audit_leaves WHERE request_id = $1 ORDER BY seq
"""
LEAVES_FROM = """
SELECT request_id, seq, leaf, hash, recorded_at FROM audit_leaves WHERE leaf >= $1 ORDER BY leaf LIMIT $2
"""
# Of the requests from one up to, not including, another; with $3 including it.
HEADS = """
SELECT request_id, seq, hash FROM audit_heads
 WHERE request_id >= $1 AND (request_id < $2 OR ($3 AND request_id = $2))
"""
NOTES = "SELECT note FROM audit_checkpoints ORDER BY number"
# The newest, and for each leaf of a request the first one that covers it with the one before that.
NOTES_OF = """
WITH covering AS (
    SELECT DISTINCT first.number FROM audit_leaves l, LATERAL (
        SELECT c.number FROM audit_checkpoints c WHERE c.size > l.leaf ORDER BY c.size, c.number LIMIT 1) first
     WHERE l.request_id = $1
)
SELECT note FROM audit_checkpoints
 WHERE number = (SELECT max(number) FROM audit_checkpoints)
    OR number IN (SELECT number FROM covering UNION ALL SELECT number - 1 FROM covering)
 ORDER BY number
"""
NUMBERS = """
SELECT count(*) AS count, coalesce(max(number), 0) AS last FROM audit_checkpoints
"""


async def verify(
    connection: Connection,
    scope: Scope,
    keys: tuple[PublicKey, ...],
    kept: tuple[str, ...] = (),
) -> Verified:
    """Read it again and calculate it again. `kept` are notes of witnesses; `keys` those to be trusted."""
    tree = await sealing.tree(connection)
    chains = Chains(whole=scope.whole)
    await _rows(connection, scope, chains, tree)
    one = scope.request_id
    found = await (connection.fetch(NOTES) if one is None else connection.fetch(NOTES_OF, one))
    leaves = Leaves(keys, [row["note"] for row in found], kept)
    if one is None:
        more = [*await _tree(connection, leaves), *await _checkpoints(connection, tree)]
    else:
        more = await _proofs(connection, one, leaves.signed)
    return Verified(
        tuple(when_sealed([*chains.findings, *leaves.findings, *more], leaves.signed)),
        chains.rows,
        tree.size,
        len(leaves.signed),
        leaves.signed[-1].time if leaves.signed else None,
        leaves.keys,
    )


async def _rows(connection: Connection, scope: Scope, chains: Chains, tree: Tree) -> None:
    fresh = await _fresh(connection, tree)
    times = (scope.since, scope.until)
    after, end = scope.places
    begun = after[0]
    while True:
        records = await connection.fetch(ROWS, *after, *end, *times, PORTION, *fresh)
        until = (records[-1]["request_id"], records[-1]["seq"]) if records else end
        sealed = await connection.fetch(LEAVES_OF, *after, *until, *times)
        chains.take([Row(*record) for record in records], [Leaf(*record) for record in sealed])
        if scope.whole:
            heads = await connection.fetch(HEADS, begun, until[0], not records)
            chains.end([Head(*record) for record in heads], last=not records)
        if not records:
            return
        after, begun = until, until[0]


async def _tree(connection: Connection, leaves: Leaves) -> list[Finding]:
    """All leaves, against every checkpoint."""
    while True:
        records = await connection.fetch(LEAVES_FROM, leaves.tree.size, PORTION)
        try:
            leaves.take([Leaf(*record) for record in records])
        except TreeCut:
            return []
        if not records:
            leaves.end()
            return []


async def _checkpoints(connection: Connection, tree: Tree) -> list[Finding]:
    """Whether the checkpoints are all there, and the tree is as large as the last one."""
    row = await connection.fetchrow(NUMBERS)
    assert row is not None
    found: list[Finding] = []
    if row["count"] != row["last"] or (tree.last is None and row["count"]):
        what = f"{row['last'] - row['count']} of {row['last']} checkpoints are missing"
        found.append(Finding("checkpoint", what))
    if tree.last is not None and tree.last.size != tree.size:
        what = f"the last checkpoint is of {tree.last.size} rows, and {tree.size} are said to be sealed"
        found.append(Finding("checkpoint", what))
    return found


async def _proofs(
    connection: Connection, request_id: UUID, signed: list[Checkpoint]
) -> list[Finding]:
    """Whether a request's leaves are in the tree of the newest checkpoint."""
    found: list[Finding] = []
    if not signed:
        return found
    newest = signed[-1]
    for leaf in map(Leaf._make, await connection.fetch(LEAVES_OF_REQUEST, request_id)):
        if leaf.leaf >= newest.size:
            continue
        before = next((mark for mark in reversed(signed) if mark.size <= leaf.leaf), None)
        late = None if before is None else backdated(leaf, before)
        if late is not None:
            found.append(late)
        if not await _included(connection, leaf, newest):
            what = "it is not in the tree that was signed, or the tree was changed around it"
            place = leaf.request_id, leaf.seq, leaf.leaf
            found.append(Finding("tree", what, *place, newest.time))
    return found


async def _included(connection: Connection, leaf: Leaf, newest: Checkpoint) -> bool:
    spans = merkle.inclusion(leaf.leaf, newest.size)
    try:
        beside = await sealing.parts(connection, spans)
    except KeyError:
        return False
    return merkle.root_of_inclusion(leaf.hash, leaf.leaf, newest.size, beside) == newest.root


async def _fresh(connection: Connection, tree: Tree) -> tuple[str, datetime | None]:
    """From which transaction and time on rows may be waiting to be sealed."""
    oldest = await connection.fetchval(sealing.OLDEST)
    begin = tree.watermark if tree.watermark <= oldest else 0
    last = tree.last
    if last is None or notes.parsed(notes.text_of(last.note)).waiting:
        return str(begin), None
    return str(begin), last.sealed_at - LATE


# --- exports ---------------------------------------------------------------------------------------

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
    """A sealed row; `proof` are the hashes beside its way up the tree."""

    leaf: int
    request_id: UUID
    seq: int
    prev_hash: bytes
    hash: bytes
    body: bytes
    proof: tuple[bytes, ...] = ()


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


async def exported(connection: Connection, scope: Scope, size: int) -> AsyncIterator[Exported]:
    """The rows of a scope that are in the tree of `size`; with proofs unless they are everything."""
    everything = scope.request_id is None and scope.since is None
    if scope.request_id is not None:
        rows = await connection.fetch(SEALED_ROWS_OF, scope.request_id, size)
        for row in rows:
            yield await _proved(connection, row, size)
        return
    begin = 0
    while True:
        rows = await connection.fetch(SEALED_ROWS, begin, size, scope.since, scope.until, PORTION)
        for row in rows:
            yield Exported(*row) if everything else await _proved(connection, row, size)
        if not rows:
            return
        begin = rows[-1]["leaf"] + 1


async def _proved(connection: Connection, row: asyncpg.Record, size: int) -> Exported:
    beside = await proof(connection, row["leaf"], size)
    return replace(Exported(*row), proof=tuple(beside))


async def proof(source: Source, leaf: int, size: int) -> list[bytes]:
    """The hashes beside the way up from a leaf, in the tree of `size`. KeyError if some are gone."""
    return await sealing.parts(source, merkle.inclusion(leaf, size))


LEAF = "SELECT leaf, hash FROM audit_leaves WHERE request_id = $1 AND seq = $2"


async def leaf_of(source: Source, request_id: UUID, seq: int) -> tuple[int, bytes] | None:
    """The number and the hash of a row's leaf; None while it is not sealed, or there is no such row."""
    row = await source.fetchrow(LEAF, request_id, seq)
    return None if row is None else (row["leaf"], row["hash"])
