"""Tasks: those to decide, the ones of a request, the inbox."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from storage import pools
from storage.patterns import containing
from storage.pool import Source

_COLUMNS = f"""
t.id, t.request_id, r.workflow, r.version, r.title, r.private, r.sealed, r.requester, t.step, t.branch, t.assignee,
t.candidates, t.role, t.on_behalf_of, t.via, t.state, t.opened_at, t.due_at, t.due_by, t.closed_at, t.digest,
t.require_comment, t.require_reason, t.reasons, t.outcomes, t.rewind_to, t.show, t.added_by, t.added_where,
t.claimed_at, {pools.CLAIMED_BY.format(task="t", request="r")} AS claimed_by"""
_BRIEF = f"""
t.id, t.request_id, r.workflow, r.title, r.private, r.sealed, r.requester, t.step, t.candidates, t.on_behalf_of,
t.due_at, {pools.CLAIMED_BY.format(task="t", request="r")} AS claimed_by"""

_DECISION = """
d.id AS decision_id, d.decision, coalesce(d.counts_as, d.decision) AS counts_as, d.rewind_to AS decided_to, d.actor AS decided_by, d.role AS decided_role,
d.on_behalf_of AS decided_on_behalf_of, d.via AS decided_via, d.comment, d.reason, d.decided_at"""

# Of those excluded from `t`, which step they decided, or somebody decided for them, that its recipe
# (`p`) excludes them for.
_DECIDED_BEFORE = """
SELECT jsonb_object_agg(who, b.step)
  FROM decisions e JOIN tasks b ON b.id = e.task_id, unnest(ARRAY[e.actor, e.on_behalf_of]) who
 WHERE e.request_id = t.request_id AND who = ANY(t.excluded)
   AND to_jsonb(b.step) IN (SELECT jsonb_path_query(
         p.recipe, '$.steps[*] ? (@.id == $step).ballots[*] ? (@.id == $ballot).not_same_as[*]',
         jsonb_build_object('step', t.step, 'ballot', coalesce(t.branch, t.step))))"""

# Everything about a task that deciding or showing it depends on, in one row; `now` is the moment
# of the decision, by the one clock that all share. `lapsed` is the first delegation of those it rests
# on that is not valid at that moment: whose, to whom, and when it ended; `departed` one of those it is
# decided for who has left, `unheld` whether who was asked as a member of a role is none. `seated` have
# another part of a step that needs several people; `decided_before` says which step those excluded
# are excluded for; `standing_...` is how a shared task is the person's by delegations.
_READER = f"""
WITH RECURSIVE {pools.BEHIND.format(person="$2::text")}, {pools.MEMBERSHIPS}"""
_STANDING = f"""
       {_COLUMNS}, t.claimed_by AS claimant, t.excluded,
       t.several OR {pools.ACCOMPANIED.format(task="t")} AS several, {_DECISION}, r.state AS request_state, r.seq, r.step AS request_step,
       p.recipe->>'owner' AS owner, moment.now,
       (SELECT jsonb_build_object('delegator', g.delegator, 'delegate', g.delegate,
                                  'at', coalesce(g.ended_at, upper(g.valid)), 'by', g.ended_by)
          FROM delegations g
         WHERE g.id = ANY(t.delegations) AND NOT g.valid @> moment.now
         ORDER BY array_position(t.delegations, g.id) LIMIT 1) AS lapsed,
       (SELECT p.id FROM people p
         WHERE p.id = ANY(t.on_behalf_of || t.via) AND NOT p.employed @> moment.now
         ORDER BY array_position(t.on_behalf_of || t.via, p.id) LIMIT 1) AS departed,
       t.assignee IS NOT NULL AND t.role IS NOT NULL AND NOT t.fixed
       AND NOT EXISTS (SELECT 1 FROM role_members m
                        WHERE m.role = t.role AND m.person = coalesce(t.on_behalf_of, t.assignee)
                          AND m.valid @> moment.now) AS unheld,
       {pools.SEATED.format(task="t")} AS seated,
       CASE WHEN t.excluded <> '{{}}' THEN ({_DECIDED_BEFORE}) END AS decided_before,
       standing.role AS standing_role, standing.path AS standing_path,
       EXISTS (SELECT 1 FROM people e WHERE e.id = $2 AND e.employed @> moment.now) AS employed,
       ARRAY(SELECT m.role FROM role_members m JOIN people e ON e.id = m.person
              WHERE m.person = $2 AND m.valid @> moment.now AND e.employed @> moment.now) AS held
  FROM tasks t
  CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) moment
  JOIN requests r ON r.id = t.request_id
  JOIN recipes p ON p.workflow = r.workflow AND p.version = r.version
  LEFT JOIN decisions d ON d.task_id = t.id
  LEFT JOIN LATERAL ({pools.STANDING_IN.format(task="t", request="r", person="$2")}) standing ON true"""
LOAD = f"{_READER} SELECT r.inputs, {_STANDING} WHERE t.id = $1"
LOAD_ALL = f"{_READER} SELECT {_STANDING} WHERE t.id = ANY($1::uuid[])"


async def load(source: Source, task_id: UUID, person: str) -> asyncpg.Record | None:
    """The task with its request, its decision if there is one, and what roles `person` holds now."""
    return await source.fetchrow(LOAD, task_id, person)


async def load_all(
    source: Source, task_ids: Collection[UUID], person: str
) -> dict[UUID, asyncpg.Record]:
    """Those of the tasks that there are, as `load` gives them, all as of one moment, without `inputs`."""
    rows = await source.fetch(LOAD_ALL, list(task_ids), person)
    return {row["id"]: row for row in rows}


INVOLVED = f"""
WITH RECURSIVE {pools.BEHIND.format(person="$2::text")}, {pools.MEMBERSHIPS}
SELECT i.id FROM unnest($1::uuid[]) AS i(id)
 WHERE EXISTS (SELECT 1 FROM tasks t JOIN requests r ON r.id = t.request_id
                WHERE t.request_id = i.id
                  AND (t.assignee = $2 OR t.on_behalf_of = $2 OR t.candidates && $3::text[]
                       OR EXISTS ({pools.STANDING_IN.format(task="t", request="r", person="$2")})))
    OR EXISTS (SELECT 1 FROM questions q WHERE q.request_id = i.id AND q.asked = $2)
    OR EXISTS (SELECT 1 FROM watchers w
                WHERE w.request_id = i.id AND w.person = $2 AND w.added_by <> w.person)
"""


async def involved(
    source: Source, request_ids: Collection[UUID], person: str, principals: list[str]
) -> set[UUID]:
    """About which of the requests somebody is or was asked: as assignee, candidate or delegator, or
    because they decide now for a candidate; or what they know of it; or made a watcher."""
    rows = await source.fetch(INVOLVED, list(request_ids), person, principals)
    return {row["id"] for row in rows}


OF_REQUEST = f"""
SELECT {_COLUMNS}, {_DECISION}
  FROM tasks t JOIN requests r ON r.id = t.request_id LEFT JOIN decisions d ON d.task_id = t.id
 WHERE t.request_id = $1 ORDER BY t.opened_at, t.id
"""


async def of_request(source: Source, request_id: UUID) -> list[asyncpg.Record]:
    """All tasks of a request, oldest first, each with its decision if there is one."""
    return await source.fetch(OF_REQUEST, request_id)


WAITED_FOR = """
SELECT request_id, min(due_at) AS due_at,
       array_agg(DISTINCT w.who ORDER BY w.who) AS who
  FROM tasks t, unnest(coalesce(t.candidates, ARRAY['user:' || t.assignee])) w(who)
 WHERE t.request_id = ANY($1::uuid[]) AND t.state = 'open' GROUP BY request_id
"""


async def waited_for(
    source: Source, request_ids: Collection[UUID]
) -> dict[UUID, tuple[list[str], datetime | None]]:
    """For whom the open tasks of these requests wait (principals), and when the first is due."""
    rows = await source.fetch(WAITED_FOR, list(request_ids)) if request_ids else []
    return {row["request_id"]: (row["who"], row["due_at"]) for row in rows}


# The inbox: each of the person's principals gives its first rows from an index in the order of the
# answer, so that it costs the same however much is open. Closed tasks are in none of the indexes.
# Shared tasks come a second time by delegations, with the member and the path to the person.
# LIMIT is written into the text: as a parameter the planner would have to guess it.
_FIRST = f"""
WITH RECURSIVE {pools.BEHIND.format(person="$1::text")}, {pools.MEMBERSHIPS}, found AS (
    (SELECT t.id, coalesce(t.due_at, 'infinity') AS due, NULL::text AS member, NULL::text AS role,
            NULL::text[] AS path
       FROM tasks t
      WHERE t.assignee = $1 AND t.state = 'open'
        AND (coalesce(t.due_at, 'infinity'), t.id) > (coalesce($2::timestamptz, 'infinity'), $3::uuid){{direct}}
      ORDER BY coalesce(t.due_at, 'infinity'), t.id LIMIT {{limit}})
    UNION ALL
    SELECT c.task_id, c.due, NULL, NULL, NULL
      FROM (SELECT 'user:' || $1 AS principal FROM people WHERE id = $1 AND employed @> now()
            UNION ALL
            SELECT 'role:' || m.role FROM role_members m JOIN people e ON e.id = m.person
             WHERE m.person = $1 AND m.valid @> now() AND e.employed @> now()) me,
           LATERAL (SELECT s.task_id, s.due FROM task_candidates s
                     WHERE s.principal = me.principal
                       AND (s.due, s.task_id) > (coalesce($2::timestamptz, 'infinity'), $3::uuid){{shared}}
                       AND (SELECT $1 <> ALL({pools.BARRED.format(task="k", request="o")})
                              FROM tasks k JOIN requests o ON o.id = k.request_id
                             WHERE k.id = s.task_id)
                     ORDER BY s.due, s.task_id LIMIT {{limit}}) c
    UNION ALL
    SELECT c.task_id, c.due, n.member, n.role, c.path
      FROM memberships n,
           LATERAL (SELECT s.task_id, s.due, p.path
                      FROM task_candidates s, LATERAL (
                           SELECT stand_ins(n.member, n.role, o.workflow,
                                            {pools.BARRED.format(task="k", request="o")}, now()) AS path
                             FROM tasks k JOIN requests o ON o.id = k.request_id
                            WHERE k.id = s.task_id OFFSET 0) p
                     WHERE s.principal = n.principal AND p.path[cardinality(p.path)] = $1
                       AND (s.due, s.task_id) > (coalesce($2::timestamptz, 'infinity'), $3::uuid){{shared}}
                     ORDER BY s.due, s.task_id LIMIT {{limit}}) c
), first AS (
    SELECT DISTINCT ON (due, id) id, due, member, path FROM found
     ORDER BY due, id, member NULLS FIRST, role NULLS FIRST LIMIT {{limit}}
)
"""
INBOX = (
    _FIRST
    + """SELECT {columns}, f.path AS standing_path
  FROM first f JOIN tasks t ON t.id = f.id JOIN requests r ON r.id = t.request_id
 ORDER BY f.due, f.id
"""
)

# What there is of one person's, each as far as LIMIT goes.
COUNTS = (
    _FIRST.format(limit=501, direct="", shared="")
    + """, mine AS (
    SELECT f.due, r.workflow
      FROM first f JOIN tasks t ON t.id = f.id JOIN requests r ON r.id = t.request_id
)
SELECT count(*) AS needs_me,
       count(*) FILTER (WHERE due <= now()) AS overdue,
       count(*) FILTER (WHERE due > now() AND due <= now() + interval '24 hours') AS due_soon,
       (SELECT coalesce(jsonb_object_agg(workflow, n), '{}')
          FROM (SELECT workflow, count(*) AS n FROM mine GROUP BY workflow) w) AS by_workflow,
       (SELECT count(*) FROM (SELECT FROM questions WHERE asked = $1 AND answered_at IS NULL
                               LIMIT 501) q) AS questions,
       (SELECT count(*) FROM (SELECT FROM requests WHERE requester = $1 AND state = 'rewound'
                               LIMIT 501) r) AS to_resubmit,
       (SELECT count(*) FROM (SELECT FROM requests WHERE requester = $1 AND finalized_at IS NULL
                                 AND state <> 'rewound' LIMIT 501) r) AS waiting,
       (SELECT count(*) FROM (SELECT FROM notifications WHERE person = $1 AND read_at IS NULL
                               LIMIT 501) n) AS unread
  FROM mine
"""
)


async def counts(source: Source, person: str) -> asyncpg.Record:
    """How many open tasks `person` may decide, by workflow and by when they are due, and what else there is of
    theirs; 501 stands for more than 500."""
    row = await source.fetchrow(COUNTS, person, datetime.min.replace(tzinfo=UTC), UUID(int=0))
    assert row is not None
    return row


# Closed tasks that were this person's, or that this person decided; the latest first.
CLOSED = """
WITH found AS (
    (SELECT t.id, t.closed_at AS at FROM tasks t
      WHERE t.assignee = $1 AND t.state <> 'open' AND t.closed_at <= $2
        AND (t.closed_at < $2 OR t.id > $3){own}
      ORDER BY t.closed_at DESC, t.id LIMIT {limit})
    UNION
    (SELECT d.task_id, d.decided_at FROM decisions d
      WHERE d.actor = $1 AND d.decided_at <= $2 AND (d.decided_at < $2 OR d.task_id > $3){decided}
      ORDER BY d.decided_at DESC, d.task_id LIMIT {limit})
), first AS (
    SELECT id, at FROM found ORDER BY at DESC, id LIMIT {limit}
)
SELECT {columns}, {decision}
  FROM first f JOIN tasks t ON t.id = f.id JOIN requests r ON r.id = t.request_id
  LEFT JOIN decisions d ON d.task_id = t.id
 ORDER BY f.at DESC, f.id
"""

# What the inbox can be narrowed to; each of $4 to $12 may be null. A title that is sealed may hold the text, too:
# whoever opens it looks. The times of due tasks are bounds of the index.
_MATCHES = """
        AND coalesce({due}, 'infinity') > coalesce(now() + make_interval(secs => $9), '-infinity')
        AND coalesce({due}, 'infinity') <= coalesce(now() + make_interval(secs => $10), 'infinity')
        AND ($11::boolean IS NULL OR $11 = {shared}) AND ($12::uuid[] IS NULL OR {task_id} = ANY($12))
        AND EXISTS (SELECT 1 FROM tasks m JOIN requests q ON q.id = m.request_id
                     WHERE m.id = {task_id} AND ($4::text IS NULL OR q.workflow = $4)
                       AND ($5::text IS NULL OR q.requester = $5) AND ($6::text IS NULL OR m.step = $6)
                       AND ($7::bigint IS NULL OR m.opened_at < now() - make_interval(secs => $7))
                       AND ($8::text IS NULL OR q.sealed IS NOT NULL OR q.title ILIKE $8 OR {named}))"""
_NAMED = """q.requester ILIKE $8
                            OR replace(q.workflow, '_', ' ') ILIKE $8
                            OR EXISTS (SELECT 1 FROM people n WHERE n.id = q.requester AND n.name ILIKE $8)"""
_DONE_MATCHES = """
        AND EXISTS (SELECT 1 FROM requests q
                     WHERE q.id = {request_id} AND ($4::text IS NULL OR q.workflow = $4)
                       AND ($5::text IS NULL OR q.requester = $5)
                       AND ($6::text IS NULL OR q.sealed IS NOT NULL OR q.title ILIKE $6 OR {named}))"""
_REQUESTER_NAME = ", (SELECT n.name FROM people n WHERE n.id = r.requester) AS requester_name"

MOST_MATCHING = 501
_BEFORE_ALL = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
_STEPS = (51, 201)


def _sized(query: str, *sizes: int, **parts: str) -> dict[int, str]:
    return {size: query.format(limit=size, **parts) for size in sizes}


_INBOX = _sized(INBOX, *_STEPS, columns=_COLUMNS, direct="", shared="")
_INBOX_BRIEF = _sized(INBOX, *_STEPS, columns=_BRIEF, direct="", shared="")
_NARROW = {
    "direct": _MATCHES.format(due="t.due_at", shared="false", task_id="t.id", named=_NAMED),
    "shared": _MATCHES.format(due="s.due", shared="true", task_id="s.task_id", named=_NAMED),
}
_MATCHING = _sized(
    INBOX, *_STEPS, MOST_MATCHING, columns=f"{_COLUMNS}, r.inputs{_REQUESTER_NAME}", **_NARROW
)
_CLOSED = _sized(CLOSED, *_STEPS, columns=_COLUMNS, decision=_DECISION, own="", decided="")
_CLOSED_MATCHING = _sized(
    CLOSED,
    *_STEPS,
    columns=_COLUMNS + _REQUESTER_NAME,
    decision=_DECISION,
    own=_DONE_MATCHES.format(request_id="t.request_id", named=_NAMED.replace("$8", "$6")),
    decided=_DONE_MATCHES.format(request_id="d.request_id", named=_NAMED.replace("$8", "$6")),
)
_WAITING = INBOX.format(
    limit=MOST_MATCHING,
    columns=_COLUMNS,
    direct=" AND t.id = ANY($4::uuid[])",
    shared=" AND s.task_id = ANY($4::uuid[])",
)


def _pick(queries: dict[int, str], limit: int) -> str:
    return queries[min(size for size in queries if size >= limit)]


async def inbox(
    source: Source,
    person: str,
    limit: int,
    after: tuple[datetime | None, UUID],
    *,
    brief: bool = False,
) -> list[asyncpg.Record]:
    """Open tasks that `person` may decide, soonest due first, undated last; limit at most 201.

    `after` is due_at and id of the last task seen. A shared task that somebody else must decide (of
    one's own request, or who decided before) is not here. One that is the person's by delegations has
    all from the member to the person as `standing_path`. Brief ones have what lists show, and no more.
    """
    query = _pick(_INBOX_BRIEF if brief else _INBOX, limit)
    return (await source.fetch(query, person, *after))[:limit]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which tasks of an inbox; None: whichever. `older_than`: open for so many seconds; due more than
    `due_after` and at most `due_within` seconds from now; `shared`: with others, or asked of one person.
    `text` is in the title, or names the requester or workflow, in any case; what is sealed is not looked
    into here."""

    workflow: str | None = None
    requester: str | None = None
    step: str | None = None
    older_than: int | None = None
    text: str | None = None
    due_after: int | None = None
    due_within: int | None = None
    shared: bool | None = None
    ids: tuple[UUID, ...] | None = None

    @property
    def pattern(self) -> str | None:
        return None if self.text is None else containing(self.text)


async def matching(
    source: Source,
    person: str,
    only: Narrowing,
    after: tuple[datetime | None, UUID],
    limit: int = MOST_MATCHING,
) -> list[asyncpg.Record]:
    """As `inbox`, narrowed, with `inputs` and `requester_name`; limit at most MOST_MATCHING."""
    found = await source.fetch(
        _pick(_MATCHING, limit),
        person,
        *after,
        only.workflow,
        only.requester,
        only.step,
        only.older_than,
        only.pattern,
        only.due_after,
        only.due_within,
        only.shared,
        only.ids,
    )
    return found[:limit]


async def waiting(source: Source, person: str, task_ids: list[UUID]) -> list[asyncpg.Record]:
    """Those of these tasks, MOST_MATCHING at most, that would be in the person's `inbox`."""
    return await source.fetch(_WAITING, person, *_BEFORE_ALL, task_ids)


async def closed(
    source: Source, person: str, limit: int, after: tuple[datetime, UUID]
) -> list[asyncpg.Record]:
    """Closed tasks of `person`, the latest first, with their decisions; limit at most 201."""
    return (await source.fetch(_pick(_CLOSED, limit), person, *after))[:limit]


def principals(person: str, held: list[Any]) -> list[str]:
    """The names under which a person can share a task."""
    return [f"user:{person}", *(f"role:{role}" for role in held)]


async def closed_matching(
    source: Source, person: str, only: Narrowing, limit: int, after: tuple[datetime, UUID]
) -> list[asyncpg.Record]:
    """As `closed`, narrowed by workflow, requester and text, with `requester_name`."""
    named = (only.workflow, only.requester, only.pattern)
    return (await source.fetch(_pick(_CLOSED_MATCHING, limit), person, *after, *named))[:limit]
