"""`resolve: at_submit`: who holds what the templates of all steps name is found at submission, and stays.

Two rounds of questions: the employee, if a template may read it; then `AskHolders` for every seat.
While they are open `State.fixed` has steps without seats, then seats without people. A step that
cannot be told yet, or of which the directory has no answer, is left to the day when it is reached.
"""

from dataclasses import replace

from recipes.asks import Answer, Ask, AskEmployee, AskHolders
from recipes.expressions import ExpressionError
from recipes.model import ApprovalStep
from recipes.questions import Questions, first_templates
from recipes.references import reference
from recipes.state import FixedSeat, Seat


class Fixing(Questions):
    """Questions that are asked once, at submission, and what their answers fix."""

    @property
    def fixing(self) -> bool:
        """Whether the open asks are of this kind."""
        fixed = self.state.fixed.values()
        return any(not seats or not all(seat.people for seat in seats) for seats in fixed)

    def fix(self) -> None:
        """Begin to ask."""
        steps = [step for step in self.recipe.steps if isinstance(step, ApprovalStep)]
        paths = dict.fromkeys(path for step in steps for path in step.employee_paths)
        if paths:
            asks = (AskEmployee(tuple(paths)),)
            unknown: dict[str, tuple[FixedSeat, ...]] = {step.id: () for step in steps}
            self.state = replace(self.state, asks=asks, fixed=unknown)
        else:
            self.ask_holders()

    def fix_further(self, asks: tuple[Ask, ...], answers: tuple[Answer, ...]) -> None:
        """With the employee known, ask for the holders; with these known, that was all."""
        if not isinstance(asks[0], AskEmployee):
            self.fix_people(asks, answers)
        elif answers[0].refusal is not None:
            self.state = replace(self.state, fixed={})
        else:
            self.state = replace(self.state, employee=answers[0].employee or {})
            self.ask_holders()

    def ask_holders(self) -> None:
        fixed: dict[str, tuple[FixedSeat, ...]] = {}
        asks: list[Ask] = []
        for step in self.recipe.steps:
            if not isinstance(step, ApprovalStep):
                continue
            try:
                seats = tuple(self.named(step, seat) for seat in self.seats_of(step))
            except ExpressionError:
                continue
            fixed[step.id] = seats
            pools = {ballot.id for ballot in step.ballots if ballot.candidates}
            asks += [
                AskHolders(it.seat.key, it.references, it.seat.ballot in pools) for it in seats
            ]
        self.state = replace(self.state, fixed=fixed, asks=tuple(asks))

    def named(self, step: ApprovalStep, seat: Seat) -> FixedSeat:
        """A seat with what its templates name. ExpressionError if they name nobody."""
        ballot = next(ballot for ballot in step.ballots if ballot.id == seat.ballot)
        templates = first_templates(ballot, seat)
        rendered = (self.environment.render(template, self.scope()) for template in templates)
        return FixedSeat(seat, tuple(reference(value) for value in rendered), ())

    def fix_people(self, asks: tuple[Ask, ...], answers: tuple[Answer, ...]) -> None:
        people = {
            ask.seat: answer.assignment.people
            for ask, answer in zip(asks, answers, strict=True)
            if isinstance(ask, AskHolders) and answer.assignment is not None
        }
        fixed: dict[str, tuple[FixedSeat, ...]] = {}
        for step, seats in self.state.fixed.items():
            known = [replace(it, people=people.get(it.seat.key, ())) for it in seats]
            if all(it.people for it in known):
                fixed[step] = tuple(known)
        self.state = replace(self.state, fixed=fixed)
