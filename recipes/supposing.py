"""Whom a step would ask: the questions of a step put for a state, without anything being changed.

Live, a request asks where it stands; here it is put at any of its steps: of a state that is there as
it is, with its tasks; else as if the step were entered now.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from recipes.asks import Refusal, SeatAsk
from recipes.expressions import ExpressionError
from recipes.mentions import mentions
from recipes.model import ApprovalStep, Json, Recipe
from recipes.questions import Questions
from recipes.state import State
from recipes.templates import split


@dataclass(frozen=True, slots=True)
class Supposed:
    """A seat of the step and the question for it, or the `refusal` that is an incident live."""

    seat: str
    ballot: str
    ask: SeatAsk | None = None
    refusal: Refusal | None = None


def approval_step(recipe: Recipe, name: str) -> ApprovalStep | None:
    """The step of that id, if it asks anybody."""
    found = next((step for step in recipe.steps if step.id == name), None)
    return found if isinstance(found, ApprovalStep) else None


def at_step(recipe: Recipe, state: State, step: ApprovalStep) -> State:
    """`state`, if its request is at `step`; else as it would be on entering it."""
    position = recipe.steps.index(step)
    if state.position == position and state.entered and not state.final:
        return state
    return replace(
        state,
        state="pending",
        position=position,
        entered=False,
        seats=(),
        tasks=(),
        asks=(),
        unasked=(),
        incidents=(),
        reassigning=None,
    )


def suppose(
    recipe: Recipe, state: State, employee: dict[str, Json] | None, now: datetime
) -> tuple[Supposed, ...]:
    """The questions of the step that `state` is at, one for each seat that nobody has decided yet.

    `employee` is what the step's `employee_paths` gave. ExpressionError if it has no seats.
    """
    step = recipe.steps[state.position]
    assert isinstance(step, ApprovalStep)
    run = Questions(recipe, replace(state, employee=employee), now)
    if not run.state.seats:
        fixed = state.fixed.get(step.id, ())
        seats = tuple(it.seat for it in fixed) or run.seats_of(step)
        run.state = replace(run.state, entered=True, seats=seats)
    found: list[Supposed] = []
    for seat in run.state.seats:
        if seat.vote is None:
            run.state = replace(run.state, incidents=())
            ask = run.question(seat.key)
            refusals = [Refusal(it.kind, it.detail) for it in run.state.incidents]
            found.append(Supposed(seat.key, seat.ballot, ask, refusals[0] if refusals else None))
    return tuple(found)


def applies(
    recipe: Recipe, state: State, employee: dict[str, Json] | None, now: datetime
) -> bool | None:
    """Whether the step's `when` holds; None if that cannot be told."""
    step = recipe.steps[state.position]
    if step.when is None:
        return True
    run = Questions(recipe, replace(state, employee=employee), now)
    try:
        return run.environment.condition(step.when, run.scope())
    except ExpressionError:
        return None


def inputs_read(recipe: Recipe, step: ApprovalStep) -> tuple[str, ...]:
    """The inputs that the questions of a step read, by name; `inputs` where that cannot be told."""
    return _inputs_in(recipe, _sources(step))


def condition_reads_inputs(recipe: Recipe, step: ApprovalStep) -> bool:
    """Whether the step's `when` does."""
    return step.when is not None and bool(_inputs_in(recipe, [step.when]))


def _inputs_in(recipe: Recipe, sources: Iterable[str]) -> tuple[str, ...]:
    known = {*(recipe.inputs or {}).get("properties", {}), *recipe.implied}
    found: dict[str, None] = {}
    for source in sources:
        for mention in mentions(source):
            if mention.root == "inputs":
                found[mention.path[0] if mention.path else "inputs"] = None
            elif mention.root in known:
                found[mention.root] = None
    return tuple(found)


def _sources(step: ApprovalStep) -> list[str]:
    templates: list[str] = []
    sources: list[str] = []
    for ballot in step.ballots:
        templates += [*ballot.candidates, ballot.approver or "", ballot.approvers or ""]
        if ballot.authority is not None:
            sources += [ballot.authority.amount, ballot.authority.currency]
    parts = (part for template in templates if template for part in split(template))
    return [*sources, *(part.text for part in parts if part.expression)]
