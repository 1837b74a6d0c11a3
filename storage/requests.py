"""Requests: submit, show. Only a request's workflow changes its row afterwards; lists are in request_lists.py."""

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from contract import canonical, content, traces
from contract.boxes import Keys, salt_of
from contract.events import REQUEST_CREATED, due_by
from recipes.asks import DueBy
from recipes.happenings import Actor
from recipes.model import Json
from recipes.state import Entity
from storage import audit, vault
from storage.errors import AlreadyOpen
from storage.pool import Source, vault_of
from storage.recipes import may_start
from storage.sight import Row
from storage.vault import Wrapped

COLUMNS = """
r.id, r.workflow, r.version, r.title, r.requester, r.state, r.status, r.step, r.incidents, r.reason,
r.deadline_at, r.deadline_by, r.resubmit_by, r.created_at, r.finalized_at, r.entity_type, r.entity_id,
r.import_id, r.source, r.external_id, r.recall_id, r.reopens, r.private, r.sealed,
r.erased_at, r.erased_by, r.erased_reason"""

# All that a submission depends on: who submits, the recipe (the highest version that is not
# disabled, or the one named, whatever its switch says), the time, the key's earlier use, whether the
# requester is one of those who may start it, and who of its workflow is open about the same entity.
PREPARE = f"""
SELECT clock_timestamp() AS now,
       e.id AS person, e.name, e.email, e.attributes, e.employed @> now() AS employed,
       (SELECT d.department FROM department_members d
         WHERE d.person = e.id AND d.valid @> now()) AS department,
       c.version, c.sha256, c.disabled_reason, c.disabled_at, c.starters,
       k.fingerprint, k.request_id, o.id AS open_id,
       EXISTS (SELECT FROM idempotent_answers a WHERE a.actor = $1 AND a.key = $4) AS key_taken,
       {may_start("e.id", "c.starters")} AS may_start
  FROM (SELECT) one
  LEFT JOIN people e ON e.id = $1
  LEFT JOIN LATERAL (
       SELECT p.version, p.sha256, s.reason AS disabled_reason, s.disabled_at,
              p.recipe #> '{{start,who}}' AS starters
         FROM recipes p LEFT JOIN recipe_switches s USING (workflow, version)
        WHERE p.workflow = $2 AND ($3::int IS NULL OR p.version = $3)
        ORDER BY (s.disabled_at IS NULL) DESC, p.version DESC LIMIT 1) c ON true
  LEFT JOIN idempotency_keys k ON k.actor = $1 AND k.key = $4
  LEFT JOIN LATERAL (
       SELECT r.id FROM requests r
        WHERE r.entity_type = $5 AND r.entity_id = $6 AND r.workflow = $2 AND r.finalized_at IS NULL
        ORDER BY r.created_at, r.id LIMIT 1) o ON true
"""


async def prepare(
    source: Source,
    person: str,
    workflow: str,
    version: int | None,
    *,
    key: str | None = None,
    entity: Entity | None = None,
) -> asyncpg.Record:
    """What a submission depends on, in one row; what is not there is null."""
    about = (None, None) if entity is None else (entity.type, entity.id)
    row = await source.fetchrow(PREPARE, person, workflow, version, key, *about)
    assert row is not None
    return row


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to be made. `key` is the caller's idempotency key with its fingerprint, if any;
    `event` the id and name of what started it, which `sender` sent for the requester; or `reopens` the
    request that it is to decide after all, and by which recall."""

    id: UUID
    workflow: str
    version: int
    requester: str
    title: str
    inputs: dict[str, Json]
    digest: str
    at: datetime
    deadline_at: datetime | None
    recipe_sha256: str
    keys: Keys
    wrapped: Wrapped
    key: str | None = None
    fingerprint: str = ""
    entity: Entity | None = None
    one_open: bool = False
    deadline_by: DueBy | None = None
    event: tuple[str, str] | None = None
    sender: Actor | None = None
    reopens: tuple[UUID, UUID] | None = None


# Whoever submits with a key has it alone (`storage.idempotency`); its row is the backstop.
SUBMIT = f"""
WITH claimed AS (
    INSERT INTO idempotency_keys (actor, key, fingerprint, request_id)
    SELECT $5, $10, $11, $1 WHERE $10::text IS NOT NULL
    ON CONFLICT DO NOTHING RETURNING request_id
), made AS (
    INSERT INTO requests (id, workflow, version, requester, title, inputs, digest, created_at,
                          deadline_at, entity_type, entity_id, one_open, deadline_by, reopens, private, sealed)
    SELECT $1, $3, $4, $5, $6, $7, $8, $2, $9, $16, $17, $18, $19, $20, $27, $28
     WHERE $10::text IS NULL OR EXISTS (SELECT 1 FROM claimed)
    RETURNING id
), revised AS (
    INSERT INTO revisions (request_id, number, inputs, digest, title, submitted_at, submitted_by, sealed)
    SELECT id, 1, $7, $8, $6, $2, $5, $28 FROM made
), keyed AS ({vault.keeping("made.id", 22, "made, ")}
), told AS (
    INSERT INTO outbox (request_id, kind, due_at, traceparent)
    SELECT id, 'start', now() + interval '2 seconds', $29 FROM made RETURNING id
)
SELECT told.id, audit_append($12, $2, $1, $3, $4, 'request.created', $13, $14, $15, $21::text::jsonb) FROM told
"""


async def submit(source: Source, item: Submission) -> int | None:
    """Make a request: the id of its outbox row, or None if its key was used before. AlreadyOpen if one
    may be open about its entity, and another is; in a transaction, which has then failed."""
    payload: dict[str, Json] = {
        "title": item.title,
        "inputs": item.inputs,
        "digest": item.digest,
        "recipe_sha256": item.recipe_sha256,
        "deadline_at": item.deadline_at,
        **due_by(item.deadline_by, "deadline_by"),
    }
    if item.entity is not None:
        payload["entity"] = asdict(item.entity)
    if item.event is not None:
        event_id, name = item.event
        payload |= {"requester": item.requester, "event": {"id": event_id, "name": name}}
    if item.reopens is not None:
        reopened, recall_id = item.reopens
        payload |= {
            "requester": item.requester,
            "reopens": str(reopened),
            "recall_id": str(recall_id),
        }
    snapshot: dict[str, Json] = {"state": "created", "seq": 0, "step": None}
    actor = item.sender or Actor(item.requester)
    event = audit.event(REQUEST_CREATED, item.at, payload, snapshot, actor)
    actor_text, payload_text, snapshot_text, found = audit.single(event, item.keys)
    kept = content.kept_subject(item.title, item.inputs, item.workflow, item.keys)
    try:
        row = await source.fetchrow(
            SUBMIT,
            item.id,
            item.at,
            item.workflow,
            item.version,
            item.requester,
            kept.title,
            kept.inputs,
            item.digest,
            item.deadline_at,
            item.key,
            item.fingerprint,
            event.event_id,
            actor_text,
            payload_text,
            snapshot_text,
            item.entity and item.entity.type,
            item.entity and item.entity.id,
            item.one_open and item.entity is not None,
            None if item.deadline_by is None else asdict(item.deadline_by),
            item.reopens and item.reopens[0],
            found,
            *item.wrapped.arguments(),
            item.keys.private,
            kept.box,
            traces.CURRENT.get(),
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "requests_one_open_per_entity":
            raise
        raise AlreadyOpen(str(item.entity)) from error
    return None if row is None else int(row["id"])


async def digest(
    source: Source, request_id: UUID, recipe_sha256: str, inputs: dict[str, Json]
) -> str:
    """What decisions of a request are bound to, were it of that recipe and these inputs."""
    keys = await vault_of(source).writing(source, request_id)
    return canonical.digest(recipe_sha256, inputs, salt_of(keys))


def entity_of(row: Row) -> Entity | None:
    """What a request is about, from a row that has `entity_type` and `entity_id`."""
    return None if row["entity_type"] is None else Entity(row["entity_type"], row["entity_id"])


OPEN_ABOUT = """
SELECT id FROM requests
 WHERE entity_type = $2 AND entity_id = $3 AND workflow = $1 AND finalized_at IS NULL
 ORDER BY created_at, id LIMIT 1
"""


async def open_about(source: Source, workflow: str, entity: Entity) -> UUID | None:
    """The first request of a workflow that is open about an entity."""
    found: UUID | None = await source.fetchval(OPEN_ABOUT, workflow, entity.type, entity.id)
    return found


LOAD = f"""
SELECT {COLUMNS}, r.inputs, r.digest, r.seq, r.moves, r.waits_until, p.recipe->>'owner' AS owner,
       coalesce(p.recipe->>'kind', 'approval') AS kind, p.sha256,
       ARRAY(SELECT m.role FROM role_members m JOIN people e ON e.id = m.person
              WHERE m.person = $2 AND m.valid @> now() AND e.employed @> now()) AS held
  FROM requests r JOIN recipes p ON p.workflow = r.workflow AND p.version = r.version
 WHERE r.id = $1
"""


async def load(source: Source, request_id: UUID, person: str) -> asyncpg.Record | None:
    """A request with its recipe's owner role and the roles that `person` holds now."""
    return await source.fetchrow(LOAD, request_id, person)


# KEY SHARE locks of foreign keys (a decision being inserted) must not wait for this one.
async def lock(source: Source, request_id: UUID, person: str) -> asyncpg.Record | None:
    """`load`, and nobody else changes the request before this transaction ends."""
    return await source.fetchrow(LOAD + " FOR NO KEY UPDATE OF r", request_id, person)
