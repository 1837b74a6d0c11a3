-- What people see of theirs: requests that wait for others, and how they like to narrow their lists.

CREATE INDEX requests_open_by_requester ON requests (requester, created_at DESC, id DESC)
    WHERE finalized_at IS NULL;

CREATE TABLE saved_filters (
    id        uuid        PRIMARY KEY,
    person    text        NOT NULL,
    name      text        NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
    list      text        NOT NULL CHECK (list IN ('needs','waiting','mine','done')),
    narrowed  jsonb       NOT NULL CHECK (jsonb_typeof(narrowed) = 'object'),
    saved_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (person, name)
);

GRANT SELECT, INSERT, DELETE ON saved_filters TO countersign_app;
GRANT UPDATE (list, narrowed, saved_at) ON saved_filters TO countersign_app;
