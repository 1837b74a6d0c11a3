"""What a request of a state machine would begin with: where, and who might fire the first actions.

From there people choose its way, so that is as far as a simulation goes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from api import entitled
from api.entitled import Named
from recipes import machine, simulate, timers
from recipes.asks import AskPeople, AskTimes
from recipes.model import Json, Machine, MachineAction, Recipe
from recipes.state import State
from recipes.supposed import Supposed
from storage import resolution
from storage.pool import Source
from storage.references import About


@dataclass(frozen=True, slots=True)
class FirstAction:
    """`people` are whom its `who` names in the end, those who decide for them by delegation aside; `nobody` says
    why there are none. `fires_at`: when time fires it."""

    action: MachineAction
    named: Named
    people: tuple[str, ...]
    nobody: str | None
    fires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Beginning:
    """The state in which it would begin, and what leads out of it."""

    state: State
    actions: tuple[FirstAction, ...]

    def shown(self) -> dict[str, Json]:
        """As the API tells it, among what it tells of a simulation."""
        waits = dict.fromkeys(person for first in self.actions for person in first.people)
        return {
            "at": self.state.submitted_at,
            "state": "pending",
            "reason": None,
            "ended_at": None,
            "deadline_at": self.state.deadline_at,
            "deadline_by": self.state.deadline_by and asdict(self.state.deadline_by),
            "step": None,
            "path": [],
            "not_reached": [],
            "waiting_for": list(waits),
            "incidents": [],
            "unused": [],
            "stopped": False,
            "status": self.state.status,
            "actions": [_shown(first) for first in self.actions],
        }


async def begin(source: Source, recipe: Recipe, its: Machine, supposed: Supposed) -> Beginning:
    """Where it would begin, with the directory as of then."""
    about = About(supposed.requester, recipe.workflow, supposed.at)
    deadline = timers.deadline_timing(recipe, supposed.at)
    asks = () if deadline is None else (AskTimes(deadline),)
    times = [answer.times for answer in await resolution.answers(source, asks, about)]
    initial = simulate.initial(recipe, supposed, times[0] if times else None)
    state = replace(initial, state="pending", status=its.initial.id)
    who = await entitled.named(source, recipe, state, supposed.at)
    fires = await _fires(source, recipe, its, about)
    first: list[FirstAction] = []
    for action in machine.doors(its, state.status):
        people, nobody = await _people(source, action, who[action.id], about)
        first.append(FirstAction(action, who[action.id], people, nobody, fires.get(action.id)))
    return Beginning(state, tuple(first))


async def _fires(source: Source, recipe: Recipe, its: Machine, about: About) -> dict[str, datetime]:
    """When time fires an action of the state in which it begins, by the action's id."""
    here = its.initial
    begun, asks = timers.begin(recipe, here, about.at)
    counting = [timer.fire for timer in here.timers if not isinstance(timer.after, int)]
    answers = await resolution.answers(source, asks, about)
    found = {
        fire: answer.times.due_at
        for fire, answer in zip(counting, answers, strict=True)
        if answer.times is not None and answer.times.due_at is not None
    }
    return found | {timer.fire: timer.at for timer in reversed(begun)}


async def _people(
    source: Source, action: MachineAction, named: Named, about: About
) -> tuple[tuple[str, ...], str | None]:
    """Who may fire it; or why nobody does."""
    if not action.who:
        return (), None
    if named.failed is not None:
        return (), named.failed
    [answer] = await resolution.answers(source, (AskPeople("", named.principals),), about)
    if answer.refusal is not None:
        return (), answer.refusal.detail
    assert answer.assignment is not None
    held = [who.removeprefix("user:") for who in answer.assignment.candidates]
    fits = tuple(who for who in held if not (action.not_requester and who == about.requester))
    if fits:
        return fits, None
    but = " but the requester" if held else ""
    return (), f"nobody is {_listed(named.principals)}{but}"


def _listed(principals: Sequence[str]) -> str:
    return " or ".join(principals)


def _shown(first: FirstAction) -> dict[str, Json]:
    action = first.action
    return {
        "id": action.id,
        "name": action.name,
        "to": action.to,
        "who": list(first.named.principals),
        "could_fire": list(first.people),
        "nobody": first.nobody,
        "not_requester": action.not_requester,
        "require_comment": action.require_comment,
        "fires_at": first.fires_at,
    }
