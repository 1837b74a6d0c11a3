"""What follows from a happening, for storage and the workflow to carry out."""

from dataclasses import dataclass
from typing import TypeAlias

from recipes.happenings import ENGINE, Actor, Migration
from recipes.model import Json, Outcome
from recipes.state import Added, Approval, Closing, Job, State, Task


@dataclass(frozen=True, slots=True)
class Offer:
    """What a task offers to decide: the `outcomes`, those that need a comment or a reason, the reasons
    there are (none listed: any), where `request_changes` may lead (steps, REQUESTER), and the inputs to
    look at (none listed: all)."""

    outcomes: tuple[Outcome, ...] = ()
    require_comment: tuple[str, ...] = ()
    require_reason: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    rewind_to: tuple[str, ...] = ()
    show: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenTask:
    """`branch` is the ballot's id within the step, None for a step of one ballot; `added` is the seat's."""

    task: Task
    step: str
    branch: str | None
    offer: Offer
    digest: str
    fixed: bool = False
    added: Added | None = None


@dataclass(frozen=True, slots=True)
class CloseTask:
    task_id: str
    step: str
    to: Closing
    why: str


@dataclass(frozen=True, slots=True)
class RemindTask:
    task_id: str
    step: str


@dataclass(frozen=True, slots=True)
class RebindTask:
    """The task stays as it is, but a decision on it is bound to `digest` from now on, and may lead back
    to one of `rewind_to`."""

    task_id: str
    step: str
    digest: str
    rewind_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StartJob:
    """Run it, for the first time or again."""

    job: Job


@dataclass(frozen=True, slots=True)
class EndJob:
    """It has ended: with its output, or the `failure`."""

    job: Job
    output: Json
    failure: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Ask it to stop."""

    job: Job
    why: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell these people; nobody, if nobody holds what the step names."""

    step: str
    people: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class SettleCommand:
    """The outcome of a command: applied, or refused with the reason in `detail`."""

    command_id: str
    command: str
    applied: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Resubmit:
    """From now on the request is what its revision `number` says. `title` None: it stays."""

    number: int
    inputs: dict[str, Json]
    digest: str
    title: str | None
    comment: str | None
    actor: Actor


@dataclass(frozen=True, slots=True)
class KeepApproval:
    """The approval stays in this round: nothing of the inputs that it `rests_on` has changed."""

    approval: Approval
    rests_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A fact for the audit trail that changes no row of its own."""

    type: str
    payload: dict[str, Json]
    actor: Actor = ENGINE


Effect: TypeAlias = (
    OpenTask
    | CloseTask
    | RemindTask
    | RebindTask
    | StartJob
    | EndJob
    | CancelJob
    | Notify
    | SettleCommand
    | Resubmit
    | KeepApproval
    | Record
)


@dataclass(frozen=True, slots=True)
class Transition:
    """A new state, and what must be written for it to be true. With a `migration` it is a state of
    that one's recipe, with which the request goes on."""

    state: State
    effects: tuple[Effect, ...] = ()
    migration: Migration | None = None
