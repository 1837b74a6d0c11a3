"""A recipe as read, before it is judged: the tree, and where in the text its parts stand."""

from collections.abc import Iterator
from dataclasses import dataclass

from recipes.expressions import Want
from recipes.model import ActionStep, Ballot, MachineAction, MachineState, Recipe, Step
from recipes.source import below


@dataclass(frozen=True, slots=True)
class Placed:
    """A step, its key path, and the key paths of its ballots."""

    path: str
    step: Step
    ballots: tuple[str, ...]

    def placed_ballots(self) -> tuple[tuple[Ballot, str], ...]:
        if isinstance(self.step, ActionStep):
            return ()
        return tuple(zip(self.step.ballots, self.ballots, strict=True))


@dataclass(frozen=True, slots=True)
class PlacedMachine:
    """A state machine's states and actions, each with its key path."""

    states: tuple[tuple[MachineState, str], ...]
    actions: tuple[tuple[MachineAction, str], ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """`recipe` lacks what only its expressions can tell: `implied` names and `employee_paths`; and the
    `machine` that these would complete."""

    recipe: Recipe
    steps: tuple[Placed, ...]
    machine: PlacedMachine | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A text of a recipe that may hold expressions, where it stands, and what it has to give. `path` may
    count the items of a list that was written as its one item."""

    path: str
    text: str
    want: Want


def formulas(placed: Placed) -> Iterator[Template]:
    """The expressions of a step's authorities, each all of its text."""
    for ballot, path in placed.placed_ballots():
        if ballot.authority is not None:
            place = below(path, "authority")
            yield Template(below(place, "amount"), ballot.authority.amount, "amount")
            yield Template(below(place, "currency"), ballot.authority.currency, "currency")


def templates(placed: Placed) -> Iterator[Template]:
    """The references of a step: whom to ask, and to whom a level reassigns."""
    for ballot, path in placed.placed_ballots():
        if ballot.approver is not None:
            yield Template(below(path, "approver"), ballot.approver, "person")
        for index, candidate in enumerate(ballot.candidates):
            yield Template(below(below(path, "candidates"), index), candidate, "person")
        if ballot.approvers is not None:
            yield Template(below(path, "approvers"), ballot.approvers, "people")
        for index, level in enumerate(ballot.levels):
            if level.to is not None:
                yield Template(below(below(path, "on_timeout"), index), level.to, "person")
