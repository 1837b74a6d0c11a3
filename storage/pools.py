"""Who shares a task now: the members of its pool, and whoever decides for one of them by delegations.

Pieces of queries, so that the inbox, the decision and the lists of requests go by one rule. `stand_ins`
(migration 0003) follows delegations from a member on; here they are followed back from one person,
which for those who stand in for nobody is one look into an index.

The moment is the statement's, not its transaction's: that one may have waited for others, whom the
directory has lost meanwhile.
"""

# Whoever may have delegated to {person}, directly or through others: `behind(person)`. More than do
# decide by it: each is held against `stand_ins`.
BEHIND = """
up AS (
    SELECT d.delegator AS person, 1 AS depth FROM delegations d
     WHERE d.delegate = {person} AND d.valid @> statement_timestamp()
    UNION
    SELECT d.delegator, up.depth + 1 FROM up JOIN delegations d ON d.delegate = up.person
     WHERE d.valid @> statement_timestamp() AND up.depth < 5
), behind AS (SELECT DISTINCT person FROM up WHERE person <> {person})"""

# As what they can be in a pool: `principal`, `member`, and the `role` by which they are.
MEMBERSHIPS = """
memberships AS (
    SELECT 'user:' || b.person AS principal, b.person AS member, NULL::text AS role FROM behind b
    UNION ALL
    SELECT 'role:' || m.role, b.person, m.role
      FROM behind b JOIN role_members m ON m.person = b.person AND m.valid @> statement_timestamp()
)"""

# Whether somebody was added to the step of {task}.
ACCOMPANIED = """
EXISTS (SELECT FROM tasks x WHERE x.request_id = {task}.request_id AND x.step = {task}.step
                              AND x.added_by IS NOT NULL)"""

# Who decided another part of the step, or is asked for it, of a {task} whose step needs several people;
# or where one of the two was added.
# For a shared task also those on whose behalf. Somebody asked in person for two parts was allowed to be
# when they were assigned, so that there only what they decided themselves counts.
SEATED = f"""
(CASE WHEN {{task}}.several OR {ACCOMPANIED} THEN array_remove(ARRAY(
    SELECT unnest(CASE WHEN {{task}}.candidates IS NULL THEN ARRAY[e.actor]
                  ELSE ARRAY[a.assignee, a.on_behalf_of, e.actor, e.on_behalf_of] END)
      FROM tasks a LEFT JOIN decisions e ON e.task_id = a.id
     WHERE a.request_id = {{task}}.request_id AND a.step = {{task}}.step AND a.seat <> {{task}}.seat
       AND ({{task}}.several OR coalesce({{task}}.added_by, a.added_by) IS NOT NULL)
       AND a.round = {{task}}.round AND a.state IN ('open', 'decided')), NULL)
      ELSE ARRAY[]::text[] END)"""

# Who does not decide {task}, of the {request}, whoever they are.
BARRED = f"({{request}}.requester || {{task}}.excluded || {SEATED})"

# The first path of `stand_ins` that leads from a member of {task} to {person}: `member, role, path`.
STANDING_IN = f"""
SELECT m.member, m.role, m.path
  FROM (SELECT n.member, n.role,
               stand_ins(n.member, n.role, {{request}}.workflow, {BARRED}, statement_timestamp()) AS path
          FROM memberships n
         WHERE {{task}}.candidates IS NOT NULL AND n.principal = ANY({{task}}.candidates)) m
 WHERE m.path[cardinality(m.path)] = {{person}}
 ORDER BY m.member, m.role NULLS FIRST LIMIT 1"""

# Who alone decides {task}, if the claim on it binds now; of a closed one, who claimed it.
CLAIMED_BY = f"""
CASE WHEN {{task}}.claimed_by IS NOT NULL
      AND ({{task}}.state <> 'open'
           OR claim_binds({{task}}.claimed_by, {{task}}.candidates, {{request}}.workflow, {BARRED},
                          statement_timestamp()))
     THEN {{task}}.claimed_by END"""
