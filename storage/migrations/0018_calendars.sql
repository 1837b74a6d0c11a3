-- Business calendars: each import that says something new is a version, and no version ever changes. What
-- was timed by one keeps its time, and says by which.

CREATE TABLE calendars (
    name         text        NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    version      int         NOT NULL CHECK (version > 0),
    sha256       text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),  -- of what it says
    calendar     jsonb       NOT NULL,
    imported_at  timestamptz NOT NULL,
    imported_by  text        NOT NULL,
    PRIMARY KEY (name, version)
);
CREATE TRIGGER calendars_are_immutable BEFORE UPDATE OR DELETE ON calendars
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER calendars_are_kept BEFORE TRUNCATE ON calendars
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE calendars ENABLE ALWAYS TRIGGER calendars_are_immutable;
ALTER TABLE calendars ENABLE ALWAYS TRIGGER calendars_are_kept;
GRANT SELECT, INSERT ON calendars TO countersign_app;

-- `{calendar, version, time_zone, uncovered}` of a time that counts business days, else null.
ALTER TABLE tasks ADD COLUMN due_by jsonb;
ALTER TABLE requests
    ADD COLUMN deadline_by    jsonb,
    ADD COLUMN timers_by      jsonb,  -- of the timers that a state machine's state has yet to fire
    ADD COLUMN first_deadline jsonb;  -- `{due_at, by}` of a request moved to another version: at first

-- How much rests on which version.
CREATE INDEX tasks_by_calendar ON tasks ((due_by->>'calendar'))
    WHERE state = 'open' AND due_by IS NOT NULL;
CREATE INDEX requests_by_calendar ON requests ((deadline_by->>'calendar'))
    WHERE finalized_at IS NULL AND deadline_by IS NOT NULL;
CREATE INDEX requests_by_calendar_of_timers ON requests ((timers_by->>'calendar'))
    WHERE finalized_at IS NULL AND timers_by IS NOT NULL;
