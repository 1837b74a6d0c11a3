"""Questions about a task: asked of anybody, answered once, by them, without deciding anything."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg

from contract import content
from contract.events import QUESTION_ANSWERED, QUESTION_ASKED
from recipes.happenings import Actor
from recipes.model import Json
from storage import audit, sight
from storage.audit import AuditEvent
from storage.pool import Connection, Source, vault_of

_COLUMNS = """
q.id, q.request_id, q.task_id, t.step, t.branch, r.workflow, r.title, r.private, r.sealed, q.asked_by, q.asked, q.text,
q.asked_at, q.answer, q.answered_at"""
_FROM = "FROM questions q JOIN tasks t ON t.id = q.task_id JOIN requests r ON r.id = q.request_id"


@dataclass(frozen=True, slots=True)
class About:
    """The task that a question is about, and its request as it is."""

    task_id: UUID
    step: str
    request_id: UUID
    workflow: str
    version: int
    snapshot: dict[str, Json]


HERE = "SELECT employed @> now() FROM people WHERE id = $1"


async def here(source: Source, person: str) -> bool | None:
    """Whether the directory has somebody now; None if it never knew them."""
    return await source.fetchval(HERE, person)


ASK = """
INSERT INTO questions (id, request_id, task_id, asked_by, asked, text, asked_at)
VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp()) RETURNING id, asked_at
"""


async def ask(connection: Connection, about: About, actor: Actor, asked: str, text: str) -> UUID:
    """Record a question, in a transaction: its id."""
    kept = await _kept(connection, about, text)
    made = await connection.fetchrow(
        ASK, uuid4(), about.request_id, about.task_id, actor.user, asked, kept
    )
    assert made is not None
    payload = {**_ids(about, made["id"]), "to": asked, "text": text}
    event = audit.event(QUESTION_ASKED, made["asked_at"], payload, about.snapshot, actor)
    await _append(connection, about, event)
    found: UUID = made["id"]
    return found


ANSWER = """
UPDATE questions SET answer = $2, answered_at = clock_timestamp()
 WHERE id = $1 AND answered_at IS NULL RETURNING answered_at
"""


async def answer(
    connection: Connection, about: About, question_id: UUID, actor: Actor, text: str
) -> bool:
    """Record the answer to a question, in a transaction; False if it has one."""
    at = await connection.fetchval(ANSWER, question_id, await _kept(connection, about, text))
    if at is None:
        return False
    payload = {**_ids(about, question_id), "text": text}
    await _append(
        connection, about, audit.event(QUESTION_ANSWERED, at, payload, about.snapshot, actor)
    )
    return True


async def _kept(connection: Connection, about: About, text: str) -> str | None:
    keys = await vault_of(connection).writing(connection, about.request_id)
    return content.kept_text(text, keys)


async def _append(connection: Connection, about: About, event: AuditEvent) -> None:
    await audit.append(connection, about.request_id, about.workflow, about.version, [event])


def _ids(about: About, question_id: UUID) -> dict[str, Json]:
    return {"question_id": str(question_id), "task_id": str(about.task_id), "step": about.step}


LOAD = f"""
SELECT {_COLUMNS}, r.version, r.state AS request_state, r.seq, r.step AS request_step
  {_FROM} WHERE q.id = $1
"""


async def load(source: Source, question_id: UUID) -> asyncpg.Record | None:
    """A question with its task and request."""
    return await source.fetchrow(LOAD, question_id)


async def whole(source: Source, question_id: UUID) -> dict[str, Any]:
    """The same, with what was asked and answered in the clear: nobody is shown it."""
    row = await load(source, question_id)
    assert row is not None
    keys = await vault_of(source).writing(source, row["request_id"])
    return sight.seen(row, keys, sight.QUESTION)


OF_REQUEST = f"SELECT {_COLUMNS} {_FROM} WHERE q.request_id = $1 ORDER BY q.asked_at, q.id"


async def of_request(source: Source, request_id: UUID) -> list[asyncpg.Record]:
    """All about a request, oldest first."""
    return await source.fetch(OF_REQUEST, request_id)


# What waits, the oldest first; what is answered, or all, the newest first.
_PUT_TO = {
    "open": f"""
        SELECT {_COLUMNS} {_FROM}
         WHERE q.asked = $1 AND q.answered_at IS NULL AND (q.asked_at, q.id) > ($2, $3)
         ORDER BY q.asked_at, q.id LIMIT $4""",
    "answered": f"""
        SELECT {_COLUMNS} {_FROM}
         WHERE q.asked = $1 AND q.answered_at IS NOT NULL AND (q.asked_at, q.id) < ($2, $3)
         ORDER BY q.asked_at DESC, q.id DESC LIMIT $4""",
    "all": f"""
        SELECT {_COLUMNS} {_FROM}
         WHERE q.asked = $1 AND (q.asked_at, q.id) < ($2, $3)
         ORDER BY q.asked_at DESC, q.id DESC LIMIT $4""",
}


async def put_to(
    source: Source,
    person: str,
    state: Literal["open", "answered", "all"],
    after: tuple[datetime, UUID],
    limit: int,
) -> list[asyncpg.Record]:
    """Those that somebody was asked: what waits the oldest first, else the newest first; from `after`
    (asked_at, id) on in that order."""
    return await source.fetch(_PUT_TO[state], person, *after, limit)
