"""The bodies of simulations and backtests: see `bodies`."""

from typing import Annotated

from pydantic import Field

from api.bodies import Decision, EntityBody, Inputs, PersonId, Text
from api.http import Moment
from api.shapes import Strict, example
from recipes.model import Json
from recipes.supposed import Otherwise

_LEAVE = """\
workflow: leave_request
version: 4
steps:
  - id: manager_approval
    approver: "{{ employee.manager }}"
    timeout: 24h
    on_timeout: escalate
"""


class SupposedDecision(Strict):
    """Tasks of that `step`, `branch` and person `who` (left out: any) are decided so, `after` a
    duration (`2h`) since they opened, `request_changes` leading `to` a step or the requester; `wait`
    lets time pass, so that timeouts come. Of several that fit a task the first counts; one that leads
    back counts once."""

    decision: Decision
    step: Text | None = None
    branch: Text | None = None
    who: PersonId | None = None
    after: Annotated[str, Field(max_length=40)] | None = None
    comment: Text | None = None
    to: Text | None = None


class SimulationBody(Strict):
    """Who (`requester`, default: I) submits which `inputs`, when (`at`, default: now), and what
    becomes of the tasks: where none of `decisions` fits, `otherwise`. Automatic steps, which are not run,
    give what `outputs` say of them by id, or fail as `fails` say."""

    model_config = example(
        inputs={"days": 20},
        requester="alice",
        at="2026-03-02T09:00:00Z",
        decisions=[{"step": "manager_approval", "decision": "approve", "after": "2h"}],
        otherwise="approve",
    )
    inputs: Inputs = Field(default_factory=dict)
    requester: PersonId | None = None
    at: Moment | None = None
    decisions: list[SupposedDecision] = Field(
        default_factory=list[SupposedDecision], max_length=100
    )
    otherwise: Otherwise = "approve"
    entity: EntityBody | None = None
    outputs: dict[str, Json] = Field(default_factory=dict[str, Json], max_length=100)
    fails: dict[str, Text] = Field(default_factory=dict[str, Text], max_length=100)


RecipeText = Annotated[str, Field(max_length=512 * 1024)]


class DraftSimulationBody(SimulationBody):
    """The same of a `recipe` that need not be published: its YAML. `file`: what problems call it."""

    model_config = example(recipe=_LEAVE, inputs={"days": 20}, requester="alice")
    recipe: RecipeText
    file: Annotated[str, Field(max_length=200)] | None = None


class BacktestBody(Strict):
    """A `recipe` as YAML, against the newest `limit` requests of its workflow that were submitted
    `since` then (default: ever); with `imported` those, too, that another system had."""

    model_config = example(recipe=_LEAVE, since="2026-01-01T00:00:00Z", limit=200)
    recipe: RecipeText
    file: Annotated[str, Field(max_length=200)] | None = None
    since: Moment | None = None
    imported: bool = False
    limit: Annotated[int, Field(ge=1, le=500)] = 200
