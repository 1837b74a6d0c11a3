-- Automatic work (`type: task`), what it left behind, and what people are told.

-- What is done after the end of a request may fail, and waits for people then: a final request can have
-- an incident.
ALTER TABLE requests DROP CONSTRAINT final_has_no_incident;
-- Until when a `wait` waits.
ALTER TABLE requests ADD COLUMN waits_until timestamptz;

CREATE TABLE jobs (
    id               uuid PRIMARY KEY,
    request_id       uuid        NOT NULL REFERENCES requests,
    step             text        NOT NULL,
    run              text        NOT NULL,      -- the name of the function
    inputs           jsonb       NOT NULL,
    -- Other systems tell by it that they were asked for the same before.
    idempotency_key  text        NOT NULL UNIQUE,
    state            text        NOT NULL DEFAULT 'running' CHECK (state IN
                     ('running','succeeded','failed','cancelled')),
    output           jsonb,
    error            text,
    attempts         int         NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    started_at       timestamptz NOT NULL,
    ended_at         timestamptz,
    CONSTRAINT ended_exactly_when_not_running CHECK ((ended_at IS NULL) = (state = 'running')),
    CONSTRAINT an_error_exactly_when_failed CHECK ((error IS NOT NULL) = (state = 'failed'))
);
CREATE INDEX jobs_by_request ON jobs (request_id, started_at, id);
-- A request does one thing after the other.
CREATE UNIQUE INDEX jobs_one_running_per_request ON jobs (request_id) WHERE state = 'running';

-- What each attempt did, as it went on.
CREATE TABLE job_log (
    n        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id   uuid        NOT NULL REFERENCES jobs,
    attempt  int         NOT NULL CHECK (attempt > 0),
    at       timestamptz NOT NULL,
    what     text        NOT NULL CHECK (what IN ('started','said','succeeded','failed','cancelled')),
    detail   text
);
CREATE INDEX job_log_by_job ON job_log (job_id, n);

-- The functions that workers have, as the last of them that started said.
CREATE TABLE job_functions (
    name     text PRIMARY KEY,
    said_at  timestamptz NOT NULL
);

CREATE TABLE notifications (
    id          uuid PRIMARY KEY,
    request_id  uuid        NOT NULL REFERENCES requests,
    person      text        NOT NULL,
    step        text        NOT NULL,
    message     text        NOT NULL,
    sent_at     timestamptz NOT NULL,
    read_at     timestamptz
);
CREATE INDEX notifications_by_person ON notifications (person, sent_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (person, sent_at DESC, id DESC) WHERE read_at IS NULL;
CREATE INDEX notifications_by_request ON notifications (request_id);

GRANT SELECT, INSERT, UPDATE (run, inputs, state, output, error, attempts, ended_at) ON jobs
   TO countersign_app;
GRANT SELECT, INSERT ON job_log TO countersign_app;
GRANT SELECT, INSERT, DELETE ON job_functions TO countersign_app;
GRANT SELECT, INSERT, UPDATE (read_at) ON notifications TO countersign_app;
