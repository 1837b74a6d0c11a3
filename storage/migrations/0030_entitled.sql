-- Who may read what is confidential, said in one place, for one reader at a time: whatever depends on the reader
-- alone is asked once for all requests. In place of `is_entitled` (migration 0024), which began anew with each.

CREATE INDEX recipes_confidential ON recipes (workflow, version)
    WHERE jsonb_typeof(recipe->'confidential') = 'object';
CREATE INDEX tasks_delegated ON tasks (on_behalf_of, request_id) WHERE on_behalf_of IS NOT NULL;

-- The requests of which somebody may read what is confidential: their own; as long as they are employed (`me`) those
-- that they were asked to decide, or somebody on their behalf, or that they decided; those of which they share an
-- open task, also by delegations; of state machines those of which they fired an action, and open ones of which
-- they may fire one, also by delegations (publication refuses a `who` that cannot be judged here, see
-- `recipes.confidential`); and those whose recipes name a role of theirs, of the directory or (admin, auditor) of
-- the token.
-- Without a search_path of its own, so that it becomes part of what asks it: whoever asks for a few requests, or
-- those of a workflow, has each part look for these alone. Requests of which nothing is confidential may be among
-- them, and some may be there twice.
CREATE FUNCTION entitled(reader text, token_roles text[]) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
WITH RECURSIVE me AS (
    SELECT p.id FROM people p WHERE p.id = reader AND p.employed @> statement_timestamp()
), held AS (
    SELECT m.role FROM me JOIN role_members m ON m.person = me.id AND m.valid @> statement_timestamp()
), up AS (
    SELECT d.delegator AS person, 1 AS depth FROM me JOIN delegations d ON d.delegate = me.id
     WHERE d.valid @> statement_timestamp()
    UNION
    SELECT d.delegator, up.depth + 1 FROM up JOIN delegations d ON d.delegate = up.person
     WHERE d.valid @> statement_timestamp() AND up.depth < 5
), memberships AS (
    SELECT 'user:' || b.person AS principal, b.person AS member, NULL::text AS role FROM up b WHERE b.person <> reader
    UNION
    SELECT 'role:' || m.role, b.person, m.role
      FROM up b JOIN role_members m ON m.person = b.person AND m.valid @> statement_timestamp()
     WHERE b.person <> reader
), shown AS (
    SELECT p.workflow, p.version FROM recipes p
     WHERE jsonb_typeof(p.recipe->'confidential') = 'object'
       AND EXISTS (SELECT FROM jsonb_array_elements_text(p.recipe #> '{confidential,visible_to}') v(role)
                    WHERE v.role = ANY(token_roles) OR v.role IN (SELECT role FROM held))
), named AS (
    SELECT DISTINCT p.workflow, p.version,
           CASE WHEN w.who LIKE 'user:%' OR w.who LIKE 'role:%' OR w.who LIKE '{{%' THEN w.who
                WHEN EXISTS (SELECT FROM roles o WHERE o.name = w.who) THEN 'role:' || w.who
                ELSE 'user:' || w.who END AS who
      FROM recipes p, jsonb_array_elements(p.recipe #> '{machine,actions}') a,
           jsonb_array_elements_text(a->'who') t(who), regexp_replace(t.who, '\s', '', 'g') w(who)
     WHERE jsonb_typeof(p.recipe->'confidential') = 'object' AND p.recipe->>'kind' = 'state_machine'
), capacities AS (
    SELECT 'user:' || id AS principal, NULL::text AS workflow FROM me
    UNION ALL
    SELECT 'role:' || role, NULL FROM held
    UNION ALL
    SELECT n.principal, w.workflow
      FROM memberships n CROSS JOIN (SELECT DISTINCT workflow FROM named) w,
           LATERAL stand_ins(n.member, n.role, w.workflow, '{}', statement_timestamp()) AS path
     WHERE path[cardinality(path)] = reader
)
SELECT r.id FROM requests r WHERE r.requester = reader
UNION ALL
SELECT t.request_id FROM me JOIN tasks t ON t.assignee = me.id AND t.state = 'open'
UNION ALL
SELECT t.request_id FROM me JOIN tasks t ON t.assignee = me.id AND t.state <> 'open'
UNION ALL
SELECT t.request_id FROM me JOIN tasks t ON t.on_behalf_of = me.id
UNION ALL
SELECT d.request_id FROM me JOIN decisions d ON d.actor = me.id
UNION ALL
SELECT f.request_id FROM me JOIN commands f ON f.actor = me.id AND f.command = 'fire' AND f.applied
UNION ALL
SELECT t.request_id
  FROM (SELECT 'user:' || id AS principal FROM me UNION ALL SELECT 'role:' || role FROM held) n
  JOIN task_candidates c USING (principal) JOIN tasks t ON t.id = c.task_id AND t.state = 'open'
UNION ALL
SELECT t.request_id
  FROM memberships n JOIN task_candidates c USING (principal) JOIN tasks t ON t.id = c.task_id AND t.state = 'open'
  JOIN requests r ON r.id = t.request_id,
       LATERAL stand_ins(n.member, n.role, r.workflow, '{}', statement_timestamp()) AS path
 WHERE path[cardinality(path)] = reader
UNION ALL
SELECT r.id FROM shown p JOIN requests r ON r.workflow = p.workflow AND r.version = p.version
UNION ALL
SELECT r.id
  FROM named n JOIN requests r ON r.workflow = n.workflow AND r.version = n.version AND r.finalized_at IS NULL
  LEFT JOIN manager_lines l ON n.who = '{{employee.manager}}' AND l.person = r.requester
                           AND l.valid @> statement_timestamp()
  JOIN capacities c
    ON c.principal = CASE n.who WHEN '{{employee.manager}}' THEN 'user:' || l.manager
                                WHEN 'user:{{request.requester}}' THEN 'user:' || r.requester
                                ELSE n.who END
   AND (c.workflow IS NULL OR c.workflow = r.workflow)
$$;

-- Those of some requests, whatever tables whoever asks has made under the names of ours.
CREATE FUNCTION entitled_among(reader text, token_roles text[], ids uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT e.id FROM entitled(reader, token_roles) AS e(id) WHERE e.id = ANY(ids) $$;

-- The second wall, as before. It judges by itself, once for all rows of a statement; which requests it is asked
-- about only spares it the others: a confidential key of none else is shown.
DROP POLICY readers ON data_keys;
CREATE POLICY readers ON data_keys FOR SELECT TO countersign_app USING (
    scope = 'shared'
    OR request_id IN (SELECT entitled_among(
           current_setting('countersign.reader', true),
           string_to_array(current_setting('countersign.roles', true), ','),
           nullif(current_setting('countersign.requests', true), '')::uuid[])));
DROP FUNCTION is_entitled;

CREATE OR REPLACE FUNCTION reading_keys(reader text, token_roles text[], ids uuid[]) RETURNS SETOF data_keys
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM set_config('countersign.reader', reader, true),
            set_config('countersign.roles', array_to_string(token_roles, ','), true),
            set_config('countersign.requests', ids::text, true);
    RETURN QUERY SELECT * FROM public.data_keys k WHERE k.request_id = ANY(ids);
    PERFORM set_config('countersign.reader', '', true), set_config('countersign.roles', '', true),
            set_config('countersign.requests', '', true);
END $$;
