-- The trace of the call that wrote what Temporal must still hear, so that whoever tells it, and what is done then, is of
-- that trace, too.

ALTER TABLE outbox ADD COLUMN traceparent text
    CONSTRAINT as_w3c_spells_it CHECK (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');
