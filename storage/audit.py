"""The audit trail: append to it. What is read of it is in `storage.trail`.

Rows are written by the database function `audit_append` alone; see migrations 0001 and 0024. What people
wrote goes into a row sealed with its request's keys; what search needs of it stands beside the row.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from contract import boxes, content
from contract.boxes import Keys
from contract.canonical import canonical
from recipes.happenings import Actor
from recipes.model import Json
from storage.pool import Source, vault_of


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


def columns(events: Sequence[AuditEvent], keys: Keys | None) -> tuple[list[Any], ...]:
    """The events of one request, which has these keys, as arrays for `unnest`: ids, times, types, then
    actor, payload, snapshot texts, and what is to be found of each. Without keys it is all in the clear:
    what belongs to no request, and requests of before there were any."""
    return columns_of([(event, keys) for event in events])


def columns_of(events: Sequence[tuple[AuditEvent, Keys | None]]) -> tuple[list[Any], ...]:
    """`columns` of events of several requests."""
    return (
        [event.event_id for event, _ in events],
        [event.occurred_at for event, _ in events],
        [event.type for event, _ in events],
        [canonical(actor_json(event.actor)) for event, _ in events],
        [
            canonical(event.payload if keys is None else content.sealed(event.payload, keys))
            for event, keys in events
        ],
        [canonical(event.snapshot) for event, _ in events],
        [_found(event, keys) for event, keys in events],
    )


def single(event: AuditEvent, keys: Keys | None) -> tuple[str, str, str, str | None]:
    """Of one event: actor, payload and snapshot texts, and what is to be found of it."""
    _, _, _, [actor], [payload], [snapshot], [found] = columns([event], keys)
    return actor, payload, snapshot, found


_SAID = ("comment", "text", "reason")


def said(payload: Mapping[str, Json]) -> str | None:
    """What an event itself says in words, for search."""
    texts = [text for name in _SAID if isinstance(text := payload.get(name), str)]
    return " ".join(texts) if texts else None


def _found(event: AuditEvent, keys: Keys | None) -> str | None:
    """What search is to know of it: see `audit_append`. JSON, or None if there is nothing."""
    found: dict[str, Json] = {}
    inputs = event.payload.get("inputs")
    if event.type.startswith("request.") and isinstance(inputs, Mapping):
        found["subject"] = _subject(event, inputs, keys)
    text = said(event.payload)
    if text is not None:
        if keys is not None and keys.whole:
            found["box"] = _boxed({"said": text}, keys)
        else:
            found["said"] = text
    return canonical(found) if found else None


def _subject(event: AuditEvent, inputs: Mapping[str, Json], keys: Keys | None) -> dict[str, Json]:
    """What a request is about from this row on."""
    title = event.payload.get("title")
    subject: dict[str, Json] = {
        "requester": event.payload.get("requester")
        or (event.actor.user if event.type == "request.created" else None),
        "entity": event.payload.get("entity"),
        "title": title,
        "inputs": dict(inputs),
    }
    if keys is None or not keys.private:
        return subject
    if keys.whole:
        secret: dict[str, Json] = {"title": title, "inputs": dict(inputs)}
        return subject | {"title": None, "inputs": {}, "box": _boxed(secret, keys)}
    parts = dict(content.split({"inputs": inputs}, keys))
    box = _boxed(parts["confidential"], keys) if parts["confidential"] else None
    return subject | {"inputs": parts["shared"]["inputs"], "box": box}


def _boxed(members: Mapping[str, Json], keys: Keys) -> str:
    return b64encode(boxes.seal(keys, "confidential", canonical(members).encode())).decode()


APPEND = """
SELECT audit_append(e.id, e.at, $1::uuid, $2::text, $3::int, e.type, e.actor, e.payload, e.snapshot,
                    e.found::jsonb)
FROM unnest($4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
    AS e(id, at, type, actor, payload, snapshot, found)
"""


async def append(
    source: Source, request_id: UUID, workflow: str, version: int, events: Sequence[AuditEvent]
) -> None:
    """Append events to a request's chain, in order."""
    keys = await vault_of(source).writing(source, request_id)
    await source.fetch(APPEND, request_id, workflow, version, *columns(events, keys))


async def append_plain(
    source: Source, chain: UUID, workflow: str, version: int, events: Sequence[AuditEvent]
) -> None:
    """Append events to a chain that is of no request: of the directory, the house, a recall."""
    await source.fetch(APPEND, chain, workflow, version, *columns(events, None))


async def prepare_months(source: Source) -> None:
    """Make the partitions of this month and the next three; safe at any time, by anybody.

    One that cannot be made is a warning of Postgres; `countersign doctor` looks for those missing.
    """
    await source.execute("SELECT audit_prepare_months()")
