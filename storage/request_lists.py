"""Lists of requests: whom they concern, which are wanted, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

import asyncpg

from contract.conditions import Condition
from storage import pools
from storage.jsonpath import jsonpath
from storage.patterns import containing
from storage.pool import Source
from storage.requests import COLUMNS


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests a list holds; None is any. `text` is looked for in titles, in any case;
    `incident` is whether people are needed; `version` leaves those alone that are in flight on it;
    `status` is of a state machine; `entity_id` counts beside `entity_type` alone; `words` are all in the
    title or inputs, `condition` is on inputs; `imported` is whether another
    system had them; `open` is whether they are in flight."""

    state: str | None = None
    workflow: str | None = None
    requester: str | None = None
    text: str | None = None
    incident: bool | None = None
    version: int | None = None
    status: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    words: str | None = None
    condition: Condition | None = None
    imported: bool | None = None
    open: bool | None = None


# {need}, {about} and {subject} are written into the text: the planner would not see the partial indexes by
# parameters that may be null.
_MATCHES = """
{need}{open}{about}{subject}($2::text IS NULL OR r.state = $2) AND ($3::text IS NULL OR r.workflow = $3)
AND ($4::text IS NULL OR r.requester = $4)
AND ($5::text IS NULL OR r.title ILIKE $5)
AND ($9::int IS NULL OR (r.version = $9 AND r.finalized_at IS NULL))
AND ($10::text IS NULL OR r.status = $10)
AND ($15::boolean IS NULL OR r.imported = $15)
AND (r.created_at, r.id) < ($6, $7)"""
_NEWEST = "ORDER BY r.created_at DESC, r.id DESC LIMIT $8"

# $1 is not needed to see everything, but both lists take the same arguments.
EVERYTHING = f"SELECT {COLUMNS} FROM requests r WHERE $1::text IS NOT NULL AND {_MATCHES} {_NEWEST}"

OWN = f"SELECT {COLUMNS} FROM requests r WHERE r.requester = $1 AND {_MATCHES} {_NEWEST}"

# What concerns one person: own requests, those they were asked about or decided (shared tasks: while
# open, and also by delegations), and those of recipes that a role of theirs owns. Of state machines those
# of which they fired an action, and all of recipes that name them, or a role of theirs, for one; whom an
# expression names is not known here. Each part is found by its own index.
VISIBLE = f"""
WITH RECURSIVE {pools.BEHIND.format(person="$1::text")}, {pools.MEMBERSHIPS}, held AS MATERIALIZED (
    SELECT m.role FROM role_members m JOIN people e ON e.id = m.person
     WHERE m.person = $1 AND m.valid @> now() AND e.employed @> now()
), asked AS (
    SELECT t.request_id FROM tasks t WHERE t.assignee = $1 AND t.state = 'open'
    UNION SELECT t.request_id FROM tasks t WHERE t.assignee = $1 AND t.state <> 'open'
    UNION SELECT t.request_id FROM task_candidates c JOIN tasks t ON t.id = c.task_id
           WHERE c.principal IN (SELECT 'user:' || $1 UNION ALL SELECT 'role:' || role FROM held)
    UNION SELECT t.request_id
            FROM memberships n JOIN task_candidates c ON c.principal = n.principal
            JOIN tasks t ON t.id = c.task_id JOIN requests o ON o.id = t.request_id
           WHERE EXISTS ({pools.STANDING_IN.format(task="t", request="o", person="$1")})
    UNION SELECT d.request_id FROM decisions d WHERE d.actor = $1
    UNION SELECT q.request_id FROM questions q WHERE q.asked = $1
    UNION SELECT w.request_id FROM watchers w WHERE w.person = $1 AND w.added_by <> w.person
    UNION SELECT f.request_id FROM commands f WHERE f.actor = $1 AND f.command = 'fire'
), named AS MATERIALIZED (
    SELECT unnest(ARRAY['user:' || $1, $1]) AS name
    UNION SELECT unnest(ARRAY['role:' || role, role]) FROM held
), found AS (
    (SELECT r.id FROM requests r WHERE r.requester = $1 AND {_MATCHES} {_NEWEST})
    UNION
    (SELECT r.id FROM asked a JOIN requests r ON r.id = a.request_id WHERE {_MATCHES} {_NEWEST})
    UNION
    SELECT o.id
      FROM (SELECT workflow, version FROM recipes
             WHERE recipe->>'owner' IN (SELECT role FROM held UNION ALL
                                        SELECT 'role:' || role FROM held)
             UNION
            SELECT m.workflow, m.version FROM recipes m
             WHERE m.recipe->>'kind' = 'state_machine' AND EXISTS (
                   SELECT 1 FROM jsonb_array_elements(m.recipe->'machine'->'actions') a,
                                 jsonb_array_elements_text(a->'who') w
                    WHERE replace(w, ' ', '') IN (SELECT name FROM named))) p,
           LATERAL (SELECT r.id FROM requests r
                     WHERE r.workflow = p.workflow AND r.version = p.version AND {_MATCHES}
                     {_NEWEST}) o
)
SELECT {COLUMNS} FROM found f JOIN requests r ON r.id = f.id {_NEWEST}
"""

_NEED = {None: "", True: "r.incidents <> '[]' AND ", False: "r.incidents = '[]' AND "}
_OPEN = {None: "", True: "r.finalized_at IS NULL AND ", False: "r.finalized_at IS NOT NULL AND "}
_ABOUT = {
    (False, False): "($11::text IS NULL AND $12::text IS NULL) AND ",
    (True, False): "(r.entity_type = $11 AND $12::text IS NULL) AND ",
    (True, True): "(r.entity_type = $11 AND r.entity_id = $12) AND ",
}
# What the audit has as the newest subject of a request, found by its indexes (migration 0017).
_SUBJECT = """$16::uuid[] IS NULL AND r.id IN (
    SELECT s.request_id FROM audit_subjects s
     WHERE ($13::text IS NULL OR s.words @@ plainto_tsquery('simple', $13))
       AND ($14::text IS NULL OR s.inputs @@ (SELECT $14::text::jsonpath))
       AND NOT EXISTS (SELECT FROM audit_subjects l WHERE l.request_id = s.request_id AND l.seq > s.seq)) AND """
_ANY_SUBJECT = "($13::text IS NULL AND $14::text IS NULL AND $16::uuid[] IS NULL) AND "
_AMONG = "($13::text IS NULL AND $14::text IS NULL AND r.id = ANY($16::uuid[])) AND "


@cache
def _list(
    query: str,
    incident: bool | None,
    in_flight: bool | None,
    about: tuple[bool, bool],
    subject: str,
) -> str:
    return (
        query.replace("{need}", _NEED[incident])
        .replace("{open}", _OPEN[in_flight])
        .replace("{about}", _ABOUT[about])
        .replace("{subject}", subject)
    )


async def newest(
    source: Source,
    person: str,
    wanted: Filter,
    limit: int,
    before: tuple[datetime, UUID],
    *,
    everything: bool,
    among: Sequence[UUID] | None = None,
) -> list[asyncpg.Record]:
    """Requests that `person` may see, newest first, older than `before` (created_at, id); `among`: of these
    alone, without words and condition."""
    asked = (wanted.entity_type is not None, wanted.entity_id is not None)
    about = wanted.words is not None or wanted.condition is not None
    subject = _SUBJECT if about else _ANY_SUBJECT if among is None else _AMONG
    # One's own are seen by whoever submitted them: nothing else is looked at.
    seen = OWN if wanted.requester == person else EVERYTHING if everything else VISIBLE
    return await source.fetch(
        _list(seen, wanted.incident, wanted.open, asked, subject),
        person,
        wanted.state,
        wanted.workflow,
        wanted.requester,
        None if wanted.text is None else containing(wanted.text),
        *before,
        limit,
        wanted.version,
        wanted.status,
        wanted.entity_type,
        wanted.entity_id,
        wanted.words,
        None if wanted.condition is None else jsonpath(wanted.condition),
        wanted.imported,
        among,
    )


IN_FLIGHT = """
SELECT workflow, version, count(*) AS requests FROM requests
 WHERE workflow = ANY($1::text[]) AND finalized_at IS NULL GROUP BY workflow, version
"""


async def in_flight(source: Source, workflows: Sequence[str]) -> dict[str, dict[int, int]]:
    """How many requests of each workflow are in flight, by version; versions without any are not there."""
    found: dict[str, dict[int, int]] = {name: {} for name in workflows}
    for row in await source.fetch(IN_FLIGHT, workflows):
        found[row["workflow"]][row["version"]] = row["requests"]
    return found


PAST = """
SELECT r.id, r.version, r.requester, r.title, r.inputs, r.state, r.created_at, r.entity_type, r.entity_id,
       r.private, r.sealed, p.sha256
  FROM requests r JOIN recipes p USING (workflow, version)
 WHERE r.workflow = $1 AND ($2::timestamptz IS NULL OR r.created_at >= $2) AND ($4 OR NOT r.imported)
   AND r.erased_at IS NULL
 ORDER BY r.created_at DESC, r.id DESC LIMIT $3
"""


async def past(
    source: Source, workflow: str, since: datetime | None, limit: int, *, imported: bool
) -> list[asyncpg.Record]:
    """The newest requests of a workflow, whatever became of them but erased ones, with what was submitted
    when; with `imported` those, too, that another system had."""
    return await source.fetch(PAST, workflow, since, limit, imported)
