#!/bin/sh
# Bring Temporal's two databases to the schema of this version of Temporal. Safe to run again.
set -eu
schema=/etc/temporal/schema/postgresql/v12
for pair in temporal:temporal temporal_visibility:visibility; do
  database=${pair%%:*}
  tool="temporal-sql-tool --plugin postgres12 --ep postgres --port 5432 --user temporal --db $database"
  # setup-schema makes the version table, and refuses when it is there.
  $tool setup-schema --version 0.0 || echo "$database has its version table"
  $tool update-schema --schema-dir "$schema/${pair##*:}/versioned"
done
