-- What requests are about (an entity that lives elsewhere: a booking, a unit), and the events of other
-- systems that start them.

ALTER TABLE requests
    ADD COLUMN entity_type text CHECK (entity_type ~ '^[A-Za-z][A-Za-z0-9_.-]{0,62}$'),
    ADD COLUMN entity_id   text CHECK (length(entity_id) BETWEEN 1 AND 200),
    -- As the recipe had it: of its workflow no two about the same entity are open at once.
    ADD COLUMN one_open    boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT an_entity_is_whole CHECK ((entity_type IS NULL) = (entity_id IS NULL)),
    ADD CONSTRAINT one_open_about_something CHECK (NOT one_open OR entity_type IS NOT NULL);
CREATE INDEX requests_by_entity ON requests (entity_type, entity_id, created_at DESC, id DESC)
    WHERE entity_type IS NOT NULL;
-- For lists of everything of one type.
CREATE INDEX requests_by_entity_type ON requests (entity_type, created_at DESC, id DESC)
    WHERE entity_type IS NOT NULL;
CREATE UNIQUE INDEX requests_one_open_per_entity ON requests (workflow, entity_type, entity_id)
    WHERE one_open AND finalized_at IS NULL;

-- Which workflows have a version that listens to an event.
CREATE INDEX recipes_by_event ON recipes USING gin ((recipe #> '{start,events}'));

-- What came in, each once. Ids are those of all systems together (scope ''), or of one person who sent
-- something for themselves: nobody can use up a system's ids.
CREATE TABLE events (
    scope         text        NOT NULL,
    event_id      text        NOT NULL CHECK (length(event_id) BETWEEN 1 AND 200),
    event         text        NOT NULL,
    entity_type   text        NOT NULL,
    entity_id     text        NOT NULL,
    initiated_by  text        NOT NULL,
    sent_by       text        NOT NULL,
    fingerprint   text        NOT NULL,              -- SHA-256 of all that it says
    requests      jsonb       NOT NULL DEFAULT '[]'  -- the answer: id, workflow and version of each
                  CHECK (jsonb_typeof(requests) = 'array'),
    received_at   timestamptz NOT NULL,
    PRIMARY KEY (scope, event_id)
);
GRANT SELECT, INSERT, UPDATE (requests) ON events TO countersign_app;
