"""The bodies that the API takes: nothing unknown, nothing that Postgres could not keep."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
)

from api.shapes import Strict, example
from recipes import calendar, starting
from recipes.happenings import Where
from recipes.model import Json


def _no_nul(value: Json) -> Json:
    """Postgres keeps no NUL in texts: say so before it does."""
    if _has_nul(value):
        raise ValueError("must not hold a NUL character")
    return value


def _has_nul(value: Json) -> bool:
    todo = [value]
    while todo:
        match todo.pop():
            case str() as text:
                if "\x00" in text:
                    return True
            case dict() as members:
                todo += members.keys()
                todo += members.values()
            case list() as items:
                todo += items
            case _:
                pass
    return False


Text = Annotated[str, Field(max_length=10_000), AfterValidator(_no_nul)]
Inputs = Annotated[dict[str, Any], AfterValidator(_no_nul)]


def _says_something(text: str) -> str:
    if not text.strip():
        raise ValueError("must say why")
    return text


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable characters, without spaces around them")
    return text


def _number_as_text(value: Json) -> Json:
    """Many systems count what they have: 4711 is taken for "4711"."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


EntityType = Annotated[str, Field(pattern=f"^{starting.ENTITY_TYPE}$")]
EntityId = Annotated[
    str,
    Field(min_length=1, max_length=starting.LONGEST_ENTITY_ID),
    BeforeValidator(_number_as_text),
    AfterValidator(_printable),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": starting.LONGEST_ENTITY_ID},
                {"type": "integer"},
            ]
        }
    ),
]


class EntityBody(Strict):
    """What a request is about, in the system where it lives."""

    model_config = example(type="booking", id="4711")
    type: EntityType
    id: EntityId


class Submission(Strict):
    """A request to be made. Without `version` the highest one that is not disabled is taken; `entity`
    as the recipe wants it."""

    model_config = example(
        workflow="leave_request", inputs={"days": 5, "from": "2026-07-01", "reason": "holiday"}
    )
    workflow: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    inputs: Inputs = Field(default_factory=dict)
    version: int | None = Field(None, ge=1, le=2**31 - 1)
    entity: EntityBody | None = None


Decision = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""The id of an outcome that the task offers: approve, reject, request_changes, or one of its recipe's."""
_TASK_ID, _OTHER_ID = (
    "aa4bc62d-72fc-51d1-84eb-ad49e69a21a8",
    "0b7f3d52-9d5e-5c0b-8a1a-6f1f4f0c2d11",
)
_DIGEST = "5f2c7f3f0c2f4a5f9b1d8c1e6a7b3d90"
_ITEMS: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "maxItems": 500,
    "items": {"$ref": "#/components/schemas/DecisionItem"},
}


class DecisionBody(Strict):
    """`decision` is the id of one of the task's `outcomes`; `to` one of its `rewind_to`, where
    `request_changes` leads: without it to the requester. `digest` is the one the task showed: the decision
    is refused if the request is another now."""

    model_config = example(decision="approve", comment="Enjoy.")
    decision: Decision
    comment: Text | None = None
    reason: Text | None = None
    digest: Text | None = None
    to: Text | None = None


class DecisionNowOrLater(DecisionBody):
    """With `after`, the decision is sent so many seconds later, and may be undone until then."""

    model_config = example(decision="approve", comment="Enjoy.", after=10)
    after: Annotated[int, Field(ge=1, le=60)] | None = None


class DecisionItem(DecisionBody):
    """A decision on one of many tasks."""

    model_config = example(task_id=_TASK_ID, decision="approve", digest=_DIGEST)
    task_id: UUID


class DecisionsBody(Strict):
    """Up to 500 decisions. Each is looked at on its own: a bad one is refused, not the others."""

    model_config = example(
        items=[
            {"task_id": _TASK_ID, "decision": "approve", "digest": _DIGEST},
            {"task_id": _OTHER_ID, "decision": "reject", "comment": "Not in December."},
        ]
    )
    items: Annotated[
        list[Any], Field(min_length=1, max_length=500), WithJsonSchema(_ITEMS, mode="validation")
    ]


def _duration(text: str) -> str:
    try:
        calendar.seconds(text)
    except calendar.DurationError as error:
        raise ValueError(f"{error}: {error.fix}") from None
    return text


class DecidableFilter(Strict):
    """Which of the tasks I may decide; what is left out does not matter. `older_than`: open for longer;
    `task_ids`: of these alone."""

    workflow: Text | None = None
    requester: Text | None = None
    step: Text | None = None
    task_ids: Annotated[list[UUID], Field(min_length=1, max_length=500)] | None = None
    older_than: Annotated[Text, AfterValidator(_duration)] | None = None


class PreviewBody(Strict):
    """What I am about to decide, and how."""

    model_config = example(
        decision="approve", filter={"workflow": "leave_request", "older_than": "2d"}
    )
    decision: Decision
    filter: DecidableFilter = Field(default_factory=DecidableFilter)


class NothingBody(Strict):
    """Nothing: an empty body, or `{}`."""

    model_config = example()


def _says_anything(text: str) -> str:
    if not text.strip():
        raise ValueError("must say something")
    return text


Said = Annotated[Text, Field(min_length=1), AfterValidator(_says_anything)]


class CommentBody(Strict):
    model_config = example(text="The second offer is cheaper, and they deliver on Monday.")
    text: Said


class AnswerBody(Strict):
    model_config = example(text="Yes: the old press is written off.")
    text: Said


class ReadBody(Strict):
    """All of mine where `ids` is left out."""

    model_config = example(ids=["3c0c6d3e-7f5f-4f55-9b57-0b8f1de7c012"])
    ids: Annotated[list[UUID], Field(max_length=1000)] | None = None


class CommandBody(Strict):
    model_config = example(comment="The trip was called off.")
    comment: Text | None = None


class ResubmitBody(Strict):
    """All inputs, as of a submission; the comment says what has changed."""

    model_config = example(inputs={"days": 4, "reason": "holiday"}, comment="A day less.")
    inputs: Inputs
    comment: Text | None = None


class FireBody(Strict):
    """`moves` is what the request, or its actions, showed: refused (409) if it has moved since."""

    model_config = example(comment="Sundays are missing.", moves=3)
    comment: Text | None = None
    moves: int | None = Field(None, ge=0, le=2**31 - 1)


PersonId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")]
Reason = Annotated[Text, Field(min_length=1), AfterValidator(_says_something)]


class ErasureBody(Strict):
    """`reason` stays in the clear for ever: name nobody in it."""

    model_config = example(reason="Asked for by letter of 3 March, case 2026-118.")
    reason: Reason


class QuestionBody(Strict):
    """What to ask, and whom."""

    model_config = example(to="grace", text="Is the old press written off?")
    to: PersonId
    text: Said


class WatcherBody(Strict):
    """Who is to watch: oneself, if nobody is named."""

    model_config = example(person="grace")
    person: PersonId | None = None


class ReassignTaskBody(Strict):
    """`to` decides from now on; `comment` says why, on the record."""

    model_config = example(to="carol", comment="Bob is on a ship without a telephone.")
    to: PersonId
    comment: Reason


class AddApproverBody(Strict):
    """`add` has to approve, too: `before`, `beside` or `after` the step's own approvers; `comment` says
    why, on the record."""

    model_config = example(
        add="grace", where="before", comment="Grace negotiated with this supplier."
    )
    add: PersonId
    where: Where
    comment: Reason


class ReassignSeatBody(Strict):
    """For a `seat` that may have no task, as an incident names it."""

    model_config = example(
        seat="hr_and_grandboss/2", to="carol", comment="Nobody holds hr-leave-admin this week."
    )
    seat: Annotated[Text, Field(min_length=1, max_length=500)]
    to: PersonId
    comment: Reason


class DisableBody(Strict):
    model_config = example(reason="Finance asked to stop; use version 4.")
    reason: Annotated[Text, Field(min_length=1)]


class MigrateBody(Strict):
    model_config = example(to=4, comment="Version 3 asked the wrong role.")
    to: Annotated[int, Field(ge=1, le=2**31 - 1)]
    comment: Annotated[Text, AfterValidator(_says_something)]
    requests: Annotated[list[UUID] | None, Field(min_length=1, max_length=200)] = None


class EventBody(Strict):
    """Something happened to an entity. `initiated_by` (default: the caller) becomes the requester;
    `inputs` are what recipes may take from, each what it declares. Of one `event_id` (default: a new
    one) the first counts."""

    model_config = example(
        event="booking.cancellation_requested",
        event_id="bookings-88121",
        entity_type="booking",
        entity_id="4711",
        initiated_by="alice",
        inputs={"guest": "R. Miles", "refund": 780.5},
    )
    event: str = Field(pattern=f"^{starting.EVENT_NAME}$")
    event_id: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")] | None = None
    entity_type: EntityType
    entity_id: EntityId
    initiated_by: PersonId | None = None
    inputs: Inputs = Field(default_factory=dict)
