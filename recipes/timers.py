"""When a request's deadline and the timers of a machine's state are due. Those that count business days are
asked for (`Timing`); what they say then stays."""

from datetime import datetime, timedelta

from recipes.asks import AskTimes, DueBy, Times, Timing
from recipes.model import BusinessDays, MachineState, Recipe
from recipes.state import Timer


def deadline_timing(recipe: Recipe, submitted_at: datetime) -> Timing | None:
    """What has to be known of a calendar before a request has its deadline; None if nothing has."""
    if not isinstance(recipe.deadline, BusinessDays):
        return None
    return Timing(recipe.calendar or "", submitted_at, recipe.deadline)


def deadline(
    recipe: Recipe, submitted_at: datetime, times: Times | None
) -> tuple[datetime | None, DueBy | None]:
    """When it is due, and by what that was worked out; `times` are what came of `deadline_timing`. None
    where that is not known."""
    if times is not None:
        return times.due_at, times.by
    if recipe.deadline is None or isinstance(recipe.deadline, BusinessDays):
        return None, None
    return submitted_at + timedelta(seconds=recipe.deadline), None


def begin(
    recipe: Recipe, here: MachineState, now: datetime
) -> tuple[tuple[Timer, ...], tuple[AskTimes, ...]]:
    """The timers of a state that begin now, soonest first; and what is to be asked for the others, in
    their order."""
    timers: list[Timer] = []
    asks: list[AskTimes] = []
    for timer in here.timers:
        if isinstance(timer.after, BusinessDays):
            asks.append(AskTimes(Timing(recipe.calendar or "", now, timer.after)))
        else:
            timers.append(Timer(now + timedelta(seconds=timer.after), timer.fire))
    return in_order(timers), tuple(asks)


def in_order(timers: list[Timer]) -> tuple[Timer, ...]:
    return tuple(sorted(timers, key=lambda timer: timer.at))
