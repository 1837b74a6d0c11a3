-- Keys of services, and what calls with an Idempotency-Key were answered.

-- A key is shown once, when it is made; here is its SHA-256 alone. It is 256 random bits: nobody tries them all.
CREATE TABLE api_keys (
    id            text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{16}$'),
    service       text        NOT NULL CHECK (service ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    description   text        NOT NULL,
    scopes        text[]      NOT NULL CHECK (cardinality(scopes) > 0),
    digest        bytea       NOT NULL CHECK (octet_length(digest) = 32),
    made_by       text        NOT NULL,
    made_at       timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_by    text,
    revoked_at    timestamptz,
    last_used_at  timestamptz,                  -- to the minute
    CONSTRAINT it_ends CHECK (expires_at > made_at AND expires_at <= made_at + interval '366 days'),
    CONSTRAINT revoked_by_somebody CHECK ((revoked_by IS NULL) = (revoked_at IS NULL))
);
CREATE INDEX api_keys_newest ON api_keys (made_at DESC, id);

-- What is revoked stays so, and nobody gives a key more than it was made with.
CREATE FUNCTION api_keys_protect() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.revoked_at IS NOT NULL AND (NEW.revoked_at, NEW.revoked_by) IS DISTINCT FROM (OLD.revoked_at, OLD.revoked_by) THEN
        RAISE EXCEPTION 'API key % was revoked, and stays so', OLD.id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER api_keys_protect BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION api_keys_protect();
GRANT SELECT, INSERT, UPDATE (revoked_by, revoked_at, last_used_at) ON api_keys TO countersign_app;

-- Written in the transaction of what the call made: one is there exactly if the other is. The box, which the region
-- keys open, has the answer, and by what it is told that the same call comes again. Submissions have
-- `idempotency_keys` instead: they are answered with the request as it is then.
CREATE TABLE idempotent_answers (
    actor       text        NOT NULL,
    key         text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_id  uuid,                           -- the request that it is about, if it is about one
    box         bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);
CREATE INDEX idempotent_answers_by_time ON idempotent_answers USING brin (created_at);
CREATE INDEX idempotent_answers_about ON idempotent_answers (request_id) WHERE request_id IS NOT NULL;
GRANT SELECT, INSERT, DELETE ON idempotent_answers TO countersign_app;

-- An answer may repeat what was written: it goes when its request is erased.
CREATE FUNCTION forget_answers() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    DELETE FROM public.idempotent_answers a WHERE a.request_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_answers AFTER UPDATE OF erased_at ON requests FOR EACH ROW
    WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL) EXECUTE FUNCTION forget_answers();
