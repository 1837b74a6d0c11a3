"""The bodies of recalls: see `bodies`."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from api.bodies import Reason, Text
from api.http import Moment
from contract.conditions import ConditionInvalid, condition

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
_Number = Annotated[int, Field(ge=1, le=2**31 - 1)]


def _condition(text: str) -> str:
    try:
        condition(text)
    except ConditionInvalid as error:
        raise ValueError(str(error)) from None
    return text


class RecallBody(BaseModel):
    """The rule (the `action` step of a version), which of its decisions (`since`, before `until`, `where`
    inputs fulfil a condition, as in `GET /v1/requests`), and what is to become of them: `review_workflow` (and
    `review_version`; default: the one in use), by which people decide after all, or `mark`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "workflow": "purchase_order",
                    "version": 4,
                    "step": "auto_approve_small",
                    "since": "2026-11-26T18:00:00Z",
                    "where": "amount < 100",
                    "review_workflow": "purchase_review",
                    "reason": "50,000 micro-purchases of one night",
                }
            ]
        },
    )
    workflow: _Name
    version: _Number
    step: Annotated[Text, Field(min_length=1, max_length=200)]
    since: Moment | None = None
    until: Moment | None = None
    where: Annotated[str, AfterValidator(_condition)] | None = None
    review_workflow: _Name | None = None
    review_version: _Number | None = None
    mark: bool = False
    reason: Reason

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.mark == (self.review_workflow is not None):
            raise ValueError("say either review_workflow, by which people decide, or mark: true")
        if self.review_workflow is None and self.review_version is not None:
            raise ValueError("review_version needs review_workflow beside it")
        return self
