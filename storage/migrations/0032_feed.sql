-- The feed: every event of the audit in the order in which others are told of it. The audit is the outbox (a row is
-- written in the transaction of its fact); here the rows that are committed get positions, so that whoever remembers
-- a position has had all up to it and none after it.

CREATE TABLE feed (
    position     bigint      PRIMARY KEY CHECK (position > 0),
    event_id     uuid        NOT NULL,
    request_id   uuid        NOT NULL,      -- the id of its chain, where it is of no request
    seq          int         NOT NULL,
    recorded_at  timestamptz NOT NULL,      -- with the two before it, where its row of the audit is
    event_type   text        NOT NULL,
    workflow     text        NOT NULL,
    version      int         NOT NULL,
    of_request   boolean     NOT NULL,      -- or of the house: recipes, directory, months of the audit
    fed_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (request_id, seq)
);
-- What is old is forgotten. Rows stand in the order of their making: a few pages say where to look.
CREATE INDEX feed_by_time ON feed USING brin (fed_at);

-- How far the feed has come. What `snapshot` sees is in it, or was never to be: the next rows are those of transactions
-- that it did not see. `cluster` is whose transactions these are: a database that was put back elsewhere counts anew,
-- and rows recorded before `since` are then of the old count. What is told begins with this migration.
CREATE TABLE feed_state (
    one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
    position   bigint      NOT NULL DEFAULT 0,     -- the last one that was given
    forgotten  bigint      NOT NULL DEFAULT 0,     -- the last one whose row is gone
    snapshot   pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
    cluster    bigint      NOT NULL,
    since      timestamptz NOT NULL DEFAULT '-infinity',
    fed_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (forgotten BETWEEN 0 AND position)
);
INSERT INTO feed_state (cluster) SELECT system_identifier FROM pg_control_system();

-- How far each of our own consumers has come, and which relay does its work until when.
CREATE TABLE feed_consumers (
    name          text        PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
    position      bigint      NOT NULL CHECK (position >= 0),
    moved_at      timestamptz NOT NULL DEFAULT now(),
    lease_owner   text,
    leased_until  timestamptz,
    CONSTRAINT leased_as_a_whole CHECK ((lease_owner IS NULL) = (leased_until IS NULL))
);

GRANT SELECT, INSERT, DELETE ON feed TO countersign_app;
GRANT SELECT, UPDATE ON feed_state TO countersign_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON feed_consumers TO countersign_app;
