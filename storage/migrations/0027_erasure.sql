-- Erasure: the data keys of a request are destroyed, so that nobody can read any more what is sealed with
-- them, wherever it was copied to; and what is kept of it in the clear beside the audit is blanked.

ALTER TABLE requests
    ADD COLUMN erased_at      timestamptz,
    ADD COLUMN erased_by      text,
    ADD COLUMN erased_reason  text,
    ADD CONSTRAINT erased_as_a_whole CHECK (num_nulls(erased_at, erased_by, erased_reason) IN (0, 3)),
    ADD CONSTRAINT erased_when_over CHECK (erased_at IS NULL OR finalized_at IS NOT NULL),
    ADD CONSTRAINT nothing_is_left_of_what_is_erased CHECK (
        erased_at IS NULL OR (title = 'Erased request' AND inputs = '{}' AND sealed IS NULL AND reason IS NULL
                              AND incidents = '[]'));
CREATE INDEX requests_erased ON requests (id) WHERE erased_at IS NOT NULL;

CREATE FUNCTION erased_without_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.erased_at IS NOT NULL THEN
        RAISE EXCEPTION 'request % is erased and stays so', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (SELECT FROM data_keys k WHERE k.request_id = OLD.id) THEN
        RAISE EXCEPTION 'the data keys of request % are still there', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER requests_erased_without_keys BEFORE UPDATE OF erased_at, erased_by, erased_reason ON requests
    FOR EACH ROW WHEN ((OLD.erased_at, OLD.erased_by, OLD.erased_reason)
                       IS DISTINCT FROM (NEW.erased_at, NEW.erased_by, NEW.erased_reason))
    EXECUTE FUNCTION erased_without_keys();

-- Whatever is written about a request leaves a row in its chain, under the lock of its head: so nobody
-- writes about one that is erased, however early they began.
ALTER TABLE audit_heads ADD COLUMN erased boolean NOT NULL DEFAULT false;
CREATE INDEX audit_heads_erased ON audit_heads (request_id) WHERE erased;
CREATE INDEX audit_of_erasure ON audit (request_id) WHERE event_type = 'request.erased';

CREATE FUNCTION refuse_about_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'request % is erased: nothing is added to it any more', OLD.request_id USING ERRCODE = 'CS005';
END $$;
CREATE TRIGGER audit_heads_of_erased BEFORE UPDATE ON audit_heads
    FOR EACH ROW WHEN (OLD.erased AND NEW.erased) EXECUTE FUNCTION refuse_about_erased();

-- But for the log of a job: an attempt that was given up may still say something.
CREATE FUNCTION job_of_what_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM jobs j JOIN requests r ON r.id = j.request_id
      WHERE j.id = NEW.job_id AND r.erased_at IS NULL FOR SHARE OF r;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the request of job % is erased: nothing is added to it any more', NEW.job_id
            USING ERRCODE = 'CS005';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER job_log_of_what_is_kept BEFORE INSERT ON job_log FOR EACH ROW EXECUTE FUNCTION job_of_what_is_kept();

-- What is erased is recalled by nobody: there is nothing left for people to decide by.
CREATE FUNCTION recalled_of_what_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM requests r WHERE r.id = NEW.request_id AND r.erased_at IS NULL FOR SHARE;
    RETURN CASE WHEN FOUND THEN NEW END;
END $$;
CREATE TRIGGER recalled_of_what_is_kept BEFORE INSERT ON recalled_requests
    FOR EACH ROW EXECUTE FUNCTION recalled_of_what_is_kept();

-- Revisions stay as they are, but for one way to change: blank, with their erased request.
DROP TRIGGER revisions_are_kept ON revisions;
CREATE TRIGGER revisions_are_kept BEFORE DELETE ON revisions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE FUNCTION a_revision_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.request_id, NEW.number, NEW.digest, NEW.submitted_at, NEW.submitted_by)
       IS DISTINCT FROM (OLD.request_id, OLD.number, OLD.digest, OLD.submitted_at, OLD.submitted_by)
       OR (NEW.title, NEW.inputs) IS DISTINCT FROM ('Erased request', '{}'::jsonb) OR num_nonnulls(NEW.comment, NEW.sealed) > 0
       OR NOT EXISTS (SELECT FROM requests r WHERE r.id = OLD.request_id AND r.erased_at IS NOT NULL) THEN
        RAISE EXCEPTION 'revision % of request % stays as it is', OLD.number, OLD.request_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER revisions_stay BEFORE UPDATE ON revisions FOR EACH ROW EXECUTE FUNCTION a_revision_stays();
ALTER TABLE revisions ENABLE ALWAYS TRIGGER revisions_are_kept, ENABLE ALWAYS TRIGGER revisions_stay;

-- Erase a request, and say so in its chain. What came of it: `erased`; `erased_before` if it was; or why not:
-- `not_found`, `not_final`, `never_encrypted` (it has no keys: its audit rows are in the clear), `unsettled`
-- (something of it has still to be told, or answered), `unfinished` (a job runs, or an incident waits),
-- `being_recalled`, `held`. Locks in the order every writer keeps: request, tasks, what else is changed before
-- its row of the audit is written, audit head. Under the last one nobody is writing about it any more, and all that
-- was written is seen by the statements that follow.
CREATE FUNCTION erase_request(
    p_request_id uuid, p_event_id uuid, p_at timestamptz, p_actor text, p_payload text, p_snapshot text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    r      public.requests;
    keyed  boolean;
    files  bytea[];
BEGIN
    SELECT * INTO r FROM public.requests q WHERE q.id = p_request_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'not_found';
    END IF;
    keyed := EXISTS (SELECT FROM public.data_keys k WHERE k.request_id = r.id);
    IF r.erased_at IS NOT NULL AND NOT keyed THEN
        RETURN 'erased_before';
    ELSIF r.finalized_at IS NULL THEN
        RETURN 'not_final';
    ELSIF NOT keyed THEN
        RETURN 'never_encrypted';
    ELSIF EXISTS (SELECT FROM public.outbox o WHERE o.request_id = r.id)
       OR EXISTS (SELECT FROM public.commands c WHERE c.request_id = r.id AND c.settled_at IS NULL) THEN
        RETURN 'unsettled';
    ELSIF r.incidents <> '[]'
       OR EXISTS (SELECT FROM public.jobs j WHERE j.request_id = r.id AND j.state = 'running') THEN
        RETURN 'unfinished';
    ELSIF EXISTS (SELECT FROM public.recalled_requests q WHERE q.request_id = r.id AND q.state = 'waiting') THEN
        RETURN 'being_recalled';
    END IF;
    -- Whoever sets a hold now waits, or is seen.
    LOCK TABLE public.audit_holds IN SHARE MODE;
    IF EXISTS (SELECT FROM public.audit_holds h
                WHERE h.ended_at IS NULL AND (h.request_id = r.id OR h.workflow = r.workflow OR h.month IN (
                      SELECT date_trunc('month', a.recorded_at AT TIME ZONE 'UTC')::date FROM public.audit a
                       WHERE a.request_id = r.id
                      UNION SELECT date_trunc('month', l.recorded_at AT TIME ZONE 'UTC')::date
                              FROM public.audit_leaves l WHERE l.request_id = r.id))) THEN
        RETURN 'held';
    END IF;
    PERFORM FROM public.tasks t WHERE t.request_id = r.id ORDER BY t.id FOR NO KEY UPDATE;
    PERFORM FROM public.questions q WHERE q.request_id = r.id ORDER BY q.id FOR UPDATE;
    PERFORM FROM public.blobs b WHERE b.sha256 IN (SELECT a.sha256 FROM public.attachments a WHERE a.request_id = r.id)
      ORDER BY b.sha256 FOR UPDATE;
    PERFORM FROM public.audit_heads h WHERE h.request_id = r.id FOR UPDATE;

    DELETE FROM public.data_keys k WHERE k.request_id = r.id;
    UPDATE public.requests q
       SET erased_at = coalesce(q.erased_at, p_at),
           erased_by = coalesce(q.erased_by, p_actor::jsonb->>'user'),
           erased_reason = coalesce(q.erased_reason, p_payload::jsonb->>'reason'),
           title = 'Erased request', inputs = '{}', sealed = NULL, reason = NULL
     WHERE q.id = r.id;
    UPDATE public.revisions v SET title = 'Erased request', inputs = '{}', sealed = NULL, comment = NULL
     WHERE v.request_id = r.id;
    UPDATE public.tasks t SET ask = NULL WHERE t.request_id = r.id AND t.ask IS NOT NULL;
    UPDATE public.decisions d SET comment = NULL, reason = NULL WHERE d.request_id = r.id;
    UPDATE public.commands c SET comment = NULL, detail = NULL WHERE c.request_id = r.id;
    UPDATE public.recalled_requests q SET detail = 'erased' WHERE q.request_id = r.id AND q.detail IS NOT NULL;
    DELETE FROM public.job_log l USING public.jobs j WHERE j.id = l.job_id AND j.request_id = r.id;
    UPDATE public.jobs j SET inputs = '{}', output = NULL, error = CASE WHEN j.state = 'failed' THEN 'erased' END
     WHERE j.request_id = r.id;
    DELETE FROM public.notifications n WHERE n.request_id = r.id;
    DELETE FROM public.comments c WHERE c.request_id = r.id;
    DELETE FROM public.questions q WHERE q.request_id = r.id;
    WITH gone AS (DELETE FROM public.attachments a WHERE a.request_id = r.id RETURNING a.sha256)
    SELECT array_agg(sha256) INTO files FROM gone;
    -- Whoever adds the same file to another request now is done first, and seen.
    PERFORM FROM public.blobs b WHERE b.sha256 = ANY(files) ORDER BY b.sha256 FOR UPDATE;
    DELETE FROM public.blobs b
     WHERE b.sha256 = ANY(files) AND NOT EXISTS (SELECT FROM public.attachments a WHERE a.sha256 = b.sha256);
    DELETE FROM public.commits c WHERE c.request_id = r.id;
    -- Hashes of what was submitted: what is submitted again under the same key or id is refused, not made anew.
    UPDATE public.idempotency_keys k SET fingerprint = 'erased' WHERE k.request_id = r.id;
    UPDATE public.events e SET fingerprint = 'erased'
     WHERE e.requests @> jsonb_build_array(jsonb_build_object('id', r.id));
    UPDATE public.audit_subjects s SET title = NULL, inputs = '{}', sealed = NULL WHERE s.request_id = r.id;
    DELETE FROM public.audit_words w WHERE w.request_id = r.id;

    UPDATE public.audit_heads h SET erased = false WHERE h.request_id = r.id AND h.erased;
    PERFORM public.audit_append(p_event_id, p_at, r.id, r.workflow, r.version, 'request.erased', p_actor,
                                p_payload, p_snapshot);
    UPDATE public.audit_heads h SET erased = true WHERE h.request_id = r.id;
    RETURN 'erased';
END $$;

REVOKE ALL ON FUNCTION erase_request FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_request TO countersign_app;
GRANT UPDATE (kept_at) ON blobs TO countersign_app;
