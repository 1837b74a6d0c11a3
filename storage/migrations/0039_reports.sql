-- What reports look for: what ended, and what was decided or overdue, within a time. Decisions stand in the order of
-- their making, so a few pages say where to look.
CREATE INDEX requests_finalized ON requests (finalized_at) WHERE finalized_at IS NOT NULL AND NOT imported;
CREATE INDEX decisions_by_time ON decisions USING brin (decided_at);
CREATE INDEX tasks_expired ON tasks (closed_at) WHERE state = 'expired';
CREATE INDEX tasks_overdue ON tasks (due_at) WHERE state = 'open' AND due_at IS NOT NULL;
