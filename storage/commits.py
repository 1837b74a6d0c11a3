"""Carry out a transition of a request: one statement, all of it or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from contract import content
from contract.boxes import Keys
from contract.events import INCIDENT_RAISED
from contract.messages import Committed
from recipes.effects import CloseTask, Transition
from recipes.happenings import ENGINE, Actor, Decided
from recipes.model import Json, Recipe
from recipes.state import State
from storage import audit
from storage.errors import OutOfSequence, TaskClosedOtherwise
from storage.pool import Source, vault_of
from storage.transitions import DECIDED_FIRST, OUT_OF_SEQUENCE, opened, statement_of


@dataclass(frozen=True, slots=True)
class Written:
    """The transition was written now."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """Its `seq` was written before: `committed` is what stands."""

    committed: Committed


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing was written: these decisions were first on tasks it meant to close."""

    decisions: tuple[Decided, ...]


async def commit(
    source: Source, recipe: Recipe, committed: Committed, transition: Transition
) -> Written | Earlier | Lost:
    """Write `transition`, which `committed` led to; `recipe` is the one that it goes on with.

    OutOfSequence if it is not the next one, TaskClosedOtherwise if a task it closes is closed without
    a decision: neither happens while requests have one writer.
    """
    state = transition.state
    closings = [effect for effect in transition.effects if isinstance(effect, CloseTask)]
    keys = await _keys(source, state.request_id)
    statement, arguments = statement_of(recipe, committed, transition, closings, keys)
    try:
        await source.execute(statement, *arguments)
    except asyncpg.PostgresError as error:
        if error.sqlstate == OUT_OF_SEQUENCE:
            return await _standing(source, state)
        if error.sqlstate == DECIDED_FIRST:
            decisions = await decisions_on(source, [UUID(item.task_id) for item in closings])
            if not decisions:
                raise TaskClosedOtherwise(f"request {state.request_id} at {state.seq}") from error
            return Lost(decisions)
        raise
    return Written()


STANDING = "SELECT committed FROM commits WHERE request_id = $1 AND seq = $2"


async def standing(source: Source, request_id: str, seq: int) -> Committed | None:
    """What was carried out as the request's transition `seq`; None if it has not got there."""
    kept = await source.fetchval(STANDING, UUID(request_id), seq)
    return None if kept is None else opened(kept, await _keys(source, request_id))


async def _keys(source: Source, request_id: str) -> Keys | None:
    return await vault_of(source).writing(source, UUID(request_id))


async def _standing(source: Source, state: State) -> Earlier:
    committed = await standing(source, state.request_id, state.seq)
    if committed is None:
        raise OutOfSequence(f"transition {state.seq} of request {state.request_id}")
    return Earlier(committed)


# Beside the state, because the transition that would say so is the one that cannot be written.
FLAG = """
WITH flagged AS (
    UPDATE requests SET incidents = incidents || jsonb_build_array($2::jsonb)
     WHERE id = $1 AND NOT incidents @> '[{"kind": "CommitFailed"}]'
    RETURNING id, workflow, version)
SELECT audit_append($3, $4, id, workflow, version, $5, $6, $7, $8) FROM flagged
"""


async def flag_failing(source: Source, state: State, detail: str, at: datetime) -> None:
    """Show that a request's transition cannot be written, until one is."""
    incident: dict[str, Json] = {"kind": "CommitFailed", "detail": detail[:300], "at": at}
    event = audit.event(INCIDENT_RAISED, at, incident, {"state": state.state}, ENGINE)
    request_id = UUID(state.request_id)
    keys = await _keys(source, state.request_id)
    actor, payload, snapshot, _ = audit.single(event, keys)
    shown = incident | {"step": None, "seat": None}
    await source.execute(
        FLAG, request_id, shown, event.event_id, at, event.type, actor, payload, snapshot
    )


FORGET = """
DELETE FROM commits c USING requests r
 WHERE r.id = c.request_id AND r.finalized_at < now() - make_interval(days => $1)
   AND r.incidents = '[]'
   AND NOT EXISTS (SELECT FROM jobs j WHERE j.request_id = r.id AND j.state = 'running')
"""


async def forget(source: Source, days: int) -> None:
    """Forget how requests that ended so long ago were carried out; the audit trail keeps what was. Not
    of those of which something is still done, or waits for people, after their end."""
    await source.execute(FORGET, days)


DECISIONS_ON = """
SELECT request_id, task_id, decision, actor, role, on_behalf_of, via, comment, rewind_to, decided_at
FROM decisions WHERE task_id = ANY($1::uuid[]) ORDER BY decided_at, task_id
"""


async def decisions_on(source: Source, tasks: Sequence[UUID]) -> tuple[Decided, ...]:
    """The decisions that stand on these tasks, oldest first."""
    rows = await source.fetch(DECISIONS_ON, tasks)
    keys = {
        about: await vault_of(source).writing(source, about)
        for about in {row["request_id"] for row in rows}
    }
    return tuple(
        Decided(
            task_id=str(row["task_id"]),
            decision=row["decision"],
            actor=Actor(row["actor"], row["role"], row["on_behalf_of"], tuple(row["via"])),
            at=row["decided_at"],
            comment=content.shown_text(row["comment"], keys[row["request_id"]]),
            to=row["rewind_to"],
        )
        for row in rows
    )
