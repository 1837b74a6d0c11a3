-- Requests of the past, imported from the system that had them before: as they ended, with the times and
-- the people of then. No workflow ever runs for one, and nothing of it waits for anybody.

CREATE TABLE imports (
    id           uuid        PRIMARY KEY,
    source       text        NOT NULL CHECK (source ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    sha256       bytea       NOT NULL CHECK (octet_length(sha256) = 32),    -- of the file
    imported_by  text        NOT NULL,
    imported_at  timestamptz NOT NULL,
    requests     int         NOT NULL CHECK (requests >= 0),
    decisions    int         NOT NULL CHECK (decisions >= 0),
    already      int         NOT NULL CHECK (already >= 0),     -- of the file, there by an earlier import
    warnings     jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(warnings) = 'array'),
    xid          xid8        NOT NULL DEFAULT pg_current_xact_id(),
    UNIQUE (source, sha256),
    UNIQUE (id, source)
);
CREATE INDEX imports_newest ON imports (imported_at DESC, id DESC);

ALTER TABLE requests
    ADD COLUMN import_id   uuid,
    ADD COLUMN source      text,
    ADD COLUMN external_id text CHECK (length(external_id) BETWEEN 1 AND 200),
    ADD COLUMN row_sha256  bytea CHECK (octet_length(row_sha256) = 32),     -- of all that the file says of it
    -- Not generated: a generated column of a key is "updated" with the row, and every commit would lock the
    -- row so that decisions, whose foreign keys look at it, wait.
    ADD COLUMN imported    boolean NOT NULL DEFAULT false,
    ADD FOREIGN KEY (import_id, source) REFERENCES imports (id, source),
    ADD CONSTRAINT imported_as_a_whole CHECK (
        num_nulls(import_id, source, external_id, row_sha256) = CASE WHEN imported THEN 0 ELSE 4 END),
    -- The import is its one transition: whoever would carry it on finds no place to write.
    ADD CONSTRAINT imported_is_over CHECK (NOT imported OR (finalized_at IS NOT NULL AND seq = 1)),
    ADD UNIQUE (id, imported);
CREATE UNIQUE INDEX requests_imported_once ON requests (source, external_id) WHERE imported;

CREATE TRIGGER requests_stay_imported_or_not
    BEFORE UPDATE OF imported, import_id, source, external_id, row_sha256 ON requests
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A task is of an imported request exactly if it says so, and is over then.
ALTER TABLE tasks
    ADD COLUMN imported boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT tasks_request_id_fkey,
    ADD CONSTRAINT imported_as_its_request_is FOREIGN KEY (request_id, imported) REFERENCES requests (id, imported),
    ADD CONSTRAINT imported_is_decided CHECK (NOT imported OR state = 'decided');

-- What is marked as imported belongs to the import that is under way: to a request that it makes.
CREATE FUNCTION imported_now() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    batch text;
BEGIN
    IF TG_TABLE_NAME = 'requests' THEN
        batch := NEW.import_id::text;
    ELSE
        SELECT r.import_id::text INTO batch FROM public.requests r WHERE r.id = NEW.request_id;
        IF batch IS DISTINCT FROM NEW.payload #>> '{imported,import_id}' THEN
            batch := NULL;
        END IF;
    END IF;
    IF NOT EXISTS (SELECT FROM public.imports i WHERE i.id::text = batch AND i.xid = pg_current_xact_id()) THEN
        RAISE EXCEPTION '%: only an import marks what it makes as imported', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER requests_imported_now BEFORE INSERT ON requests
    FOR EACH ROW WHEN (NEW.imported) EXECUTE FUNCTION imported_now();
CREATE TRIGGER audit_imported_now BEFORE INSERT ON audit
    FOR EACH ROW WHEN (NEW.payload ? 'imported') EXECUTE FUNCTION imported_now();

GRANT SELECT ON imports TO countersign_app;
GRANT INSERT (id, source, sha256, imported_by, imported_at, requests, decisions, already, warnings)
    ON imports TO countersign_app;
