"""Rows of months long over, as they would be in Postgres if the product had run then."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from contract.boxes import Keys
from contract.canonical import canonical
from contract.content import sealed
from recipes.happenings import Actor
from recipes.model import Confidential, Json
from storage import audit, months
from storage.audit import AuditEvent
from storage.pool import Pool, vault_of
from storage.vault import keep_all

INSERT = """
INSERT INTO audit (event_id, occurred_at, recorded_at, request_id, seq, workflow_id, workflow_version,
                   event_type, actor, payload, snapshot, body, prev_hash, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
"""
# As `audit_append` does.
FOUND = """
WITH found AS (SELECT $3::text::jsonb AS it),
about AS (
    INSERT INTO audit_subjects (request_id, seq, requester, title, inputs, entity_type, entity_id, sealed)
    SELECT $1, $2, it#>>'{subject,requester}', it#>>'{subject,title}', it#>'{subject,inputs}',
           it#>>'{subject,entity,type}', it#>>'{subject,entity,id}', decode(it#>>'{subject,box}', 'base64')
      FROM found WHERE it ? 'subject'
)
INSERT INTO audit_words (request_id, seq, words, sealed)
SELECT $1, $2, to_tsvector('simple', it->>'said'), decode(it->>'box', 'base64')
  FROM found WHERE it ?| ARRAY['said', 'box']
"""
REQUEST = """
INSERT INTO requests (id, workflow, version, requester, title, inputs, digest, state, created_at, finalized_at)
VALUES ($1, $2, 1, 'alice', 'Order', '{}', 'd', 'approved', $3, $3)
"""
HEAD = """
INSERT INTO audit_heads VALUES ($1, $2, $3)
ON CONFLICT (request_id) DO UPDATE SET seq = EXCLUDED.seq, hash = EXCLUDED.hash
"""


async def partition(admin_pool: Pool, month: date) -> None:
    begin, end = months.span(month)
    name = f"audit_{month:%Y_%m}"
    await admin_pool.execute(
        f"CREATE TABLE {name} PARTITION OF audit FOR VALUES FROM ('{begin}') TO ('{end}');"
        f"SELECT audit_protect('{name}'); ALTER TABLE {name} OWNER TO countersign_owner"
    )


@dataclass
class Request:
    """A request's chain, written as a superuser."""

    pool: Pool
    workflow: str
    inputs: dict[str, Json]
    id: UUID
    keys: Keys
    seq: int = 0
    hash: bytes = bytes(32)

    async def say(self, at: datetime, event_type: str, payload: dict[str, Json], user: str) -> None:
        self.seq += 1
        event = AuditEvent(event_type, at, payload, {}, Actor(user), uuid4())
        payload = sealed(payload, self.keys)
        _, _, _, found = audit.single(event, self.keys)
        actor = {"user": user, "role": None, "on_behalf_of": None, "via": []}
        snapshot = {"state": "pending", "step": None, "seq": self.seq}
        said: dict[str, Any] = {
            "actor": actor,
            "event_id": str(event.event_id),
            "event_type": event_type,
            "occurred_at": at,
            "payload": payload,
            "recorded_at": at + timedelta(milliseconds=3),
            "request_id": str(self.id),
            "seq": self.seq,
            "snapshot": snapshot,
            "workflow_id": self.workflow,
            "workflow_version": 1,
        }
        body = canonical(said).encode()
        own = sha256(b"\x00" + self.hash + body).digest()
        await self.pool.execute(
            INSERT,
            UUID(said["event_id"]),
            at,
            said["recorded_at"],
            self.id,
            self.seq,
            self.workflow,
            1,
            event_type,
            actor,
            payload,
            snapshot,
            body,
            self.hash,
            own,
        )
        await self.pool.execute(FOUND, self.id, self.seq, found)
        self.hash = own
        await self.pool.execute(HEAD, self.id, self.seq, own)


async def of(
    admin_pool: Pool,
    workflow: str,
    inputs: dict[str, Json],
    confidential: Confidential | None = None,
) -> Request:
    """A request of which nothing is said yet, with its keys."""
    request_id = uuid4()
    keys, wrapped = vault_of(admin_pool).make(request_id, confidential)
    await keep_all(admin_pool, [wrapped])
    return Request(admin_pool, workflow, inputs, request_id, keys)


async def order(
    admin_pool: Pool,
    day: date,
    amount: Json,
    supplier: str,
    *,
    decided: date | None = None,
    workflow: str = "orders",
    confidential: Confidential | None = None,
) -> Request:
    """An order that was submitted on a day by alice, and decided by bob on that or another one. Amounts
    that are not whole are texts, as the canonical form has them. With something `confidential` it has a
    row of requests, too: whoever may see it is told by that. Its recipe is there."""
    inputs: dict[str, Json] = {"amount": amount, "supplier": supplier, "urgent": False}
    request = await of(admin_pool, workflow, inputs, confidential)
    at = datetime(day.year, day.month, day.day, 9, 30, 0, 123456, tzinfo=UTC)
    created: dict[str, Json] = {
        "title": f"Order of {supplier}",
        "inputs": inputs,
        "entity": {"type": "order", "id": supplier},
    }
    await request.say(at, "request.created", created, "alice")
    if confidential is not None:
        await admin_pool.execute(REQUEST, request.id, workflow, at)
    later = decided or day
    at = datetime(later.year, later.month, later.day, 17, 0, 0, 7, tzinfo=UTC)
    decision: dict[str, Json] = {"decision": "approve", "comment": f"fine by me, {supplier}"}
    await request.say(at, "decision.recorded", decision, "bob")
    await request.say(at, "request.finalized", {"state": "approved", "why": "x"}, "system:engine")
    return request
