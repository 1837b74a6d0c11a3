"""The audit trail: append to it. What is read of it is in `storage.trail`.

Rows are written by the database function `audit_append` alone; see migration 0001.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from contract.canonical import canonical
from recipes.happenings import Actor
from recipes.model import Json
from storage.pool import Source


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened to a request. `snapshot` is the request's state after it."""

    type: str
    occurred_at: datetime
    payload: dict[str, Json]
    snapshot: dict[str, Json]
    actor: Actor
    event_id: UUID


def event(
    type: str,
    occurred_at: datetime,
    payload: dict[str, Json],
    snapshot: dict[str, Json],
    actor: Actor,
) -> AuditEvent:
    """An event with an id of its own. (Effects of a transition have ids derived from its seq.)"""
    return AuditEvent(type, occurred_at, payload, snapshot, actor, uuid4())


def actor_json(actor: Actor) -> dict[str, Json]:
    return {
        "user": actor.user,
        "role": actor.role,
        "on_behalf_of": actor.on_behalf_of,
        "via": list(actor.via),
    }


def columns(events: Sequence[AuditEvent]) -> tuple[list[Any], ...]:
    """The events as arrays for `unnest`: ids, times, types, then actor, payload, snapshot texts."""
    return (
        [event.event_id for event in events],
        [event.occurred_at for event in events],
        [event.type for event in events],
        [canonical(actor_json(event.actor)) for event in events],
        [canonical(event.payload) for event in events],
        [canonical(event.snapshot) for event in events],
    )


APPEND = """
SELECT audit_append(e.id, e.at, $1::uuid, $2::text, $3::int, e.type, e.actor, e.payload, e.snapshot)
FROM unnest($4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[])
    AS e(id, at, type, actor, payload, snapshot)
"""


async def append(
    source: Source, request_id: UUID, workflow: str, version: int, events: Sequence[AuditEvent]
) -> None:
    """Append events to a request's chain, in order."""
    await source.fetch(APPEND, request_id, workflow, version, *columns(events))


async def prepare_months(source: Source) -> None:
    """Make the partitions of this month and the next three; safe at any time, by anybody.

    One that cannot be made is a warning of Postgres; `countersign doctor` looks for those missing.
    """
    await source.execute("SELECT audit_prepare_months()")
