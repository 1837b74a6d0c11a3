-- State machines: where a request is by its author's own states, and the command that moves it.

ALTER TABLE requests ADD COLUMN status text;                    -- the id of a state of its machine
ALTER TABLE requests ADD COLUMN moves  int NOT NULL DEFAULT 0 CHECK (moves >= 0);
CREATE INDEX requests_by_status ON requests (status, created_at DESC, id DESC) WHERE status IS NOT NULL;

-- Which commands there are is said in one place, recipes.state.Commanded; here only that it is a word.
ALTER TABLE commands DROP CONSTRAINT commands_command_check;
ALTER TABLE commands ADD CONSTRAINT commands_command_check CHECK (command ~ '^[a-z][a-z_]{0,30}$');

-- Who has a part in which machines: those who fired an action, and recipes whose actions name somebody.
CREATE INDEX commands_fired ON commands (actor, request_id) WHERE command = 'fire';
CREATE INDEX recipes_machines ON recipes (workflow, version) WHERE recipe->>'kind' = 'state_machine';
