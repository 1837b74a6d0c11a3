"""The shapes of what is told of published recipes: see `schemas`."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from api.shapes import Strict, example


class RecipeProblem(BaseModel):
    """What is wrong in a recipe, where, and how to put it right."""

    model_config = ConfigDict(extra="forbid")
    file: str | None
    line: int
    column: int
    path: str
    message: str
    fix: str
    severity: Literal["error", "warning"]
    excerpt: str | None


class Disabled(Strict):
    at: datetime
    by: str
    reason: str


class RecipeSummary(Strict):
    """The version that a submission takes (if not disabled), and all `versions`."""

    workflow: str
    version: int
    versions: list[int]
    disabled_versions: list[int]
    title: str | None
    description: str | None
    owner: str | None
    sha256: str
    published_at: datetime
    published_by: str
    disabled: Disabled | None


class RecipeListed(RecipeSummary):
    """`in_flight`: how many requests are not final, by their version."""

    in_flight: dict[int, int]


class RecipePage(Strict):
    items: list[RecipeListed]
    next_cursor: str | None


class EntityRule(Strict):
    """`one_open`: no two requests of the workflow about the same entity are open at once."""

    model_config = example(required=True, one_open=True)
    required: bool
    one_open: bool


class Start(Strict):
    """Who may submit (references; none: anybody), and the events that start a request."""

    model_config = example(who=["role:guest-services"], events=["booking.cancellation_requested"])
    who: list[str]
    events: list[str]


class Confidential(Strict):
    """Roles that see what is confidential, beside those whom a request involves; the inputs that are,
    null: everything that people write."""

    model_config = example(visible_to=["hr"], fields=["salary"])
    visible_to: list[str]
    fields: list[str] | None


class RecipeShown(RecipeSummary):
    """`inputs` is its JSON Schema; of an untyped recipe `implied` lists the inputs it needs. `entity`:
    whether its requests are about one; `start`: who may submit them, and which events start them;
    `confidential`: what of them is not for everybody who may see them. One of kind `state_machine` has a
    `machine` of states and actions, and no steps."""

    inputs: dict[str, Any] | None
    implied: list[str]
    entity: EntityRule | None
    start: Start | None
    confidential: Confidential | None
    kind: Literal["approval", "state_machine"]
    steps: list[dict[str, Any]]
    machine: dict[str, Any] | None
    source: str


class Published(RecipeShown):
    """`unchanged`: these very bytes were published before."""

    unchanged: bool
    warnings: list[RecipeProblem]


class RecipeChecked(Strict):
    """`problems` holds errors and warnings; `valid` is whether it could be published."""

    valid: bool
    workflow: str | None
    version: int | None
    sha256: str | None
    problems: list[RecipeProblem]
