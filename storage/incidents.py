"""Incidents as a list: what waits for people, request by request, the longest waiting first.

An incident is kept on its request's row (`requests.incidents`); a seat has one at most.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from storage.pool import Source


@dataclass(frozen=True, slots=True)
class Filter:
    """Which incidents a list holds; None is any."""

    workflow: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after this incident. It names the incident by its seat and kind, so that
    one that is resolved between two pages moves none of the others."""

    created_at: datetime
    request_id: UUID
    seat: str
    kind: str


# The partial index requests_in_need gives the rows in this order; there are few of them.
# $1 person, $2 everything, $3 workflow, $4 kind, $5..$8 place, $9 limit.
LIST = """
WITH held AS MATERIALIZED (
    SELECT m.role FROM role_members m JOIN people e ON e.id = m.person
     WHERE m.person = $1 AND m.valid @> now() AND e.employed @> now()
)
SELECT r.id AS request_id, r.workflow, r.version, r.title, r.private, r.sealed, r.requester, r.created_at,
       p.recipe->>'owner' AS owner, ARRAY(SELECT role FROM held) AS held,
       i.item->>'step' AS step, i.item->>'seat' AS seat, i.item->>'kind' AS kind,
       i.item->>'detail' AS detail, (i.item->>'at')::timestamptz AS since
  FROM requests r
  JOIN recipes p ON p.workflow = r.workflow AND p.version = r.version
 CROSS JOIN LATERAL jsonb_array_elements(r.incidents) AS i(item)
 WHERE r.incidents <> '[]' AND (r.created_at, r.id) >= ($5, $6)
   AND ($2 OR regexp_replace(p.recipe->>'owner', '^role:', '') IN (SELECT role FROM held))
   AND ($3::text IS NULL OR r.workflow = $3) AND ($4::text IS NULL OR i.item->>'kind' = $4)
   AND (r.created_at, r.id, coalesce(i.item->>'seat', ''), i.item->>'kind') > ($5, $6, $7, $8)
 ORDER BY r.created_at, r.id, coalesce(i.item->>'seat', ''), i.item->>'kind' LIMIT $9
"""


async def waiting(
    source: Source, person: str, wanted: Filter, limit: int, after: Place, *, everything: bool
) -> list[asyncpg.Record]:
    """Incidents of the recipes that a role of `person` owns, or all; oldest request first."""
    return await source.fetch(
        LIST,
        person,
        everything,
        wanted.workflow,
        wanted.kind,
        after.created_at,
        after.request_id,
        after.seat,
        after.kind,
        limit,
    )
