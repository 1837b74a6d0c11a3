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
from typing import Any
from uuid import UUID

from pydantic_core import from_json

from contract import boxes, content, merkle, notes
from contract.boxes import CannotOpen, Keys
from contract.canonical import canonical
from contract.notes import Checkpoint, PublicKey
from contract.verifying import (
    LATE,
    Chains,
    Finding,
    Head,
    Leaf,
    Leaves,
    Place,
    Row,
    TreeCut,
    backdated,
    when_sealed,
)
from storage import sealing
from storage.cold_rows import ColdRows
from storage.pool import Connection, NoVault, Source, vault_of
from storage.sealing import Tree
from storage.trail import HOT_ALONE, STAY, Trail
from storage.vault import Vault

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
    chains.findings += await _subjects(connection, scope)
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


# Subjects that are not what their row says, or are of none. $1: a request; $2 $3: times.
SUBJECTS = """
SELECT a.request_id, a.seq, 'what its request is about is kept otherwise than the body says' AS what
  FROM audit a LEFT JOIN audit_subjects s USING (request_id, seq)
 WHERE a.event_type LIKE 'request.%' AND jsonb_typeof(a.payload->'inputs') = 'object'
   AND ($1::uuid IS NULL OR a.request_id = $1)
   AND a.recorded_at >= coalesce($2::timestamptz, '-infinity')
   AND a.recorded_at < coalesce($3::timestamptz, 'infinity')
   AND (s.inputs IS DISTINCT FROM a.payload->'inputs'
        OR s.title IS DISTINCT FROM coalesce(a.payload->>'title', s.title)
        OR s.entity_type IS DISTINCT FROM coalesce(a.payload#>>'{entity,type}', s.entity_type)
        OR s.entity_id IS DISTINCT FROM coalesce(a.payload#>>'{entity,id}', s.entity_id))
UNION ALL
SELECT s.request_id, s.seq, 'it is kept what this request is about, and no row says so'
  FROM audit_subjects s
 WHERE ($1::uuid IS NULL OR s.request_id = $1) AND $2::timestamptz IS NULL AND $3::timestamptz IS NULL
   AND NOT EXISTS (SELECT FROM audit a WHERE a.request_id = s.request_id AND a.seq = s.seq)
   AND NOT EXISTS (SELECT FROM audit_leaves l WHERE l.request_id = s.request_id AND l.seq = s.seq)
ORDER BY 1, 2
"""


# Those whose row has it sealed, but of what is erased: keys may be remembered that are gone. $1: a request; $2 $3: times.
SEALED_SUBJECTS = """
SELECT a.request_id, a.seq, a.payload, s.title, s.inputs, s.sealed
  FROM audit a LEFT JOIN audit_subjects s USING (request_id, seq)
 WHERE a.event_type LIKE 'request.%' AND a.payload @> '{"sealed": [{"names": ["inputs"]}]}'
   AND EXISTS (SELECT FROM data_keys k WHERE k.request_id = a.request_id AND k.scope = 'shared')
   AND ($1::uuid IS NULL OR a.request_id = $1)
   AND a.recorded_at >= coalesce($2::timestamptz, '-infinity')
   AND a.recorded_at < coalesce($3::timestamptz, 'infinity')
"""


async def _subjects(connection: Connection, scope: Scope) -> list[Finding]:
    """What `audit_subjects` has, which is derived from bodies, against the rows that are in Postgres: what
    is sealed there, as far as this process has region keys."""
    place = scope.request_id, scope.since, scope.until
    found = await connection.fetch(SUBJECTS, *place)
    findings = [Finding("column", row["what"], row["request_id"], row["seq"]) for row in found]
    try:
        vault = vault_of(connection)
    except NoVault:
        return findings
    rows: list[Any] = []
    async for row in connection.cursor(SEALED_SUBJECTS, *place, prefetch=PORTION):
        rows.append(row)
        if len(rows) == PORTION:
            findings += await _astray(connection, vault, rows)
            rows = []
    return findings + await _astray(connection, vault, rows)


async def _astray(connection: Connection, vault: Vault, rows: Sequence[Any]) -> list[Finding]:
    """Those that are kept otherwise than their row says. Of what is erased nothing is left to compare."""
    keys = await vault.writing_many(connection, list({row["request_id"] for row in rows}))
    what = "what its request is about is kept otherwise than the body says"
    return [
        Finding("column", what, row["request_id"], row["seq"])
        for row in rows
        if row["request_id"] in keys and not _fits(row, keys[row["request_id"]])
    ]


def _fits(row: Any, keys: Keys) -> bool:
    try:
        said = content.opened(row["payload"], keys).payload
        box = row["sealed"]
        kept = {"title": row["title"], "inputs": row["inputs"] or {}}
        if box is not None:
            secret = from_json(boxes.open_box(keys, "confidential", box))
            kept["title"] = secret.get("title", kept["title"])
            kept["inputs"] = {**kept["inputs"], **secret["inputs"]}
    except CannotOpen:
        return False
    told = {"title": said.get("title") or kept["title"], "inputs": said["inputs"]}
    return canonical(told) == canonical(kept)


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
