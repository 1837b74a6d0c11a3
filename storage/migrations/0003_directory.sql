-- The directory in full: people who come back, their time zones, departments and approval limits; and
-- what a task must remember so that who decides it can be asked again.
--
-- The rule of delegations now holds for every fact: the past stays. A fact begins when the directory is
-- told of it or later, and what it once said of a moment it says for ever; so every assignment of the
-- past can be explained by asking again as of its time (ADR 0007).

-- Somebody who left and came back has two intervals. A new person may have joined long ago: nothing was
-- ever asked of them.
ALTER TABLE people DROP CONSTRAINT people_employed_check;
ALTER TABLE people ALTER COLUMN employed DROP DEFAULT;
ALTER TABLE people ALTER COLUMN employed TYPE tstzmultirange USING tstzmultirange(employed);
ALTER TABLE people ALTER COLUMN employed SET DEFAULT tstzmultirange(tstzrange(now(), NULL));
ALTER TABLE people ADD CONSTRAINT people_employed_check
    CHECK (isempty(employed) OR NOT lower_inf(employed));
ALTER TABLE people ADD COLUMN time_zone text NOT NULL DEFAULT 'UTC' CHECK (time_zone <> '');

CREATE FUNCTION past_of(known tstzmultirange) RETURNS tstzmultirange LANGUAGE sql STABLE
    RETURN known * tstzmultirange(tstzrange(NULL, now()));

CREATE FUNCTION employment_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR past_of(NEW.employed) <> past_of(OLD.employed) THEN
        RAISE EXCEPTION 'people: that % was here during % stays on record', OLD.id, past_of(OLD.employed)
            USING ERRCODE = 'restrict_violation', HINT = 'end what is so now, and begin what is new now';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER employment_stays BEFORE UPDATE OF employed OR DELETE ON people
    FOR EACH ROW EXECUTE FUNCTION employment_stays();

CREATE TABLE departments (
    name  text PRIMARY KEY CHECK (name = btrim(name) AND length(name) BETWEEN 1 AND 200)
);

CREATE TABLE department_members (
    department  text NOT NULL REFERENCES departments,
    person      text NOT NULL REFERENCES people,
    valid       tstzrange NOT NULL CHECK (lower_inc(valid) AND lower(valid) IS NOT NULL AND NOT upper_inc(valid)),
    EXCLUDE USING gist (key_range(person) WITH &&, valid WITH &&)          -- one at a time
);
CREATE INDEX department_members_by_person ON department_members (person);

-- Up to which amount somebody may approve alone.
CREATE TABLE approval_limits (
    person    text NOT NULL REFERENCES people,
    currency  text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),               -- ISO 4217
    amount    numeric(20, 4) NOT NULL CHECK (amount >= 0),
    valid     tstzrange NOT NULL CHECK (lower_inc(valid) AND lower(valid) IS NOT NULL AND NOT upper_inc(valid)),
    EXCLUDE USING gist (key_range(person) WITH &&, key_range(currency) WITH &&, valid WITH &&)
);
CREATE INDEX approval_limits_by_person ON approval_limits (person);

-- People's department was one of their attributes; it is a fact with an interval now.
INSERT INTO departments
SELECT DISTINCT left(btrim(attributes->>'department'), 200) FROM people
 WHERE btrim(coalesce(attributes->>'department', '')) <> '';
INSERT INTO department_members
SELECT left(btrim(attributes->>'department'), 200), id, tstzrange(now(), NULL) FROM people
 WHERE btrim(coalesce(attributes->>'department', '')) <> '';
UPDATE people SET attributes = attributes - 'department' WHERE attributes ? 'department';

-- A fact begins now or later, and ends now or later; called off before it began, it is removed.
CREATE FUNCTION a_fact_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before tstzmultirange := CASE TG_OP WHEN 'INSERT' THEN '{}' ELSE tstzmultirange(OLD.valid) END;
    after  tstzmultirange := CASE TG_OP WHEN 'DELETE' THEN '{}' ELSE tstzmultirange(NEW.valid) END;
BEGIN
    IF past_of(before) <> past_of(after)
       OR (TG_OP = 'UPDATE' AND (to_jsonb(OLD) - 'valid') <> (to_jsonb(NEW) - 'valid')) THEN
        RAISE EXCEPTION '%: % cannot become %: the past stays', TG_TABLE_NAME, before, after
            USING ERRCODE = 'restrict_violation', HINT = 'end what is so now, and begin what is new now';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

DO $$
DECLARE
    fact text;
BEGIN
    FOREACH fact IN ARRAY ARRAY['manager_lines', 'role_members', 'department_members', 'approval_limits'] LOOP
        EXECUTE format('CREATE TRIGGER a_fact_stays BEFORE INSERT OR UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION a_fact_stays()', fact);
    END LOOP;
END $$;

-- Where the directory is a mirror of another system's: how fresh it is. Older than `stale_after`,
-- it is asked no more.
CREATE TABLE directory_mirror (
    only_one       boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    source         text NOT NULL,              -- the base URL, without what is secret
    synced_at      timestamptz,                -- null: never yet
    stale_after    timestamptz NOT NULL,
    failing        text,                       -- what the last try said; null if it succeeded
    failing_since  timestamptz,
    tried_at       timestamptz,
    people         int,                        -- how many the last good list had
    doubts         text[] NOT NULL DEFAULT '{}', -- what of it could not be taken as it is
    validators     jsonb,                      -- how to see whether anything has changed since
    CONSTRAINT failing_as_a_whole CHECK ((failing IS NULL) = (failing_since IS NULL))
);

-- Who came from there. They leave when they are there no longer; other people are nobody's but ours.
CREATE TABLE mirrored_people (
    person  text PRIMARY KEY REFERENCES people
);

-- Since when a bare name in a recipe means the role: before, it meant the person of that name.
ALTER TABLE roles ADD COLUMN known_since timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE roles ALTER COLUMN known_since SET DEFAULT clock_timestamp();

-- The moment of the latest write to the directory. Its row is held by who writes; each moment is later
-- than the one before, and lies ahead of its commit (storage.org.write).
CREATE TABLE directory_clock (
    only_one  boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    at        timestamptz NOT NULL
);
INSERT INTO directory_clock (at) VALUES (now());
GRANT SELECT, UPDATE ON directory_clock TO countersign_app;

-- What a task remembers: the question whose answer its assignment is (recipes.state), who may not decide
-- it (not_same_as), whether its people were fixed at submission; and when it was last asked again.
ALTER TABLE tasks ADD COLUMN ask jsonb;
ALTER TABLE tasks ADD COLUMN excluded text[] NOT NULL DEFAULT '{}';
ALTER TABLE tasks ADD COLUMN fixed boolean NOT NULL DEFAULT false;
ALTER TABLE tasks ADD COLUMN rechecked_at timestamptz;

-- What the sweep looks for in open tasks (storage.sweep), read from the chain that led to the assignee:
-- the people on it; the role that was asked and who had its turn; whether somebody was passed over who
-- may be back.
CREATE FUNCTION people_of(chain jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ARRAY(SELECT DISTINCT jsonb_array_elements_text(jsonb_path_query_array(chain, '$[*].user ? (@ != null)')));
ALTER TABLE tasks
    ADD COLUMN people text[] GENERATED ALWAYS AS (people_of(chain)) STORED,
    ADD COLUMN asked_role text GENERATED ALWAYS AS (
        coalesce(role, jsonb_path_query_first(chain, '$[*].role ? (@ != null)') #>> '{}')) STORED,
    ADD COLUMN holder text GENERATED ALWAYS AS (
        jsonb_path_query_first(chain, '$[*] ? (@.turn != null || @.rule == "kept").user') #>> '{}') STORED,
    ADD COLUMN passed_over boolean GENERATED ALWAYS AS (jsonb_path_exists(chain,
        '$[*] ? (@.rule == "has_left" || @.rule == "below_limit" || @.delegation != null && @.rule != "delegation")'
        )) STORED;
CREATE INDEX tasks_open_people ON tasks USING gin (people) WITH (fastupdate = off) WHERE state = 'open';
CREATE INDEX tasks_open_turns ON tasks (asked_role, holder) WHERE state = 'open' AND holder IS NOT NULL;
CREATE INDEX tasks_open_delegated ON tasks (on_behalf_of) WHERE state = 'open' AND on_behalf_of IS NOT NULL;
CREATE INDEX tasks_open_passed_over ON tasks (id) WHERE state = 'open' AND passed_over;
CREATE INDEX tasks_open_fixed ON tasks (id) WHERE state = 'open' AND fixed;
CREATE INDEX tasks_open_limited ON tasks (id) WHERE state = 'open' AND jsonb_typeof(ask->'limit') = 'object';

-- `needed` is a recipes.state.Limit.
CREATE FUNCTION may_approve(who text, needed jsonb, at timestamptz) RETURNS boolean LANGUAGE sql STABLE
    RETURN EXISTS (SELECT 1 FROM approval_limits l
                    WHERE l.person = who AND l.currency = needed->>'currency' AND l.valid @> at
                      AND l.amount >= (needed->>'amount')::numeric);

ALTER TABLE commands DROP CONSTRAINT commands_command_check;
ALTER TABLE commands ADD CONSTRAINT commands_command_check
    CHECK (command IN ('cancel', 'retry', 'reassign'));
ALTER TABLE commands ADD COLUMN details jsonb NOT NULL DEFAULT '{}';

GRANT SELECT ON departments, department_members, approval_limits, directory_mirror TO countersign_app;
GRANT INSERT, DELETE ON department_members, approval_limits TO countersign_app;
GRANT UPDATE (valid) ON department_members, approval_limits TO countersign_app;
GRANT INSERT ON departments TO countersign_app;
GRANT INSERT, UPDATE, DELETE ON directory_mirror TO countersign_app;
GRANT SELECT, INSERT ON mirrored_people TO countersign_app;
REVOKE DELETE ON people, roles FROM countersign_app;
REVOKE UPDATE ON manager_lines, role_members FROM countersign_app;
GRANT UPDATE (valid) ON manager_lines, role_members TO countersign_app;

-- ---------------------------------------------------------------------------- shared tasks ----

-- Whether its step needs several approvals: then they are several people's.
ALTER TABLE tasks ADD COLUMN several boolean NOT NULL DEFAULT false;

-- `member` of a shared task and, one after the other, those who decide for them at a moment: the last
-- one does. Null if nobody does, or not by delegation alone: a circle, more than five, somebody who has
-- left, one of `never`. As storage.resolution follows delegations; `role` is the member's in the pool.
CREATE FUNCTION stand_ins(member text, role text, workflow text, never text[], at timestamptz)
RETURNS text[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    scopes  text[] := array_remove(ARRAY['workflow:' || workflow, 'role:' || role, 'all'], NULL);
    path    text[] := ARRAY[member];
    another text;
BEGIN
    LOOP
        IF path[cardinality(path)] = ANY(never)
           OR NOT EXISTS (SELECT 1 FROM people p WHERE p.id = path[cardinality(path)] AND p.employed @> at) THEN
            RETURN NULL;
        END IF;
        SELECT d.delegate INTO another FROM delegations d
         WHERE d.delegator = path[cardinality(path)] AND d.valid @> at AND d.scope = ANY(scopes)
         ORDER BY array_position(scopes, d.scope) LIMIT 1;
        IF NOT FOUND THEN
            RETURN CASE WHEN cardinality(path) > 1 THEN path END;
        END IF;
        IF another = ANY(path) OR cardinality(path) > 5 THEN
            RETURN NULL;
        END IF;
        path := path || another;
    END LOOP;
END $$;

-- ----------------------------------------------------------------------------- delegations ----

-- Why it was ended: an administrator who does it for somebody else says so.
ALTER TABLE delegations ADD COLUMN end_reason text
    CONSTRAINT end_reason_only_when_ended CHECK (end_reason IS NULL OR ended_at IS NOT NULL);
GRANT UPDATE (end_reason) ON delegations TO countersign_app;
