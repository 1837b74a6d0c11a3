-- Questions about a task, to anybody, answered on the record by whoever was asked. The task waits on.

CREATE TABLE questions (
    id           uuid PRIMARY KEY,
    request_id   uuid        NOT NULL REFERENCES requests,
    task_id      uuid        NOT NULL REFERENCES tasks,
    asked_by     text        NOT NULL,
    asked        text        NOT NULL REFERENCES people,
    text         text        NOT NULL,
    asked_at     timestamptz NOT NULL,
    answer       text,
    answered_at  timestamptz,
    CONSTRAINT answered_as_a_whole CHECK ((answer IS NULL) = (answered_at IS NULL)),
    CONSTRAINT to_somebody_else CHECK (asked <> asked_by)
);
CREATE INDEX questions_by_request ON questions (request_id, asked_at, id);
-- What waits for somebody's answer; and all they were ever asked, which lets them see the requests.
CREATE INDEX questions_open ON questions (asked, asked_at, id) WHERE answered_at IS NULL;
CREATE INDEX questions_by_asked ON questions (asked, asked_at DESC, id DESC);

GRANT SELECT, INSERT ON questions TO countersign_app;
GRANT UPDATE (answer, answered_at) ON questions TO countersign_app;
