"""What a request is at one moment: the words of `progress`.

A `State` is a value. `progress.apply` turns a state and a `Happening` into a new state and the
`Effect`s that storage must carry out in one transaction. Times are aware UTC datetimes.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from recipes.asks import Ask, Assignment, DueBy, IncidentKind, SeatAsk
from recipes.happenings import Actor, Commanded, Decided, Where
from recipes.model import Json

RequestState = Literal[
    "created", "pending", "rewound", "approved", "rejected", "cancelled", "expired"
]
FinalState = Literal["approved", "rejected", "cancelled", "expired"]
FINAL_STATES: frozenset[str] = frozenset({"approved", "rejected", "cancelled", "expired"})
Closing = Literal["expired", "superseded", "cancelled", "reassigned"]
"""How a task is closed by its workflow. (`decided` is written by the decide path alone.)"""
Vote = Literal["approve", "reject", "expired"]
"""What a seat contributed to its step's quorum."""


@dataclass(frozen=True, slots=True)
class Timer:
    """Of a state machine: the action that fires by itself at a moment; `due_by` of one that counts
    business days."""

    at: datetime
    fire: str
    due_by: DueBy | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Of a state machine: an action that was fired, and where it led."""

    action: str
    source: str
    to: str
    actor: Actor
    at: datetime


@dataclass(frozen=True, slots=True)
class Task:
    """An open task. `level` counts the escalations before it; `remind_at` are those still to come;
    `ask` is the question whose answer its assignment is, None only in the earliest histories;
    `by_hand` says that somebody chose whom to ask, not the recipe; `due_by` by what its times were worked
    out where business days count."""

    id: str
    seat: str
    assignment: Assignment
    level: int
    opened_at: datetime
    due_at: datetime | None = None
    remind_at: tuple[datetime, ...] = ()
    ask: SeatAsk | None = None
    by_hand: bool = False
    due_by: DueBy | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """Who added a seat by hand, `where`, and why."""

    where: Where
    by: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class Seat:
    """One place in a step's quorum: a branch, or one person of an `approvers` list; or beside the
    quorum, a place that was `added` for somebody.

    `key` is unique within the request; `ballot` names the recipe's ballot it belongs to;
    `reference` is set for a place of an `approvers` list, and for one that was added.
    """

    key: str
    ballot: str
    reference: str | None = None
    vote: Vote | None = None
    by: Actor | None = None
    added: Added | None = None

    @property
    def where(self) -> Where | None:
        """When an added seat is asked; None of the recipe's own."""
        return None if self.added is None else self.added.where

    @property
    def person(self) -> str:
        """Of an added seat: whom it was added for."""
        return (self.reference or "").removeprefix("user:")


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval that may stay when its step is entered again and has the same seat."""

    step: str
    seat: str
    ballot: str
    reference: str | None
    decision: Decided


@dataclass(frozen=True, slots=True)
class FixedSeat:
    """A seat as it was fixed at submission: whom it was to ask, and who that was then (`people`)."""

    seat: Seat
    references: tuple[str, ...]
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """People are needed. `seat` is None where the step itself could not be entered."""

    kind: IncidentKind
    detail: str
    step: str
    seat: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """Automatic work of a step: runs until a `JobEnded`, or has ended with a `failure` and waits for
    `retry`, which counts `again` up. `key` tells the other side that it is the same work each time.
    `cancelled`: the request has ended; how the work ended, if it had, is recorded all the same."""

    id: str
    step: str
    run: str
    inputs: dict[str, Json]
    key: str
    again: int = 0
    cancelled: bool = False
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """What a request is about, in the system where it lives: `booking`, `4711`."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is so of a request, as far as its recipe is concerned.

    `position` is the index of the current step; `entered` tells whether its seats are made;
    `asks` are the questions that must be answered before anything else can happen; `unasked` are the
    seats to ask for once the employee is known; `employee` is known only while there are asks;
    `results` is what expressions see as `steps`; `reason` says why it ended. `seq` counts transitions:
    storage accepts each once. `reassigning`, or `adding`, waits for the answer to its ask. By step: `deciders` are
    those who decided it and those for whom they did, `fixed` the seats that `resolve: at_submit` fixed
    (none of a step, or nobody in a seat, while that is being asked). `deadline_by`: as a task's `due_by`.

    `revision` counts submissions, `round` the rewinds, from 1 on both. While `rewound` it is at no step: it waits to be resubmitted, until
    `resubmit_by`. `approvals` are kept in mind where the recipe lets some of them stay.

    Of a state machine: `status` is the id of the state it is in, `timers` what that state has yet to
    fire, soonest first; `moves` counts the actions fired, of which `moved` is the last.

    `job` is the automatic work that is under way or has failed, one at most; `begun` says by step how
    often it was begun. `waits_until` is of a `wait`. Of a final request `called` counts the callbacks
    that are behind it.
    """

    request_id: str
    requester: str
    inputs: dict[str, Json]
    submitted_at: datetime
    digest: str
    state: RequestState = "created"
    seq: int = 0
    position: int = 0
    entered: bool = False
    seats: tuple[Seat, ...] = ()
    tasks: tuple[Task, ...] = ()
    asks: tuple[Ask, ...] = ()
    unasked: tuple[str, ...] = ()
    incidents: tuple[Incident, ...] = ()
    employee: dict[str, Json] | None = None
    results: dict[str, dict[str, Json]] = field(default_factory=dict)
    tasks_opened: int = 0
    deadline_at: datetime | None = None
    reason: str | None = None
    commands_seen: tuple[str, ...] = ()
    reassigning: Commanded | None = None
    deciders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fixed: dict[str, tuple[FixedSeat, ...]] = field(default_factory=dict)
    status: str | None = None
    timers: tuple[Timer, ...] = ()
    moves: int = 0
    moved: Move | None = None
    entity: Entity | None = None
    adding: Commanded | None = None
    deadline_by: DueBy | None = None
    revision: int = 1
    round: int = 1
    resubmit_by: datetime | None = None
    approvals: tuple[Approval, ...] = ()
    job: Job | None = None
    begun: dict[str, int] = field(default_factory=dict)
    waits_until: datetime | None = None
    called: int = 0

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES
