-- Sessions of browsers that were ended before their time: one, by signing out, or all of a person's that had begun.
CREATE TABLE ended_sessions (
    session   text,                             -- by the SHA-256 of what its forms repeat
    person    text,
    ended_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    until     timestamptz NOT NULL,             -- when the last of them is over by itself
    CONSTRAINT one_or_all CHECK (num_nonnulls(session, person) = 1),
    CONSTRAINT over_in_time CHECK (until <= ended_at + interval '1 day')
);
CREATE UNIQUE INDEX ended_sessions_one ON ended_sessions (session) WHERE session IS NOT NULL;
CREATE UNIQUE INDEX ended_sessions_all ON ended_sessions (person) WHERE person IS NOT NULL;
CREATE INDEX ended_sessions_at ON ended_sessions (ended_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON ended_sessions TO countersign_app;
