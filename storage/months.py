"""Months of the audit: which have a copy in the cold tier, how far they have moved, and their rows.

States and what leads from one to the next are in migration 0020; only its functions change them.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg

from contract import manifests, merkle
from contract.events import MONTH_DELETED, MONTH_MOVED
from contract.manifests import Manifest
from contract.notes import Checkpoint
from recipes.happenings import ENGINE
from recipes.model import Json
from storage import audit, sealing
from storage.commands import now
from storage.errors import StorageError
from storage.holds import CHAIN
from storage.pool import Connection, Pool, Source

State = Literal["verified", "detached", "cold", "expired", "deleted"]

_REFUSED = "CS004"
_PATIENCE = 600.0
"""Seconds for the database to look at a whole month."""


class MonthRefused(StorageError):
    """A month cannot go on to its next state; the text says why."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month with a copy. `first_at` and `last_at`: when the earliest and the latest of its events were."""

    month: date
    state: State
    rows: int
    first_at: datetime
    last_at: datetime
    manifest: str

    @property
    def name(self) -> str:
        return f"{self.month:%Y-%m}"

    def opened(self) -> Manifest:
        """What its manifest says, which was checked when it was made."""
        return manifests.parsed(self.manifest)


def span(month: date) -> tuple[datetime, datetime]:
    """Where a month begins, and the next one."""
    begin = datetime(month.year, month.month, 1, tzinfo=UTC)
    return begin, (begin + timedelta(days=32)).replace(day=1)


_COLUMNS = "month, state, rows, first_at, last_at, manifest"
ALL = f"SELECT {_COLUMNS} FROM audit_months ORDER BY month"
ONE = f"SELECT {_COLUMNS} FROM audit_months WHERE month = $1"
# Those whose rows are not among those that are asked in Postgres.
ASKED = f"""
SELECT {_COLUMNS} FROM audit_months
 WHERE state IN ('detached', 'cold')
   AND ($1::timestamptz IS NULL OR last_at >= $1) AND ($2::timestamptz IS NULL OR first_at < $2)
 ORDER BY month DESC
"""
OF_WORKFLOW = f"""
SELECT {_COLUMNS} FROM audit_months
 WHERE state IN ('detached', 'cold') AND $1 = ANY(workflows)
   AND ($2::timestamptz IS NULL OR last_at >= $2) AND ($3::timestamptz IS NULL OR first_at < $3)
 ORDER BY month
"""
OF_REQUEST = f"""
SELECT {_COLUMNS} FROM audit_months m
 WHERE state IN ('detached', 'cold')
   AND EXISTS (SELECT FROM audit_leaves l WHERE l.request_id = $1 AND l.seq > $2
                  AND date_trunc('month', l.recorded_at AT TIME ZONE 'UTC')::date = m.month)
 ORDER BY month
"""
# Partitions of months that are over since some days, and have not moved as far as they can.
DUE = """
SELECT to_date(right(inhrelid::regclass::text, 7), 'YYYY_MM') AS month
  FROM pg_inherits
 WHERE inhparent = 'audit'::regclass AND inhrelid::regclass::text ~ '^audit_[0-9]{4}_[0-9]{2}$'
   AND (to_date(right(inhrelid::regclass::text, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC'
       <= now() - $1 * interval '1 day'
UNION SELECT month FROM audit_months WHERE state IN ('verified', 'detached', 'expired')
ORDER BY 1
"""
AGED = """
SELECT month FROM audit_months
 WHERE state = 'cold' AND (month + interval '1 month' + make_interval(years => $1)) AT TIME ZONE 'UTC' <= now()
 ORDER BY month
"""


async def every(source: Source) -> list[Month]:
    return [_month(row) for row in await source.fetch(ALL)]


async def one(source: Source, month: date) -> Month | None:
    row = await source.fetchrow(ONE, month)
    return None if row is None else _month(row)


async def asked(source: Source, since: datetime | None, until: datetime | None) -> list[Month]:
    """Months of the cold tier that can have events from `since` on and before `until`, the newest first."""
    return [_month(row) for row in await source.fetch(ASKED, since, until)]


RECORDED = f"""
SELECT {_COLUMNS} FROM audit_months
 WHERE state IN ('detached', 'cold')
   AND ($1::timestamptz IS NULL OR (month + interval '1 month') AT TIME ZONE 'UTC' > $1)
   AND ($2::timestamptz IS NULL OR month::timestamp AT TIME ZONE 'UTC' < $2)
 ORDER BY month
"""


async def recorded(source: Source, since: datetime | None, until: datetime | None) -> list[Month]:
    """Months of the cold tier with rows that were recorded `since` and before `until`."""
    return [_month(row) for row in await source.fetch(RECORDED, since, until)]


async def of_request(source: Source, request_id: UUID, after: int = 0) -> list[Month]:
    """Months of the cold tier with rows of a request that have a `seq` above `after`."""
    return [_month(row) for row in await source.fetch(OF_REQUEST, request_id, after)]


async def of_workflow(
    source: Source, workflow: str, since: datetime | None, until: datetime | None
) -> list[Month]:
    """Months of the cold tier with events of a workflow from `since` on and before `until`, or around."""
    return [_month(row) for row in await source.fetch(OF_WORKFLOW, workflow, since, until)]


async def due(source: Source, days: int) -> list[date]:
    """Months that are over since `days`, or under way to the cold tier or out of it."""
    return [row["month"] for row in await source.fetch(DUE, days)]


async def aged(source: Source, years: int) -> list[date]:
    """Months of the cold tier that were over `years` ago."""
    return [row["month"] for row in await source.fetch(AGED, years)]


# --- states ---


async def verified(source: Source, month: date, manifest: Manifest, note: str) -> None:
    """MonthRefused if the database has not just the rows of the manifest."""
    values = (month, manifest.rows, bytes.fromhex(manifest.digest), note)
    await _advance(source, "SELECT audit_month_verified($1, $2, $3, $4)", *values)


async def detach(source: Source, month: date) -> None:
    await _advance(source, "SELECT audit_detach_month($1)", month)


async def drop(pool: Pool, month: Month) -> None:
    """And write it down, in one transaction."""
    async with pool.acquire() as connection, connection.transaction():
        await _advance(connection, "SELECT audit_drop_month($1)", month.month)
        await _record(connection, MONTH_MOVED, month)


async def expire(pool: Pool, month: date, years: int) -> bool:
    """Whether the month's time was over, and nothing held it. It is written down, in one transaction."""
    async with pool.acquire() as connection, connection.transaction():
        expired: bool = await connection.fetchval("SELECT audit_expire_month($1, $2)", month, years)
        found = await one(connection, month)
        if expired and found is not None:
            await _record(connection, MONTH_DELETED, found, years=years)
    return expired


async def _record(connection: Connection, event_type: str, month: Month, **more: Json) -> None:
    digest = month.opened().digest
    payload: dict[str, Json] = {"month": month.name, "rows": month.rows, "digest": digest, **more}
    event = audit.event(event_type, await now(connection), payload, {}, ENGINE)
    await audit.append_plain(connection, CHAIN, "audit", 1, [event])


async def deleted(source: Source, month: date) -> None:
    await source.execute("SELECT audit_month_deleted($1)", month)


async def _advance(source: Source, statement: str, *values: Any) -> None:
    try:
        await source.execute(statement, *values, timeout=_PATIENCE)
    except asyncpg.PostgresError as error:
        if error.sqlstate == _REFUSED:
            raise MonthRefused(str(error)) from None
        raise


# --- rows ---

# All that a row of a file needs, by (request_id, seq). $1 $2: from, until; $3 $4: after; $5: how many.
ROWS = """
SELECT a.request_id::text AS request_id, a.seq, a.occurred_at, a.recorded_at, a.workflow_version AS version,
       a.event_id::text AS event_id, a.workflow_id AS workflow, a.event_type, a.actor->>'user' AS "user",
       a.actor->>'role' AS role, a.actor->>'on_behalf_of' AS on_behalf_of,
       audit_outcome(a.event_type, a.payload) AS outcome, s.requester, s.entity_type, s.entity_id,
       a.body, a.prev_hash, a.hash, l.leaf
  FROM audit a
  LEFT JOIN audit_leaves l ON l.request_id = a.request_id AND l.seq = a.seq
  LEFT JOIN LATERAL (
       SELECT * FROM audit_subjects e WHERE e.request_id = a.request_id AND e.seq <= a.seq
        ORDER BY e.seq DESC LIMIT 1) s ON true
 WHERE a.recorded_at >= $1 AND a.recorded_at < $2 AND (a.request_id, a.seq) > ($3, $4)
 ORDER BY a.request_id, a.seq LIMIT $5
"""
PORTION = 8192


async def rows(source: Source, since: datetime, until: datetime) -> AsyncIterator[list[Any]]:
    """Rows recorded in a time, in the order of their chains, in portions."""
    place: tuple[UUID | str, int] = (UUID(int=0), 0)
    while True:
        found = await source.fetch(ROWS, since, until, *place, PORTION, timeout=_PATIENCE)
        if found:
            yield found
        if len(found) < PORTION:
            return
        place = found[-1]["request_id"], found[-1]["seq"]


# --- the tree ---

_GROUPS = 256
"""Subtrees looked at together."""


async def astray(source: Source, leaves: dict[int, bytes], mark: Checkpoint) -> list[int]:
    """Which of these leaves, by number, are not in the tree of the checkpoint; -1 if its root is not that
    of the database's tree. The subtrees above the leaves are calculated again, level by level."""
    if await sealing.root(source, mark.size) != mark.root:
        return [-1]
    wrong = [leaf for leaf in leaves if leaf >= mark.size]
    level, hashes = 0, {n: each for n, each in leaves.items() if n < mark.size}
    while hashes:
        above: dict[int, bytes] = {}
        groups = sorted({n >> merkle.STRIDE for n in hashes})
        for begin in range(0, len(groups), _GROUPS):
            part = groups[begin : begin + _GROUPS]
            found, bad = await _above(source, level, part, hashes, mark.size)
            above |= found
            wrong += bad if level == 0 else [bad_leaf << level for bad_leaf in bad]
        level, hashes = level + merkle.STRIDE, above
    return sorted(wrong)


async def _above(
    source: Source, level: int, groups: Sequence[int], hashes: dict[int, bytes], size: int
) -> tuple[dict[int, bytes], list[int]]:
    """The subtrees one stride above, as far as they are complete, and which of `hashes` are not those kept."""
    stride = merkle.STRIDE
    spans = [(level, group << stride, (group + 1) << stride) for group in groups]
    kept = await sealing.kept(source, spans)
    mine = [n for n in hashes if groups[0] <= n >> stride <= groups[-1]]
    bad = [n for n in mine if kept.get((level, n)) != hashes[n]]
    above = {}
    for group in groups:
        if (group + 1) << (level + stride) <= size:
            whole = (group << (level + stride), (group + 1) << (level + stride))
            above[group] = merkle.part(kept, whole)
    return above, bad


def _month(row: asyncpg.Record) -> Month:
    return Month(
        row["month"], row["state"], row["rows"], row["first_at"], row["last_at"], row["manifest"]
    )
