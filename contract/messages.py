"""What travels between API, relay, workflow and activities: all of it frozen, all of it JSON."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import Field

from recipes.asks import Answer
from recipes.happenings import Commanded, Decided, Happening, JobEnded, Rechecked, Together
from recipes.model import Json, Recipe
from recipes.state import Job, State

Message: TypeAlias = Annotated[
    Decided | Together | Commanded | Rechecked, Field(discriminator="kind")
]
"""What a signal carries. Told twice, it counts once: a task is decided once, a command has an id, and
asking again finds nothing to change."""
Unread: TypeAlias = Annotated[Message | JobEnded, Field(discriminator="kind")]
"""What an inbox holds: signals, and the ends of jobs."""


@dataclass(frozen=True, slots=True)
class StartInput:
    """The start of one run of a request's workflow; `inbox` is what an earlier run left unread."""

    engine: int
    recipe: Recipe
    recipe_sha256: str
    state: State
    inbox: tuple[Unread, ...] = ()


@dataclass(frozen=True, slots=True)
class CommitInput:
    """One transition to carry out: `happening` befalls `state` at `now`.

    The activity asks the directory what the transition needs to know and writes all of it in one
    transaction, once per `(request_id, state.seq + 1)`.
    """

    workflow: str
    version: int
    state: State
    happening: Annotated[Happening, Field(discriminator="kind")]
    now: datetime


@dataclass(frozen=True, slots=True)
class Committed:
    """A transition as it stands in storage: what befell, when, and the directory's answers, a tuple
    a round. With the state before it, `progress` gives everything else."""

    happening: Annotated[Happening, Field(discriminator="kind")]
    now: datetime
    answers: tuple[tuple[Answer, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What came of a `CommitInput`: one of three.

    * written as asked: `answers` are the directory's, a tuple a round;
    * `earlier`: storage has this `seq` already, written by an attempt whose result was lost, and
      maybe for another happening; or, if nothing follows from the happening, it has gone on without
      this workflow. What stands, stands: the workflow takes it up and keeps its own for later;
    * `lost`: decisions that were first to close a task this transition meant to close. Nothing was
      written: the workflow takes them up, together with decisions of its own, and tries again.
    """

    answers: tuple[tuple[Answer, ...], ...] = ()
    earlier: Committed | None = None
    lost: tuple[Decided, ...] = ()


@dataclass(frozen=True, slots=True)
class JobInput:
    """A job to run, for a request of this workflow and version."""

    request_id: str
    workflow: str
    version: int
    job: Job


@dataclass(frozen=True, slots=True)
class JobResult:
    """The output of a job that was done, in its last of so many `attempts`."""

    output: Json
    attempts: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished workflow returns."""

    state: str
    seq: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a workflow under way is, by its own account: the version it is on, and all of its state."""

    version: int
    state: State


@dataclass(frozen=True, slots=True)
class SyncAsked:
    """Read the other system's directory now. `most_gone`: so many people may leave at once, for this
    time, where more than usual do; None for the usual limit."""

    most_gone: int | None = None


@dataclass(frozen=True, slots=True)
class Synced:
    """What came of it. `failing` says why the directory stays as it was; `unchanged`: the other system
    said that nothing is new. `changes` counts what is different now."""

    failing: str | None = None
    unchanged: bool = False
    people: int = 0
    changes: dict[str, int] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
