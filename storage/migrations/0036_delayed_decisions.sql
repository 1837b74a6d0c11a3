-- Decisions that may be undone: kept until they are sent, then carried out as if they were made at that moment.

-- The body is sealed with the keys of its request, and gone as soon as the decision was sent or refused.
CREATE TABLE delayed_decisions (
    id          uuid        PRIMARY KEY,
    task_id     uuid        NOT NULL REFERENCES tasks,
    request_id  uuid        NOT NULL REFERENCES requests,
    person      text        NOT NULL,
    roles       text[]      NOT NULL,           -- of the token by which it was made
    decision    text        NOT NULL CHECK (decision ~ '^[a-z][a-z0-9_]{0,62}$'),
    body        jsonb,
    made_at     timestamptz NOT NULL,
    send_at     timestamptz NOT NULL,
    taken_until timestamptz,                    -- whoever took it to send it has until then
    ended_at    timestamptz,
    refusal     jsonb,                          -- why it was refused in the end: kind and detail
    CONSTRAINT a_minute_at_most CHECK (send_at > made_at AND send_at <= made_at + interval '1 minute'),
    CONSTRAINT nothing_is_kept_of_what_ended CHECK ((ended_at IS NULL) = (body IS NOT NULL)),
    CONSTRAINT sent_by_who_took_it CHECK (ended_at IS NULL OR taken_until IS NOT NULL),
    CONSTRAINT refused_in_the_end CHECK (refusal IS NULL OR ended_at IS NOT NULL)
);
CREATE UNIQUE INDEX delayed_one_each ON delayed_decisions (person, task_id) WHERE ended_at IS NULL;
CREATE INDEX delayed_to_send ON delayed_decisions (send_at) WHERE ended_at IS NULL;
CREATE INDEX delayed_of_person ON delayed_decisions (person, made_at);
CREATE INDEX delayed_ended ON delayed_decisions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX delayed_by_request ON delayed_decisions (request_id);

-- What has begun to be sent is not undone, and what ended stays as it ended.
CREATE FUNCTION delayed_decisions_protect() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL AND OLD IS DISTINCT FROM NEW THEN
        RAISE EXCEPTION 'delayed decision % was sent', OLD.id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER delayed_decisions_protect BEFORE UPDATE ON delayed_decisions
    FOR EACH ROW EXECUTE FUNCTION delayed_decisions_protect();

GRANT SELECT, INSERT, DELETE, UPDATE (decision, roles, body, made_at, send_at, taken_until, ended_at, refusal)
    ON delayed_decisions TO countersign_app;

-- Nothing is left of it when its request is erased, and none is made about one that is.
CREATE FUNCTION delayed_of_what_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM requests r WHERE r.id = NEW.request_id AND r.erased_at IS NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'request % is erased: nothing is added to it any more', NEW.request_id USING ERRCODE = 'CS005';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER delayed_of_what_is_kept BEFORE INSERT ON delayed_decisions
    FOR EACH ROW EXECUTE FUNCTION delayed_of_what_is_kept();

CREATE FUNCTION forget_delayed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    DELETE FROM public.delayed_decisions d WHERE d.request_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_delayed AFTER UPDATE OF erased_at ON requests FOR EACH ROW
    WHEN (NEW.erased_at IS NOT NULL) EXECUTE FUNCTION forget_delayed();
