"""A recipe as read, before it is judged: the tree, and where in the text its parts stand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from recipes.expressions import Want
from recipes.model import (
    ApprovalStep,
    Ballot,
    JobStep,
    Json,
    MachineAction,
    MachineState,
    NotifyStep,
    Recipe,
    Step,
    WaitStep,
)
from recipes.source import below


@dataclass(frozen=True, slots=True)
class Placed:
    """A step, its key path, and the key paths of its ballots."""

    path: str
    step: Step
    ballots: tuple[str, ...]

    def placed_ballots(self) -> tuple[tuple[Ballot, str], ...]:
        if not isinstance(self.step, ApprovalStep):
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
    `machine` that these would complete. `callbacks` are by their keys, such as `on_approved`."""

    recipe: Recipe
    steps: tuple[Placed, ...]
    machine: PlacedMachine | None = None
    callbacks: Mapping[str, tuple[Placed, ...]] = field(default_factory=dict)

    @property
    def every_step(self) -> tuple[Placed, ...]:
        """Those of the course and the callbacks."""
        return (*self.steps, *chain.from_iterable(self.callbacks.values()))


@dataclass(frozen=True, slots=True)
class Template:
    """A text of a recipe that may hold expressions, where it stands, and what it has to give. `path` may
    count the items of a list that was written as its one item."""

    path: str
    text: str
    want: Want


def formulas(placed: Placed) -> Iterator[Template]:
    """The expressions of a step's authorities, and its `until`, each all of its text."""
    for ballot, path in placed.placed_ballots():
        if ballot.authority is not None:
            place = below(path, "authority")
            yield Template(below(place, "amount"), ballot.authority.amount, "amount")
            yield Template(below(place, "currency"), ballot.authority.currency, "currency")
    if isinstance(placed.step, WaitStep) and placed.step.until is not None:
        yield Template(below(placed.path, "until"), placed.step.until, "moment")


def values(placed: Placed) -> Iterator[Template]:
    """The texts of a step that give a function's inputs, or a message."""
    if isinstance(placed.step, JobStep):
        yield from _texts(below(placed.path, "with"), placed.step.inputs)
    elif isinstance(placed.step, NotifyStep):
        yield Template(below(placed.path, "message"), placed.step.message, "text")


def _texts(path: str, value: Json) -> Iterator[Template]:
    match value:
        case str():
            yield Template(path, value, "text")
        case list():
            for index, item in enumerate(value):
                yield from _texts(below(path, index), item)
        case dict():
            for name, item in value.items():
                yield from _texts(below(path, name), item)
        case _:
            pass


def templates(placed: Placed) -> Iterator[Template]:
    """The references of a step: whom to ask, to whom a level reassigns, whom to tell."""
    if isinstance(placed.step, NotifyStep):
        for index, person in enumerate(placed.step.to):
            yield Template(below(below(placed.path, "to"), index), person, "person")
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
