"""Claims of shared tasks: one of those who may decide one takes it, or gives it back.

Whether a claim binds is judged when somebody decides (`claim_binds`, migration claims): by the directory
of that moment, so that nobody who is not there any more keeps the others from a task.
"""

from datetime import datetime

import asyncpg

from recipes.happenings import Actor
from recipes.model import Json
from storage import audit
from storage.pool import Source

# Only on what was seen: another claim, or a release, meanwhile, and nothing happens. Locks: task, then
# audit head.
SET = """
WITH changed AS (
    UPDATE tasks SET claimed_by = $2, claimed_at = $3
     WHERE id = $1 AND state = 'open' AND claimed_at IS NOT DISTINCT FROM $4
    RETURNING request_id
)
SELECT audit_append($5, $6, request_id, $7, $8, $9, $10, $11, $12) FROM changed
"""


async def change(
    source: Source,
    task: asyncpg.Record,
    actor: Actor,
    event_type: str,
    *,
    claimant: str | None,
    at: datetime,
) -> bool:
    """Give the claim on a task (a row of `storage.tasks.load`) to `claimant`, or to nobody, at `at`.
    False if the task or its claim is another than in the row."""
    payload: dict[str, Json] = {
        "task_id": str(task["id"]),
        "step": task["step"],
        "branch": task["branch"],
    }
    if task["claimant"] is not None:
        payload |= {"claimed_before_by": task["claimant"], "claimed_before_at": task["claimed_at"]}
    snapshot: dict[str, Json] = {
        "state": task["request_state"],
        "seq": task["seq"],
        "step": task["request_step"],
        "task": {"id": str(task["id"]), "state": "open", "claimed_by": claimant},
    }
    event = audit.event(event_type, at, payload, snapshot, actor)
    # Ids and times alone: nothing that people wrote.
    who, payload_text, snapshot_text, _ = audit.single(event, None)
    row = await source.fetchrow(
        SET,
        task["id"],
        claimant,
        None if claimant is None else at,
        task["claimed_at"],
        event.event_id,
        at,
        task["workflow"],
        task["version"],
        event_type,
        who,
        payload_text,
        snapshot_text,
    )
    return row is not None
