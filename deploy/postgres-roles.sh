#!/bin/sh
# Run once by the Postgres image, on an empty data volume: databases, and roles with passwords.
# The migrator may become countersign_owner, which owns everything; the application may not.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --set app="$COUNTERSIGN_APP_PASSWORD" \
  --set migrator="$COUNTERSIGN_MIGRATOR_PASSWORD" \
  --set temporal="$TEMPORAL_DB_PASSWORD" <<'SQL'
CREATE ROLE countersign_owner NOLOGIN;
CREATE ROLE countersign_app LOGIN PASSWORD :'app';
CREATE ROLE countersign_migrator LOGIN PASSWORD :'migrator';
GRANT countersign_owner TO countersign_migrator;
CREATE DATABASE countersign;
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
\connect countersign
GRANT USAGE, CREATE ON SCHEMA public TO countersign_owner;
SQL
