"""What a simulation supposes, what it asks, and what it tells: the words of `simulate`."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from recipes.asks import Ask, DueBy, Hop
from recipes.model import Json
from recipes.state import Entity, Incident, RequestState

Otherwise = Literal["approve", "reject", "wait"]
WAIT = "wait"
"""Nobody decides, and time passes."""


@dataclass(frozen=True, slots=True)
class Supposition:
    """Tasks of that step, branch and person (None: any) are decided so, `after` seconds since they
    opened: by the id of an outcome that they offer (a task without it is another's), or WAIT. A person
    alone is left out of a shared task by WAIT: others decide it. `to` is where `request_changes` leads.
    What leads back does so once: then the supposition is used up."""

    decision: str
    step: str | None = None
    branch: str | None = None
    who: str | None = None
    after: int = 0
    comment: str | None = None
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Supposed:
    """Who submits what, when, and what becomes of the tasks. Automatic work gives what `outputs` say of
    its step (None if they say nothing), or fails as `fails` say; it takes no time."""

    requester: str
    inputs: dict[str, Json]
    at: datetime
    decisions: tuple[Supposition, ...] = ()
    otherwise: Otherwise = "approve"
    entity: Entity | None = None
    outputs: dict[str, Json] = field(default_factory=dict)
    fails: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions to the directory as of `at`; what is sent back are the answers, in their order."""

    asks: tuple[Ask, ...]
    at: datetime


@dataclass(slots=True)
class TaskPlayed:
    """A task that was opened: whom it asked and how that was found, when it was due and what would
    come then, and how it ended. `could_decide` are the people of a shared task."""

    seat: str
    branch: str | None
    level: int
    assignee: str | None
    candidates: tuple[str, ...]
    could_decide: tuple[str, ...]
    role: str | None
    on_behalf_of: str | None
    via: tuple[str, ...]
    chain: tuple[Hop, ...]
    opened_at: datetime
    due_at: datetime | None
    when_due: str | None
    due_by: DueBy | None = None
    comment_required: bool = False
    reminded_at: list[datetime] = field(default_factory=list)
    closing: str = "open"
    closed_at: datetime | None = None
    why: str | None = None
    decision: str | None = None
    decided_by: str | None = None


@dataclass(slots=True)
class StepPlayed:
    """A step that the request came to: entered, or skipped because its `when` was false. `outcome`
    is None while it waits; `does` is what an automatic step does, in words."""

    step: str
    name: str | None
    type: str
    when: str | None
    at: datetime
    outcome: str | None = None
    completed_at: datetime | None = None
    tasks: list[TaskPlayed] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    does: str | None = None


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of it. `step`, `waiting_for` and `incidents` say why it goes no further where the
    state is not final; `unused` are the places of suppositions that fitted no task; `stopped`:
    it did not come to an end in `MOST_MOVES` moves."""

    state: RequestState
    reason: str | None
    at: datetime
    ended_at: datetime | None
    deadline_at: datetime | None
    step: str | None
    path: tuple[StepPlayed, ...]
    not_reached: tuple[str, ...]
    waiting_for: tuple[str, ...]
    incidents: tuple[Incident, ...]
    unused: tuple[int, ...]
    stopped: bool = False
    deadline_by: DueBy | None = None
