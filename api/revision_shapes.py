"""The shapes of outcomes and of what has changed: see `schemas`."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.shapes import Strict
from recipes.model import CountsAs


class Outcome(Strict):
    """What a task can be decided as: a button with this `name`. One that rewinds leads `to` a step or the
    requester; null: the decision says where."""

    id: str
    name: str
    counts_as: CountsAs
    to: str | None


class Changed(BaseModel):
    """What is different at `pointer`. Without `from` nothing was there, without `to` nothing is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"pointer": "/inputs/days", "from": 5, "to": 4}]},
    )
    pointer: str
    before: Any = Field(None, alias="from")
    to: Any = None


class OtherVersion(Strict):
    """The version whose digest it was, and the request's."""

    before: int = Field(alias="from")
    to: int


class Revision(Strict):
    """A submission of a request, and what it `changed` of the one before it; `/changed` is `withheld` where
    something confidential may have, too."""

    number: int
    title: str
    digest: str
    comment: str | None
    submitted_at: datetime
    submitted_by: str
    changed: list[Changed]
    withheld: list[str]
