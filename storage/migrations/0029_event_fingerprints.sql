-- What tells that an event is the same that came in before is salted with the key of the first request that it
-- started, which is there once the event is claimed.
GRANT UPDATE (fingerprint) ON events TO countersign_app;
