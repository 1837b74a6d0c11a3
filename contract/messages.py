"""What travels between API, relay, workflow and activities: all of it frozen, all of it JSON."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import Field

from recipes.model import Recipe
from recipes.state import Answer, Commanded, Decided, Happening, State

Message: TypeAlias = Annotated[Decided | Commanded, Field(discriminator="kind")]
"""What a signal carries. Told twice, it counts once: a task is decided once, a command has an id."""


@dataclass(frozen=True, slots=True)
class StartInput:
    """The start of one run of a request's workflow; `inbox` is what an earlier run left unread."""

    engine: int
    recipe: Recipe
    recipe_sha256: str
    state: State
    inbox: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class CommitInput:
    """One transition to carry out: `happening` befalls `state` at `now`.

    The activity asks the directory what the transition needs to know and writes all of it in one
    transaction, once per `(request_id, state.seq + 1)`.
    """

    workflow: str
    version: int
    recipe_sha256: str
    state: State
    happening: Annotated[Happening, Field(discriminator="kind")]
    now: datetime


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The directory's answers, a tuple a round; or `lost`: decisions that were first.

    With `lost` nothing was written: the workflow takes these decisions up and tries again.
    """

    answers: tuple[tuple[Answer, ...], ...] = ()
    lost: tuple[Decided, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished workflow returns."""

    state: str
    seq: int
