"""What may befall a request: who did what, and when."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from recipes.asks import Answer, Times
from recipes.model import Json, Recipe

Where = Literal["before", "beside", "after"]
"""When an approver whom somebody added is asked, as against those of the recipe."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something: a person, or `system` for the engine itself."""

    user: str
    role: str | None = None
    on_behalf_of: str | None = None
    via: tuple[str, ...] = ()


ENGINE = Actor("system:engine")


@dataclass(frozen=True, slots=True)
class Started:
    """The workflow runs for the first time."""

    kind: Literal["started"] = "started"


@dataclass(frozen=True, slots=True)
class Answered:
    """The directory answered all open asks, in their order."""

    answers: tuple[Answer, ...]
    kind: Literal["answered"] = "answered"


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision stands in storage: somebody was the first to close this task. `decision` is the id of
    the outcome chosen; `to` where `request_changes` leads, a step or REQUESTER."""

    task_id: str
    decision: str
    actor: Actor
    at: datetime
    comment: str | None = None
    kind: Literal["decided"] = "decided"
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Together:
    """Decisions on tasks of one request that all stand in storage already: they count as one."""

    items: tuple[Decided, ...]
    kind: Literal["together"] = "together"


@dataclass(frozen=True, slots=True)
class Migration:
    """Another version of a request's workflow, for it to go on with: its recipe, the hash of that,
    and the digest that the inputs have there. `seen` is the digest of what was judged; `deadline` what
    came of its deadline's timing there."""

    recipe: Recipe
    sha256: str
    digest: str
    seen: str
    deadline: Times | None = None


@dataclass(frozen=True, slots=True)
class Commanded:
    """Somebody entitled to it asked for a change. `cancel` ends it; `retry` tries incidents again;
    `reassign` gives the undecided `seat` to the person `to`; `add_approver` adds `to` to the step of
    the `seat`'s task, `where` says when they are asked. Only these two have a seat and a person. `fire`
    is for the `action` of a state machine, as whoever asked saw it: after so many `moves`. `migrate`
    goes on with the `migration`. `resubmit` brings new `inputs` with their `digest` and `title`, for what
    had the digest `seen`."""

    command_id: str
    command: Literal["cancel", "retry", "reassign", "fire", "migrate", "add_approver", "resubmit"]
    actor: Actor
    at: datetime
    comment: str | None = None
    seat: str | None = None
    to: str | None = None
    kind: Literal["commanded"] = "commanded"
    action: str | None = None
    moves: int | None = None
    migration: Migration | None = None
    where: Where | None = None
    inputs: dict[str, Json] | None = None
    digest: str | None = None
    title: str | None = None
    seen: str | None = None


@dataclass(frozen=True, slots=True)
class Rechecked:
    """The directory has changed under these tasks (`at`, by its clock): ask again who is to decide
    those still open, and whatever a directory that could not be asked has left waiting."""

    task_ids: tuple[str, ...]
    at: datetime
    kind: Literal["rechecked"] = "rechecked"


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The job has come to an end, run for the `again`th time after the first by hand: with an `output`,
    or a `failure` in words. A job that was cancelled fails, if it was not done before."""

    job_id: str
    at: datetime
    output: Json = None
    failure: str | None = None
    attempts: int = 1
    again: int = 0
    kind: Literal["job_ended"] = "job_ended"


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed: whatever is due by `now` happens."""

    kind: Literal["ticked"] = "ticked"


Happening: TypeAlias = (
    Started | Answered | Decided | Together | Commanded | Rechecked | JobEnded | Ticked
)
