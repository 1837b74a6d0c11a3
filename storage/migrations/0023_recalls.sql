-- Recalls: of requests that a rule decided and should not have. What is final stays so: a recalled request
-- is marked, and where people are to decide it after all, a new request of the same asks them.

CREATE TABLE recalls (
    id               uuid        PRIMARY KEY,
    workflow         text        NOT NULL,
    version          int         NOT NULL,
    step             text        NOT NULL,
    review_workflow  text,                   -- null: they are marked, and nothing else
    review_version   int,
    reason           text        NOT NULL CHECK (reason ~ '\S'),
    selection        jsonb       NOT NULL CHECK (jsonb_typeof(selection) = 'object'),   -- storage.impact.Rule
    begun_by         text        NOT NULL,
    begun_at         timestamptz NOT NULL,
    finished_at      timestamptz,
    FOREIGN KEY (workflow, version) REFERENCES recipes,
    FOREIGN KEY (review_workflow, review_version) REFERENCES recipes,
    CONSTRAINT a_review_is_whole CHECK ((review_workflow IS NULL) = (review_version IS NULL)),
    CONSTRAINT not_by_the_same_rule CHECK ((workflow, version) IS DISTINCT FROM (review_workflow, review_version))
);
CREATE INDEX recalls_newest ON recalls (begun_at DESC, id DESC);

ALTER TABLE requests
    ADD COLUMN recall_id uuid REFERENCES recalls,
    ADD COLUMN reopens   uuid REFERENCES requests,
    ADD CONSTRAINT what_is_over_is_recalled CHECK (recall_id IS NULL OR finalized_at IS NOT NULL),
    ADD CONSTRAINT none_reopens_itself CHECK (reopens <> id);
CREATE INDEX requests_recalled ON requests (recall_id, id) WHERE recall_id IS NOT NULL;
CREATE UNIQUE INDEX requests_reopened_once ON requests (reopens) WHERE reopens IS NOT NULL;

-- What is to become of each, and what has. A request is recalled once; one that was refused may be tried
-- again by another recall.
CREATE TABLE recalled_requests (
    recall_id    uuid NOT NULL REFERENCES recalls,
    request_id   uuid NOT NULL REFERENCES requests,
    state        text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'recalled', 'refused')),
    reopened_as  uuid UNIQUE REFERENCES requests,
    detail       text,                              -- why it was refused
    settled_at   timestamptz,
    PRIMARY KEY (recall_id, request_id),
    CONSTRAINT settled_or_waiting CHECK ((settled_at IS NULL) = (state = 'waiting')),
    CONSTRAINT refused_for_a_reason CHECK ((detail IS NOT NULL) = (state = 'refused')),
    CONSTRAINT reopened_when_recalled CHECK (reopened_as IS NULL OR state = 'recalled')
);
CREATE INDEX recalled_waiting ON recalled_requests (recall_id, request_id) WHERE state = 'waiting';
CREATE UNIQUE INDEX recalled_once ON recalled_requests (request_id) WHERE state <> 'refused';

CREATE FUNCTION a_recall_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.recall_id IS NOT NULL AND NEW.recall_id IS DISTINCT FROM OLD.recall_id THEN
        RAISE EXCEPTION 'request % was recalled and stays so', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER requests_stay_recalled BEFORE UPDATE OF recall_id ON requests
    FOR EACH ROW EXECUTE FUNCTION a_recall_stays();

GRANT SELECT, INSERT ON recalls, recalled_requests TO countersign_app;
GRANT UPDATE (finished_at) ON recalls TO countersign_app;
GRANT UPDATE (state, reopened_as, detail, settled_at) ON recalled_requests TO countersign_app;
