"""The bodies that calls about the organisation take: delegations, the mirror, who decides."""

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import CoreSchema

from api.bodies import Inputs, PersonId, Text
from api.http import Moment
from api.shapes import Strict, example
from recipes.model import Json

_SCOPE = r"^(all|workflow:[a-z][a-z0-9_]{0,62}|role:[A-Za-z0-9][A-Za-z0-9._-]{0,127})$"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _day_or(value: Json, moment: ValidatorFunctionWrapHandler) -> date:
    """A date stays one; everything else has to be a moment."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        return date.fromisoformat(value)
    found: datetime = moment(value)
    return found


def _moment_schema(_: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    return handler(Moment)


_FORMATS: list[Json] = [{"type": "string", "format": name} for name in ("date", "date-time")]
DayOrMoment = Annotated[
    date,
    GetPydanticSchema(_moment_schema),
    WrapValidator(_day_or),
    WithJsonSchema({"anyOf": _FORMATS}),
]
"""`2026-12-24`, or a datetime with its offset, which becomes one in UTC."""


class DelegationBody(Strict):
    """Who decides instead of me, from `from` (now) until `to` (until it is ended), and what: `all`,
    `workflow:NAME` or `role:NAME`. A date is a whole day in the delegator's time zone: `from` its
    beginning, `to` its end. An administrator may set it for another `delegator`, and says why."""

    model_config = example(
        **{"delegate": "dave", "from": "2026-12-21", "to": "2027-01-03"},
        scope="workflow:leave_request",
        reason="holiday",
    )
    delegate: PersonId
    begins: DayOrMoment | None = Field(None, alias="from")
    ends: DayOrMoment | None = Field(None, alias="to")
    scope: Annotated[str, Field(pattern=_SCOPE)] = "all"
    reason: Text | None = None
    delegator: PersonId | None = None


class MirrorSync(Strict):
    """`most_gone`: so many people may leave by this reading, where more than usual do."""

    model_config = example(most_gone=250)
    most_gone: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class EndBody(Strict):
    """An administrator who ends somebody else's delegation says why."""

    model_config = example(reason="She is back early.")
    reason: Text | None = None


class ExplainBody(Strict):
    """A step of a recipe, and a request as it might be: `employee`'s (mine), with these inputs."""

    model_config = example(
        workflow="purchase_order",
        step="finance",
        employee="alice",
        inputs={"item": "a press", "amount": 7200, "currency": "EUR"},
        at="2026-12-24T09:00:00Z",
    )
    workflow: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    step: Annotated[Text, Field(min_length=1, max_length=100)]
    version: int | None = Field(None, ge=1, le=2**31 - 1)
    employee: PersonId | None = None
    inputs: Inputs = Field(default_factory=dict)
    at: Moment | None = None
