"""Whom what happens concerns, for pages that are open: ids and names, nothing of what people wrote."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.pool import Source

# Of each request: who submitted it, who is or was asked (themselves, as a member of a role, or on whose behalf), who
# claimed or decided, fired an action or was asked a question, and who watches. `sees` is true only of what makes somebody
# see a request by `tasks.INVOLVED` or `entitled.takes_part`. All others may see it no more: who has left, or watches by
# themselves; who claimed or decided what they were asked as a member of a role, or for one; and a delegation from such a
# member (of everything, its workflow, or what the role is asked) leads there only as far as `stand_ins` says. Only those
# with a page open are looked for.
CONCERNED = """
WITH RECURSIVE told AS (
    SELECT f.position, f.request_id, f.seq, f.recorded_at, f.event_type, f.workflow FROM feed f
     WHERE f.position > $1 AND f.position <= $2 AND f.of_request
), about AS (
    SELECT DISTINCT request_id, workflow FROM told
), asked AS (
    SELECT t.request_id, unnest(ARRAY[t.assignee, t.on_behalf_of]) AS person
      FROM about a JOIN tasks t USING (request_id)
), members AS (
    SELECT t.request_id, substr(c.principal, 6) AS person, NULL::text AS role, a.workflow
      FROM about a JOIN tasks t USING (request_id), unnest(t.candidates) c(principal)
     WHERE c.principal LIKE 'user:%'
    UNION
    SELECT t.request_id, m.person, m.role, a.workflow
      FROM about a JOIN tasks t USING (request_id), unnest(t.candidates) c(principal)
      JOIN role_members m ON m.role = substr(c.principal, 6) AND m.valid @> now()
     WHERE c.principal LIKE 'role:%'
), standing_in AS (
    SELECT request_id, person, role, workflow, 0 AS depth FROM members
    UNION
    SELECT s.request_id, d.delegate, s.role, s.workflow, s.depth + 1
      FROM standing_in s JOIN delegations d ON d.delegator = s.person AND d.valid @> now()
       AND d.scope IN ('all', 'workflow:' || s.workflow, 'role:' || s.role)
     WHERE s.depth < 5
), concerned AS (
    SELECT request_id, person, true AS sees FROM asked
    UNION SELECT s.request_id, s.person, s.depth = 0 AND (s.role IS NULL OR p.employed @> now())
            FROM standing_in s LEFT JOIN people p ON p.id = s.person
    UNION SELECT request_id, t.claimed_by, false FROM about JOIN tasks t USING (request_id)
    UNION SELECT a.request_id, r.requester, true FROM about a JOIN requests r ON r.id = a.request_id
    UNION SELECT request_id, d.actor, false FROM about JOIN decisions d USING (request_id)
    UNION SELECT a.request_id, m.actor, true FROM about a
            JOIN requests r ON r.id = a.request_id AND r.status IS NOT NULL
            JOIN commands m ON m.request_id = r.id AND m.command = 'fire' AND m.actor = ANY($3::text[])
    UNION SELECT request_id, q.asked, true FROM about JOIN questions q USING (request_id)
    UNION SELECT request_id, w.person, w.added_by <> w.person FROM about JOIN watchers w USING (request_id)
)
SELECT t.position, t.request_id, t.event_type, a.occurred_at, a.actor->>'user' AS by, p.name AS called,
       a.payload->>'task_id' AS task_id, array_agg(c.person ORDER BY c.person) FILTER (WHERE c.sees) AS people,
       array_agg(c.person ORDER BY c.person) FILTER (WHERE NOT c.sees) AS perhaps
  FROM told t
  JOIN audit a ON a.request_id = t.request_id AND a.seq = t.seq AND a.recorded_at = t.recorded_at
  LEFT JOIN people p ON p.id = a.actor->>'user'
  JOIN concerned c ON c.request_id = t.request_id AND c.person = ANY($3::text[])
 GROUP BY t.position, t.request_id, t.event_type, a.occurred_at, a.actor, p.name, a.payload
 ORDER BY t.position
"""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a request, and which of those asked about it concerns. `called` is the name of whom it was `by`. Those of
    `perhaps` are told if they may see the request now."""

    position: int
    request_id: UUID
    type: str
    at: datetime
    by: str
    called: str
    task_id: str | None
    people: tuple[str, ...]
    perhaps: tuple[str, ...]


async def concerned(
    source: Source, after: int, until: int, people: Collection[str]
) -> list[Happened]:
    """What happened after a position of the feed, up to another, that concerns any of these people."""
    rows = await source.fetch(CONCERNED, after, until, list(people))
    return [
        Happened(
            row["position"],
            row["request_id"],
            row["event_type"],
            row["occurred_at"],
            row["by"],
            row["called"] or row["by"],
            row["task_id"],
            tuple(row["people"] or ()),
            tuple(name for name in row["perhaps"] or () if name not in (row["people"] or ())),
        )
        for row in rows
    ]
