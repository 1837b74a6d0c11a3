"""Ask the audit trail: rows by what they say and by what their requests were about then.

What is asked comes from the audit alone: `audit_subjects` (migration 0017) and `audit_words` (0024) are
derived from its bodies, so answers are there when requests are not any more. Rows come as they are kept:
`storage.trail` opens what is sealed in them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from contract.conditions import Condition
from recipes.model import Json
from recipes.state import Entity
from storage.jsonpath import jsonpath
from storage.pool import Source


@dataclass(frozen=True, slots=True)
class Asked:
    """Which rows; None is any. `since` is included, `until` is not, both of when it happened. `condition`
    is on the inputs that the request had then, `words` are all in its title or inputs, or all in what
    the row itself says."""

    since: datetime | None = None
    until: datetime | None = None
    workflow: str | None = None
    version: int | None = None
    actor: str | None = None
    on_behalf_of: str | None = None
    role: str | None = None
    event_type: str | None = None
    outcome: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    request_id: UUID | None = None
    words: str | None = None
    condition: Condition | None = None

    @property
    def about(self) -> bool:
        """Whether it is asked what requests were about, or what rows say."""
        return self.words is not None or self.condition is not None


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a row is in the order of answers, the newest first."""

    occurred_at: datetime
    request_id: UUID
    seq: int


@dataclass(frozen=True, slots=True)
class Told:
    """A row of the audit, with what its request was about then: all null for rows of no request."""

    event_id: UUID
    occurred_at: datetime
    recorded_at: datetime
    request_id: UUID
    seq: int
    workflow: str
    version: int
    event_type: str
    actor: dict[str, Json]
    payload: dict[str, Json]
    snapshot: dict[str, Json]
    outcome: str | None
    body: bytes
    prev_hash: bytes
    hash: bytes
    requester: str | None
    title: str | None
    entity: Entity | None
    inputs: dict[str, Json] | None
    box: bytes | None = None
    """What is confidential of title and inputs."""
    withheld: tuple[str, ...] = ()
    """Names of members of `payload` that the reader may not see, or nobody any more."""
    hidden: tuple[str, ...] = ()
    """Of `title` and `inputs`, what the reader may not see, or not all of it."""
    disclosed: tuple[str, ...] = ()
    """Plain texts of what was sealed in `payload`: `body` has the SHA-256 of each."""
    leaf: int | None = None
    """Its number in the tree, as far as that was read, too."""

    @property
    def place(self) -> Place:
        return Place(self.occurred_at, self.request_id, self.seq)


_COLUMNS = """
a.event_id, a.occurred_at, a.recorded_at, a.request_id, a.seq, a.workflow_id, a.workflow_version,
a.event_type, a.actor, a.payload, a.snapshot, audit_outcome(a.event_type, a.payload) AS outcome,
a.body, a.prev_hash, a.hash, s.requester, s.title, s.entity_type, s.entity_id, s.inputs, s.sealed"""

_FROM = """
  FROM audit a LEFT JOIN LATERAL (
       SELECT * FROM audit_subjects e WHERE e.request_id = a.request_id AND e.seq <= a.seq
        ORDER BY e.seq DESC LIMIT 1) s ON true"""

# What of `Asked` becomes of SQL; {} is the value's parameter. What is about subjects is said twice: which
# requests it can be at all is found by the indexes of subjects, and whether it was so at that moment by `s`.
_WHERE = {
    "since": "a.occurred_at >= {}",
    "until": "a.occurred_at < {}",
    "workflow": "a.workflow_id = {}",
    "version": "a.workflow_version = {}",
    "actor": "a.actor->>'user' = {}",
    "on_behalf_of": "a.actor->>'on_behalf_of' = {}",
    "role": "a.actor->>'role' = {}",
    "event_type": "a.event_type = {}",
    "outcome": "audit_outcome(a.event_type, a.payload) = {}",
    "entity_type": "s.entity_type = {0} AND a.request_id IN"
    " (SELECT request_id FROM audit_subjects WHERE entity_type = {0})",
    "entity_id": "s.entity_id = {0} AND a.request_id IN"
    " (SELECT request_id FROM audit_subjects WHERE entity_id = {0})",
    "request_id": "a.request_id = {}",
    "words": "(s.words @@ plainto_tsquery('simple', {0}) OR EXISTS (SELECT FROM audit_words w"
    " WHERE w.request_id = a.request_id AND w.seq = a.seq AND w.words @@ plainto_tsquery('simple', {0})))"
    " AND a.request_id IN (SELECT request_id FROM audit_subjects WHERE words @@ plainto_tsquery('simple', {0})"
    " UNION SELECT request_id FROM audit_words WHERE words @@ plainto_tsquery('simple', {0}))",
    "condition": "s.inputs @@ (SELECT {0}::text::jsonpath) AND a.request_id IN"
    " (SELECT request_id FROM audit_subjects WHERE inputs @@ (SELECT {0}::text::jsonpath))",
}
_AFTER = "(a.occurred_at, a.request_id, a.seq) < ({}, {}, {})"


async def hot(
    source: Source,
    asked: Asked,
    limit: int,
    after: Place | None = None,
    among: Sequence[UUID] | None = None,
) -> list[Told]:
    """Rows that are in Postgres, the newest first, those after a place alone; `among`: of these requests."""
    query, values = _statement(asked, limit, after, among)
    return [_told(row) for row in await source.fetch(query, *values)]


CHAIN = f"SELECT {_COLUMNS} {_FROM} WHERE a.request_id = $1 AND a.seq > $2 ORDER BY a.seq LIMIT $3"


AT = f"""
SELECT {_COLUMNS}
  FROM unnest($1::uuid[], $2::int[], $3::timestamptz[]) AS w(request_id, seq, recorded_at)
  JOIN audit a USING (request_id, seq, recorded_at)
  LEFT JOIN LATERAL (
       SELECT * FROM audit_subjects e WHERE e.request_id = a.request_id AND e.seq <= a.seq
        ORDER BY e.seq DESC LIMIT 1) s ON true
"""


async def at(source: Source, places: Sequence[tuple[UUID, int, datetime]]) -> list[Told]:
    """Rows by request, `seq` and when they were recorded: those that are in Postgres, in any order."""
    columns = zip(*places, strict=True) if places else ((), (), ())
    return [_told(row) for row in await source.fetch(AT, *map(list, columns))]


async def chain(source: Source, request_id: UUID, after: int = 0, limit: int = 1000) -> list[Told]:
    """A request's rows that are in Postgres, in the order of its chain, those with `seq` above `after`."""
    return [_told(row) for row in await source.fetch(CHAIN, request_id, after, limit)]


LENGTH = "SELECT seq FROM audit_heads WHERE request_id = $1"


async def length(source: Source, request_id: UUID) -> int:
    """How many rows a request's chain has, in Postgres or in the cold tier: the `seq` of the last one."""
    return await source.fetchval(LENGTH, request_id) or 0


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of a request, from one to another, both included."""

    request_id: UUID
    first: int
    last: int


LAST = 2**31 - 1
"""No row of a chain has a higher `seq`."""
# $1 words, $2 a condition: null where it is not asked for.
SPANS = """
WITH about AS (
    SELECT request_id, seq AS first,
           coalesce(lead(seq) OVER (PARTITION BY request_id ORDER BY seq) - 1, 2147483647) AS last,
           $1::text IS NULL OR words @@ plainto_tsquery('simple', $1) AS worded,
           $2::text IS NULL OR inputs @@ (SELECT $2::text::jsonpath) AS fits
      FROM audit_subjects s
     WHERE request_id IN (
           SELECT request_id FROM audit_subjects WHERE $1::text IS NOT NULL AND words @@ plainto_tsquery('simple', $1)
           UNION SELECT request_id FROM audit_words WHERE $1::text IS NOT NULL AND words @@ plainto_tsquery('simple', $1)
           UNION SELECT request_id FROM audit_subjects WHERE $1::text IS NULL AND inputs @@ (SELECT $2::text::jsonpath))
)
SELECT request_id, first, last FROM about WHERE worded AND fits
UNION ALL
SELECT w.request_id, w.seq, w.seq FROM audit_words w LEFT JOIN about b
       ON b.request_id = w.request_id AND w.seq BETWEEN b.first AND b.last
 WHERE $1::text IS NOT NULL AND w.words @@ plainto_tsquery('simple', $1)
   AND b.worded IS NOT TRUE AND ($2::text IS NULL OR b.fits)
"""


async def spans(
    source: Source, asked: Asked, among: Sequence[UUID] | None = None
) -> list[Span] | None:
    """Which rows have the words and fulfil the condition, wherever they are kept; None if neither is
    asked for. `among`: all rows of these requests."""
    if among is not None:
        return [Span(request_id, 1, LAST) for request_id in among]
    if not asked.about:
        return None
    path = None if asked.condition is None else jsonpath(asked.condition)
    return [Span(*row) for row in await source.fetch(SPANS, asked.words, path)]


# $3 words, $4 a condition: null where it is not asked for.
FITTING = """
SELECT w.place FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS w(request_id, seq, place)
  LEFT JOIN LATERAL (
       SELECT * FROM audit_subjects e WHERE e.request_id = w.request_id AND e.seq <= w.seq
        ORDER BY e.seq DESC LIMIT 1) s ON true
 WHERE ($3::text IS NULL OR s.words @@ plainto_tsquery('simple', $3)
        OR EXISTS (SELECT FROM audit_words t WHERE t.request_id = w.request_id AND t.seq = w.seq
                      AND t.words @@ plainto_tsquery('simple', $3)))
   AND ($4::text IS NULL OR s.inputs @@ (SELECT $4::text::jsonpath))
 ORDER BY w.place
"""


async def fitting(
    source: Source, asked: Asked, places: Sequence[tuple[UUID, int]]
) -> list[tuple[UUID, int]]:
    """Of rows, by request and `seq`, those that have the words and fulfil the condition, wherever they are kept."""
    path = None if asked.condition is None else jsonpath(asked.condition)
    columns = [request_id for request_id, _ in places], [seq for _, seq in places]
    rows = await source.fetch(FITTING, *columns, asked.words, path)
    return [places[row["place"] - 1] for row in rows]


SUBJECTS_OF = """
SELECT w.request_id, w.seq, s.title, s.inputs, s.sealed
  FROM unnest($1::uuid[], $2::int[]) AS w(request_id, seq), LATERAL (
       SELECT * FROM audit_subjects e WHERE e.request_id = w.request_id AND e.seq <= w.seq
        ORDER BY e.seq DESC LIMIT 1) s
"""


async def with_subjects(source: Source, rows: list[Told]) -> list[Told]:
    """Rows of the cold tier, with what their requests were about then."""
    places = [row.request_id for row in rows], [row.seq for row in rows]
    found = {
        (row["request_id"], row["seq"]): row for row in await source.fetch(SUBJECTS_OF, *places)
    }
    told = []
    for row in rows:
        about = found.get((row.request_id, row.seq))
        if about is None:
            told.append(row)
        else:
            title, inputs, box = about["title"], about["inputs"], about["sealed"]
            told.append(replace(row, title=title, inputs=inputs, box=box))
    return told


def _statement(
    asked: Asked, limit: int, after: Place | None, among: Sequence[UUID] | None
) -> tuple[str, list[Any]]:
    values: list[Any] = []

    def parameter(value: object) -> str:
        values.append(value)
        return f"${len(values)}"

    clauses = [_WHERE[name].format(parameter(value)) for name, value in _said(asked)]
    if among is not None:
        clauses.append(f"a.request_id = ANY({parameter(among)}::uuid[])")
    if after is not None:
        place = map(parameter, (after.occurred_at, after.request_id, after.seq))
        clauses.append(_AFTER.format(*place))
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    order = "ORDER BY a.occurred_at DESC, a.request_id DESC, a.seq DESC"
    return f"SELECT {_COLUMNS} {_FROM}{where} {order} LIMIT {parameter(limit)}", values


def _said(asked: Asked) -> Iterator[tuple[str, object]]:
    """What is asked for, by name, as Postgres takes it."""
    for name in _WHERE:
        value = getattr(asked, name)
        if value is not None:
            yield name, jsonpath(value) if name == "condition" else value


def _told(row: asyncpg.Record) -> Told:
    about = None if row["entity_type"] is None else Entity(row["entity_type"], row["entity_id"])
    return Told(
        event_id=row["event_id"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        request_id=row["request_id"],
        seq=row["seq"],
        workflow=row["workflow_id"],
        version=row["workflow_version"],
        event_type=row["event_type"],
        actor=row["actor"],
        payload=row["payload"],
        snapshot=row["snapshot"],
        outcome=row["outcome"],
        body=row["body"],
        prev_hash=row["prev_hash"],
        hash=row["hash"],
        requester=row["requester"],
        title=row["title"],
        entity=about,
        inputs=row["inputs"],
        box=row["sealed"],
    )
