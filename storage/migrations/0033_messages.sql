-- Messages: what goes out to people by mail and Slack. They refer to what they are about and hold nothing of it:
-- what they say is read when they are sent, as their person may see it then, so that erasure reaches whatever has not
-- gone out, and nothing confidential is kept here.

-- What somebody is told of, how, and when; whoever has no row has the defaults of `contract.preferences`.
CREATE TABLE preferences (
    person          text PRIMARY KEY REFERENCES people,
    channels        jsonb       NOT NULL CHECK (jsonb_typeof(channels) = 'object'),
    digest          text[]      NOT NULL DEFAULT '{}',
    digest_at       time        NOT NULL,
    quiet_from      time,
    quiet_to        time,
    time_zone       text        CHECK (time_zone <> ''),        -- null: the directory's
    gather_minutes  int         NOT NULL CHECK (gather_minutes BETWEEN 0 AND 1440),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT quiet_as_a_whole CHECK (num_nulls(quiet_from, quiet_to) IN (0, 2)),
    CONSTRAINT quiet_not_for_ever CHECK (quiet_from <> quiet_to)
);

-- Who somebody is in Slack: named by an administrator, or found by the address that the directory has.
CREATE TABLE slack_people (
    person      text PRIMARY KEY REFERENCES people,
    slack_user  text        NOT NULL UNIQUE CHECK (slack_user ~ '^[A-Z0-9]{2,32}$'),
    named_by    text,                                           -- null: found by mail address
    named_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE messages (
    id              uuid PRIMARY KEY,
    person          text        NOT NULL,
    channel         text        NOT NULL CHECK (channel IN ('mail','slack')),
    digest          boolean     NOT NULL,
    -- It gathers what follows until somebody takes it to be sent; then it stays what it is, however often that is tried.
    state           text        NOT NULL DEFAULT 'gathering' CHECK (state IN
                    ('gathering','sending','sent','moot','dead')),
    made_at         timestamptz NOT NULL DEFAULT now(),
    due_at          timestamptz NOT NULL,                       -- not before; of one being sent: not again before
    attempts        int         NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    tried_since     timestamptz,
    last_error      text,
    ended_at        timestamptz,
    -- Where Slack has it, to bring it up to date when what it is about changes.
    slack_channel   text,
    slack_ts        text,
    stale           boolean     NOT NULL DEFAULT false,
    CONSTRAINT tried_only_when_taken CHECK (state <> 'gathering' OR (attempts = 0 AND tried_since IS NULL)),
    CONSTRAINT ended_exactly_when_over CHECK ((ended_at IS NOT NULL) = (state IN ('sent','moot','dead'))),
    CONSTRAINT a_place_in_slack_as_a_whole CHECK (num_nulls(slack_channel, slack_ts) IN (0, 2)),
    CONSTRAINT stale_only_where_slack_has_it CHECK (NOT stale OR slack_ts IS NOT NULL)
);
-- All that somebody is told within a while is one message.
CREATE UNIQUE INDEX messages_gathering ON messages (person, channel, digest) WHERE state = 'gathering';
CREATE INDEX messages_due ON messages (channel, due_at) WHERE state IN ('gathering','sending');
CREATE INDEX messages_dead ON messages (made_at DESC, id DESC) WHERE state = 'dead';
CREATE INDEX messages_stale ON messages (due_at) WHERE stale;
CREATE INDEX messages_over ON messages (ended_at) WHERE ended_at IS NOT NULL;

-- What a message tells: once each, however often it happened. `about` is a task, a question, a notification, or the
-- request itself; `position` the event's.
CREATE TABLE message_items (
    message_id  uuid        NOT NULL REFERENCES messages ON DELETE CASCADE,
    kind        text        NOT NULL CHECK (kind IN
                ('task','reminder','question','answer','rewound','outcome','incident','notice')),
    about       uuid        NOT NULL,
    request_id  uuid        NOT NULL REFERENCES requests,
    position    bigint      NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (message_id, kind, about)
);
CREATE INDEX message_items_by_request ON message_items (request_id);

GRANT SELECT, INSERT, UPDATE ON preferences TO countersign_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON slack_people, messages TO countersign_app;
GRANT SELECT, INSERT ON message_items TO countersign_app;
