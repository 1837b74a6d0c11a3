-- Requests that keep something from most of those who see them, for search by those who may see it.
CREATE INDEX data_keys_private ON data_keys (request_id) WHERE private;
