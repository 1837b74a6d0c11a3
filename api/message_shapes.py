"""The shapes of preferences, of messages that were given up, and of people in Slack."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from api.bodies import PersonId, Text
from api.shapes import A_REQUEST, Strict, example
from contract.preferences import Channel, Kind
from recipes.model import Json

Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
SlackUser = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,32}$")]

_QUIET: dict[str, Json] = {"from": "19:00", "to": "08:00"}
_SAID: dict[str, Json] = {
    "channels": {"task": ["mail", "slack"], "outcome": ["mail"], "notice": []},
    "digest": ["outcome"],
    "digest_at": "08:30",
    "quiet_hours": _QUIET,
    "time_zone": "Europe/Madrid",
    "gather_minutes": 10,
}


class QuietHours(Strict):
    """Hours of each day, on my clock; over midnight where `to` comes before `from`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, json_schema_extra={"examples": [_QUIET]}
    )
    begins: Clock = Field(alias="from")
    ends: Clock = Field(alias="to")

    @model_validator(mode="after")
    def _not_for_ever(self) -> Self:
        if self.begins == self.ends:
            raise ValueError(
                "`from` and `to` are the same: leave quiet_hours out, or give them hours"
            )
        return self


class PreferencesBody(Strict):
    """By which `channels` I am told of each kind of thing (none: not at all). What is in `digest` comes once a
    day at `digest_at`; all else together with what follows within `gather_minutes`, but not in `quiet_hours`.
    `time_zone` null: the directory's."""

    model_config = example(**_SAID)
    channels: dict[Kind, list[Channel]] = Field(default_factory=dict[Kind, list[Channel]])
    digest: list[Kind] = Field(default_factory=list[Kind], max_length=20)
    digest_at: Clock = "08:00"
    quiet_hours: QuietHours | None = None
    time_zone: Annotated[Text, Field(max_length=64)] | None = None
    gather_minutes: int = Field(10, ge=0, le=1440)


class PreferencesShown(Strict):
    """What I said. `clock` is the time zone that counts for me; `email` and `slack_user` are where I am
    reached (`slack_user` is found by `email` when it is first needed), `ways` what is on here."""

    model_config = example(
        **_SAID
        | {
            "channels": {
                "task": ["mail", "slack"],
                "reminder": ["mail"],
                "question": ["mail"],
                "answer": ["mail"],
                "rewound": ["mail"],
                "outcome": ["mail"],
                "incident": ["mail"],
                "notice": [],
            },
            "clock": "Europe/Madrid",
            "email": "bob@example.org",
            "slack_user": None,
            "ways": ["mail", "slack"],
        }
    )
    channels: dict[Kind, list[Channel]]
    digest: list[Kind]
    digest_at: Clock
    quiet_hours: QuietHours | None
    time_zone: str | None
    gather_minutes: int
    clock: str
    email: str | None
    slack_user: str | None
    ways: list[Channel]


_DEAD: dict[str, Json] = {
    "id": "b3b5c0de-58a5-4c8e-9d52-6f0d5a1f2c33",
    "person": "bob",
    "channel": "mail",
    "made_at": "2026-03-02T09:20:00.123456Z",
    "attempts": 1,
    "last_error": "550 no such mailbox",
    "ended_at": "2026-03-02T09:30:00.123456Z",
    "kinds": ["task"],
    "requests": [A_REQUEST],
}


class DeadMessage(Strict):
    """A message that was given up: of which `kinds` of things it tells, of which requests, and why it did not
    get through. What it says is read when it is sent, and kept nowhere."""

    model_config = example(**_DEAD)
    id: UUID
    person: str
    channel: Channel
    made_at: datetime
    attempts: int
    last_error: str | None
    ended_at: datetime
    kinds: list[Kind]
    requests: list[UUID]


class DeadMessages(Strict):
    model_config = example(items=[_DEAD], next_cursor=None)
    items: list[DeadMessage]
    next_cursor: str | None


class Resent(Strict):
    """How many messages are tried again."""

    model_config = example(resent=1)
    resent: int


_KNOWN: dict[str, Json] = {
    "person": "bob",
    "slack_user": "U02BOB",
    "named_by": "oscar",
    "named_at": "2026-03-02T09:20:00.123456Z",
}


class SlackPerson(Strict):
    """Who somebody is in Slack. `named_by` null: found by the directory's mail address."""

    model_config = example(**_KNOWN)
    person: str
    slack_user: str
    named_by: str | None
    named_at: datetime


class SlackPeople(Strict):
    model_config = example(items=[_KNOWN], next_cursor=None)
    items: list[SlackPerson]
    next_cursor: str | None


class SlackPersonBody(Strict):
    """`slack_user` is the member id in Slack, as in a profile under "Copy member ID"."""

    model_config = example(person="bob", slack_user="U02BOB")
    person: PersonId
    slack_user: SlackUser


class SlackForgotten(Strict):
    """Whether anything was known."""

    model_config = example(person="bob", forgotten=True)
    person: str
    forgotten: bool
