-- Asking the audit trail: what a request was about at each moment, words, and indexes.

-- Lexemes of what people wrote, of any language. Inputs of more than 250 kB would not fit a tsvector:
-- they are found by their title alone.
CREATE FUNCTION words_of(title text, inputs jsonb) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector('simple'::regconfig, left(coalesce(title, ''), 10000))
        || CASE WHEN octet_length(inputs::text) <= 250000
                THEN jsonb_to_tsvector('simple'::regconfig, inputs, '["string", "numeric"]')
                ELSE ''::tsvector END;

-- What an event itself says in words: comments, questions and answers, reasons. Null if nothing.
CREATE FUNCTION audit_said(payload jsonb) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN coalesce(payload->>'comment', payload->>'text', payload->>'reason') IS NOT NULL
                THEN to_tsvector('simple'::regconfig,
                                 left(concat_ws(' ', payload->>'comment', payload->>'text', payload->>'reason'), 200000))
           END;

-- What came of it: a decision, a step's outcome, the state that a request ended in.
CREATE FUNCTION audit_outcome(event_type text, payload jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(payload->>'decision', payload->>'outcome',
                    CASE WHEN event_type = 'request.finalized' THEN payload->>'state' END);

-- From which row of a request's chain on it was about what: derived from bodies of the audit, never
-- evidence itself. It stays when rows go to the cold tier, so that what is asked about a request's inputs
-- has its answer wherever the row is that tells them.
CREATE TABLE audit_subjects (
    request_id   uuid  NOT NULL,
    seq          int   NOT NULL CHECK (seq > 0),
    requester    text,
    title        text,
    inputs       jsonb NOT NULL CHECK (jsonb_typeof(inputs) = 'object'),
    entity_type  text,
    entity_id    text,
    words        tsvector NOT NULL GENERATED ALWAYS AS (words_of(title, inputs)) STORED,
    PRIMARY KEY (request_id, seq),
    CONSTRAINT an_entity_has_both CHECK ((entity_type IS NULL) = (entity_id IS NULL))
);
CREATE INDEX audit_subjects_by_inputs ON audit_subjects USING gin (inputs jsonb_path_ops);
CREATE INDEX audit_subjects_by_words ON audit_subjects USING gin (words);
CREATE INDEX audit_subjects_by_entity ON audit_subjects (entity_type, entity_id)
    WHERE entity_type IS NOT NULL;

CREATE FUNCTION audit_tells_subject() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_subjects (request_id, seq, requester, title, inputs, entity_type, entity_id)
    SELECT NEW.request_id, NEW.seq,
           coalesce(NEW.payload->>'requester', s.requester, NEW.actor->>'user'),
           coalesce(NEW.payload->>'title', s.title), NEW.payload->'inputs',
           coalesce(NEW.payload#>>'{entity,type}', s.entity_type),
           coalesce(NEW.payload#>>'{entity,id}', s.entity_id)
      FROM (SELECT) one LEFT JOIN LATERAL (
           SELECT * FROM public.audit_subjects e WHERE e.request_id = NEW.request_id AND e.seq < NEW.seq
            ORDER BY e.seq DESC LIMIT 1) s ON true;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION audit_tells_subject FROM PUBLIC;
CREATE TRIGGER audit_subjects_told AFTER INSERT ON audit FOR EACH ROW
    WHEN (NEW.event_type LIKE 'request.%' AND jsonb_typeof(NEW.payload->'inputs') = 'object')
    EXECUTE FUNCTION audit_tells_subject();

INSERT INTO audit_subjects (request_id, seq, requester, title, inputs, entity_type, entity_id)
SELECT request_id, seq, coalesce(payload->>'requester', actor->>'user'), payload->>'title', payload->'inputs',
       payload#>>'{entity,type}', payload#>>'{entity,id}'
  FROM audit
 WHERE event_type LIKE 'request.%' AND jsonb_typeof(payload->'inputs') = 'object';

-- The newest first, of a workflow's events of one type; of a person; on somebody's behalf.
DROP INDEX audit_by_workflow;
CREATE INDEX audit_by_workflow ON audit (workflow_id, event_type, occurred_at);
CREATE INDEX audit_by_actor ON audit ((actor->>'user'), occurred_at)
    WHERE actor->>'user' <> 'system:engine';
CREATE INDEX audit_by_principal ON audit ((actor->>'on_behalf_of'), occurred_at)
    WHERE actor->>'on_behalf_of' IS NOT NULL;
CREATE INDEX audit_by_words ON audit USING gin (audit_said(payload))
    WHERE audit_said(payload) IS NOT NULL;

GRANT SELECT ON audit_subjects TO countersign_app;
