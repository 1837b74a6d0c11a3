-- Who watches a request. Whoever somebody else made a watcher may see it; who watches by themselves sees
-- it for as long as they may anyway.

CREATE TABLE watchers (
    request_id  uuid        NOT NULL REFERENCES requests,
    person      text        NOT NULL,
    added_by    text        NOT NULL,
    added_at    timestamptz NOT NULL,
    PRIMARY KEY (request_id, person)
);
CREATE INDEX watchers_by_person ON watchers (person, request_id) WHERE added_by <> person;

GRANT SELECT, INSERT, DELETE ON watchers TO countersign_app;
GRANT UPDATE (added_by, added_at) ON watchers TO countersign_app;
