-- Changes: outcomes of a recipe's own, requests that go back to their requester and come in again.

-- Which decisions there are is said by recipes; here only that it is a word, and what it did. What is
-- called approve or reject counts as that, and does not say so.
ALTER TABLE decisions DROP CONSTRAINT decisions_decision_check;
ALTER TABLE decisions
    ADD COLUMN counts_as text CHECK (counts_as IN ('approve','reject','rewind')),
    ADD COLUMN rewind_to text,                  -- where one that rewinds led: a step, or requester
    ADD CONSTRAINT decisions_decision_check CHECK (decision ~ '^[a-z][a-z0-9_]{0,62}$'),
    ADD CONSTRAINT others_say_what_they_count_as CHECK (
        (counts_as IS NULL) = (decision IN ('approve','reject'))),
    ADD CONSTRAINT leads_back_exactly_when_it_rewinds CHECK (
        (rewind_to IS NOT NULL) = coalesce(counts_as = 'rewind', false));

-- What a task offers to decide, as recipes.effects.Offer has it; the defaults are every task's.
ALTER TABLE tasks
    ADD COLUMN outcomes       jsonb  NOT NULL DEFAULT '[
        {"id": "approve", "name": "Approve", "counts_as": "approve", "to": null},
        {"id": "reject", "name": "Reject", "counts_as": "reject", "to": null},
        {"id": "request_changes", "name": "Request changes", "counts_as": "rewind", "to": null}]'
        CHECK (jsonb_typeof(outcomes) = 'array'),
    ADD COLUMN require_reason text[] NOT NULL DEFAULT '{}',
    ADD COLUMN reasons        text[] NOT NULL DEFAULT '{}',         -- empty: any
    ADD COLUMN rewind_to      text[] NOT NULL DEFAULT '{requester}',
    ADD COLUMN show           text[] NOT NULL DEFAULT '{}',         -- names of inputs; empty: all
    -- How often its request had been rewound, plus one. Of a step that is decided anew the tasks of
    -- earlier rounds count no more; one whose approval was kept is of the round that kept it.
    ADD COLUMN round          int    NOT NULL DEFAULT 1 CHECK (round > 0);
UPDATE tasks SET require_comment = require_comment || '{request_changes}' WHERE state = 'open';

-- Each submission of a request: what it said, and its digest. The request has the newest.
CREATE TABLE revisions (
    request_id    uuid        NOT NULL REFERENCES requests,
    number        int         NOT NULL CHECK (number > 0),
    inputs        jsonb       NOT NULL CHECK (jsonb_typeof(inputs) = 'object'),
    digest        text        NOT NULL,
    title         text        NOT NULL,
    comment       text,
    submitted_at  timestamptz NOT NULL,
    submitted_by  text        NOT NULL,
    PRIMARY KEY (request_id, number)
);
INSERT INTO revisions (request_id, number, inputs, digest, title, submitted_at, submitted_by)
SELECT id, 1, inputs, digest, title, created_at, requester FROM requests;
CREATE TRIGGER revisions_are_kept BEFORE UPDATE OR DELETE ON revisions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
ALTER TABLE revisions ENABLE ALWAYS TRIGGER revisions_are_kept;

ALTER TABLE requests
    ADD COLUMN resubmit_by timestamptz,         -- of one that waits for its requester
    ADD CONSTRAINT only_what_waits_is_resubmitted CHECK (resubmit_by IS NULL OR state = 'rewound'),
    ADD CONSTRAINT rewound_is_at_no_step CHECK (state <> 'rewound' OR step IS NULL);
-- What waits for its requester.
CREATE INDEX requests_rewound ON requests (requester, created_at DESC, id DESC) WHERE state = 'rewound';

GRANT SELECT, INSERT ON revisions TO countersign_app;
