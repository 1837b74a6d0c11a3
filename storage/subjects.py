"""What is kept of each request for searching (`audit_subjects`), against the rows that it is made of."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json

from contract import boxes, content
from contract.boxes import CannotOpen, Keys
from contract.canonical import canonical
from contract.verifying import Finding
from storage.pool import Connection, NoVault, vault_of
from storage.vault import Vault

# Subjects that are not what their row says, or are of none. $1: a request; $2 $3: times.
SUBJECTS = """
SELECT a.request_id, a.seq, 'what its request is about is kept otherwise than the body says' AS what
  FROM audit a LEFT JOIN audit_subjects s USING (request_id, seq)
 WHERE a.event_type LIKE 'request.%' AND jsonb_typeof(a.payload->'inputs') = 'object'
   AND ($1::uuid IS NULL OR a.request_id = $1)
   AND a.recorded_at >= coalesce($2::timestamptz, '-infinity')
   AND a.recorded_at < coalesce($3::timestamptz, 'infinity')
   AND (s.inputs IS DISTINCT FROM a.payload->'inputs'
        OR s.title IS DISTINCT FROM coalesce(a.payload->>'title', s.title)
        OR s.entity_type IS DISTINCT FROM coalesce(a.payload#>>'{entity,type}', s.entity_type)
        OR s.entity_id IS DISTINCT FROM coalesce(a.payload#>>'{entity,id}', s.entity_id))
UNION ALL
SELECT s.request_id, s.seq, 'it is kept what this request is about, and no row says so'
  FROM audit_subjects s
 WHERE ($1::uuid IS NULL OR s.request_id = $1) AND $2::timestamptz IS NULL AND $3::timestamptz IS NULL
   AND NOT EXISTS (SELECT FROM audit a WHERE a.request_id = s.request_id AND a.seq = s.seq)
   AND NOT EXISTS (SELECT FROM audit_leaves l WHERE l.request_id = s.request_id AND l.seq = s.seq)
ORDER BY 1, 2
"""


# Those whose row has it sealed, but of what is erased: keys may be remembered that are gone. $1: a request; $2 $3: times.
SEALED_SUBJECTS = """
SELECT a.request_id, a.seq, a.payload, s.title, s.inputs, s.sealed
  FROM audit a LEFT JOIN audit_subjects s USING (request_id, seq)
 WHERE a.event_type LIKE 'request.%' AND a.payload @> '{"sealed": [{"names": ["inputs"]}]}'
   AND EXISTS (SELECT FROM data_keys k WHERE k.request_id = a.request_id AND k.scope = 'shared')
   AND ($1::uuid IS NULL OR a.request_id = $1)
   AND a.recorded_at >= coalesce($2::timestamptz, '-infinity')
   AND a.recorded_at < coalesce($3::timestamptz, 'infinity')
"""


async def astray(
    connection: Connection,
    request_id: UUID | None,
    since: datetime | None,
    until: datetime | None,
    portion: int,
) -> list[Finding]:
    """What `audit_subjects` has, which is derived from bodies, against the rows that are in Postgres: what
    is sealed there, as far as this process has region keys. Of one request, or of some time; so many at once."""
    place = request_id, since, until
    found = await connection.fetch(SUBJECTS, *place)
    findings = [Finding("column", row["what"], row["request_id"], row["seq"]) for row in found]
    try:
        vault = vault_of(connection)
    except NoVault:
        return findings
    rows: list[Any] = []
    async for row in connection.cursor(SEALED_SUBJECTS, *place, prefetch=portion):
        rows.append(row)
        if len(rows) == portion:
            findings += await _astray(connection, vault, rows)
            rows = []
    return findings + await _astray(connection, vault, rows)


async def _astray(connection: Connection, vault: Vault, rows: Sequence[Any]) -> list[Finding]:
    """Those that are kept otherwise than their row says. Of what is erased nothing is left to compare."""
    keys = await vault.writing_many(connection, list({row["request_id"] for row in rows}))
    what = "what its request is about is kept otherwise than the body says"
    return [
        Finding("column", what, row["request_id"], row["seq"])
        for row in rows
        if row["request_id"] in keys and not _fits(row, keys[row["request_id"]])
    ]


def _fits(row: Any, keys: Keys) -> bool:
    try:
        said = content.opened(row["payload"], keys).payload
        box = row["sealed"]
        kept = {"title": row["title"], "inputs": row["inputs"] or {}}
        if box is not None:
            secret = from_json(boxes.open_box(keys, "confidential", box))
            kept["title"] = secret.get("title", kept["title"])
            kept["inputs"] = {**kept["inputs"], **secret["inputs"]}
    except CannotOpen:
        return False
    told = {"title": said.get("title") or kept["title"], "inputs": said["inputs"]}
    return canonical(told) == canonical(kept)
