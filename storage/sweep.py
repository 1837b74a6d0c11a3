"""Open tasks that the directory, asked again now, would not give to whom they were given.

One statement finds them and leaves each of their requests a message in the outbox, which tells its
workflow to ask again. What makes a task stale is exactly what would change the answer or leave none:
else it would be found for ever. Lines of managers are not among it: who was asked stays asked while
they are here, whoever else has a new manager since.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage import pools
from storage.pool import Connection, Source

BATCH = 2000
"""Requests told in one statement."""
FEW = 100
"""So many people and roles are looked for by index; more cost less when all open tasks are read."""


@dataclass(frozen=True, slots=True)
class Touched:
    """Whom a change of the directory was about: people by id, roles by name."""

    people: Sequence[str] = ()
    roles: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Swept:
    """How many open tasks were found stale, in how many requests."""

    requests: int = 0
    tasks: int = 0

    @property
    def more(self) -> bool:
        """Whether there may be more of them at once."""
        return self.requests >= BATCH


_ALL = "open AS NOT MATERIALIZED (SELECT * FROM tasks WHERE state = 'open')"

# Those that $2 people and $3 roles can have made stale. Somebody who is back matters to the tasks of
# their roles that others have only because everybody was away.
_TOUCHED = """
held AS MATERIALIZED (
    SELECT unnest($3::text[]) AS role UNION SELECT role FROM role_members WHERE person = ANY($2::text[])
), near AS (
    SELECT id FROM tasks WHERE state = 'open' AND people && $2::text[]
    UNION
    SELECT id FROM tasks WHERE state = 'open' AND holder IS NOT NULL AND asked_role = ANY($3::text[])
    UNION
    SELECT t.id FROM held JOIN tasks t ON t.asked_role = held.role
     WHERE t.state = 'open' AND t.holder IS NOT NULL AND t.holder <> t.assignee
    UNION
    SELECT k.task_id FROM task_candidates k
     WHERE k.principal = ANY(ARRAY(SELECT 'user:' || p FROM unnest($2::text[]) p
                                   UNION ALL SELECT 'role:' || role FROM held))
), open AS MATERIALIZED (SELECT t.* FROM near JOIN tasks t USING (id) WHERE t.state = 'open')"""

# Shared tasks without a candidate that surely has somebody: a look at each member is only for those.
_THIN = f"""
alive AS (
    SELECT 'role:' || role AS principal, count(*) AS people FROM members GROUP BY role
), thin AS MATERIALIZED (
    SELECT t.id, t.request_id, t.candidates, t.excluded, t.several, t.step, t.seat, t.added_by, t.round
      FROM (SELECT k.task_id, max(coalesce(a.people, 0)) AS people
              FROM task_candidates k LEFT JOIN alive a USING (principal) GROUP BY k.task_id) most
      JOIN open t ON t.id = most.task_id
     WHERE most.people <= 1 + cardinality(t.excluded) + CASE WHEN t.several OR {pools.ACCOMPANIED.format(task="t")} THEN
           2 * (SELECT count(*) FROM tasks a WHERE a.request_id = t.request_id AND a.step = t.step
                   AND a.state IN ('open', 'decided')) ELSE 0 END
)"""
_THIN_TOUCHED = """
thin AS MATERIALIZED (
    SELECT t.id, t.request_id, t.candidates, t.excluded, t.several, t.step, t.seat, t.added_by, t.round
      FROM open t WHERE t.candidates IS NOT NULL
)"""

# The scopes of delegations that cover a task, the most specific first. Null, where no role was asked,
# covers nothing.
_SCOPES = "ARRAY['workflow:' || r.workflow, 'role:' || t.asked_role, 'all']"

# A limit that is sealed (storage.asks) only its workflow can hold against somebody's: it is told whenever theirs
# have changed, or they are back, since the task was last looked at. (A task's own time is of another clock.)
_LOOKED = "coalesce(t.rechecked_at, t.opened_at - interval '1 minute')"
_CHANGED = """LATERAL (
        SELECT CASE WHEN t.ask->'limit' ? 'sealed' THEN (
               SELECT max(m.at) FROM (
                      SELECT unnest(ARRAY[lower(l.valid), upper(l.valid)]) AS at
                        FROM approval_limits l WHERE l.person = {person}
                      UNION ALL
                      SELECT lower(e) FROM people b, unnest(b.employed) e WHERE b.id = {person}) m
                WHERE m.at <= $1::timestamptz) END AS at OFFSET 0) changed"""

# Each kind of stale task with the moment since when it is so, as far as that is easily known.
#
# Who is gone is compared as a number, of which Postgres knows no statistics: it reckons with one in 200
# people. From those of before a thousand left it would reckon with nobody, and read every task a
# thousand times over.
_STALE = f"""
gone AS {{materialized}} (
    SELECT id, upper(employed * tstzmultirange(tstzrange(NULL, $1::timestamptz))) AS since
      FROM people WHERE (employed @> $1::timestamptz)::int = 0
), active AS {{materialized}} (
    SELECT delegator, scope, lower(valid) AS since FROM delegations WHERE valid @> $1::timestamptz
), members AS (
    SELECT m.role, m.person FROM role_members m JOIN people p ON p.id = m.person
     WHERE m.valid @> $1::timestamptz AND p.employed @> $1::timestamptz
), rested AS (  -- on which delegations, not counting what passed people over
    SELECT t.id, t.request_id, t.asked_role, d.delegator, d.scope, d.valid, d.ended_at
      FROM open t CROSS JOIN LATERAL unnest(t.delegations) AS u(id) JOIN delegations d ON d.id = u.id
     WHERE t.on_behalf_of IS NOT NULL
), passed AS (  -- hops of those whose chain passed somebody over
    SELECT t.id, t.request_id, t.asked_role, t.excluded, t.ask, t.chain, t.opened_at, t.rechecked_at, h.rule, h."user",
           d.id AS delegation, d.delegator, d.scope, d.valid, d.ended_at
      FROM open t CROSS JOIN LATERAL jsonb_to_recordset(t.chain) AS h(rule text, "user" text, delegation uuid)
      LEFT JOIN delegations d ON d.id = h.delegation
     WHERE t.passed_over
), rests AS (
    SELECT id, request_id, asked_role, delegator, scope, valid, ended_at FROM rested
    UNION ALL
    SELECT id, request_id, asked_role, delegator, scope, valid, ended_at FROM passed
     WHERE delegation IS NOT NULL
), {{thin}}, stale AS (
    -- One of its people has left.
    SELECT t.id, g.since FROM open t JOIN gone g ON g.id = t.assignee
    UNION ALL
    SELECT t.id, g.since FROM open t JOIN gone g ON g.id = t.on_behalf_of WHERE t.on_behalf_of IS NOT NULL
    UNION ALL
    SELECT t.id, g.since FROM open t CROSS JOIN LATERAL unnest(t.via) AS v(person)
      JOIN gone g ON g.id = v.person WHERE t.on_behalf_of IS NOT NULL
    UNION ALL
    -- So has somebody by whom it came to them, or it was a delegation of theirs that was not followed.
    SELECT t.id, g.since FROM passed t JOIN gone g ON g.id = t."user"
     WHERE t.rule = 'fixed' OR t.rule IN ('person', 'manager', 'delegation')
           AND NOT t.chain @> jsonb_build_array(jsonb_build_object('rule', 'below_limit', 'user', t."user"))
    UNION ALL
    -- A delegation that led to it is over: somebody is back.
    SELECT id, coalesce(ended_at, upper(valid)) FROM rests WHERE NOT valid @> $1::timestamptz
    UNION ALL
    -- Its assignee is away.
    SELECT t.id, d.since FROM active d JOIN open t ON t.assignee = d.delegator
      JOIN requests r ON r.id = t.request_id
     WHERE d.scope = ANY({_SCOPES})
    UNION ALL
    -- Somebody who delegated has a delegation that comes before the one followed.
    SELECT t.id, a.since FROM rests t JOIN active a ON a.delegator = t.delegator
      JOIN requests r ON r.id = t.request_id
     WHERE array_position({_SCOPES}, a.scope) < array_position({_SCOPES}, t.scope)
    UNION ALL
    -- Who had the role's turn does not hold it now.
    SELECT t.id, greatest((SELECT max(upper(m.valid)) FROM role_members m
                            WHERE m.role = t.asked_role AND m.person = t.holder AND upper(m.valid) <= $1::timestamptz),
                          (SELECT g.since FROM gone g WHERE g.id = t.holder))
      FROM open t LEFT JOIN members m ON m.role = t.asked_role AND m.person = t.holder
     WHERE t.holder IS NOT NULL AND m.person IS NULL
    UNION ALL
    -- They had it because everybody was away, or were not away then, and now another member is here.
    SELECT t.id, NULL FROM open t JOIN requests r ON r.id = t.request_id
     WHERE t.holder IS NOT NULL AND t.holder <> t.assignee
       AND EXISTS (SELECT 1 FROM active a WHERE a.delegator = t.holder AND a.scope = ANY({_SCOPES}))
       AND EXISTS (SELECT 1 FROM role_members m JOIN people p ON p.id = m.person
                    WHERE m.role = t.asked_role AND m.valid @> $1::timestamptz AND p.employed @> $1::timestamptz
                      AND m.person NOT IN (t.holder, r.requester) AND m.person <> ALL(t.excluded)
                      AND NOT EXISTS (SELECT 1 FROM delegations d
                                       WHERE d.delegator = m.person AND d.valid @> $1::timestamptz
                                         AND d.scope = ANY({_SCOPES})))
    UNION ALL
    -- Who was passed over because they had left is here; or has the approval limit they lacked.
    SELECT t.id, changed.at FROM passed t JOIN people p ON p.id = t."user", {_CHANGED.format(person="p.id")}
     WHERE t.rule IN ('has_left', 'below_limit') AND p.employed @> $1::timestamptz
       AND p.id <> ALL(t.excluded)
       AND (t.delegation IS NOT NULL OR jsonb_typeof(t.ask->'limit') IS DISTINCT FROM 'object'
            OR CASE WHEN t.ask->'limit' ? 'sealed' THEN changed.at > {_LOOKED}
                    ELSE may_approve(p.id, t.ask->'limit', $1::timestamptz) END)
    UNION ALL
    -- Who was fixed at submission had left, and is here.
    SELECT t.id, NULL FROM open t JOIN people p ON p.id = t.ask->>'fixed'
      JOIN requests r ON r.id = t.request_id
     WHERE t.fixed AND p.employed @> $1::timestamptz AND NOT t.chain @> jsonb_build_array(jsonb_build_object('rule', 'fixed'))
       AND p.id <> r.requester AND p.id <> ALL(t.excluded)
    UNION ALL
    -- Whose decision it is may not approve so much any more.
    SELECT t.id, changed.at FROM open t, {_CHANGED.format(person="coalesce(t.on_behalf_of, t.assignee)")}
     WHERE jsonb_typeof(t.ask->'limit') = 'object'
       AND CASE WHEN t.ask->'limit' ? 'sealed' THEN changed.at > {_LOOKED}
                ELSE NOT may_approve(coalesce(t.on_behalf_of, t.assignee), t.ask->'limit', $1::timestamptz) END
    UNION ALL
    -- Nobody is left who may decide a shared task.
    SELECT t.id, NULL FROM thin t JOIN requests r ON r.id = t.request_id
      CROSS JOIN LATERAL (SELECT {pools.BARRED.format(task="t", request="r")} AS barred OFFSET 0) n
     WHERE NOT EXISTS (
           SELECT 1 FROM unnest(t.candidates) AS c(principal) CROSS JOIN LATERAL (
                  SELECT substr(c.principal, 6) AS person WHERE c.principal LIKE 'user:%'
                  UNION ALL
                  SELECT m.person FROM role_members m
                   WHERE c.principal LIKE 'role:%' AND m.role = substr(c.principal, 6)
                     AND m.valid @> $1::timestamptz) h
             JOIN people p ON p.id = h.person AND p.employed @> $1::timestamptz
            WHERE p.id <> ALL(n.barred))
)"""

# A seat with an incident waits for people. A task that was told of already is told of again when
# something has changed since, or after five minutes, should the message have come to nothing.
# Rows that somebody else has locked are being decided, closed or told: they are left to the next
# sweep, so that a sweep never waits for a decision.
_TELL = """
due AS MATERIALIZED (
    SELECT t.id, t.request_id, s.since
      FROM (SELECT id, max(since) AS since FROM stale GROUP BY id) s
      JOIN tasks t USING (id) JOIN requests r ON r.id = t.request_id
     WHERE (t.rechecked_at IS NULL OR t.rechecked_at < s.since
            OR t.rechecked_at < $1::timestamptz - interval '5 minutes')
       AND r.finalized_at IS NULL
       AND (r.incidents = '[]'
            OR NOT r.incidents @> jsonb_build_array(jsonb_build_object('seat', t.seat)))
), batch AS (
    SELECT DISTINCT request_id FROM due ORDER BY request_id LIMIT {batch}
), mine AS MATERIALIZED (
    SELECT t.id FROM tasks t
     WHERE t.id = ANY(ARRAY(SELECT id FROM due JOIN batch USING (request_id)))
       AND t.state = 'open'
       -- Asked again of a row that another sweep marked meanwhile: that one told of it.
       AND (t.rechecked_at IS NULL OR t.rechecked_at < (SELECT max(since) FROM due)
            OR t.rechecked_at < $1::timestamptz - interval '5 minutes')
     ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED
), marked AS (
    UPDATE tasks t SET rechecked_at = $1 FROM mine WHERE t.id = mine.id RETURNING t.id, t.request_id
), told AS (
    INSERT INTO outbox (request_id, kind, message, due_at)
    SELECT request_id, 'signal',
           jsonb_build_object('kind', 'rechecked', 'at', audit_time($1),
                              'task_ids', jsonb_agg(id ORDER BY id)), greatest($1, now())
      FROM marked GROUP BY request_id
    RETURNING id
)
SELECT (SELECT count(*) FROM told) AS requests, (SELECT count(*) FROM marked) AS tasks
"""


def _statement(tasks: str, gone: str, thin: str) -> str:
    stale = _STALE.format(materialized=gone, thin=thin.strip()).strip()
    return f"WITH {tasks.strip()}, {stale}, {_TELL.format(batch=BATCH).strip()}"


SWEEP = _statement(_ALL, "MATERIALIZED", _THIN)
SWEEP_TOUCHED = _statement(_TOUCHED, "NOT MATERIALIZED", _THIN_TOUCHED)


async def sweep(source: Source) -> Swept:
    """Tell up to `BATCH` requests that tasks of theirs are stale. Any number may run at once."""
    at = await source.fetchval("SELECT clock_timestamp()")
    return await _run(source, SWEEP, at)


async def sweep_touched(connection: Connection, at: datetime, touched: Touched) -> Swept:
    """The same for what a change at `at` can have made stale, in the transaction that makes it.

    What is more than a batch is left to the next `sweep`.
    """
    if len(touched.people) + len(touched.roles) > FEW:
        return await _run(connection, SWEEP, at)
    return await _run(connection, SWEEP_TOUCHED, at, touched.people, touched.roles)


async def _run(source: Source, statement: str, at: datetime, *arguments: Sequence[str]) -> Swept:
    row = await source.fetchrow(statement, at, *arguments)
    assert row is not None
    return Swept(row["requests"], row["tasks"])
