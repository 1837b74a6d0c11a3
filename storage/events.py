"""Events of other systems: each counts once, and starts requests of every workflow that listens."""

from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from uuid import NAMESPACE_OID, UUID, uuid5

from contract.boxes import salt_of
from contract.events import EVENT_RECEIVED
from recipes.happenings import Actor
from recipes.model import Json
from recipes.state import Entity
from storage import audit
from storage.pool import Source, vault_of


@dataclass(frozen=True, slots=True)
class Received:
    """An event. `said` is all that it says. `scope` is whose ids it counts among: '' for systems, else who sent it for themselves."""

    scope: str
    event_id: str
    event: str
    entity: Entity
    initiated_by: str
    actor: Actor
    said: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What came of an id before."""

    fingerprint: str
    requests: list[dict[str, Json]]


def fingerprint(said: str, salt: bytes) -> str:
    """What must be the same when an event comes in again."""
    return sha256(salt + said.encode()).hexdigest()


async def salt(source: Source, made: list[dict[str, Json]]) -> bytes:
    """With what the fingerprint of an event is made that started these: nobody can try what it said."""
    if not made:
        return b""
    return salt_of(await vault_of(source).writing(source, UUID(str(made[0]["id"]))))


KNOWN = "SELECT fingerprint, requests FROM events WHERE scope = $1 AND event_id = $2"


async def known(source: Source, scope: str, event_id: str) -> Known | None:
    row = await source.fetchrow(KNOWN, scope, event_id)
    return None if row is None else Known(row["fingerprint"], row["requests"])


RECEIVE = """
INSERT INTO events (scope, event_id, event, entity_type, entity_id, initiated_by, sent_by, fingerprint,
                    received_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING true
"""


async def receive(source: Source, item: Received) -> bool:
    """Claim the event's id; False if it is taken. Whoever else claims it waits for this transaction."""
    claimed: bool | None = await source.fetchval(
        RECEIVE,
        item.scope,
        item.event_id,
        item.event,
        item.entity.type,
        item.entity.id,
        item.initiated_by,
        item.actor.user,
        fingerprint(item.said, b""),  # until it has started what it starts
        item.at,
    )
    return claimed is not None


# The version that a submission would take is the one that has to listen.
LISTENING = """
SELECT c.workflow, c.version
  FROM (SELECT DISTINCT workflow FROM recipes WHERE recipe #> '{start,events}' ? $1) w,
       LATERAL (SELECT p.workflow, p.version, p.recipe FROM recipes p
                  LEFT JOIN recipe_switches s USING (workflow, version)
                 WHERE p.workflow = w.workflow AND s.disabled_at IS NULL
                 ORDER BY p.version DESC LIMIT 1) c
 WHERE c.recipe #> '{start,events}' ? $1 ORDER BY c.workflow
"""


async def listening(source: Source, event: str) -> list[tuple[str, int]]:
    """Workflow and version of every recipe that an event starts, by name."""
    return [(row["workflow"], row["version"]) for row in await source.fetch(LISTENING, event)]


def chain(item: Received) -> UUID:
    """Under which id the audit trail keeps what happened to an event."""
    return uuid5(NAMESPACE_OID, f"countersign:event:{item.scope}:{item.event_id}")


ANSWER = "UPDATE events SET requests = $3, fingerprint = $4 WHERE scope = $1 AND event_id = $2"


async def started(source: Source, item: Received, made: list[dict[str, Json]]) -> None:
    """Write down what a claimed event started (`id`, `workflow`, `version` each), and audit it."""
    salted = fingerprint(item.said, await salt(source, made))
    await source.execute(ANSWER, item.scope, item.event_id, made, salted)
    payload: dict[str, Json] = {
        "event": item.event,
        "event_id": item.event_id,
        "entity": asdict(item.entity),
        "initiated_by": item.initiated_by,
        "requests": made,
    }
    event = audit.event(EVENT_RECEIVED, item.at, payload, {}, item.actor)
    await audit.append_plain(source, chain(item), "events", 1, [event])
