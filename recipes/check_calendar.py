"""Judges where a recipe counts business days: that it names a calendar, which there is, and that nobody's
time zone is asked for where a time is nobody's."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from recipes import calendar
from recipes.draft import Draft
from recipes.model import Ballot, BusinessDays, Duration, WaitStep
from recipes.source import Book, below


@dataclass(frozen=True, slots=True)
class _Use:
    """A duration of the recipe, where it stands, and whether it is one person's."""

    path: str
    duration: Duration
    personal: bool


def check_calendar(draft: Draft, calendars: frozenset[str] | None, book: Book) -> None:
    """`calendars` are the names of those that are imported; None if unknown."""
    name = draft.recipe.calendar
    counting = [use for use in _uses(draft, book) if isinstance(use.duration, BusinessDays)]
    for use in counting:
        said = calendar.text(use.duration)
        if name is None and not book.has("calendar"):
            message = f"`{said}` counts business days, and the recipe names no `calendar`"
            book.error(use.path, message, "add `calendar: its_name`, or write days, such as 2d")
        if not use.personal and said.endswith(" in assignee zone"):
            message = f"`{said}`: this is no one person's time, so there is no assignee's zone"
            book.error(use.path, message, f"write `{said.removesuffix(' in assignee zone')}`")
    if name is None:
        return
    if not counting:
        fix = "write a duration such as 2bd, or delete `calendar`"
        book.warning("calendar", "has no effect: nothing counts business days", fix)
    if calendars is not None and name not in calendars:
        close = get_close_matches(name, sorted(calendars), n=1)
        fix = f"did you mean `{close[0]}`?" if close else "import it first, as an administrator"
        book.error("calendar", f"no calendar is called `{name}`", fix)


def _uses(draft: Draft, book: Book) -> Iterator[_Use]:
    if draft.recipe.deadline is not None:
        yield _Use("deadline", draft.recipe.deadline, personal=False)
    for placed in draft.steps:
        if isinstance(placed.step, WaitStep) and placed.step.seconds is not None:
            yield _Use(below(placed.path, "for"), placed.step.seconds, personal=False)
        for ballot, path in placed.placed_ballots():
            for place, duration in _of_ballot(ballot, path, book):
                yield _Use(place, duration, personal=True)
    for state, path in draft.machine.states if draft.machine is not None else ():
        for index, timer in enumerate(state.timers):
            place = below(below(below(path, "timers"), index), "after")
            yield _Use(place, timer.after, personal=False)


def _of_ballot(ballot: Ballot, path: str, book: Book) -> Iterator[tuple[str, Duration]]:
    for index, level in enumerate(ballot.levels):
        own = below(below(below(path, "on_timeout"), index), "after")
        if index == 0 or book.has(own):
            yield own if index else below(path, "timeout"), level.after
    for index, reminder in enumerate(ballot.remind):
        listed = below(below(path, "remind"), index)
        yield listed if book.has(listed) else below(path, "remind"), reminder.seconds
