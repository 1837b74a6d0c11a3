"""Requests of the past, from another system: written as they ended, all of a file or nothing.

A request's id follows from its source and its id there, so that it is made once, whichever file it comes
in. Its chain has what the file says: occurred when it did then, recorded now, marked as imported.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg

from contract import content
from contract.boxes import Keys, salt_of
from contract.events import (
    DECISION_RECORDED,
    HISTORY_IMPORTED,
    REQUEST_CREATED,
    REQUEST_FINALIZED,
)
from recipes.happenings import Actor
from recipes.model import Json, Verdict
from recipes.state import Entity, FinalState
from storage import audit, vault
from storage.pool import Connection, Source, vault_of
from storage.vault import Wrapped

CHAIN = uuid5(NAMESPACE_OID, "countersign:imports")
"""Under which id the audit trail keeps what was imported."""
IMPORTER = Actor("system:import")
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class PastDecision:
    step: str
    decision: Verdict
    user: str
    on_behalf_of: str | None
    comment: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class PastRequest:
    """A request as it was, with the id it gets; `row_sha256` is of all that the file says of it, salted with its
    key: nobody can try what that may be; `decisions` are in their order."""

    id: UUID
    external_id: str
    row_sha256: bytes
    workflow: str
    version: int
    recipe_sha256: str
    requester: str
    title: str
    inputs: dict[str, Json]
    digest: str
    submitted_at: datetime
    ended_at: datetime
    outcome: FinalState
    reason: str | None
    entity: Entity | None
    decisions: tuple[PastDecision, ...]
    keys: Keys
    wrapped: Wrapped


@dataclass(frozen=True, slots=True)
class Batch:
    """One import: of the file with that hash, from `source`. `already` of its requests are there."""

    id: UUID
    source: str
    sha256: bytes
    actor: Actor
    at: datetime
    already: int
    warnings: list[dict[str, Json]]


def request_id(source: str, external_id: str) -> UUID:
    return uuid5(NAMESPACE_OID, f"countersign:import:{source}:{external_id}")


_COLUMNS = "id, source, sha256, imported_by, imported_at, requests, decisions, already, warnings"
KNOWN = f"SELECT {_COLUMNS} FROM imports WHERE source = $1 AND sha256 = $2"
NEWEST = f"""
SELECT {_COLUMNS} FROM imports WHERE (imported_at, id) < ($1, $2) ORDER BY imported_at DESC, id DESC LIMIT $3
"""
THERE = """
SELECT id, external_id, row_sha256 FROM requests WHERE source = $1 AND external_id = ANY($2::text[])
"""


async def lock(connection: Connection) -> None:
    """Within a transaction: wait until nobody else imports."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('imports'))")


async def known(source: Source, name: str, sha256: bytes) -> asyncpg.Record | None:
    """The import that a file was taken in by, if it was."""
    return await source.fetchrow(KNOWN, name, sha256)


async def newest(source: Source, before: tuple[datetime, UUID], limit: int) -> list[asyncpg.Record]:
    """Imports, the newest first, older than `before` (imported_at, id)."""
    return await source.fetch(NEWEST, *before, limit)


@dataclass(frozen=True, slots=True)
class There:
    """A request that was imported: what was said of it then, hashed with this salt."""

    row_sha256: bytes
    salt: bytes


async def there(source: Source, name: str, external_ids: Sequence[str]) -> dict[str, There]:
    """Of these ids of a source those that were imported."""
    rows = await source.fetch(THERE, name, external_ids)
    keys = await vault_of(source).writing_many(source, [row["id"] for row in rows])
    return {
        row["external_id"]: There(row["row_sha256"], salt_of(keys.get(row["id"]))) for row in rows
    }


PEOPLE = """
SELECT e.id AS person, e.name, e.email, e.attributes,
       (SELECT d.department FROM department_members d
         WHERE d.person = e.id AND d.valid @> now()) AS department
  FROM people e WHERE e.id = ANY($1::text[])
"""


async def people(source: Source, ids: Sequence[str]) -> dict[str, asyncpg.Record]:
    """Those of `ids` whom the directory has, whether or not they have left, with what titles may say."""
    return {row["person"]: row for row in await source.fetch(PEOPLE, ids)}


IMPORT = f"INSERT INTO imports ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
REQUESTS = """
WITH made AS (
    INSERT INTO requests (id, workflow, version, requester, title, inputs, digest, state, reason, seq,
                          created_at, finalized_at, entity_type, entity_id, imported, import_id, source,
                          external_id, row_sha256, private, sealed)
    SELECT r.id, r.workflow, r.version, r.requester, r.title, r.inputs, r.digest, r.state, r.reason, 1,
           r.created_at, r.finalized_at, r.entity_type, r.entity_id, true, $1, $2, r.external_id,
           decode(r.row_sha256, 'hex'), r.private, decode(r.sealed, 'base64')
      FROM jsonb_to_recordset($3::jsonb) AS r(
           id uuid, workflow text, version int, requester text, title text, inputs jsonb, digest text,
           state text, reason text, created_at timestamptz, finalized_at timestamptz, entity_type text,
           entity_id text, external_id text, row_sha256 text, private boolean, sealed text)
    RETURNING id, inputs, digest, title, created_at, requester, sealed
)
INSERT INTO revisions (request_id, number, inputs, digest, title, submitted_at, submitted_by, sealed)
SELECT id, 1, inputs, digest, title, created_at, requester, sealed FROM made
"""
# Nobody knows when they were asked: at the latest when they decided.
DECISIONS = """
WITH made AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS d(
           id uuid, task_id uuid, request_id uuid, step text, seat text, decision text, actor text,
           on_behalf_of text, comment text, at timestamptz, digest text)
), closed AS (
    INSERT INTO tasks (id, request_id, step, seat, assignee, on_behalf_of, digest, state, opened_at, closed_at,
                       imported)
    SELECT task_id, request_id, step, seat, actor, on_behalf_of, digest, 'decided', at, at, true FROM made
)
INSERT INTO decisions (id, task_id, request_id, decision, actor, on_behalf_of, comment, decided_at)
SELECT id, task_id, request_id, decision, actor, on_behalf_of, comment, at FROM made
"""
# In the order of the arrays: a request's events one after the other.
APPEND = """
SELECT count(audit_append(e.id, e.at, e.request_id, e.workflow, e.version, e.type, e.actor, e.payload, e.snapshot,
                          e.found::jsonb))
  FROM (SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[],
                             $7::text[], $8::uuid[], $9::text[], $10::int[])
               WITH ORDINALITY AS a(id, at, type, actor, payload, snapshot, found, request_id, workflow, version, n)
         ORDER BY n OFFSET 0) e
"""


async def load(connection: Connection, batch: Batch, requests: Sequence[PastRequest]) -> None:
    """Write the import and its requests, none of which is there yet; in a transaction that has `lock`."""
    decisions = sum(len(item.decisions) for item in requests)
    await connection.execute(
        IMPORT,
        batch.id,
        batch.source,
        batch.sha256,
        batch.actor.user,
        batch.at,
        len(requests),
        decisions,
        batch.already,
        batch.warnings,
    )
    for first in range(0, len(requests), _AT_ONCE):
        await _load(connection, batch, requests[first : first + _AT_ONCE])
    payload: dict[str, Json] = {
        "import_id": str(batch.id),
        "source": batch.source,
        "sha256": batch.sha256.hex(),
        "requests": len(requests),
        "decisions": decisions,
        "already": batch.already,
    }
    event = audit.event(HISTORY_IMPORTED, batch.at, payload, {}, batch.actor)
    await audit.append_plain(connection, CHAIN, "imports", 1, [event])


async def _load(connection: Connection, batch: Batch, requests: Sequence[PastRequest]) -> None:
    rows = [_row(item) for item in requests]
    await connection.execute(REQUESTS, batch.id, batch.source, rows)
    decided = [row for item in requests for row in _decisions(item)]
    await connection.execute(DECISIONS, decided)
    await vault.keep_all(connection, [item.wrapped for item in requests])
    chained = [(item, event) for item in requests for event in _events(batch, item)]
    await connection.execute(
        APPEND,
        *audit.columns_of([(event, item.keys) for item, event in chained]),
        [item.id for item, _ in chained],
        [item.workflow for item, _ in chained],
        [item.version for item, _ in chained],
    )


def _row(item: PastRequest) -> dict[str, Json]:
    kept = content.kept_subject(item.title, item.inputs, item.workflow, item.keys)
    return {
        "private": item.keys.private,
        "sealed": None if kept.box is None else b64encode(kept.box).decode(),
        "id": item.id,
        "workflow": item.workflow,
        "version": item.version,
        "requester": item.requester,
        "title": kept.title,
        "inputs": kept.inputs,
        "digest": item.digest,
        "state": item.outcome,
        "reason": content.kept_text(item.reason, item.keys),
        "created_at": item.submitted_at,
        "finalized_at": item.ended_at,
        "entity_type": item.entity and item.entity.type,
        "entity_id": item.entity and item.entity.id,
        "external_id": item.external_id,
        "row_sha256": item.row_sha256.hex(),
    }


def _decisions(item: PastRequest) -> list[dict[str, Any]]:
    return [
        {
            "id": _decision_id(item, number),
            "task_id": _task_id(item, number),
            "request_id": item.id,
            "step": it.step,
            "seat": f"{it.step}/{number}",
            "decision": it.decision,
            "actor": it.user,
            "on_behalf_of": it.on_behalf_of,
            "comment": content.kept_text(it.comment, item.keys),
            "at": it.at,
            "digest": item.digest,
        }
        for number, it in enumerate(item.decisions, 1)
    ]


def _task_id(item: PastRequest, number: int) -> UUID:
    return uuid5(item.id, f"task:{number}")


def _decision_id(item: PastRequest, number: int) -> UUID:
    return uuid5(item.id, f"decision:{number}")


def _events(batch: Batch, item: PastRequest) -> list[audit.AuditEvent]:
    """Its chain: submitted, decided, ended."""
    mark: dict[str, Json] = {
        "import_id": str(batch.id),
        "source": batch.source,
        "sha256": batch.sha256.hex(),
        "external_id": item.external_id,
    }
    created: dict[str, Json] = {
        "title": item.title,
        "inputs": item.inputs,
        "digest": item.digest,
        "recipe_sha256": item.recipe_sha256,
        "deadline_at": None,
    }
    if item.entity is not None:
        created["entity"] = asdict(item.entity)
    ended: dict[str, Json] = {"state": item.outcome, "why": "imported", "reason": item.reason}
    happened = [
        (REQUEST_CREATED, item.submitted_at, created, "created", Actor(item.requester)),
        *(
            (DECISION_RECORDED, it.at, _decided(item, number), "pending", _actor(it))
            for number, it in enumerate(item.decisions, 1)
        ),
        (REQUEST_FINALIZED, item.ended_at, ended, item.outcome, IMPORTER),
    ]
    return [
        audit.AuditEvent(
            kind,
            at,
            payload | {"imported": mark},
            {"state": state, "seq": 1, "step": None},
            actor,
            uuid5(item.id, f"event:{number}"),
        )
        for number, (kind, at, payload, state, actor) in enumerate(happened, 1)
    ]


def _actor(decision: PastDecision) -> Actor:
    return Actor(decision.user, on_behalf_of=decision.on_behalf_of)


def _decided(item: PastRequest, number: int) -> dict[str, Json]:
    it = item.decisions[number - 1]
    return {
        "decision_id": str(_decision_id(item, number)),
        "task_id": str(_task_id(item, number)),
        "step": it.step,
        "branch": None,
        "decision": it.decision,
        "comment": it.comment,
        "reason": None,
        "digest": item.digest,
    }
