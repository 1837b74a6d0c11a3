"""What is read to verify the audit: rows, leaves, heads and checkpoints, each in order, in portions.

Run within one REPEATABLE READ transaction, so that all of it is of the same moment.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from operator import itemgetter
from uuid import UUID

from contract import merkle, notes
from contract.notes import Checkpoint, PublicKey
from contract.verifying import LATE, Chains, Finding, Head, Leaf, Place, Row
from contract.verifying_tree import Leaves, TreeCut, backdated, when_sealed
from storage import sealing, subjects
from storage.cold_rows import ColdRows
from storage.pool import Connection, Source
from storage.sealing import Tree
from storage.trail import HOT_ALONE, STAY, Trail

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


_TIME = """coalesce(to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '')"""
# $1 $2 after this place, $3 $4 up to this one, $5 $6 times, $7 how many; $8 $9: of which transaction and
# time on a row may be waiting to be sealed.
ROWS = f"""
SELECT request_id, seq, prev_hash, hash, body,
       convert_to('{{"actor":' || actor::text || ',"event_id":"' || event_id || '","event_type":'
           || to_json(event_type) || ',"occurred_at":"' || {_TIME.format("occurred_at")} || '","payload":'
           || payload::text || ',"recorded_at":"' || {_TIME.format("recorded_at")} || '","request_id":"'
           || request_id || '","seq":' || seq || ',"snapshot":' || snapshot::text || ',"workflow_id":'
           || to_json(workflow_id) || ',"workflow_version":' || workflow_version || '}}', 'UTF8') AS said,
       xid >= $8::text::xid8 AND recorded_at >= coalesce($9::timestamptz, '-infinity') AS fresh,
       recorded_at, NULL::bigint AS leaf
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
# Hashes of the leaves from $1 on, $2 at most, up to where one is missing: the first number, and all of them.
HASHES_FROM = """
WITH next AS (SELECT leaf, hash FROM audit_leaves WHERE leaf >= $1 ORDER BY leaf LIMIT $2),
     first AS (SELECT min(leaf) AS leaf FROM next),
     place AS (SELECT leaf, hash, row_number() OVER (ORDER BY leaf) - 1 AS number FROM next)
SELECT first.leaf, string_agg(place.hash, ''::bytea ORDER BY place.leaf) AS hashes
  FROM first LEFT JOIN place ON place.leaf = first.leaf + place.number GROUP BY first.leaf
"""
LEAF_AT = "SELECT request_id, seq FROM audit_leaves WHERE leaf = $1"
# Leaves from $1 up to $2, not included, that say they were recorded before $3; and of which of these they are.
RECORDED_BEFORE = """
SELECT l.request_id, l.seq, l.leaf, l.hash, l.recorded_at, s.number
  FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) WITH ORDINALITY AS s(first, until, before, number)
  JOIN audit_leaves l ON l.leaf >= s.first AND l.leaf < s.until AND l.recorded_at < s.before
 ORDER BY l.leaf
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
    trail: Trail = HOT_ALONE,
) -> Verified:
    """Read it again and calculate it again: the first thing that the transaction does. `kept` are notes of
    witnesses; `keys` those to be trusted; `trail` has the cold tier. ColdUnavailable."""
    await connection.execute(STAY)
    tree = await sealing.tree(connection)
    chains = Chains(whole=scope.whole)
    async for portion in _portions(connection, scope, tree, trail):
        portion.given_to(chains)
    chains.findings += await subjects.astray(
        connection, scope.request_id, scope.since, scope.until, PORTION
    )
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


@dataclass(frozen=True, slots=True)
class _Portion:
    """The next rows in the order of chains, with what else is known of their places."""

    rows: Sequence[Row]
    leaves: Sequence[Leaf]
    gone: frozenset[Place]
    heads: Sequence[Head]
    last: bool

    def given_to(self, chains: Chains) -> None:
        chains.take(self.rows, self.leaves, self.gone)
        if chains.whole:
            chains.end(self.heads, last=self.last)


async def _portions(
    connection: Connection, scope: Scope, tree: Tree, trail: Trail
) -> AsyncIterator[_Portion]:
    """Rows of both tiers, merged."""
    fresh = await _fresh(connection, tree)
    times = (scope.since, scope.until)
    over = await _over(connection)
    moved = await trail.months(connection, scope.request_id, *times)
    cold = await asyncio.to_thread(ColdRows, moved, scope.request_id, *times)
    after, end = scope.places
    begun, hot, drained = after[0], list[Row](), False
    before = frozenset[Place]()
    while True:
        if not hot and not drained:
            records = await connection.fetch(ROWS, *after, *end, *times, PORTION, *fresh)
            hot = list(map(Row._make, records))
            drained = len(records) < PORTION
        until = end if drained else hot[-1][:2]
        rows = await asyncio.to_thread(cold.take, until, PORTION) if moved else []
        if len(rows) == PORTION:
            until = rows[-1][:2]
        there = bisect_right(hot, until, key=_place)
        rows, hot = [*rows, *hot[:there]], hot[there:]
        if moved:
            rows.sort(key=_place)
        last = until == end
        leaves = list(map(Leaf._make, await connection.fetch(LEAVES_OF, *after, *until, *times)))
        heads = await connection.fetch(HEADS, begun, until[0], last) if scope.whole else []
        gone = _gone(leaves, over)
        yield _Portion(rows, leaves, gone | before, list(map(Head._make, heads)), last)
        if last:
            return
        after, begun, before = until, until[0], gone


_place = itemgetter(0, 1)


def _gone(leaves: Sequence[Leaf], over: set[date]) -> frozenset[Place]:
    """Those of rows that were deleted because their time was over."""
    if not over:
        return frozenset()
    return frozenset((e.request_id, e.seq) for e in leaves if _month(e.recorded_at) in over)


def _month(moment: datetime) -> date:
    return moment.astimezone(UTC).date().replace(day=1)


OVER = "SELECT month FROM audit_months WHERE state IN ('expired', 'deleted')"


async def _over(source: Source) -> set[date]:
    """The months that were deleted because their time was over: what they had is not missing."""
    return {row["month"] for row in await source.fetch(OVER)}


async def _tree(connection: Connection, leaves: Leaves) -> list[Finding]:
    """All leaves, against every checkpoint."""
    with suppress(TreeCut):
        while True:
            row = await connection.fetchrow(HASHES_FROM, leaves.tree.size, PORTION)
            if row is None or row["leaf"] is None:
                leaves.end()
                break
            leaves.take(row["leaf"], _hashes(row["hashes"]))
    await _name(connection, leaves)
    return await _backdated(connection, leaves)


def _hashes(joined: bytes) -> list[bytes]:
    return [joined[n : n + 32] for n in range(0, len(joined), 32)]


async def _name(connection: Connection, leaves: Leaves) -> None:
    """Say of which row the one leaf is that can have been changed."""
    if leaves.alone is None:
        return
    row = await connection.fetchrow(LEAF_AT, leaves.alone)
    if row is not None:
        leaves.findings = [
            replace(each, request_id=row["request_id"], seq=row["seq"])
            if each.leaf == leaves.alone and each.kind in ("tree", "fork")
            else each
            for each in leaves.findings
        ]


async def _backdated(connection: Connection, leaves: Leaves) -> list[Finding]:
    """Leaves whose rows say that they are older than a checkpoint that they are not in."""
    parts = list(leaves.since())
    times = [mark.time - LATE for *_, mark in parts]
    firsts, untils = [first for first, *_ in parts], [until for _, until, _ in parts]
    found = await connection.fetch(RECORDED_BEFORE, firsts, untils, times)
    late = (backdated(Leaf(*row[:5]), parts[row["number"] - 1][2]) for row in found)
    return [each for each in late if each is not None]


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
