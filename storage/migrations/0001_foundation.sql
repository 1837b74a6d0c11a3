-- Countersign's tables. Forward only: a later change is a later file.
--
-- Three roles: countersign_owner owns everything and never logs in; countersign_migrator may become
-- it; countersign_app serves requests, cannot change the schema and can only append to the audit.
-- The runner executes this file as countersign_owner, in one transaction.

-- ---------------------------------------------------------------------------------- recipes ----

CREATE TABLE recipes (
    workflow      text        NOT NULL CHECK (workflow ~ '^[a-z][a-z0-9_]{0,62}$'),
    version       int         NOT NULL CHECK (version > 0),
    sha256        text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    source        text        NOT NULL,
    recipe        jsonb       NOT NULL,
    published_at  timestamptz NOT NULL DEFAULT now(),
    published_by  text        NOT NULL,
    PRIMARY KEY (workflow, version)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER recipes_are_immutable BEFORE UPDATE OR DELETE ON recipes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER recipes_are_kept BEFORE TRUNCATE ON recipes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE recipes ENABLE ALWAYS TRIGGER recipes_are_immutable;
ALTER TABLE recipes ENABLE ALWAYS TRIGGER recipes_are_kept;

-- The kill switch is beside the recipe, so that a recipe itself never changes.
CREATE TABLE recipe_switches (
    workflow     text        NOT NULL,
    version      int         NOT NULL,
    disabled_at  timestamptz NOT NULL DEFAULT now(),
    disabled_by  text        NOT NULL,
    reason       text        NOT NULL,
    PRIMARY KEY (workflow, version),
    FOREIGN KEY (workflow, version) REFERENCES recipes
);

-- ---------------------------------------------------------------------------- organisation ----
-- Every fact has the interval in which it is so: [from, until), UTC instants, open end = still so.
-- btree_gist is not everywhere, so "same person" is said as overlap of one-point integer ranges.

CREATE FUNCTION key_range(key text) RETURNS int8range LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN int8range(hashtextextended(key, 0), hashtextextended(key, 0), '[]');

CREATE TABLE people (
    id       text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$'),
    name     text NOT NULL,
    email    text,
    attributes jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
    employed tstzrange NOT NULL DEFAULT tstzrange(now(), NULL)
             CHECK (NOT isempty(employed) AND lower_inc(employed) AND lower(employed) IS NOT NULL)
);

CREATE TABLE manager_lines (
    person   text NOT NULL REFERENCES people,
    manager  text NOT NULL REFERENCES people,
    valid    tstzrange NOT NULL CHECK (NOT isempty(valid) AND lower(valid) IS NOT NULL),
    CHECK (person <> manager),
    EXCLUDE USING gist (key_range(person) WITH &&, valid WITH &&)
);
CREATE INDEX manager_lines_by_person ON manager_lines (person);
CREATE INDEX manager_lines_by_manager ON manager_lines (manager);

CREATE TABLE roles (
    name         text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
    description  text,
    turn         bigint NOT NULL DEFAULT 0  -- round robin: how many times a member was picked
);

CREATE TABLE role_members (
    role     text NOT NULL REFERENCES roles,
    person   text NOT NULL REFERENCES people,
    valid    tstzrange NOT NULL CHECK (NOT isempty(valid) AND lower(valid) IS NOT NULL),
    EXCLUDE USING gist (key_range(role) WITH &&, key_range(person) WITH &&, valid WITH &&)
);
CREATE INDEX role_members_by_role ON role_members (role);
CREATE INDEX role_members_by_person ON role_members (person);

-- --------------------------------------------------------------------- requests and tasks ----

CREATE TABLE requests (
    id            uuid PRIMARY KEY,
    workflow      text        NOT NULL,
    version       int         NOT NULL,
    requester     text        NOT NULL,
    title         text        NOT NULL,
    inputs        jsonb       NOT NULL CHECK (jsonb_typeof(inputs) = 'object'),
    digest        text        NOT NULL,
    state         text        NOT NULL DEFAULT 'created' CHECK (state IN
                  ('created','pending','rewound','approved','rejected','cancelled','expired')),
    step          text,                 -- where it is; null before the first and after the last
    incidents     jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(incidents) = 'array'),
    reason        text,                 -- why it ended
    deadline_at   timestamptz,
    seq           int         NOT NULL DEFAULT 0,   -- the last transition carried out
    created_at    timestamptz NOT NULL DEFAULT now(),
    finalized_at  timestamptz,
    FOREIGN KEY (workflow, version) REFERENCES recipes,
    CONSTRAINT finalized_exactly_when_final CHECK (
        (finalized_at IS NOT NULL) = (state IN ('approved','rejected','cancelled','expired'))),
    CONSTRAINT final_has_no_step CHECK (finalized_at IS NULL OR step IS NULL),
    CONSTRAINT final_has_no_incident CHECK (finalized_at IS NULL OR incidents = '[]')
);
CREATE INDEX requests_by_requester ON requests (requester, created_at DESC, id DESC);
CREATE INDEX requests_by_workflow ON requests (workflow, created_at DESC, id DESC);
CREATE INDEX requests_newest ON requests (created_at DESC, id DESC);
CREATE INDEX requests_open ON requests (created_at DESC, id DESC) WHERE finalized_at IS NULL;
-- Submitted, not yet taken up by a worker: what admission looks at.
CREATE INDEX requests_not_begun ON requests (id) WHERE seq = 0;
CREATE INDEX requests_in_need ON requests (created_at DESC, id DESC) WHERE incidents <> '[]';

-- Each transition of a request as it was carried out: what befell, when, and what the directory
-- answered. An attempt whose result was lost finds here what it did; a workflow that lost its history
-- finds its way back to the present. Forgotten some days after the request ended.
CREATE TABLE commits (
    request_id  uuid  NOT NULL REFERENCES requests,
    seq         int   NOT NULL CHECK (seq > 0),
    committed   jsonb NOT NULL,                     -- contract.messages.Committed
    PRIMARY KEY (request_id, seq)
);

CREATE FUNCTION a_final_state_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.finalized_at IS NOT NULL AND (NEW.state, NEW.finalized_at) IS DISTINCT FROM (OLD.state, OLD.finalized_at) THEN
        RAISE EXCEPTION 'request % is % and stays so', OLD.id, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER requests_final BEFORE UPDATE OF state, finalized_at ON requests
    FOR EACH ROW EXECUTE FUNCTION a_final_state_is_final();

CREATE TABLE tasks (
    id               uuid PRIMARY KEY,
    request_id       uuid        NOT NULL REFERENCES requests,
    step             text        NOT NULL,
    branch           text,
    seat             text        NOT NULL,
    assignee         text,                       -- one person,
    candidates       text[],                     -- or the principals (user:x, role:y) sharing it
    role             text,                       -- the role by which the assignee was picked
    on_behalf_of     text,
    via              text[]      NOT NULL DEFAULT '{}',
    chain            jsonb       NOT NULL DEFAULT '[]',
    level            int         NOT NULL DEFAULT 0,
    require_comment  text[]      NOT NULL DEFAULT '{}',
    digest           text        NOT NULL,
    state            text        NOT NULL DEFAULT 'open' CHECK (state IN
                     ('open','decided','expired','superseded','cancelled','reassigned')),
    opened_at        timestamptz NOT NULL,
    due_at           timestamptz,
    reminded_at      timestamptz,
    closed_at        timestamptz,
    CONSTRAINT closed_exactly_when_not_open CHECK ((closed_at IS NULL) = (state = 'open')),
    CONSTRAINT one_person_or_a_pool CHECK ((assignee IS NULL) <> (candidates IS NULL)),
    CONSTRAINT a_pool_is_not_empty CHECK (candidates <> '{}')
);
-- The inbox: open tasks of a person, soonest due first; undated ones last.
CREATE INDEX tasks_inbox ON tasks (assignee, (coalesce(due_at, 'infinity')), id) WHERE state = 'open';
CREATE INDEX tasks_by_assignee_closed ON tasks (assignee, closed_at DESC, id) WHERE state <> 'open';
CREATE INDEX tasks_by_request ON tasks (request_id, opened_at, id);
-- One seat is held by one open task.
CREATE UNIQUE INDEX tasks_one_open_per_seat ON tasks (request_id, seat) WHERE state = 'open';

-- Who shares an open task; emptied when it closes (tasks.candidates keeps the record).
CREATE TABLE task_candidates (
    principal  text NOT NULL,
    due        timestamptz NOT NULL,    -- coalesce(due_at, 'infinity'), so that the inbox sorts here
    task_id    uuid NOT NULL REFERENCES tasks,
    PRIMARY KEY (principal, due, task_id)
);
CREATE INDEX task_candidates_by_task ON task_candidates (task_id);

CREATE TABLE decisions (
    id            uuid PRIMARY KEY,
    task_id       uuid        NOT NULL UNIQUE REFERENCES tasks,   -- the backstop: one per task
    request_id    uuid        NOT NULL REFERENCES requests,
    decision      text        NOT NULL CHECK (decision IN ('approve','reject')),
    actor         text        NOT NULL,
    role          text,
    on_behalf_of  text,
    via           text[]      NOT NULL DEFAULT '{}',
    comment       text,
    reason        text,
    decided_at    timestamptz NOT NULL
);
CREATE INDEX decisions_by_request ON decisions (request_id, decided_at);
CREATE INDEX decisions_by_actor ON decisions (actor, decided_at DESC, task_id);

CREATE TABLE commands (
    id          uuid PRIMARY KEY,
    request_id  uuid        NOT NULL REFERENCES requests,
    command     text        NOT NULL CHECK (command IN ('cancel','retry')),
    actor       text        NOT NULL,
    comment     text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    applied     boolean,                -- null: not settled yet
    detail      text,
    settled_at  timestamptz,
    CONSTRAINT settled_as_a_whole CHECK ((applied IS NULL) = (settled_at IS NULL))
);
CREATE INDEX commands_unsettled ON commands (request_id) WHERE settled_at IS NULL;

-- --------------------------------------------------------------------------- ways in and out ----

CREATE TABLE idempotency_keys (
    actor        text        NOT NULL,
    key          text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint  text        NOT NULL,          -- SHA-256 of method, path and body
    request_id   uuid        NOT NULL,          -- what it made; the answer is read from there
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);
-- Old keys are forgotten. They stand in the order of their making: a few pages say where to look.
CREATE INDEX idempotency_keys_by_time ON idempotency_keys USING brin (created_at);

-- What Temporal must still hear. A row is deleted when it was told; order is by id per request.
-- Never polled by "id > last": taken with FOR UPDATE SKIP LOCKED.
CREATE TABLE outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id    uuid        NOT NULL,
    kind          text        NOT NULL CHECK (kind IN ('start','signal')),
    message       jsonb,                        -- contract.messages.Message, for a signal
    created_at    timestamptz NOT NULL DEFAULT now(),
    due_at        timestamptz NOT NULL,         -- not before; leaves the writer time to tell it itself
    attempts      int         NOT NULL DEFAULT 0,
    last_error    text,
    CONSTRAINT a_signal_says_something CHECK ((kind = 'signal') = (message IS NOT NULL))
);
CREATE INDEX outbox_due ON outbox (due_at);
CREATE INDEX outbox_by_request ON outbox (request_id);

-- -------------------------------------------------------------------------------------- audit ----
-- Append-only, through audit_append alone. No foreign key to requests: the audit outlives them.
-- Months are partitions; audit_prepare_months makes them ahead of time, and the default partition
-- catches what should never happen (an alarm looks there).

CREATE TABLE audit (
    event_id          uuid        NOT NULL,
    occurred_at       timestamptz NOT NULL,
    recorded_at       timestamptz NOT NULL,
    request_id        uuid        NOT NULL,
    seq               int         NOT NULL CHECK (seq > 0),
    workflow_id       text        NOT NULL,
    workflow_version  int         NOT NULL,
    event_type        text        NOT NULL,
    actor             jsonb       NOT NULL,
    payload           jsonb       NOT NULL,
    snapshot          jsonb       NOT NULL,
    body              bytea       NOT NULL,
    prev_hash         bytea       NOT NULL CHECK (octet_length(prev_hash) = 32),
    hash              bytea       NOT NULL CHECK (hash = sha256('\x00'::bytea || prev_hash || body)),
    xid               xid8        NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (request_id, seq, recorded_at)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX audit_by_workflow ON audit (workflow_id, occurred_at);
CREATE INDEX audit_by_time ON audit (occurred_at);
CREATE TABLE audit_rest PARTITION OF audit DEFAULT;

-- The head of each request's chain. Its row lock is what orders the chain; there is no global lock.
CREATE TABLE audit_heads (
    request_id  uuid PRIMARY KEY,
    seq         int   NOT NULL,
    hash        bytea NOT NULL CHECK (octet_length(hash) = 32)
);

CREATE FUNCTION audit_protect(partition regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER audit_rows BEFORE UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION refuse_change()', partition);
    EXECUTE format('CREATE TRIGGER audit_truncate BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', partition);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER audit_rows', partition);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER audit_truncate', partition);
END $$;
CREATE TRIGGER audit_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_truncate;
SELECT audit_protect('audit_rest');

-- Partitions from this month to `ahead` months from now. Safe to call at any time, by anybody.
-- A month of which rows are in audit_rest already cannot have a partition any more: its rows stay
-- there, where they are as good as anywhere, and the months after it are made all the same. A lock
-- is waited for 5 s, since whoever reads the audit waits behind us; the next call tries again.
CREATE FUNCTION audit_prepare_months(ahead int DEFAULT 3) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    month date;
    name  text;
BEGIN
    IF (ahead BETWEEN 0 AND 24) IS NOT TRUE THEN
        RAISE EXCEPTION 'audit_prepare_months: % is not between 0 and 24', ahead
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('audit_prepare_months'));
    FOR i IN 0..ahead LOOP
        month := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i))::date;
        name := 'audit_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE TABLE public.%I PARTITION OF public.audit FOR VALUES FROM (%L) TO (%L)',
                name, month::timestamp AT TIME ZONE 'UTC',
                (month + interval '1 month')::timestamp AT TIME ZONE 'UTC');
            PERFORM public.audit_protect(('public.' || name)::regclass);
        EXCEPTION WHEN check_violation OR lock_not_available THEN
            RAISE WARNING 'audit_prepare_months: % was not made: %', name, SQLERRM;
        END;
    END LOOP;
END $$;
SELECT audit_prepare_months();

CREATE FUNCTION audit_time(moment timestamptz) RETURNS text LANGUAGE sql STABLE STRICT
    RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- A transition that must not be written after all, from inside the one statement that writes it.
CREATE FUNCTION refuse_unless(holds boolean, code text, why text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF holds IS NOT TRUE THEN
        RAISE EXCEPTION '%', why USING ERRCODE = code;
    END IF;
    RETURN true;
END $$;

-- Append one event to its request's chain. actor, payload and snapshot are canonical JSON objects
-- (UTF-8, keys sorted, no spaces, no floats); this function adds the rest and so makes the body,
-- the exact bytes that the hash covers. It makes sure that each of the three is one object and
-- nothing around it, so that none can say anything in the name of the rest. Whether it is spelled
-- canonically (order of keys, a key twice) is not looked at here, where everybody waits: a verifier
-- refuses a body that is not the canonical spelling of what it says.
CREATE FUNCTION audit_append(
    p_event_id uuid, p_occurred_at timestamptz, p_request_id uuid, p_workflow_id text,
    p_workflow_version int, p_event_type text, p_actor text, p_payload text, p_snapshot text
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
    RETURN head.seq + 1;
END $$;

-- ------------------------------------------------------------------------------- permissions ----

REVOKE ALL ON FUNCTION audit_append, audit_prepare_months, audit_protect FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_append, audit_prepare_months TO countersign_app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO countersign_app;
GRANT INSERT ON recipes TO countersign_app;
GRANT INSERT, DELETE ON recipe_switches TO countersign_app;
GRANT INSERT, UPDATE, DELETE ON people, manager_lines, roles, role_members TO countersign_app;
GRANT INSERT, UPDATE ON requests, tasks, commands TO countersign_app;
GRANT INSERT ON decisions TO countersign_app;
GRANT INSERT, DELETE ON commits TO countersign_app;
GRANT INSERT, DELETE ON task_candidates, idempotency_keys TO countersign_app;
GRANT INSERT, UPDATE, DELETE ON outbox TO countersign_app;
