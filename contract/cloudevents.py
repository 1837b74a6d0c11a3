"""What others are told of an event: a CloudEvents 1.0 envelope, the same in the feed, webhooks and Kafka.

Of confidential requests, and of erased ones, it has ids, states and types, and nothing that people wrote or who
they are: whoever may know more asks for the request.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from contract.canonical import timestamp
from recipes.model import Json

SPEC = "1.0"
SOURCE = "/countersign"
PREFIX = "approval."
MEDIA_TYPE = "application/cloudevents+json"

_STATES = frozenset(
    [
        "action",
        "applied",
        "branch",
        "command",
        "decision",
        "due_at",
        "level",
        "outcome",
        "revision",
        "state",
        "status",
        "step",
    ]
)
"""Members of payloads that tell of states alone."""
_STATE_OF = ("state", "status", "step")


def type_of(event_type: str) -> str:
    """The type of an event as others know it: `approval.task.assigned`."""
    return PREFIX + event_type


def event_type(type: str) -> str | None:
    """The audit's type of an event that others know by this one; None if it is none."""
    return type.removeprefix(PREFIX) if type.startswith(PREFIX) else None


def envelope(
    *,
    event_id: UUID,
    event_type: str,
    occurred_at: datetime,
    position: int,
    chain: UUID,
    data: Mapping[str, Json],
) -> dict[str, Json]:
    """The event. `sequence` has as many digits as any, so that it can be sorted as a text; events of one
    `partitionkey`, a request's id or that of a chain of the house, stand in their own order."""
    told: dict[str, Json] = {
        "specversion": SPEC,
        "id": str(event_id),
        "source": SOURCE,
        "type": type_of(event_type),
        "time": timestamp(occurred_at),
        "sequence": f"{position:019}",
        "partitionkey": str(chain),
        "datacontenttype": "application/json",
    }
    if data.get("request_id") is not None:
        told["subject"] = str(data["request_id"])
    return told | {"data": dict(data)}


def where(snapshot: Mapping[str, Json]) -> dict[str, Json]:
    """Where a request is, of what its row says."""
    return {name: snapshot.get(name) for name in _STATE_OF}


def bare(payload: Mapping[str, Json]) -> dict[str, Json]:
    """Of a payload what tells neither what people wrote nor who they are: ids that we gave, and states."""
    return {
        name: value
        for name, value in payload.items()
        if (name in _STATES and not isinstance(value, (list, Mapping)))
        or (name.endswith("_id") and _ours(value))
    }


def _ours(value: Json) -> bool:
    """Whether it is an id that we gave: others' ids may be those of people."""
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False
