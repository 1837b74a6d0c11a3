-- Delegations: while one is valid, what would be asked of `delegator` is asked of `delegate`; and
-- which of them a task's assignment rests on, so that a decision can be held against them.
--
-- What a delegation says of a past moment it says for ever, so that every assignment can be explained
-- by asking again as of its time: it begins now or later, it ends now or later, and nothing else of
-- it changes. Ended early, `valid` is cut; ended before it began, `valid` is empty.

CREATE TABLE delegations (
    id          uuid PRIMARY KEY,
    delegator   text NOT NULL REFERENCES people,
    delegate    text NOT NULL REFERENCES people,
    scope       text NOT NULL DEFAULT 'all'
                CHECK (scope ~ '^(all|workflow:[a-z][a-z0-9_]{0,62}|role:[A-Za-z0-9][A-Za-z0-9._-]{0,127})$'),
    valid       tstzrange NOT NULL
                CHECK (isempty(valid) OR (lower_inc(valid) AND lower(valid) IS NOT NULL AND NOT upper_inc(valid))),
    reason      text,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_by    text,
    ended_at    timestamptz,
    CONSTRAINT not_to_oneself CHECK (delegator <> delegate),
    CONSTRAINT ended_as_a_whole CHECK ((ended_by IS NULL) = (ended_at IS NULL)),
    CONSTRAINT empty_only_when_ended CHECK (NOT isempty(valid) OR ended_at IS NOT NULL),
    CONSTRAINT one_delegate_per_scope
        EXCLUDE USING gist (key_range(delegator) WITH &&, key_range(scope) WITH &&, valid WITH &&)
);
CREATE INDEX delegations_by_delegator ON delegations (delegator, created_at DESC, id DESC);
CREATE INDEX delegations_by_delegate ON delegations (delegate, created_at DESC, id DESC);

-- `now()` is the transaction's beginning: whatever a writer calls now comes after it.
CREATE FUNCTION the_past_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF isempty(NEW.valid) OR lower(NEW.valid) < now() THEN
            RAISE EXCEPTION '%: % begins in the past', TG_TABLE_NAME, NEW.valid
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '%: what was so stays on record: end it instead', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.delegator, NEW.delegate, NEW.scope, NEW.reason, NEW.created_by, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.delegator, OLD.delegate, OLD.scope, OLD.reason, OLD.created_by, OLD.created_at) THEN
        RAISE EXCEPTION '%: it can be ended, nothing else', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    -- Called off before it began; or cut now or later, while it had not ended.
    IF isempty(NEW.valid) AND lower(OLD.valid) > now()
       OR lower(NEW.valid) = lower(OLD.valid)
          AND coalesce(upper(NEW.valid), 'infinity') >= now()
          AND coalesce(upper(OLD.valid), 'infinity') > now() THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '%: % cannot become %: the past stays', TG_TABLE_NAME, OLD.valid, NEW.valid
        USING ERRCODE = 'restrict_violation', HINT = 'end what is so now, and begin what is new now';
END $$;

CREATE TRIGGER the_past_stays BEFORE INSERT OR UPDATE OR DELETE ON delegations
    FOR EACH ROW EXECUTE FUNCTION the_past_stays();

-- Those that the assignment rests on: the assignee acts by all of them, one after the other.
ALTER TABLE tasks ADD COLUMN delegations uuid[] NOT NULL DEFAULT '{}';

GRANT SELECT, INSERT ON delegations TO countersign_app;
GRANT UPDATE (valid, ended_by, ended_at) ON delegations TO countersign_app;
