-- What a recipe calls confidential is in no column in the clear: boxes of it stand beside the rest, and only the
-- confidential data key of the request opens them (migration 0024).

-- `private`: there is such a key. `sealed` has what is confidential of inputs and, where all is, the title: the
-- columns have the rest, and the recipe's plain name. `reason` is a box itself where all is.
ALTER TABLE requests
    ADD COLUMN private boolean NOT NULL DEFAULT false,
    ADD COLUMN sealed  bytea,
    ADD CONSTRAINT only_what_is_private_is_sealed CHECK (private OR sealed IS NULL);
ALTER TABLE revisions ADD COLUMN sealed bytea;

-- Files of private requests are kept for each of them alone, sealed, under a name that tells nothing of what is in
-- them; `sealed` has their SHA-256.
ALTER TABLE attachments
    ADD COLUMN sealed bytea,
    DROP CONSTRAINT attachments_name_check,
    ADD CONSTRAINT attachments_name_check CHECK (sealed IS NOT NULL OR length(name) BETWEEN 1 AND 200);
ALTER TABLE blobs
    ADD COLUMN sealed boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT kept_under_its_hash,
    DROP CONSTRAINT ten_mebibytes,
    ADD CONSTRAINT kept_under_its_hash CHECK (sealed OR sha256 = sha256(content)),
    ADD CONSTRAINT ten_mebibytes CHECK (octet_length(content) BETWEEN 1 AND 10485760 + CASE WHEN sealed THEN 29 ELSE 0 END);
