-- Approvers whom somebody added to a step beside those of its recipe.

ALTER TABLE tasks
    ADD COLUMN added_by    text,
    ADD COLUMN added_where text CHECK (added_where IN ('before','beside','after')),
    ADD CONSTRAINT added_as_a_whole CHECK ((added_by IS NULL) = (added_where IS NULL)),
    -- They are added by name.
    ADD CONSTRAINT added_is_one_person CHECK (added_by IS NULL OR assignee IS NOT NULL);
-- Whether somebody was added to the step of a task: nobody decides an added task and another one.
CREATE INDEX tasks_added ON tasks (request_id, step) WHERE added_by IS NOT NULL;
-- Whom people added to a request.
CREATE INDEX commands_added ON commands (request_id, settled_at) WHERE command = 'add_approver' AND applied;
