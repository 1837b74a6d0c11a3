"""Rows of the audit as evidence: each with its leaf and its way up the tree, and what people wrote in it.

Beside rows that were asked for go those that say what their requests were about: that an amount is over
50,000 is proved by the row that tells it, not by a column. What people wrote goes beside the body as far as
the reader may see it: whoever has the export needs no key to hold it against the body.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic_core import from_json

from contract import content
from contract.boxes import CannotOpen, Keys
from contract.content import SEALED, Opened
from contract.verifying import Place
from recipes.model import Json
from storage import asking, proving
from storage.asking import Asked, Told
from storage.evidence import Scope
from storage.pool import Connection, vault_of
from storage.proving import Exported
from storage.trail import Trail
from storage.vault import Reader

PORTION = 500
EXPORTER = Reader("system:export", frozenset(["auditor"]))
"""As whom whoever has the database and the region keys exports: what only named roles may see stays sealed,
unless a recipe names `auditor` for it."""


async def exported(
    connection: Connection, trail: Trail, reader: Reader, scope: Scope, size: int
) -> AsyncIterator[Exported]:
    """The rows of a scope that are in the tree of `size`, as `proving.exported` gives them.
    ColdUnavailable; NoVault where something is sealed and there are no region keys."""
    portion: list[Exported] = []
    async for row in proving.exported(connection, scope, size, trail):
        portion.append(row)
        if len(portion) == PORTION:
            for each in await _disclosed(connection, reader, portion):
                yield each
            portion = []
    for each in await _disclosed(connection, reader, portion):
        yield each


async def _disclosed(
    connection: Connection, reader: Reader, rows: Sequence[Exported]
) -> list[Exported]:
    said = [(row, _payload(row.body)) for row in rows]
    sealed = {row.request_id for row, payload in said if SEALED in payload}
    keys = await vault_of(connection).reading(connection, reader, sealed) if sealed else {}
    found = [(row, _opened(payload, keys.get(row.request_id))) for row, payload in said]
    return [replace(row, disclosed=each.disclosed, withheld=each.withheld) for row, each in found]


# Rows that were tampered with are exported, too: whoever verifies finds out.


def _payload(body: bytes) -> dict[str, Json]:
    try:
        said = from_json(body)
    except ValueError:
        return {}
    payload = said.get("payload") if isinstance(said, dict) else None
    return payload if isinstance(payload, dict) else {}


def _opened(payload: Mapping[str, Json], keys: Keys | None) -> Opened:
    try:
        return content.opened(payload, keys)
    except CannotOpen:
        return content.opened(payload, None)


# --- what is asked for -----------------------------------------------------------------------------

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
        told |= leaves.keys()
        async for each in _proved(connection, reader, rows, leaves, size):
            yield replace(each, asked=True)
        if len(rows) < PORTION:
            break
        after = rows[-1].place
    leaves = await _leaves(connection, sorted(beside - told), size)
    for request_id, seq in leaves:
        rows = await trail.events_of(connection, reader, request_id, after=seq - 1, limit=1)
        async for each in _proved(connection, reader, rows, leaves, size):
            yield each


async def _told_by(connection: Connection, places: Sequence[Place]) -> set[Place]:
    rows = await connection.fetch(TOLD_BY, *_columns(places))
    return {(row["request_id"], row["seq"]) for row in rows}


async def _leaves(connection: Connection, places: Sequence[Place], size: int) -> dict[Place, int]:
    rows = await connection.fetch(LEAVES, *_columns(places), size)
    return {(row["request_id"], row["seq"]): row["leaf"] for row in rows}


def _columns(places: Sequence[Place]) -> tuple[list[UUID], list[int]]:
    return [request_id for request_id, _ in places], [seq for _, seq in places]


async def _proved(
    connection: Connection,
    reader: Reader,
    rows: Sequence[Told],
    leaves: Mapping[Place, int],
    size: int,
) -> AsyncIterator[Found]:
    """Those of the rows that have leaves."""
    found = [row for row in rows if (row.request_id, row.seq) in leaves]
    plain = [
        Exported(
            leaves[row.request_id, row.seq],
            row.request_id,
            row.seq,
            row.prev_hash,
            row.hash,
            row.body,
        )
        for row in found
    ]
    for row, each in zip(found, await _disclosed(connection, reader, plain), strict=True):
        yield Found(row, await proving.proved(connection, each, size), asked=False)
