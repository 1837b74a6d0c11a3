"""Who may fire an action of a state machine: its `who`, held against the directory as it is now."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from recipes import machine, progress
from recipes.asks import AskEmployee
from recipes.expressions import ExpressionError
from recipes.happenings import Actor
from recipes.model import Machine, MachineAction, Recipe
from recipes.state import State
from storage import actions, commands, references, resolution, sight
from storage import recipes as published
from storage.actions import Capacity
from storage.pool import Source
from storage.references import About

Row: TypeAlias = Any
"""Of `storage.requests.load`."""

NOT_HERE = "you are not, or no longer, in the directory"


@dataclass(frozen=True, slots=True)
class Named:
    """Whom an action's `who` names: principals, none of them if it names nobody in particular; or
    why that cannot be told."""

    principals: tuple[str, ...] = ()
    failed: str | None = None


async def state_of(source: Source, recipe: Recipe, machine: Machine, row: Row) -> State:
    """The request's state, as far as its actions are concerned, with all of its inputs: nobody is shown
    them. One that no worker has taken up is where it will begin."""
    whole = await sight.whole(source, row)
    state = progress.initial(
        recipe,
        request_id=str(row["id"]),
        requester=row["requester"],
        inputs=whole["inputs"],
        submitted_at=row["created_at"],
        digest=row["digest"],
    )
    return replace(
        state,
        state=row["state"],
        status=row["status"] or machine.initial.id,
        moves=row["moves"],
    )


async def named(
    source: Source, recipe: Recipe, state: State, at: datetime | None = None
) -> dict[str, Named]:
    """Whom each action's `who` names, by the action's id, as the directory is at a moment (None: now)."""
    assert recipe.machine is not None
    found: dict[str, Named] = {}
    at = at or await commands.now(source)
    about = About(state.requester, recipe.workflow, at)
    paths = dict.fromkeys(path for it in recipe.machine.actions for path in it.employee_paths)
    employee = None
    if paths:
        [answer] = await resolution.answers(source, (AskEmployee(tuple(paths)),), about)
        employee = answer.employee
    for action in recipe.machine.actions:
        if employee is None and action.employee_paths:
            found[action.id] = Named(failed="the directory cannot be asked now")
            continue
        try:
            texts = machine.references(recipe, state, action, employee)
        except ExpressionError as error:
            found[action.id] = Named(failed=f"whom its `who` names cannot be told: {error}")
            continue
        pairs = await references.principals(source, texts, at)
        found[action.id] = Named(tuple(f"{kind}:{name}" for kind, name in pairs))
    return found


def capacity(
    action: MachineAction, who: Named, requester: str, mine: list[Capacity]
) -> Actor | str:
    """In what capacity somebody fires it, who has these; or why they may not."""
    if not mine:
        return NOT_HERE
    if who.failed is not None:
        return who.failed
    fits = [it.actor for it in mine if it.principal in who.principals]
    if not action.who:
        fits = [Actor(mine[0].actor.user)]
    refusals = [machine.barred(action, requester, actor) for actor in fits]
    for actor, refused in zip(fits, refusals, strict=True):
        if refused is None:
            return actor
    listed = " or ".join(who.principals)
    return next(iter(refusals), None) or f"action `{action.id}` is for {listed}"


async def takes_part(source: Source, row: Row, person: str) -> bool:
    """Whether somebody sees a state machine's request because of its actions: they have fired one,
    or are named by one."""
    if await actions.has_fired(source, row["id"], person):
        return True
    recipe = await published.parsed(source, row["workflow"], row["version"])
    assert recipe.machine is not None
    mine = {it.principal for it in await actions.capacities(source, person, recipe.workflow)}
    who = await named(source, recipe, await state_of(source, recipe, recipe.machine, row))
    return any(mine.intersection(it.principals) for it in who.values())
