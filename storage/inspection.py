"""What an operator wants to know of the database: for `countersign doctor`."""

from dataclasses import dataclass

from storage.pool import Source

LONG_AGO_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Inspection:
    """`may_rewrite`: the role could change audit rows or the rules that protect them.
    `untaken`: requests submitted `LONG_AGO_SECONDS` ago that no worker took up."""

    version: str
    role: str
    may_rewrite: bool
    this_month: bool
    next_month: bool
    astray: bool
    outbox_rows: int
    outbox_seconds: float
    outbox_error: str | None
    untaken: int
    in_need: int


# Partitions are named by UTC month; audit_rest catches rows for which there was none.
_INSPECT = """
SELECT current_setting('server_version') AS version,
       current_user AS role,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
           OR pg_has_role(current_user, 'countersign_owner', 'MEMBER')
           OR has_table_privilege(current_user, 'audit', 'UPDATE, DELETE, TRUNCATE') AS may_rewrite,
       to_regclass('audit_' || to_char(utc, 'YYYY_MM')) IS NOT NULL AS this_month,
       to_regclass('audit_' || to_char(utc + interval '1 month', 'YYYY_MM')) IS NOT NULL AS next_month,
       EXISTS (SELECT FROM audit_rest) AS astray,
       outbox.rows AS outbox_rows, outbox.seconds AS outbox_seconds, outbox.error AS outbox_error,
       (SELECT count(*) FROM requests
        WHERE seq = 0 AND finalized_at IS NULL
          AND created_at < now() - $1 * interval '1 second') AS untaken,
       (SELECT count(*) FROM requests WHERE incidents <> '[]') AS in_need
FROM (SELECT now() AT TIME ZONE 'UTC' AS utc) AS clock,
     (SELECT count(*) AS rows, max(last_error) AS error,
             coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS seconds
      FROM outbox) AS outbox
"""


async def inspect(source: Source) -> Inspection:
    """Everything at once; needs a migrated database."""
    row = await source.fetchrow(_INSPECT, LONG_AGO_SECONDS)
    assert row is not None
    return Inspection(**dict(row))
