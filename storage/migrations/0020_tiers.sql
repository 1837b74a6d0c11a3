-- The cold tier: closed months of the audit as Parquet files, verified before they leave Postgres.

-- One row for each month that has a verified copy. `manifest` is signed; `digest` is SHA-256 over the
-- hashes of its rows, in the order of (request_id, seq).
--   verified: the copy is there and was read again; the rows are in Postgres, too.
--   detached: the rows are in a table of their own, and are asked of the copy.
--   cold:     the copy alone is there.
--   expired:  its time is over; files are being removed.
--   deleted:  they are; this row and the manifest stay.
CREATE TABLE audit_months (
    month        date        PRIMARY KEY CHECK (month = date_trunc('month', month)::date),
    state        text        NOT NULL CHECK (state IN ('verified','detached','cold','expired','deleted')),
    rows         bigint      NOT NULL CHECK (rows > 0),
    digest       bytea       NOT NULL CHECK (octet_length(digest) = 32),
    first_at     timestamptz NOT NULL,          -- when the earliest of its events occurred
    last_at      timestamptz NOT NULL,
    workflows    text[]      NOT NULL,
    manifest     text        NOT NULL,
    verified_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    cold_at      timestamptz,
    expired_at   timestamptz,
    deleted_at   timestamptz,
    CONSTRAINT times_as_the_state_says CHECK (
        (cold_at IS NOT NULL) = (state IN ('cold','expired','deleted'))
        AND (expired_at IS NOT NULL) = (state IN ('expired','deleted'))
        AND (deleted_at IS NOT NULL) = (state = 'deleted'))
);

-- What must not be deleted, whatever its age: a request's rows, a workflow's, a month.
CREATE TABLE audit_holds (
    id          uuid        PRIMARY KEY,
    request_id  uuid,
    workflow    text,
    month       date        CHECK (month = date_trunc('month', month)::date),
    reason      text        NOT NULL CHECK (reason <> ''),
    set_by      text        NOT NULL,
    set_at      timestamptz NOT NULL,
    ended_by    text,
    ended_at    timestamptz,
    end_reason  text,
    CONSTRAINT holds_one_thing CHECK (num_nonnulls(request_id, workflow, month) = 1),
    CONSTRAINT ended_as_a_whole CHECK (num_nulls(ended_by, ended_at, end_reason) IN (0, 3))
);

-- How many rows a table of a month holds, and their digest.
CREATE FUNCTION audit_digest(p_table regclass, OUT rows bigint, OUT digest bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    EXECUTE format('SELECT count(*), sha256(coalesce(string_agg(hash, ''''::bytea ORDER BY request_id, seq), ''''))
                      FROM %s', p_table) INTO rows, digest;
END $$;

-- Take it that a copy was verified: it must have just the rows of Postgres, all of them sealed.
CREATE FUNCTION audit_month_verified(p_month date, p_rows bigint, p_digest bytea, p_manifest text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    held    record;
    loose   bigint;
    begins  timestamptz := p_month::timestamp AT TIME ZONE 'UTC';
    ends    timestamptz := (p_month + interval '1 month')::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF ends > now() THEN
        RAISE EXCEPTION '% is not over yet', to_char(p_month, 'YYYY-MM') USING ERRCODE = 'CS004';
    END IF;
    SELECT * INTO held FROM public.audit_digest(('public.audit_' || to_char(p_month, 'YYYY_MM'))::regclass);
    IF (held.rows, held.digest) IS DISTINCT FROM (p_rows, p_digest) THEN
        RAISE EXCEPTION 'the copy of % has % rows, and they are not the % of the database',
            to_char(p_month, 'YYYY-MM'), p_rows, held.rows USING ERRCODE = 'CS004';
    END IF;
    SELECT count(*) INTO loose FROM public.audit a
     WHERE a.recorded_at >= begins AND a.recorded_at < ends
       AND NOT EXISTS (SELECT FROM public.audit_leaves l WHERE l.request_id = a.request_id AND l.seq = a.seq);
    IF loose > 0 THEN
        RAISE EXCEPTION '% rows of % are not sealed', loose, to_char(p_month, 'YYYY-MM') USING ERRCODE = 'CS004';
    END IF;
    INSERT INTO public.audit_months (month, state, rows, digest, first_at, last_at, workflows, manifest)
    SELECT p_month, 'verified', p_rows, p_digest, min(occurred_at), max(occurred_at),
           array_agg(DISTINCT workflow_id), p_manifest
      FROM public.audit WHERE recorded_at >= begins AND recorded_at < ends
    ON CONFLICT (month) DO NOTHING;
END $$;

-- Take a verified month out of the table that is asked. A lock is waited for 5 s: whoever asks waits behind us.
CREATE FUNCTION audit_detach_month(p_month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    found  public.audit_months;
    held   record;
    name   text := 'audit_' || to_char(p_month, 'YYYY_MM');
BEGIN
    SELECT * INTO found FROM public.audit_months m WHERE m.month = p_month FOR UPDATE;
    IF found.state IS DISTINCT FROM 'verified' THEN
        RETURN;
    END IF;
    SELECT * INTO held FROM public.audit_digest(('public.' || name)::regclass);
    IF (held.rows, held.digest) IS DISTINCT FROM (found.rows, found.digest) THEN
        RAISE EXCEPTION '% has other rows than its copy', name USING ERRCODE = 'CS004';
    END IF;
    EXECUTE format('ALTER TABLE public.audit DETACH PARTITION public.%I', name);
    UPDATE public.audit_months SET state = 'detached' WHERE month = p_month;
END $$;

CREATE FUNCTION audit_drop_month(p_month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    found  public.audit_months;
    held   record;
    name   text := 'audit_' || to_char(p_month, 'YYYY_MM');
BEGIN
    SELECT * INTO found FROM public.audit_months m WHERE m.month = p_month FOR UPDATE;
    IF found.state IS DISTINCT FROM 'detached' THEN
        RETURN;
    END IF;
    SELECT * INTO held FROM public.audit_digest(('public.' || name)::regclass);
    IF (held.rows, held.digest) IS DISTINCT FROM (found.rows, found.digest) THEN
        RAISE EXCEPTION '% has other rows than its copy', name USING ERRCODE = 'CS004';
    END IF;
    EXECUTE format('DROP TABLE public.%I', name);
    UPDATE public.audit_months SET state = 'cold', cold_at = clock_timestamp() WHERE month = p_month;
END $$;

-- The holds that keep a month.
CREATE FUNCTION audit_held(p_month date) RETURNS SETOF uuid LANGUAGE sql STABLE
    SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT h.id FROM public.audit_holds h JOIN public.audit_months m ON m.month = p_month
     WHERE h.ended_at IS NULL
       AND (h.month = p_month OR h.workflow = ANY(m.workflows)
            OR EXISTS (SELECT FROM public.audit_leaves l WHERE l.request_id = h.request_id
                          AND l.recorded_at >= p_month::timestamp AT TIME ZONE 'UTC'
                          AND l.recorded_at < (p_month + interval '1 month')::timestamp AT TIME ZONE 'UTC'))
$$;

-- A month's time is over: so many years after its end, and nothing holds it. What its requests were about goes
-- with it, if none of their rows are in a month that stays. False if it is not over.
CREATE FUNCTION audit_expire_month(p_month date, p_years int) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (p_years BETWEEN 1 AND 1000) IS NOT TRUE THEN
        RAISE EXCEPTION 'audit_expire_month: % years are not between 1 and 1000', p_years
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Whoever sets a hold now waits, or is seen.
    LOCK TABLE public.audit_holds IN SHARE MODE;
    UPDATE public.audit_months SET state = 'expired', expired_at = clock_timestamp()
     WHERE month = p_month AND state = 'cold'
       AND (p_month + interval '1 month' + make_interval(years => p_years))::timestamp AT TIME ZONE 'UTC' <= now()
       AND NOT EXISTS (SELECT FROM public.audit_held(p_month));
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM public.audit_subjects s
     WHERE EXISTS (SELECT FROM public.audit_leaves l WHERE l.request_id = s.request_id
                      AND l.recorded_at >= p_month::timestamp AT TIME ZONE 'UTC'
                      AND l.recorded_at < (p_month + interval '1 month')::timestamp AT TIME ZONE 'UTC')
       AND NOT EXISTS (SELECT FROM public.audit a WHERE a.request_id = s.request_id)
       AND NOT EXISTS (SELECT FROM public.audit_leaves l
                         JOIN public.audit_months m
                           ON l.recorded_at >= m.month::timestamp AT TIME ZONE 'UTC'
                          AND l.recorded_at < (m.month + interval '1 month')::timestamp AT TIME ZONE 'UTC'
                        WHERE l.request_id = s.request_id AND m.state NOT IN ('expired', 'deleted'));
    RETURN true;
END $$;

-- The files of an expired month are gone.
CREATE FUNCTION audit_month_deleted(p_month date) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE public.audit_months SET state = 'deleted', deleted_at = clock_timestamp()
     WHERE month = p_month AND state = 'expired'
$$;

REVOKE ALL ON FUNCTION audit_digest, audit_month_verified, audit_detach_month, audit_drop_month,
    audit_expire_month, audit_month_deleted FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_month_verified, audit_detach_month, audit_drop_month,
    audit_expire_month, audit_month_deleted TO countersign_app;
GRANT SELECT ON audit_months TO countersign_app;
GRANT SELECT, INSERT, UPDATE ON audit_holds TO countersign_app;
