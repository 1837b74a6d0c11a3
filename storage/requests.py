"""Requests: submit, show, list. Only a request's workflow changes its row afterwards."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

import asyncpg

from contract import canonical, content
from contract.boxes import Keys, salt_of
from contract.conditions import Condition
from contract.events import REQUEST_CREATED, due_by
from recipes.asks import DueBy
from recipes.happenings import Actor
from recipes.model import Json
from recipes.state import Entity
from storage import audit, pools, vault
from storage.errors import AlreadyOpen
from storage.jsonpath import jsonpath
from storage.patterns import containing
from storage.pool import Source, vault_of
from storage.recipes import may_start
from storage.sight import Row
from storage.vault import Wrapped

_COLUMNS = """
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
    INSERT INTO outbox (request_id, kind, due_at)
    SELECT id, 'start', now() + interval '2 seconds' FROM made RETURNING id
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
SELECT {_COLUMNS}, r.inputs, r.digest, r.seq, r.moves, r.waits_until, p.recipe->>'owner' AS owner,
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


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests a list holds; None is any. `text` is looked for in titles, in any case;
    `incident` is whether people are needed; `version` leaves those alone that are in flight on it;
    `status` is of a state machine; `entity_id` counts beside `entity_type` alone; `words` are all in the
    title or inputs, `condition` is on inputs; `imported` is whether another
    system had them; `open` is whether they are in flight."""

    state: str | None = None
    workflow: str | None = None
    requester: str | None = None
    text: str | None = None
    incident: bool | None = None
    version: int | None = None
    status: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    words: str | None = None
    condition: Condition | None = None
    imported: bool | None = None
    open: bool | None = None


# {need}, {about} and {subject} are written into the text: the planner would not see the partial indexes by
# parameters that may be null.
_MATCHES = """
{need}{open}{about}{subject}($2::text IS NULL OR r.state = $2) AND ($3::text IS NULL OR r.workflow = $3)
AND ($4::text IS NULL OR r.requester = $4)
AND ($5::text IS NULL OR r.title ILIKE $5)
AND ($9::int IS NULL OR (r.version = $9 AND r.finalized_at IS NULL))
AND ($10::text IS NULL OR r.status = $10)
AND ($15::boolean IS NULL OR r.imported = $15)
AND (r.created_at, r.id) < ($6, $7)"""
_NEWEST = "ORDER BY r.created_at DESC, r.id DESC LIMIT $8"

# $1 is not needed to see everything, but both lists take the same arguments.
EVERYTHING = (
    f"SELECT {_COLUMNS} FROM requests r WHERE $1::text IS NOT NULL AND {_MATCHES} {_NEWEST}"
)

OWN = f"SELECT {_COLUMNS} FROM requests r WHERE r.requester = $1 AND {_MATCHES} {_NEWEST}"

# What concerns one person: own requests, those they were asked about or decided (shared tasks: while
# open, and also by delegations), and those of recipes that a role of theirs owns. Of state machines those
# of which they fired an action, and all of recipes that name them, or a role of theirs, for one; whom an
# expression names is not known here. Each part is found by its own index.
VISIBLE = f"""
WITH RECURSIVE {pools.BEHIND.format(person="$1::text")}, {pools.MEMBERSHIPS}, held AS MATERIALIZED (
    SELECT m.role FROM role_members m JOIN people e ON e.id = m.person
     WHERE m.person = $1 AND m.valid @> now() AND e.employed @> now()
), asked AS (
    SELECT t.request_id FROM tasks t WHERE t.assignee = $1 AND t.state = 'open'
    UNION SELECT t.request_id FROM tasks t WHERE t.assignee = $1 AND t.state <> 'open'
    UNION SELECT t.request_id FROM task_candidates c JOIN tasks t ON t.id = c.task_id
           WHERE c.principal IN (SELECT 'user:' || $1 UNION ALL SELECT 'role:' || role FROM held)
    UNION SELECT t.request_id
            FROM memberships n JOIN task_candidates c ON c.principal = n.principal
            JOIN tasks t ON t.id = c.task_id JOIN requests o ON o.id = t.request_id
           WHERE EXISTS ({pools.STANDING_IN.format(task="t", request="o", person="$1")})
    UNION SELECT d.request_id FROM decisions d WHERE d.actor = $1
    UNION SELECT q.request_id FROM questions q WHERE q.asked = $1
    UNION SELECT w.request_id FROM watchers w WHERE w.person = $1 AND w.added_by <> w.person
    UNION SELECT f.request_id FROM commands f WHERE f.actor = $1 AND f.command = 'fire'
), named AS MATERIALIZED (
    SELECT unnest(ARRAY['user:' || $1, $1]) AS name
    UNION SELECT unnest(ARRAY['role:' || role, role]) FROM held
), found AS (
    (SELECT r.id FROM requests r WHERE r.requester = $1 AND {_MATCHES} {_NEWEST})
    UNION
    (SELECT r.id FROM asked a JOIN requests r ON r.id = a.request_id WHERE {_MATCHES} {_NEWEST})
    UNION
    SELECT o.id
      FROM (SELECT workflow, version FROM recipes
             WHERE recipe->>'owner' IN (SELECT role FROM held UNION ALL
                                        SELECT 'role:' || role FROM held)
             UNION
            SELECT m.workflow, m.version FROM recipes m
             WHERE m.recipe->>'kind' = 'state_machine' AND EXISTS (
                   SELECT 1 FROM jsonb_array_elements(m.recipe->'machine'->'actions') a,
                                 jsonb_array_elements_text(a->'who') w
                    WHERE replace(w, ' ', '') IN (SELECT name FROM named))) p,
           LATERAL (SELECT r.id FROM requests r
                     WHERE r.workflow = p.workflow AND r.version = p.version AND {_MATCHES}
                     {_NEWEST}) o
)
SELECT {_COLUMNS} FROM found f JOIN requests r ON r.id = f.id {_NEWEST}
"""

_NEED = {None: "", True: "r.incidents <> '[]' AND ", False: "r.incidents = '[]' AND "}
_OPEN = {None: "", True: "r.finalized_at IS NULL AND ", False: "r.finalized_at IS NOT NULL AND "}
_ABOUT = {
    (False, False): "($11::text IS NULL AND $12::text IS NULL) AND ",
    (True, False): "(r.entity_type = $11 AND $12::text IS NULL) AND ",
    (True, True): "(r.entity_type = $11 AND r.entity_id = $12) AND ",
}
# What the audit has as the newest subject of a request, found by its indexes (migration 0017).
_SUBJECT = """$16::uuid[] IS NULL AND r.id IN (
    SELECT s.request_id FROM audit_subjects s
     WHERE ($13::text IS NULL OR s.words @@ plainto_tsquery('simple', $13))
       AND ($14::text IS NULL OR s.inputs @@ (SELECT $14::text::jsonpath))
       AND NOT EXISTS (SELECT FROM audit_subjects l WHERE l.request_id = s.request_id AND l.seq > s.seq)) AND """
_ANY_SUBJECT = "($13::text IS NULL AND $14::text IS NULL AND $16::uuid[] IS NULL) AND "
_AMONG = "($13::text IS NULL AND $14::text IS NULL AND r.id = ANY($16::uuid[])) AND "


@cache
def _list(
    query: str,
    incident: bool | None,
    in_flight: bool | None,
    about: tuple[bool, bool],
    subject: str,
) -> str:
    return (
        query.replace("{need}", _NEED[incident])
        .replace("{open}", _OPEN[in_flight])
        .replace("{about}", _ABOUT[about])
        .replace("{subject}", subject)
    )


async def newest(
    source: Source,
    person: str,
    wanted: Filter,
    limit: int,
    before: tuple[datetime, UUID],
    *,
    everything: bool,
    among: Sequence[UUID] | None = None,
) -> list[asyncpg.Record]:
    """Requests that `person` may see, newest first, older than `before` (created_at, id); `among`: of these
    alone, without words and condition."""
    asked = (wanted.entity_type is not None, wanted.entity_id is not None)
    about = wanted.words is not None or wanted.condition is not None
    subject = _SUBJECT if about else _ANY_SUBJECT if among is None else _AMONG
    # One's own are seen by whoever submitted them: nothing else is looked at.
    seen = OWN if wanted.requester == person else EVERYTHING if everything else VISIBLE
    return await source.fetch(
        _list(seen, wanted.incident, wanted.open, asked, subject),
        person,
        wanted.state,
        wanted.workflow,
        wanted.requester,
        None if wanted.text is None else containing(wanted.text),
        *before,
        limit,
        wanted.version,
        wanted.status,
        wanted.entity_type,
        wanted.entity_id,
        wanted.words,
        None if wanted.condition is None else jsonpath(wanted.condition),
        wanted.imported,
        among,
    )


IN_FLIGHT = """
SELECT workflow, version, count(*) AS requests FROM requests
 WHERE workflow = ANY($1::text[]) AND finalized_at IS NULL GROUP BY workflow, version
"""


async def in_flight(source: Source, workflows: Sequence[str]) -> dict[str, dict[int, int]]:
    """How many requests of each workflow are in flight, by version; versions without any are not there."""
    found: dict[str, dict[int, int]] = {name: {} for name in workflows}
    for row in await source.fetch(IN_FLIGHT, workflows):
        found[row["workflow"]][row["version"]] = row["requests"]
    return found


PAST = """
SELECT r.id, r.version, r.requester, r.title, r.inputs, r.state, r.created_at, r.entity_type, r.entity_id,
       r.private, r.sealed, p.sha256
  FROM requests r JOIN recipes p USING (workflow, version)
 WHERE r.workflow = $1 AND ($2::timestamptz IS NULL OR r.created_at >= $2) AND ($4 OR NOT r.imported)
   AND r.erased_at IS NULL
 ORDER BY r.created_at DESC, r.id DESC LIMIT $3
"""


async def past(
    source: Source, workflow: str, since: datetime | None, limit: int, *, imported: bool
) -> list[asyncpg.Record]:
    """The newest requests of a workflow, whatever became of them but erased ones, with what was submitted
    when; with `imported` those, too, that another system had."""
    return await source.fetch(PAST, workflow, since, limit, imported)
