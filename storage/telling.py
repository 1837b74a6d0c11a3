"""Events of the feed as a reader is told them, put together when they are told: what was erased, or is for others,
is left out until the last moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from contract import cloudevents
from contract.boxes import Keys
from recipes.model import Json
from storage import asking, trail
from storage.asking import Told
from storage.errors import is_of_content
from storage.feed import Fed
from storage.pool import Source, vault_of
from storage.vault import Reader

ANYBODY = Reader("system:feed")
"""Reads what is confidential of no request: for those of whom nothing is known but that they may listen."""

GRACE_SECONDS = 300.0
"""So long an event that cannot be put together may hold up others, in case it can soon."""

_WRITTEN = ("reason", "end_reason")
"""Of events of the house, such as that somebody is away: why, in people's own words. For those who look after it."""

STANDING = """
SELECT r.id, r.erased_at IS NOT NULL AS erased,
       EXISTS (SELECT FROM data_keys k WHERE k.request_id = r.id AND k.private) AS private
  FROM requests r WHERE r.id = ANY($1::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event that cannot be put together: a row that cannot be read, or a mistake of ours. `by_ids` is the envelope
    with ids alone, which the feed itself has."""

    by_ids: dict[str, Json]
    error: Exception


@dataclass(frozen=True, slots=True)
class _Standing:
    """What of its requests a reader is not to be told."""

    erased: frozenset[UUID]
    hidden: frozenset[UUID]
    keys: dict[UUID, Keys]

    def bare(self, request_id: UUID) -> dict[str, Json]:
        """Why nothing but ids and states of it is told; {} if more is."""
        if request_id in self.erased:
            return {"erased": True}
        return {"confidential": True} if request_id in self.hidden else {}


async def told(source: Source, reader: Reader, events: Sequence[Fed]) -> list[dict[str, Json]]:
    """The envelopes of events, in their order, each with what the reader may see of it."""
    if not events:
        return []
    standing = await _standing(source, reader, {each.request_id for each in events})
    places = [(each.request_id, each.seq, each.recorded_at) for each in events]
    rows = {(row.request_id, row.seq): row for row in await asking.at(source, places)}
    told = [_told(each, rows.get((each.request_id, each.seq)), standing) for each in events]
    if reader.roles & {"admin", "auditor"}:
        return told
    return [
        one if fed.of_request else _discreet(one) for fed, one in zip(events, told, strict=True)
    ]


async def tried(
    source: Source, reader: Reader, events: Sequence[Fed]
) -> list[dict[str, Json] | Unreadable]:
    """As `told`, where one that cannot be put together keeps nobody from the others. What Postgres fails at is raised:
    it may well do later."""
    try:
        return [*await told(source, reader, events)]
    except Exception as error:
        if not is_of_content(error):
            raise
        if len(events) == 1:
            fed = events[0]
            data = _ids(fed) | {"unreadable": True}
            return [Unreadable(_envelope(fed, fed.recorded_at, data), error)]
    half = len(events) // 2
    return [
        *await tried(source, reader, events[:half]),
        *await tried(source, reader, events[half:]),
    ]


def fresh(event: Fed) -> bool:
    """Whether an event is so new that others wait for it. Once it is not, none does: also where all are unreadable,
    nobody is further behind than that."""
    return (datetime.now(UTC) - event.recorded_at).total_seconds() < GRACE_SECONDS


def _discreet(event: dict[str, Json]) -> dict[str, Json]:
    data = event["data"]
    assert isinstance(data, dict)
    payload = data.get("payload")
    if isinstance(payload, dict):
        data["payload"] = {name: it for name, it in payload.items() if name not in _WRITTEN}
    return event


async def _standing(source: Source, reader: Reader, ids: set[UUID]) -> _Standing:
    rows = await source.fetch(STANDING, list(ids))
    keys = await vault_of(source).reading(source, reader, ids)
    unseen = {it for it in ids if it not in keys or not keys[it].holds("confidential")}
    return _Standing(
        frozenset(row["id"] for row in rows if row["erased"]),
        frozenset(row["id"] for row in rows if row["private"] and row["id"] in unseen),
        keys,
    )


def _told(fed: Fed, row: Told | None, standing: _Standing) -> dict[str, Json]:
    """One envelope. `row` is None if it has left Postgres: then it is told as if nobody might see it."""
    bare = standing.bare(fed.request_id)
    data = _ids(fed)
    if row is None:
        data |= bare
    elif bare:
        data |= cloudevents.where(row.snapshot) | {"payload": cloudevents.bare(row.payload)} | bare
    else:
        data |= cloudevents.where(row.snapshot) | _open(
            trail.readable(row, standing.keys.get(fed.request_id))
        )
    return _envelope(fed, fed.recorded_at if row is None else row.occurred_at, data)


def _ids(fed: Fed) -> dict[str, Json]:
    return {
        "request_id": str(fed.request_id) if fed.of_request else None,
        "seq": fed.seq,
        "workflow": fed.workflow,
        "version": fed.version,
    }


def _envelope(fed: Fed, at: datetime, data: dict[str, Json]) -> dict[str, Json]:
    return cloudevents.envelope(
        event_id=fed.event_id,
        event_type=fed.event_type,
        occurred_at=at,
        position=fed.position,
        chain=fed.request_id,
        data=data,
    )


def _open(row: Told) -> dict[str, Json]:
    about = None if row.entity is None else {"type": row.entity.type, "id": row.entity.id}
    return {
        "requester": row.requester,
        "title": row.title,
        "entity": about,
        "actor": row.actor,
        "payload": row.payload,
        "withheld": list(dict.fromkeys((*row.withheld, *row.hidden))),
    }
