-- Privacy: data keys of requests, who may have them, and audit bodies that hold what people wrote as
-- ciphertext alone. What search needs of it in the clear is kept beside the audit, where it can be blanked.

-- -------------------------------------------------------------------------------------- keys ----
-- The data keys of a request, wrapped by a region key that the database never sees. `private` on the
-- shared one says that there is a confidential one; `fields` are the inputs under it, null for all that
-- people wrote. No foreign key to requests: the audit outlives them, and its bodies need the keys.
CREATE TABLE data_keys (
    request_id  uuid     NOT NULL,
    scope       text     NOT NULL CHECK (scope IN ('shared', 'confidential')),
    region      text     NOT NULL,
    wrapped     bytea    NOT NULL CHECK (octet_length(wrapped) = 61),
    private     boolean  NOT NULL DEFAULT false,
    fields      text[],
    PRIMARY KEY (request_id, scope),
    CONSTRAINT the_shared_one_tells CHECK (scope = 'shared' OR (NOT private AND fields IS NULL)),
    CONSTRAINT fields_of_what_is_private CHECK (fields IS NULL OR (private AND fields <> '{}'))
);
CREATE INDEX data_keys_by_region ON data_keys (region);

-- Whether somebody may read what is confidential of a request: its requester; who was asked to decide it, or
-- decided; who shares an open task of it now, also by delegations; in a state machine whoever fired an action, or is
-- named by one; and the roles that its recipe names, of the directory or (admin, auditor) of the token.
CREATE FUNCTION is_entitled(about uuid, reader text, token_roles text[]) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
WITH RECURSIVE up AS (
    SELECT d.delegator AS person, 1 AS depth FROM delegations d
     WHERE d.delegate = reader AND d.valid @> statement_timestamp()
    UNION
    SELECT d.delegator, up.depth + 1 FROM up JOIN delegations d ON d.delegate = up.person
     WHERE d.valid @> statement_timestamp() AND up.depth < 5
), held AS (
    SELECT m.role FROM role_members m JOIN people e ON e.id = m.person
     WHERE m.person = reader AND m.valid @> now() AND e.employed @> now()
), memberships AS (
    SELECT 'user:' || b.person AS principal, b.person AS member, NULL::text AS role FROM up b
    UNION
    SELECT 'role:' || m.role, b.person, m.role
      FROM up b JOIN role_members m ON m.person = b.person AND m.valid @> statement_timestamp()
), named AS (
    SELECT unnest(ARRAY['user:' || reader, reader]) AS name
    UNION SELECT unnest(ARRAY['role:' || role, role]) FROM held
)
SELECT EXISTS (
    SELECT FROM requests r JOIN recipes p ON p.workflow = r.workflow AND p.version = r.version
     WHERE r.id = about AND (
           r.requester = reader
        OR EXISTS (SELECT FROM tasks t WHERE t.request_id = r.id AND t.assignee = reader)
        OR EXISTS (SELECT FROM decisions d WHERE d.request_id = r.id AND d.actor = reader)
        OR EXISTS (SELECT FROM commands f WHERE f.request_id = r.id AND f.actor = reader AND f.command = 'fire'
                      AND f.applied)
        OR EXISTS (SELECT FROM jsonb_array_elements_text(p.recipe #> '{confidential,visible_to}') v(role)
                    WHERE CASE WHEN v.role LIKE 'role:%' THEN substr(v.role, 6) ELSE v.role END
                          IN (SELECT role FROM held)
                       OR v.role = ANY(token_roles))
        OR EXISTS (SELECT FROM tasks t JOIN task_candidates c ON c.task_id = t.id
                    WHERE t.request_id = r.id AND t.state = 'open'
                      AND c.principal IN (SELECT 'user:' || reader UNION ALL SELECT 'role:' || role FROM held))
        OR EXISTS (SELECT FROM tasks t JOIN task_candidates c ON c.task_id = t.id JOIN memberships n USING (principal),
                          LATERAL stand_ins(n.member, n.role, r.workflow, '{}', statement_timestamp()) AS path
                    WHERE t.request_id = r.id AND t.state = 'open' AND path[cardinality(path)] = reader)
        OR (p.recipe->>'kind' = 'state_machine' AND r.finalized_at IS NULL AND EXISTS (
              SELECT FROM jsonb_array_elements(p.recipe->'machine'->'actions') a,
                          jsonb_array_elements_text(a->'who') w(who)
               WHERE replace(w.who, ' ', '') IN (SELECT name FROM named)
                  OR (w.who LIKE '%employee.manager%' AND EXISTS (
                       SELECT FROM manager_lines l WHERE l.person = r.requester AND l.manager = reader
                                                     AND l.valid @> statement_timestamp()))))))
$$;

-- The second wall: whatever a query asks for, a confidential key comes to nobody who is not entitled to it.
ALTER TABLE data_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON data_keys FOR SELECT TO countersign_app USING (
    scope = 'shared'
    OR is_entitled(request_id, current_setting('countersign.reader', true),
                   string_to_array(current_setting('countersign.roles', true), ',')));
CREATE POLICY makers ON data_keys FOR INSERT TO countersign_app WITH CHECK (true);

-- The keys of requests as far as a reader may have them. Who reads is said for this transaction alone.
CREATE FUNCTION reading_keys(reader text, token_roles text[], ids uuid[]) RETURNS SETOF data_keys
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM set_config('countersign.reader', reader, true),
            set_config('countersign.roles', array_to_string(token_roles, ','), true);
    RETURN QUERY SELECT * FROM public.data_keys k WHERE k.request_id = ANY(ids);
    PERFORM set_config('countersign.reader', '', true), set_config('countersign.roles', '', true);
END $$;

-- The keys of requests for those who carry them out, and write: nobody reads what comes of it.
CREATE FUNCTION writing_keys(ids uuid[]) RETURNS SETOF data_keys
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM public.data_keys k WHERE k.request_id = ANY(ids) $$;

-- Keys that are not wrapped by this region key yet, and another wrapping of one.
CREATE FUNCTION keys_of_other_regions(now_region text, most int) RETURNS SETOF data_keys
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM public.data_keys WHERE region <> now_region ORDER BY request_id LIMIT most $$;
CREATE FUNCTION rewrap_key(about uuid, p_scope text, was bytea, p_region text, p_wrapped bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.data_keys SET region = p_region, wrapped = p_wrapped
     WHERE request_id = about AND scope = p_scope AND wrapped = was;
    RETURN FOUND;
END $$;

-- ----------------------------------------------------------------------------- what is found ----
-- What an event says in words, for search: of a row of the audit, beside it. Where all of its request is
-- confidential, only a box of it.
CREATE TABLE audit_words (
    request_id  uuid  NOT NULL,
    seq         int   NOT NULL CHECK (seq > 0),
    words       tsvector,
    sealed      bytea,
    PRIMARY KEY (request_id, seq),
    CONSTRAINT words_or_a_box CHECK ((words IS NULL) <> (sealed IS NULL))
);
CREATE INDEX audit_words_by_words ON audit_words USING gin (words) WHERE words IS NOT NULL;

INSERT INTO audit_words (request_id, seq, words)
SELECT request_id, seq, audit_said(payload) FROM audit WHERE audit_said(payload) IS NOT NULL;

DROP INDEX audit_by_words;
DROP FUNCTION audit_said;

-- What is confidential of title and inputs is in a box alone.
ALTER TABLE audit_subjects ADD COLUMN sealed bytea;
CREATE INDEX audit_subjects_sealed ON audit_subjects (request_id) WHERE sealed IS NOT NULL;

DROP TRIGGER audit_subjects_told ON audit;
DROP FUNCTION audit_tells_subject;

-- As before (migration 0001), and what is to be found of the row: {"subject": {...}, "said": text, "box": base64}.
DROP FUNCTION audit_append;
CREATE FUNCTION audit_append(
    p_event_id uuid, p_occurred_at timestamptz, p_request_id uuid, p_workflow_id text,
    p_workflow_version int, p_event_type text, p_actor text, p_payload text, p_snapshot text,
    p_found jsonb DEFAULT NULL
) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    head      public.audit_heads;
    moment    timestamptz := clock_timestamp();
    body      bytea;
    new_hash  bytea;
BEGIN
    IF p_workflow_id !~ '^[a-z][a-z0-9_]*$' OR p_event_type !~ '^[a-z_]+[.][a-z_]+$' THEN
        RAISE EXCEPTION 'audit_append: % % is not a name', p_workflow_id, p_event_type
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- With the casts to jsonb below: JSON that begins with one brace and ends with the other.
    IF (p_actor LIKE '{%}' AND p_payload LIKE '{%}' AND p_snapshot LIKE '{%}') IS NOT TRUE THEN
        RAISE EXCEPTION 'audit_append: actor, payload and snapshot are objects, with nothing around them'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO public.audit_heads VALUES (p_request_id, 0, decode(repeat('00', 32), 'hex'))
        ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM public.audit_heads h WHERE h.request_id = p_request_id FOR UPDATE;
    body := convert_to(
        '{"actor":' || p_actor
        || ',"event_id":"' || p_event_id
        || '","event_type":"' || p_event_type
        || '","occurred_at":"' || public.audit_time(p_occurred_at)
        || '","payload":' || p_payload
        || ',"recorded_at":"' || public.audit_time(moment)
        || '","request_id":"' || p_request_id
        || '","seq":' || head.seq + 1
        || ',"snapshot":' || p_snapshot
        || ',"workflow_id":"' || p_workflow_id
        || '","workflow_version":' || p_workflow_version || '}', 'UTF8');
    new_hash := sha256('\x00'::bytea || head.hash || body);
    INSERT INTO public.audit (event_id, occurred_at, recorded_at, request_id, seq, workflow_id,
        workflow_version, event_type, actor, payload, snapshot, body, prev_hash, hash)
    VALUES (p_event_id, p_occurred_at, moment, p_request_id, head.seq + 1, p_workflow_id,
        p_workflow_version, p_event_type, p_actor::jsonb, p_payload::jsonb, p_snapshot::jsonb,
        body, head.hash, new_hash);
    UPDATE public.audit_heads h SET seq = head.seq + 1, hash = new_hash
        WHERE h.request_id = p_request_id;
    IF p_found ? 'subject' THEN
        INSERT INTO public.audit_subjects (request_id, seq, requester, title, inputs, entity_type, entity_id, sealed)
        SELECT p_request_id, head.seq + 1,
               coalesce(p_found#>>'{subject,requester}', s.requester),
               coalesce(p_found#>>'{subject,title}', s.title), p_found#>'{subject,inputs}',
               coalesce(p_found#>>'{subject,entity,type}', s.entity_type),
               coalesce(p_found#>>'{subject,entity,id}', s.entity_id),
               decode(p_found#>>'{subject,box}', 'base64')
          FROM (SELECT) one LEFT JOIN LATERAL (
               SELECT * FROM public.audit_subjects e WHERE e.request_id = p_request_id
                ORDER BY e.seq DESC LIMIT 1) s ON true;
    END IF;
    IF p_found ? 'said' THEN
        INSERT INTO public.audit_words (request_id, seq, words)
        VALUES (p_request_id, head.seq + 1,
                to_tsvector('simple'::regconfig, left(p_found->>'said', 200000)));
    ELSIF p_found ? 'box' THEN
        INSERT INTO public.audit_words (request_id, seq, sealed)
        VALUES (p_request_id, head.seq + 1, decode(p_found->>'box', 'base64'));
    END IF;
    RETURN head.seq + 1;
END $$;

-- As before (migration 0020), and what its events say in words.
CREATE OR REPLACE FUNCTION audit_expire_month(p_month date, p_years int) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (p_years BETWEEN 1 AND 1000) IS NOT TRUE THEN
        RAISE EXCEPTION 'audit_expire_month: % years are not between 1 and 1000', p_years
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Whoever sets a hold now waits, or is seen.
    LOCK TABLE public.audit_holds IN SHARE MODE;
    UPDATE public.audit_months SET state = 'expired', expired_at = clock_timestamp()
     WHERE month = p_month AND state = 'cold'
       AND (p_month + interval '1 month' + make_interval(years => p_years))::timestamp AT TIME ZONE 'UTC' <= now()
       AND NOT EXISTS (SELECT FROM public.audit_held(p_month));
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM public.audit_subjects s
     WHERE EXISTS (SELECT FROM public.audit_leaves l WHERE l.request_id = s.request_id
                      AND l.recorded_at >= p_month::timestamp AT TIME ZONE 'UTC'
                      AND l.recorded_at < (p_month + interval '1 month')::timestamp AT TIME ZONE 'UTC')
       AND NOT EXISTS (SELECT FROM public.audit a WHERE a.request_id = s.request_id)
       AND NOT EXISTS (SELECT FROM public.audit_leaves l
                         JOIN public.audit_months m
                           ON l.recorded_at >= m.month::timestamp AT TIME ZONE 'UTC'
                          AND l.recorded_at < (m.month + interval '1 month')::timestamp AT TIME ZONE 'UTC'
                        WHERE l.request_id = s.request_id AND m.state NOT IN ('expired', 'deleted'));
    DELETE FROM public.audit_words s
     WHERE EXISTS (SELECT FROM public.audit_leaves l WHERE l.request_id = s.request_id
                      AND l.recorded_at >= p_month::timestamp AT TIME ZONE 'UTC'
                      AND l.recorded_at < (p_month + interval '1 month')::timestamp AT TIME ZONE 'UTC')
       AND NOT EXISTS (SELECT FROM public.audit a WHERE a.request_id = s.request_id)
       AND NOT EXISTS (SELECT FROM public.audit_leaves l
                         JOIN public.audit_months m
                           ON l.recorded_at >= m.month::timestamp AT TIME ZONE 'UTC'
                          AND l.recorded_at < (m.month + interval '1 month')::timestamp AT TIME ZONE 'UTC'
                        WHERE l.request_id = s.request_id AND m.state NOT IN ('expired', 'deleted'));
    RETURN true;
END $$;

-- ------------------------------------------------------------------------------- permissions ----

REVOKE ALL ON FUNCTION audit_append, writing_keys, keys_of_other_regions, rewrap_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_append, writing_keys, keys_of_other_regions, rewrap_key TO countersign_app;
GRANT SELECT, INSERT ON data_keys TO countersign_app;
GRANT SELECT ON audit_words TO countersign_app;
