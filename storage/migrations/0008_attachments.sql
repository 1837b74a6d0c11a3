-- Files beside a request. What is in them is kept once, by its SHA-256, whoever adds it however often.

CREATE TABLE blobs (
    sha256    bytea PRIMARY KEY,
    content   bytea NOT NULL,
    kept_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT kept_under_its_hash CHECK (sha256 = sha256(content)),
    CONSTRAINT ten_mebibytes CHECK (octet_length(content) BETWEEN 1 AND 10485760)
);
ALTER TABLE blobs ALTER COLUMN content SET STORAGE EXTERNAL;    -- these formats are compressed already

CREATE TABLE attachments (
    id          uuid PRIMARY KEY,
    request_id  uuid        NOT NULL REFERENCES requests,
    name        text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    media_type  text        NOT NULL,
    size        int         NOT NULL,
    sha256      bytea       NOT NULL REFERENCES blobs,
    added_by    text        NOT NULL,
    added_at    timestamptz NOT NULL,
    UNIQUE (request_id, sha256, name)
);
CREATE INDEX attachments_by_request ON attachments (request_id, added_at, id);

GRANT SELECT, INSERT ON blobs, attachments TO countersign_app;
