-- What people say about a request. Nothing said is changed or taken back.

CREATE TABLE comments (
    id          uuid PRIMARY KEY,
    request_id  uuid        NOT NULL REFERENCES requests,
    author      text        NOT NULL,
    text        text        NOT NULL,
    made_at     timestamptz NOT NULL
);
CREATE INDEX comments_by_request ON comments (request_id, made_at, id);

GRANT SELECT, INSERT ON comments TO countersign_app;
