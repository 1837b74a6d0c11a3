-- A request may be moved to another version of its workflow. What was committed before that is applied
-- again from the version it was submitted on.

ALTER TABLE requests
    ADD COLUMN first_version int,        -- null: it has never been moved
    ADD FOREIGN KEY (workflow, first_version) REFERENCES recipes;
