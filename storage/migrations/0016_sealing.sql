-- Sealing: every audit row becomes a leaf of one Merkle tree (RFC 6962), whose size and root are signed
-- from time to time. The chains of requests tell that a row was changed; the tree, with its signed
-- checkpoints kept elsewhere, tells what chains cannot: that rows, whole requests, or the last week are
-- missing, and that some were not there when they should have been.

-- The rows from one transaction on: where the sealer looks.
CREATE INDEX audit_by_transaction ON audit (xid);

CREATE TABLE audit_leaves (
    leaf         bigint      PRIMARY KEY CHECK (leaf >= 0),
    request_id   uuid        NOT NULL,
    seq          int         NOT NULL,
    recorded_at  timestamptz NOT NULL,       -- with the two before it, where its row is
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32),
    UNIQUE (request_id, seq)
);

-- Complete subtrees of 256 leaves (level 8), of 256 times 256 (level 16) and so on.
CREATE TABLE audit_nodes (
    level  smallint NOT NULL CHECK (level > 0 AND level % 8 = 0),
    node   bigint   NOT NULL CHECK (node >= 0),
    hash   bytea    NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, node)
);

CREATE TABLE audit_checkpoints (
    number     bigint      PRIMARY KEY CHECK (number > 0),
    size       bigint      NOT NULL CHECK (size >= 0),
    root       bytea       NOT NULL CHECK (octet_length(root) = 32),
    sealed_at  timestamptz NOT NULL,
    note       text        NOT NULL            -- all of it, as it was signed
);
CREATE INDEX audit_checkpoints_by_size ON audit_checkpoints (size);

-- How far sealing has come. All rows of transactions before `watermark` are leaves: it is the oldest
-- transaction that had not ended when they were looked at, since ids of rows commit out of order.
CREATE TABLE audit_tree (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    size         bigint  NOT NULL DEFAULT 0,
    checkpoints  bigint  NOT NULL DEFAULT 0,
    watermark    xid8    NOT NULL DEFAULT '0'
);
INSERT INTO audit_tree DEFAULT VALUES;

SELECT audit_protect('audit_leaves'), audit_protect('audit_nodes'), audit_protect('audit_checkpoints');

-- Seal: these rows become the next leaves, in this order, these subtrees are complete, and this is the
-- checkpoint of the tree with them. Refused (CS003) if the tree is not as large any more as the sealer
-- took it to be: another one was first. What is to be a leaf must be a row that is not one yet.
CREATE FUNCTION audit_seal(
    p_size bigint, p_watermark xid8, p_requests uuid[], p_seqs int[], p_times timestamptz[],
    p_levels smallint[], p_nodes bigint[], p_hashes bytea[],
    p_root bytea, p_sealed_at timestamptz, p_note text
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    tree   public.audit_tree;
    added  bigint;
BEGIN
    SELECT * INTO tree FROM public.audit_tree FOR UPDATE;
    IF tree.size <> p_size THEN
        RAISE EXCEPTION 'the tree has % leaves, not %', tree.size, p_size USING ERRCODE = 'CS003';
    END IF;
    INSERT INTO public.audit_leaves (leaf, request_id, seq, recorded_at, hash)
    SELECT p_size + n - 1, a.request_id, a.seq, a.recorded_at,
           sha256('\x00'::bytea || uuid_send(a.request_id) || int8send(a.seq) || a.hash)
      FROM unnest(p_requests, p_seqs, p_times) WITH ORDINALITY AS r(request_id, seq, at, n)
      JOIN public.audit a ON a.request_id = r.request_id AND a.seq = r.seq AND a.recorded_at = r.at;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added <> cardinality(p_requests) THEN
        RAISE EXCEPTION 'audit_seal: only % of % are rows of the audit', added, cardinality(p_requests)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO public.audit_nodes (level, node, hash) SELECT * FROM unnest(p_levels, p_nodes, p_hashes);
    INSERT INTO public.audit_checkpoints (number, size, root, sealed_at, note)
    VALUES (tree.checkpoints + 1, p_size + added, p_root, p_sealed_at, p_note);
    UPDATE public.audit_tree
       SET size = p_size + added, checkpoints = tree.checkpoints + 1, watermark = p_watermark;
    RETURN tree.checkpoints + 1;
END $$;

REVOKE ALL ON FUNCTION audit_seal FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_seal TO countersign_app;
GRANT SELECT ON audit_leaves, audit_nodes, audit_checkpoints, audit_tree TO countersign_app;
