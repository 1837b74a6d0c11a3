"""Judges what leads back in a recipe: where to, that people turn every loop, and what has no effect."""

from collections.abc import Sequence
from difflib import get_close_matches

from recipes import calendar
from recipes.draft import Draft, Placed
from recipes.model import REQUESTER, ApprovalStep, Recipe, Step
from recipes.schema import Schema, properties
from recipes.source import Book, below


def check_rewinding(
    draft: Draft, schema: Schema | None, implied: Sequence[str], book: Book
) -> None:
    """`implied` are the inputs of an untyped recipe."""
    inputs = tuple(implied) if schema is None else tuple(properties(schema))
    up_to: list[Step] = []
    for placed in draft.steps:
        step = placed.step
        up_to.append(step)
        if not isinstance(step, ApprovalStep):
            continue
        for path, to in _targets(placed, step, book):
            _leads_back(path, to, up_to, draft, book)
        _turned_by_people(placed, step, up_to, book)
        for ballot, path in placed.placed_ballots():
            _shows(ballot.show, below(path, "show"), inputs, book)
    if draft.machine is None:
        _times(draft.recipe, up_to, book)


def _targets(placed: Placed, step: ApprovalStep, book: Book) -> list[tuple[str, str]]:
    """Where the step's rejection and its outcomes lead back to, each with its key path."""
    found = [] if step.on_reject is None else [(below(placed.path, "on_reject"), step.on_reject)]
    for ballot, path in placed.placed_ballots():
        for number, outcome in enumerate(ballot.outcomes):
            if outcome.to is not None:
                place = below(below(path, "outcomes"), number)
                to = below(place, "to")
                found.append((to if book.has(to) else place, outcome.to))
    return found


def _leads_back(path: str, to: str, up_to: Sequence[Step], draft: Draft, book: Book) -> None:
    names = [step.id for step in up_to if isinstance(step, ApprovalStep)]
    steps = {placed.step.id: placed.step for placed in draft.steps}
    known = f"there are {REQUESTER}, {', '.join(names)}"
    if to == REQUESTER:
        if REQUESTER in steps:
            message = f"is the requester, and no step: but there is a step `{REQUESTER}`"
            book.error(path, message, "give that step another id")
    elif to not in steps:
        close = get_close_matches(to, names, n=1)
        fix = f"did you mean `{close[0]}`? {known}" if close else known
        book.error(path, f"no step is called `{to}`", fix)
    elif to not in names:
        message = (
            f"step `{to}` comes after this one: that is no way back"
            if isinstance(steps[to], ApprovalStep)
            else f"nobody decides step `{to}`: it is no approval"
        )
        book.error(path, message, known)


def _turned_by_people(
    placed: Placed, step: ApprovalStep, up_to: Sequence[Step], book: Book
) -> None:
    """A rejection by time that leads back to where time alone comes here again would never end."""
    names = [each.id for each in up_to]
    timed = any(level.action == "reject" for ballot in step.ballots for level in ballot.levels)
    if not timed or step.on_reject not in names:
        return
    between = up_to[names.index(step.on_reject) : -1]
    if all(_passes(each) for each in between):
        message = f"may lead back to `{step.on_reject}` for ever, with nobody deciding anything"
        fix = "write on_timeout: escalate or expire here, or rewind to a step that people decide"
        book.error(below(placed.path, "on_reject"), message, fix)


def _passes(step: Step) -> bool:
    """Whether a request may come through the step without anybody's decision."""
    if not isinstance(step, ApprovalStep) or step.when is not None:
        return True
    return any(level.action == "approve" for ballot in step.ballots for level in ballot.levels)


def _shows(show: Sequence[str], path: str, inputs: Sequence[str], book: Book) -> None:
    for number, name in enumerate(show):
        if name not in inputs:
            listed = below(path, number)
            close = get_close_matches(name, inputs, n=1)
            known = f"inputs are {', '.join(inputs)}" if inputs else "declare it under `inputs`"
            fix = f"did you mean `{close[0]}`?" if close else known
            book.error(listed if book.has(listed) else path, f"there is no input `{name}`", fix)


def _times(recipe: Recipe, steps: Sequence[Step], book: Book) -> None:
    if book.has("on_deadline") and recipe.deadline is None and not book.has("deadline"):
        book.error("on_deadline", "never happens: there is no `deadline`", "add `deadline: 30d`")
    asks = any(isinstance(step, ApprovalStep) for step in steps)
    for key in ("resubmit_within", "keep_approvals"):
        if book.has(key) and not asks:
            book.error(key, "has no effect: nobody is asked", "delete it, or add an approval")
    within, deadline = recipe.resubmit_within, recipe.deadline
    if within and deadline is not None and calendar.not_shorter(within, deadline):
        message = "never happens: the recipe's deadline comes first"
        book.error("resubmit_within", message, "make it shorter than the deadline")
