"""Judges automatic steps: functions that no worker has, waits that never end, callbacks that never run."""

from difflib import get_close_matches
from itertools import chain

from recipes.calendar import not_shorter
from recipes.check_expressions import Expressions
from recipes.draft import Draft
from recipes.model import HTTP, Duration, JobStep, WaitStep
from recipes.source import Book, below


def check_automatic(
    draft: Draft, expressions: Expressions, functions: frozenset[str] | None, book: Book
) -> None:
    """Write what is wrong with them into the book; `functions` are those there are, None if unknown."""
    deadline = draft.recipe.deadline
    for placed in draft.every_step:
        step = placed.step
        if isinstance(step, JobStep) and functions is not None:
            _known(step, below(placed.path, "run"), functions | {HTTP}, book)
        elif isinstance(step, WaitStep) and _outlasts(step.seconds, deadline):
            message = "never ends: the recipe's deadline comes first"
            book.error(below(placed.path, "for"), message, "make it shorter")
    for placed in chain.from_iterable(draft.callbacks.values()):
        if placed.step.when is not None and expressions.constant(placed.step.when) is False:
            fix = "correct the condition, or delete it"
            book.error(below(placed.path, "when"), "is never true: it never runs", fix)


def _known(step: JobStep, path: str, functions: frozenset[str], book: Book) -> None:
    """Warn of a function that no worker has; one may be started that does."""
    if step.run and step.run not in functions:
        close = get_close_matches(step.run, functions, n=1)
        known = f"they have {', '.join(sorted(functions))}"
        fix = f"did you mean `{close[0]}`? {known}" if close else known
        book.warning(path, f"no worker has a function `{step.run}`", fix)


def _outlasts(waits: Duration | None, deadline: Duration | None) -> bool:
    return waits is not None and deadline is not None and not_shorter(waits, deadline)
