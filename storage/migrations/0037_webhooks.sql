-- Webhooks: endpoints of others that are told the events of the feed. How far one has come is its consumer of the feed;
-- what it did not take is parked, with all that follows of the same request, until it is through.

CREATE TABLE webhooks (
    id                 uuid        PRIMARY KEY,
    url                text        NOT NULL CHECK (length(url) BETWEEN 8 AND 2000),
    description        text        NOT NULL DEFAULT '' CHECK (length(description) <= 2000),
    types              text[],                  -- which events, as the audit names them; null: all
    workflows          text[],
    made_by            text        NOT NULL,
    made_at            timestamptz NOT NULL,
    paused_at          timestamptz,
    paused_why         text,
    failures           int         NOT NULL DEFAULT 0 CHECK (failures >= 0),    -- in a row
    probes             int         NOT NULL DEFAULT 0 CHECK (probes >= 0),
    probe_at           timestamptz,             -- while its breaker is open: when it is tried next
    delivered_at       timestamptz,             -- the last time each
    failed_at          timestamptz,
    last_error         text,
    missed             bigint      NOT NULL DEFAULT 0,  -- events that were forgotten before it took them
    test_id            uuid,                    -- a test that was asked for, and what came of it
    test_done_at       timestamptz,
    test_error         text,
    CONSTRAINT paused_as_a_whole CHECK ((paused_at IS NULL) = (paused_why IS NULL)),
    CONSTRAINT named_if_not_all CHECK (types <> '{}' AND workflows <> '{}'),
    CONSTRAINT tested_what_was_asked CHECK (test_id IS NOT NULL OR num_nonnulls(test_done_at, test_error) = 0)
);

-- What signs, wrapped by a region key. The newest signs; those before it, too, until they end.
CREATE TABLE webhook_secrets (
    webhook_id  uuid        NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    number      int         NOT NULL CHECK (number > 0),
    region      text        NOT NULL,
    wrapped     bytea       NOT NULL,
    ends_at     timestamptz,
    PRIMARY KEY (webhook_id, number)
);

-- A row of the feed that an endpoint has still to take: kept here whole, since the feed forgets. `next_at` is null for
-- one that waits for another of its request, and for one that is dead: that nobody tries any more by themselves.
CREATE TABLE webhook_parked (
    webhook_id   uuid        NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    position     bigint      NOT NULL,
    event_id     uuid        NOT NULL,
    request_id   uuid        NOT NULL,
    seq          int         NOT NULL,
    recorded_at  timestamptz NOT NULL,
    event_type   text        NOT NULL,
    workflow     text        NOT NULL,
    version      int         NOT NULL,
    of_request   boolean     NOT NULL,
    attempts     int         NOT NULL CHECK (attempts >= 0),
    failed_at    timestamptz,                   -- the first time, and the last
    tried_at     timestamptz,
    last_error   text,
    next_at      timestamptz,
    dead_at      timestamptz,
    PRIMARY KEY (webhook_id, position),
    CONSTRAINT failed_if_tried CHECK (num_nonnulls(failed_at, tried_at, last_error) IN (0, 3)),
    CONSTRAINT dead_is_not_tried CHECK (dead_at IS NULL OR next_at IS NULL)
);
CREATE INDEX webhook_parked_due ON webhook_parked (webhook_id, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_parked_by_request ON webhook_parked (webhook_id, request_id, position) WHERE dead_at IS NULL;
CREATE INDEX webhook_parked_dead ON webhook_parked (webhook_id, position) WHERE dead_at IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks, webhook_secrets, webhook_parked TO countersign_app;
