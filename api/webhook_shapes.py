"""The shapes of what is said about webhooks: see `schemas` and `bodies`."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from api.bodies import Text
from api.shapes import A_REQUEST, Strict, example
from recipes.model import Json

_ID = "3f6d1c2a-7c54-4d5e-9a76-0d6e1b7f4c21"
_EVENT_ID = "5b0e4a0c-5b86-4a8e-9d70-3d1b8f7f2a10"
_SECRET = "whsec_" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
_WEBHOOK: dict[str, Json] = {
    "id": _ID,
    "url": "https://erp.example.org/hooks/approvals",
    "description": "Orders that were approved.",
    "types": ["approval.request.finalized"],
    "workflows": ["purchase_order"],
    "state": "active",
    "paused_why": None,
    "made_by": "oscar",
    "made_at": "2026-11-28T09:12:03.118204Z",
    "behind": 0,
    "parked": 0,
    "dead": 0,
    "missed": 0,
    "failures": 0,
    "probe_at": None,
    "last_delivered_at": "2026-11-28T10:00:00.020117Z",
    "last_failed_at": None,
    "last_error": None,
}

Type = Annotated[str, Field(pattern=r"^approval\.[a-z_]+\.[a-z_]+$", max_length=100)]
Workflow = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class WebhookBody(Strict):
    """An endpoint that is told of events from now on: of these `types` and `workflows`, or of all."""

    model_config = example(
        url="https://erp.example.org/hooks/approvals",
        types=["approval.request.finalized"],
        workflows=["purchase_order"],
        description="Orders that were approved.",
    )
    url: Annotated[str, Field(min_length=8, max_length=2000)]
    types: Annotated[list[Type], Field(min_length=1, max_length=100)] | None = None
    workflows: Annotated[list[Workflow], Field(min_length=1, max_length=100)] | None = None
    description: Annotated[Text, Field(max_length=500)] = ""


class Webhook(Strict):
    """An endpoint. `behind` events of the feed it has not been looked at for, `parked` ones failed or wait for one
    that did, `dead` ones are not sent any more, `missed` ones were forgotten before. `failing`: so much failed in a
    row that nothing new is sent until `probe_at`, when it is tried again."""

    model_config = example(**_WEBHOOK)
    id: UUID
    url: str
    description: str
    types: list[str] | None
    workflows: list[str] | None
    state: Literal["active", "failing", "paused"]
    paused_why: str | None
    made_by: str
    made_at: datetime
    behind: int
    parked: int
    dead: int
    missed: int
    failures: int
    probe_at: datetime | None
    last_delivered_at: datetime | None
    last_failed_at: datetime | None
    last_error: str | None


class NewWebhook(Webhook):
    """An endpoint that was just made: `secret` verifies what it is sent. Nobody can show it again."""

    model_config = example(
        **_WEBHOOK
        | {
            "last_delivered_at": None,
            "secret": _SECRET,
        }
    )
    secret: str


class WebhookPage(Strict):
    model_config = example(items=[_WEBHOOK], next_cursor=None)
    items: list[Webhook]
    next_cursor: str | None


class WebhookSecret(Strict):
    """A new secret. The one before signs beside it for a day: messages have two signatures until then."""

    model_config = example(secret=_SECRET)
    secret: str


class WebhookTest(Strict):
    """What came of a test: `sent` and taken, or `failed`; `waiting` while no relay has sent it."""

    model_config = example(id=_EVENT_ID, outcome="failed", error="503")
    id: UUID
    outcome: Literal["sent", "failed", "waiting"]
    error: str | None


class DeadEvent(Strict):
    """An event that an endpoint is not sent any more, after so many attempts over days."""

    model_config = example(
        event_id=_EVENT_ID,
        type="approval.request.finalized",
        request_id=A_REQUEST,
        sequence="0000000000000001207",
        attempts=19,
        first_failed_at="2026-11-25T09:12:03.118204Z",
        last_tried_at="2026-11-28T09:40:11.002310Z",
        last_error="500",
    )
    event_id: UUID
    type: str
    request_id: UUID | None
    sequence: str
    attempts: int
    first_failed_at: datetime
    last_tried_at: datetime
    last_error: str


class DeadPage(Strict):
    items: list[DeadEvent]
    next_cursor: str | None


class ResendBody(Strict):
    """Send dead events again: one of them, or `all`."""

    model_config = example(event_id=_EVENT_ID)
    event_id: UUID | None = None
    all: bool = False

    @model_validator(mode="after")
    def _which(self) -> Self:
        if (self.event_id is None) is not self.all:
            raise ValueError("must have event_id, or all: true")
        return self


class Resent(Strict):
    """So many dead events are sent again."""

    model_config = example(resent=3)
    resent: int
