"""A request's state as it was at a moment: what had been committed until then, applied again."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from contract import content
from contract.boxes import Keys
from contract.events import REQUEST_REWOUND, STEP_COMPLETED, STEP_SKIPPED
from recipes import progress
from recipes.model import REQUESTER, Json, Recipe
from recipes.state import State
from storage import outbox, revisions, transitions
from storage.pool import Source, vault_of

COMMITS = "SELECT committed FROM commits WHERE request_id = $1 ORDER BY seq"

# What later steps see of the earlier ones, from what is kept for ever; and what was undone of it.
RESULTS = """
SELECT t.step, d.actor, d.on_behalf_of, d.decision, d.comment, NULL AS event, NULL::jsonb AS payload,
       d.decided_at AS at, NULL AS seq
  FROM decisions d JOIN tasks t ON t.id = d.task_id WHERE d.request_id = $1 AND d.decided_at <= $2
UNION ALL
SELECT a.payload->>'step', NULL, NULL, NULL, NULL, a.event_type, a.payload, a.occurred_at, a.seq
  FROM audit a
 WHERE a.request_id = $1 AND a.occurred_at <= $2 AND a.event_type = ANY($3)
 ORDER BY at, seq NULLS FIRST
"""
BEGUN = "SELECT state <> 'created' FROM requests WHERE id = $1"
_TOLD_BY = [STEP_COMPLETED, STEP_SKIPPED, REQUEST_REWOUND]


@dataclass(frozen=True, slots=True)
class Past:
    """A request as it was: its pinned recipe and its state."""

    recipe: Recipe
    state: State


async def state_at(source: Source, request_id: UUID, at: datetime) -> Past:
    """The state at `at`, that moment included; before its submission, as it was submitted.

    Of a request that ended long ago the commits are forgotten: then it is at no step, and of its steps
    it has what decisions and audit say. LookupError if there is no such request.
    """
    start = await outbox.start_input(source, request_id)
    recipe, state = start.recipe, start.state
    rows = await source.fetch(COMMITS, request_id)
    keys = await vault_of(source).writing(source, request_id)
    if not rows:
        if not await source.fetchval(BEGUN, request_id):
            return Past(recipe, state)  # its workflow has not begun yet
        return Past(recipe, await _from_record(source, recipe, state, at, keys))
    for row in rows:
        committed = transitions.opened(row["committed"], keys)
        if committed.now > at:
            break
        transition = progress.apply(recipe, state, committed.happening, committed.now)
        for answers in committed.answers:
            transition = progress.then(recipe, transition, answers, committed.now)
        state, recipe = transition.state, progress.recipe_after(recipe, transition)
    return Past(recipe, state)


async def _from_record(
    source: Source, recipe: Recipe, state: State, at: datetime, keys: Keys | None
) -> State:
    results: dict[str, dict[str, Json]] = {}
    deciders: dict[str, tuple[str, ...]] = {}
    for row in await source.fetch(RESULTS, UUID(state.request_id), at, _TOLD_BY):
        if row["event"] == REQUEST_REWOUND:
            results = _before(recipe, row["payload"]["to"], results)
            continue
        result = results.setdefault(row["step"], {})
        if row["event"] is not None:
            result["outcome"] = row["payload"].get("outcome", "skipped")
            continue
        result["decided_by"] = [*result.get("decided_by", []), row["actor"]]
        comment = content.shown_text(row["comment"], keys)
        result |= {"decision": row["decision"], "comment": comment}
        people = (*deciders.get(row["step"], ()), row["actor"], row["on_behalf_of"])
        deciders[row["step"]] = tuple(dict.fromkeys(name for name in people if name is not None))
    for said in await revisions.of_request(source, UUID(state.request_id)):
        if said.submitted_at <= at:
            state = replace(state, inputs=said.inputs, digest=said.digest, revision=said.number)
    done = len(recipe.steps)
    return replace(state, position=done, results=results, deciders=deciders)


def _before(
    recipe: Recipe, to: str, results: dict[str, dict[str, Json]]
) -> dict[str, dict[str, Json]]:
    """What is left of the results once the request was rewound to a step, or to its requester."""
    left: dict[str, dict[str, Json]] = {}
    for step in recipe.steps:
        if to in (REQUESTER, step.id):
            break
        if step.id in results:
            left[step.id] = results[step.id]
    return left
