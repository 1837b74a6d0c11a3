-- Claims: one of those who share a task takes it, and decides it alone as long as the claim binds.

ALTER TABLE tasks
    ADD COLUMN claimed_by text,
    ADD COLUMN claimed_at timestamptz,
    ADD CONSTRAINT claimed_as_a_whole CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)),
    ADD CONSTRAINT only_shared_ones_are_claimed CHECK (claimed_by IS NULL OR candidates IS NOT NULL);

-- Whether `claimant` of a shared task still keeps the others from it: here, allowed to decide it (as one
-- of its candidates, or standing in for one) and not away for it. `never` may not decide it.
CREATE FUNCTION claim_binds(claimant text, candidates text[], workflow text, never text[], at timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH RECURSIVE up AS (
        SELECT d.delegator AS member, 1 AS depth FROM delegations d
         WHERE d.delegate = $1 AND d.valid @> $5
        UNION
        SELECT d.delegator, up.depth + 1 FROM up JOIN delegations d ON d.delegate = up.member
         WHERE d.valid @> $5 AND up.depth < 5
    ), ways AS (
        SELECT p.member, NULL::text AS role
          FROM (SELECT $1 AS member UNION SELECT up.member FROM up) p
         WHERE 'user:' || p.member = ANY($2)
        UNION ALL
        SELECT p.member, m.role
          FROM (SELECT $1 AS member UNION SELECT up.member FROM up) p
          JOIN role_members m ON m.person = p.member AND m.valid @> $5
         WHERE 'role:' || m.role = ANY($2)
    )
    SELECT $1 <> ALL($4)
           AND EXISTS (SELECT FROM people e WHERE e.id = $1 AND e.employed @> $5)
           AND EXISTS (
               SELECT FROM ways w
                WHERE CASE WHEN w.member = $1
                      THEN NOT EXISTS (SELECT FROM delegations d
                                        WHERE d.delegator = $1 AND d.valid @> $5
                                          AND (d.scope IN ('all', 'workflow:' || $3)
                                               OR d.scope = 'role:' || w.role))
                      ELSE (SELECT s.path[cardinality(s.path)]
                              FROM stand_ins(w.member, w.role, $3, $4, $5) AS s(path)) = $1
                      END)
$$;
