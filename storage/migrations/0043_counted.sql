-- What takes long to count is counted by one relay at a time, and told by all.

CREATE TABLE counted (
    what        text        PRIMARY KEY CHECK (length(what) BETWEEN 1 AND 100),
    counted_at  timestamptz NOT NULL DEFAULT '-infinity',
    counts      jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(counts) = 'object')
);
INSERT INTO counted (what) VALUES ('standing');

GRANT SELECT, UPDATE ON counted TO countersign_app;
