"""Recalls: which requests a rule should not have decided, and what has become of each.

A recall is begun as a whole (the version is disabled, and all that its rule decided stands in
`recalled_requests`), and carried out in parts, request by request, by whoever goes on with it: what was done
is done once, whatever breaks off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from contract.events import RECALL_BEGUN, RECALL_FINISHED, REQUEST_RECALLED
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit, impact, recipes
from storage.impact import Moved
from storage.pool import Connection, Source
from storage.rules import Rule
from storage.trail import Trail


@dataclass(frozen=True, slots=True)
class Recall:
    """A recall to be begun. `review` is the workflow and version by which people are to decide; without
    it the requests are marked, and nothing else."""

    id: UUID
    rule: Rule
    review: tuple[str, int] | None
    reason: str
    actor: Actor
    at: datetime


BEGIN = """
INSERT INTO recalls (id, workflow, version, step, review_workflow, review_version, reason, selection, begun_by,
                     begun_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
# What another recall has, or will have once its transaction ends, is left to it; what is erased, to nobody.
SELECT = f"""
WITH {impact.DECIDED}
INSERT INTO recalled_requests (recall_id, request_id)
SELECT $9, id FROM decided ORDER BY id
    ON CONFLICT DO NOTHING
"""


async def begin(connection: Connection, item: Recall, trail: Trail) -> int:
    """Disable the version and select what is to be recalled, in a transaction: how many requests.
    ColdUnavailable."""
    cold = await impact.moved(connection, trail, item.rule)
    rule, review = item.rule, item.review or (None, None)
    why = f"recalled: {item.reason}"
    await recipes.disable(
        connection, rule.workflow, rule.version, reason=why, actor=item.actor, at=item.at
    )
    selection = rule.selection()
    await connection.execute(
        BEGIN,
        item.id,
        rule.workflow,
        rule.version,
        rule.step,
        *review,
        item.reason,
        selection,
        item.actor.user,
        item.at,
    )
    count = await _select(connection, item.id, rule, cold)
    payload: dict[str, Json] = {
        "version": rule.version,
        "step": rule.step,
        "review_workflow": review[0],
        "review_version": review[1],
        "reason": item.reason,
        "requests": count,
        **selection,
    }
    event = audit.event(RECALL_BEGUN, item.at, payload, {}, item.actor)
    await audit.append_plain(connection, item.id, rule.workflow, rule.version, [event])
    return count


async def select(connection: Connection, recall_id: UUID, rule: Rule, trail: Trail) -> int:
    """Add what the rule has decided and no recall has, in a transaction: how many requests. ColdUnavailable."""
    return await _select(connection, recall_id, rule, await impact.moved(connection, trail, rule))


async def _select(connection: Connection, recall_id: UUID, rule: Rule, cold: Moved) -> int:
    status = await connection.execute(SELECT, *impact.arguments(rule, cold), recall_id)
    return int(status.rpartition(" ")[2])


SELECTED = f"""
WITH {impact.DECIDED}
SELECT r.id, r.requester, r.inputs, r.title, r.private, r.sealed, r.entity_type, r.entity_id
  FROM decided d JOIN requests r USING (id)
 WHERE r.erased_at IS NULL
   AND NOT EXISTS (SELECT FROM recalled_requests q WHERE q.request_id = r.id AND q.state <> 'refused')
 ORDER BY r.id LIMIT $9
"""


async def selected(source: Source, rule: Rule, cold: Moved, limit: int) -> list[asyncpg.Record]:
    """The first of those that a recall of the rule would select."""
    return await source.fetch(SELECTED, *impact.arguments(rule, cold), limit)


def rule_of(recall: asyncpg.Record) -> Rule:
    """The rule whose decisions a recall is for, from its row."""
    selection = recall["selection"]
    since, until = (_moment(selection[name]) for name in ("since", "until"))
    return Rule(
        recall["workflow"], recall["version"], recall["step"], since, until, selection["where"]
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


_COUNTED = """
SELECT l.*, (SELECT jsonb_object_agg(state, n) FROM (
              SELECT state, count(*) AS n FROM recalled_requests q WHERE q.recall_id = l.id GROUP BY state) s) AS counts
  FROM recalls l"""
ONE = f"{_COUNTED} WHERE l.id = $1"
NEWEST = (
    f"{_COUNTED} WHERE (l.begun_at, l.id) < ($1, $2) ORDER BY l.begun_at DESC, l.id DESC LIMIT $3"
)
REQUESTS = """
SELECT q.request_id, r.title, r.private, r.sealed, r.requester, q.state, q.reopened_as, q.detail, q.settled_at
  FROM recalled_requests q JOIN requests r ON r.id = q.request_id
 WHERE q.recall_id = $1 AND ($2::text IS NULL OR q.state = $2) AND q.request_id > $3
 ORDER BY q.request_id LIMIT $4
"""
OF_REQUEST = """
SELECT l.id, l.reason, l.begun_by, q.settled_at, q.reopened_as
  FROM recalls l JOIN recalled_requests q ON q.recall_id = l.id
 WHERE q.request_id = $1 AND q.state = 'recalled'
"""


async def one(source: Source, recall_id: UUID) -> asyncpg.Record | None:
    """A recall with `counts` of its requests by state (null: of none)."""
    return await source.fetchrow(ONE, recall_id)


async def newest(source: Source, before: tuple[datetime, UUID], limit: int) -> list[asyncpg.Record]:
    """Recalls with `counts`, the newest first, older than `before` (begun_at, id)."""
    return await source.fetch(NEWEST, *before, limit)


async def requests_of(
    source: Source, recall_id: UUID, state: str | None, after: UUID, limit: int
) -> list[asyncpg.Record]:
    """What has become of its requests, by id."""
    return await source.fetch(REQUESTS, recall_id, state, after, limit)


async def of_request(source: Source, request_id: UUID) -> asyncpg.Record | None:
    """By which recall a request was recalled, and as which it was reopened; None if it was not."""
    return await source.fetchrow(OF_REQUEST, request_id)


# Whoever else goes on with the same recall takes others.
NEXT = """
SELECT r.id, r.requester, r.inputs, r.title, r.private, r.sealed, r.state, r.seq, r.workflow, r.version, r.entity_type, r.entity_id
  FROM recalled_requests q JOIN requests r ON r.id = q.request_id
 WHERE q.recall_id = $1 AND q.state = 'waiting'
 ORDER BY q.request_id LIMIT $2 FOR UPDATE OF q SKIP LOCKED
"""


async def next_waiting(source: Source, recall_id: UUID, limit: int) -> list[asyncpg.Record]:
    """Some of those that wait, locked until the transaction ends."""
    return await source.fetch(NEXT, recall_id, limit)


RECALLED = """
WITH settled AS (
    UPDATE recalled_requests SET state = 'recalled', reopened_as = $3, settled_at = $4
     WHERE recall_id = $1 AND request_id = ANY($2::uuid[])
)
UPDATE requests SET recall_id = $1 WHERE id = ANY($2::uuid[])
"""
REFUSED = """
UPDATE recalled_requests SET state = 'refused', detail = $3, settled_at = $4
 WHERE recall_id = $1 AND request_id = $2
"""


async def recalled(
    connection: Connection,
    recall: asyncpg.Record,
    rows: Sequence[asyncpg.Record],
    actor: Actor,
    at: datetime,
    *,
    reopened_as: UUID | None = None,
) -> None:
    """Mark requests as recalled (`rows` of `next_waiting`); with `reopened_as` it is one."""
    await connection.execute(RECALLED, recall["id"], [row["id"] for row in rows], reopened_as, at)
    for row in rows:
        payload: dict[str, Json] = {
            "recall_id": str(recall["id"]),
            "step": recall["step"],
            "reason": recall["reason"],
            "reopened_as": None if reopened_as is None else str(reopened_as),
        }
        snapshot: dict[str, Json] = {"state": row["state"], "seq": row["seq"], "step": None}
        event = audit.event(REQUEST_RECALLED, at, payload, snapshot, actor)
        await audit.append(connection, row["id"], row["workflow"], row["version"], [event])


async def refused(
    connection: Connection, recall_id: UUID, request_id: UUID, detail: str, at: datetime
) -> None:
    """It stays as it is, and why."""
    await connection.execute(REFUSED, recall_id, request_id, detail, at)


FINISH = """
UPDATE recalls SET finished_at = $2
 WHERE id = $1 AND finished_at IS NULL
   AND NOT EXISTS (SELECT FROM recalled_requests WHERE recall_id = $1 AND state = 'waiting')
RETURNING id
"""


async def finish(
    connection: Connection, recall: asyncpg.Record, actor: Actor, at: datetime
) -> None:
    """End a recall of which nothing waits, once, in a transaction."""
    if await connection.fetchval(FINISH, recall["id"], at) is None:
        return
    ended = await one(connection, recall["id"])
    assert ended is not None
    event = audit.event(RECALL_FINISHED, at, {"counts": ended["counts"]}, {}, actor)
    await audit.append_plain(
        connection, recall["id"], recall["workflow"], recall["version"], [event]
    )
