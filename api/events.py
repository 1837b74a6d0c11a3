"""Events of other systems: one starts a request of every recipe that listens to it, once per event id."""

from dataclasses import dataclass, replace
from uuid import uuid4

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, errors, schemas
from api.auth import Caller
from api.authorize import PersonalObject, authorize
from api.http import Route, answer, read, takes
from api.services import Services, caller_of, services
from api.submission import Ready, Wanted, check_starter, draft, one_open
from contract.canonical import canonical
from contract.messages import StartInput
from recipes.happenings import Actor
from recipes.model import Json
from recipes.state import Entity
from storage import commands, directory, events, requests
from storage.errors import AlreadyOpen
from storage.pool import Connection, Source

router = APIRouter(prefix="/v1/events", tags=["events"], route_class=Route)


class _Taken(Exception):
    """Another request about the entity was made at the same instant."""

    def __init__(self, item: requests.Submission) -> None:
        super().__init__(str(item.id))
        self.item = item


@dataclass(frozen=True, slots=True)
class _Answer:
    """The requests of an event, and what is to be told Temporal now; `again`: they were there before."""

    made: list[dict[str, Json]]
    starts: tuple[tuple[int, StartInput], ...] = ()
    again: bool = False


@router.post(
    "",
    status_code=201,
    response_model=schemas.EventReceived,
    summary="Send an event",
    openapi_extra=takes(bodies.EventBody),
)
async def send_event(request: Request) -> Response:
    """Start a request of every workflow whose version in use listens to `event`: all of them or, where
    one refuses, none (its problems name the workflow). The same `event_id` with the same body gets the
    same answer again, with another body it is refused. For others than oneself by administrators and
    systems whose token has the role `events`; these also start what `start.who` leaves to some."""
    caller = await caller_of(request)
    body = await read(request, bodies.EventBody)
    house = services(request)
    item = _event(caller, body)
    async with house.pool.acquire() as connection:
        try:
            async with connection.transaction():
                found = await _received(house, connection, item, body)
        except _Taken as taken:
            raise await one_open(connection, taken.item) from None
    for outbox_id, start in found.starts:
        house.delivery.soon_start(outbox_id, start)
    headers = {"Idempotency-Replayed": "true"} if found.again else None
    return answer({"event_id": item.event_id, "requests": found.made}, 201, headers)


@dataclass(frozen=True, slots=True)
class _Event:
    """An event as it is sent; `scope` and `actor` as in `storage.events`."""

    event_id: str
    scope: str
    entity: Entity
    initiated_by: str
    actor: Actor
    said: str


def _event(caller: Caller, body: bodies.EventBody) -> _Event:
    """Who sends what. Problem 403 if it is not theirs to send."""
    initiated_by = body.initiated_by or caller.id
    actor = authorize(caller, "send", PersonalObject(initiated_by))
    said = body.model_dump(exclude={"event_id"}) | {"initiated_by": initiated_by}
    return _Event(
        event_id=body.event_id or str(uuid4()),
        scope="" if actor.role is not None else caller.id,
        entity=Entity(body.entity_type, body.entity_id),
        initiated_by=initiated_by,
        actor=actor,
        said=canonical(said),
    )


async def _received(
    house: Services, connection: Connection, item: _Event, body: bodies.EventBody
) -> _Answer:
    """Inside a transaction: what the event starts, or started before."""
    known = await events.known(connection, item.scope, item.event_id)
    if known is not None:
        return await _again(connection, known, item)
    await _check_initiator(connection, item, body)
    received = events.Received(
        scope=item.scope,
        event_id=item.event_id,
        event=body.event,
        entity=item.entity,
        initiated_by=item.initiated_by,
        actor=item.actor,
        said=item.said,
        at=await commands.now(connection),
    )
    if not await events.receive(connection, received):
        # It came in twice at once, and the other was first.
        known = await events.known(connection, item.scope, item.event_id)
        assert known is not None
        return await _again(connection, known, item)
    ready = await _drafts(house, connection, item, body)
    starts = [await _make(connection, item, body.event, each) for each in ready]
    made: list[dict[str, Json]] = [
        {
            "id": str(each.item.id),
            "workflow": each.item.workflow,
            "version": each.item.version,
        }
        for each in ready
    ]
    await events.started(connection, received, made)
    return _Answer(made, tuple(starts))


async def _again(source: Source, known: events.Known, item: _Event) -> _Answer:
    salt = await events.salt(source, known.requests)
    if known.fingerprint != events.fingerprint(item.said, salt):
        message = f"event {item.event_id} came in before and said something else"
        raise errors.Problem(
            422,
            "event_id_reused",
            message,
            errors=[{"pointer": "/event_id", "message": message}],
        )
    return _Answer(known.requests, again=True)


async def _check_initiator(source: Source, item: _Event, body: bodies.EventBody) -> None:
    """Problem 403 or 422 where there is nobody to be the requester."""
    line = await directory.line(source, item.initiated_by, await commands.now(source), 0)
    if line and line[0].employed:
        return
    what = "has left" if line else "is not in the directory"
    if body.initiated_by is not None:
        raise errors.invalid_at("/initiated_by", f"{item.initiated_by} {what}")
    if item.actor.role is not None:
        message = f"{item.initiated_by} {what}: say on whose initiative this is"
        raise errors.invalid_at("/initiated_by", message)
    raise errors.forbidden(f"{item.initiated_by} {what}")


async def _drafts(
    house: Services, source: Source, item: _Event, body: bodies.EventBody
) -> list[Ready]:
    """The requests to be made, by workflow. A Problem with what every recipe refuses if any does."""
    ready: list[Ready] = []
    refusals: list[tuple[str, int, errors.Problem]] = []
    for workflow, version in await events.listening(source, body.event):
        found = await requests.prepare(
            source, item.initiated_by, workflow, version, entity=item.entity
        )
        wanted = Wanted(item.initiated_by, workflow, body.inputs, item.entity)
        try:
            if item.actor.role is None:
                check_starter(item.initiated_by, workflow, found)
            ready.append(await draft(house, source, found, wanted, limited=True))
        except errors.Problem as refusal:
            refusals.append((workflow, version, refusal))
    if refusals:
        raise _refused(refusals)
    return ready


def _refused(refusals: list[tuple[str, int, errors.Problem]]) -> errors.Problem:
    """One Problem for all of them: each of its errors names the workflow. The worst kind gives the status."""
    found = [
        {**error, "workflow": workflow, "version": version, **refusal.extra}
        for workflow, version, refusal in refusals
        for error in refusal.errors or [{"message": refusal.detail}]
    ]
    told = "; ".join(
        f"{workflow} version {version}: {refusal.detail}" for workflow, version, refusal in refusals
    )
    worst = max((refusal for _, _, refusal in refusals), key=lambda refusal: refusal.status)
    detail = f"nothing was started: {told}"
    return errors.Problem(worst.status, worst.kind, detail, errors=found, **worst.extra)


async def _make(source: Source, item: _Event, event: str, ready: Ready) -> tuple[int, StartInput]:
    made = replace(ready.item, event=(item.event_id, event), sender=item.actor)
    try:
        outbox_id = await requests.submit(source, made)
    except AlreadyOpen:
        raise _Taken(made) from None
    assert outbox_id is not None
    return outbox_id, ready.start
