"""Deciding: every decision, one or many, by whatever channel, goes through `decide`.

Each is judged on its own: loaded, authorised, checked, and recorded if it is the first on its task.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID, uuid4

import asyncpg
from pydantic import TypeAdapter
from structlog.contextvars import bind_contextvars

from api import bodies, errors, revised, views
from api.auth import Caller
from api.authorize import Action, authorize, task_object
from api.services import Services
from contract.canonical import timestamp
from contract.messages import Message
from recipes import outcomes
from recipes.effects import Offer
from recipes.happenings import Actor, Decided, Together
from recipes.model import Json, Outcome
from storage import decisions, sight, tasks
from storage.decisions import Deciding
from storage.pool import Connection, Source
from storage.sight import Row

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
_OFFER: TypeAdapter[Offer] = TypeAdapter(Offer)

Verdict: TypeAlias = dict[str, Json] | errors.Problem
"""The task with the decision on it, or why there is none."""


@dataclass(frozen=True, slots=True)
class Item:
    task_id: UUID
    body: bodies.DecisionBody


@dataclass(frozen=True, slots=True)
class Ready:
    """A decision that nothing stands against, as far as could be seen. `row` is the task as who decides
    sees it."""

    row: Row
    record: Deciding
    message: Decided


@dataclass(frozen=True, slots=True)
class _Judged:
    """By the numbers of the items. What is in neither waits until one that is `ready` is recorded."""

    verdicts: dict[int, Verdict] = field(default_factory=dict)
    ready: dict[int, Ready] = field(default_factory=dict)

    def several(self) -> set[UUID]:
        """The requests of those that are ready, of steps that need several people."""
        return {item.row["request_id"] for item in self.ready.values() if item.row["several"]}


async def decide(house: Services, caller: Caller, items: Sequence[Item]) -> list[Verdict]:
    """A verdict for each item, in their order. Their requests are told behind the answer."""
    verdicts: dict[int, Verdict] = {}
    async with house.pool.acquire() as connection:
        while len(verdicts) < len(items):
            waiting = {n: item for n, item in enumerate(items) if n not in verdicts}
            verdicts |= await _round(house, connection, caller, waiting)
    return [verdicts[number] for number in range(len(items))]


async def look(house: Services, caller: Caller, item: Item) -> Ready | Verdict:
    """What a decision would come to now: ready if nothing stands against it. Nothing is recorded."""
    async with house.pool.acquire() as connection:
        judged = await _judge(connection, caller, {0: item})
    return judged.ready.get(0) or judged.verdicts[0]


async def _round(
    house: Services, connection: Connection, caller: Caller, waiting: Mapping[int, Item]
) -> dict[int, Verdict]:
    """What can be said now. The rest is judged again after it: those that lost, by who won; those of a
    task, or of a step that needs several people, that had another item before them here."""
    judged = await _judge(connection, caller, waiting)
    queue = judged.several()
    if not judged.ready:
        return judged.verdicts
    if not queue:
        rows = await _record(connection, judged)
    else:
        # Nobody gets two parts of a step at the same instant: look again once it is our turn.
        async with connection.transaction():
            await decisions.queue_up(connection, queue)
            judged = await _judge(connection, caller, waiting)
            if judged.several() - queue:
                # Something became decidable meanwhile, and we have not queued for it: another round.
                return judged.verdicts
            rows = await _record(connection, judged)
    _tell(house, judged, rows)
    _count(house, judged, rows)
    return judged.verdicts | {
        number: _decided(item)
        for number, item in judged.ready.items()
        if item.record.task_id in rows
    }


async def _judge(connection: Connection, caller: Caller, waiting: Mapping[int, Item]) -> _Judged:
    rows = await tasks.load_all(connection, {item.task_id for item in waiting.values()}, caller.id)
    actors = await capacities(connection, caller, "decide", rows.values())
    shown = await sight.seen_by(connection, caller.reader, list(rows.values()), sight.TASK)
    seen = {row["id"]: row for row in shown}
    judged, taken = _Judged(), set[UUID]()
    for number, item in waiting.items():
        row = rows.get(item.task_id)
        if row is None:
            judged.verdicts[number] = errors.not_found("task")
            continue
        one_at_a_time = {row["id"], row["request_id"]} if row["several"] else {row["id"]}
        try:
            found = _look(seen[item.task_id], actors[row["id"]], caller, item.body)
        except errors.Problem as refusal:
            if refusal.kind == "digest_mismatch":
                refusal.extra |= await revised.since(
                    connection, caller.reader, row, item.body.digest or ""
                )
            judged.verdicts[number] = refusal
            continue
        if not isinstance(found, Ready):
            judged.verdicts[number] = found
        elif not taken & one_at_a_time:
            judged.ready[number] = found
            taken |= one_at_a_time
    return judged


async def capacities(
    source: Source, caller: Caller, action: Action, rows: Collection[asyncpg.Record]
) -> dict[UUID, Actor | errors.Problem]:
    """In what capacity the caller does `action` to each task, or the problem 403 or 404, by its id."""
    found: dict[UUID, Actor | errors.Problem] = {}
    hidden: list[asyncpg.Record] = []
    for row in rows:
        found[row["id"]] = actor = _capacity(caller, action, row, involved=False)
        if isinstance(actor, errors.Problem) and actor.status == 404:
            hidden.append(row)
    if hidden:
        # Not asked about these; whoever is or was asked about another of the request may see them.
        names = tasks.principals(caller.id, hidden[0]["held"])
        requests = {row["request_id"] for row in hidden}
        involved = await tasks.involved(source, requests, caller.id, names)
        for row in hidden:
            if row["request_id"] in involved:
                found[row["id"]] = _capacity(caller, action, row, involved=True)
    return found


def _capacity(
    caller: Caller, action: Action, row: asyncpg.Record, *, involved: bool
) -> Actor | errors.Problem:
    try:
        return authorize(caller, action, task_object(row, involved=involved))
    except errors.Problem as refusal:
        return refusal


def _look(
    row: Row, actor: Actor | errors.Problem, caller: Caller, body: bodies.DecisionBody
) -> Ready | dict[str, Json]:
    """Ready to be recorded, or recorded before by the same person. Problem if there is something
    against it."""
    if isinstance(actor, errors.Problem):
        raise actor
    if row["state"] != "open":
        return _not_first(row, caller, body)
    check_claim(row, caller)
    offer = offer_of(row)
    refusal = outcomes.refusal(offer, body.decision, body.comment, body.reason, body.to)
    if refusal is not None:
        raise errors.invalid_at(f"/{refusal.key}", refusal.message)
    if body.digest is not None and body.digest != row["digest"]:
        raise errors.conflict(
            "digest_mismatch",
            "this is not the request that was looked at: load the task again and look",
            digest=row["digest"],
        )
    return _ready(row, actor, body, outcomes.made(offer, body.decision, body.to))


def offer_of(row: Row) -> Offer:
    """What a task offers to decide, from a row that has its columns."""
    return _OFFER.validate_python({name: row[name] for name in views.OFFER})


def _not_first(row: Row, caller: Caller, body: bodies.DecisionBody) -> dict[str, Json]:
    """The task for the winner saying the same again; for everybody else a 409 that names the winner."""
    if row["decided_by"] == caller.id and row["decision"] == body.decision:
        return views.decided_task(row)
    raise closed(row)


def why_not(row: asyncpg.Record, caller: Caller) -> str | None:
    """Why the caller cannot decide a task that they may see, if so."""
    try:
        if row["state"] != "open":
            raise closed(row)
        authorize(caller, "decide", task_object(row))
        check_claim(row, caller)
    except errors.Problem as refusal:
        return refusal.detail
    return None


def check_claim(row: Row, caller: Caller) -> None:
    """Problem 409 on a task that somebody else has claimed."""
    if row["claimed_by"] not in (None, caller.id):
        raise errors.conflict(
            "claimed",
            f"claimed by {row['claimed_by']} since {timestamp(row['claimed_at'])}",
            claimed_by=row["claimed_by"],
            claimed_at=row["claimed_at"],
        )


def closed(row: Row) -> errors.Problem:
    """409 on a closed task: who decided it, or how else it was closed."""
    if row["decision_id"] is None:
        closed_at = timestamp(row["closed_at"])
        return errors.conflict(
            "already_closed",
            f"this task was closed ({row['state']}) at {closed_at}",
            state=row["state"],
            closed_at=row["closed_at"],
        )
    return errors.conflict(
        "already_decided",
        f"already decided by {row['decided_by']} at {timestamp(row['decided_at'])}",
        winner={
            "user": row["decided_by"],
            "decision": row["decision"],
            "decided_at": row["decided_at"],
        },
    )


def _ready(row: Row, actor: Actor, body: bodies.DecisionBody, outcome: Outcome) -> Ready:
    task_id, to = str(row["id"]), outcome.to
    message = Decided(task_id, body.decision, actor, row["now"], body.comment, to=to)
    decision_id = uuid4()
    record = Deciding(
        decision_id=decision_id,
        task_id=row["id"],
        request_id=row["request_id"],
        workflow=row["workflow"],
        version=row["version"],
        decision=body.decision,
        counts_as=None if outcome.id in ("approve", "reject") else outcome.counts_as,
        rewind_to=to,
        actor=actor,
        comment=body.comment,
        reason=body.reason,
        at=row["now"],
        payload={
            "decision_id": str(decision_id),
            "task_id": str(row["id"]),
            "step": row["step"],
            "branch": row["branch"],
            "decision": body.decision,
            "counts_as": outcome.counts_as,
            "to": to,
            "comment": body.comment,
            "reason": body.reason,
            "digest": row["digest"],
        },
        snapshot={
            "state": row["request_state"],
            "seq": row["seq"],
            "step": row["request_step"],
            "task": {"id": str(row["id"]), "state": "decided"},
        },
        message=_MESSAGE.dump_python(message, mode="json"),
        digest=row["digest"],
        claimed_at=row["claimed_at"],
    )
    return Ready(row, record, message)


async def _record(connection: Connection, judged: _Judged) -> dict[UUID, int]:
    """Those that were first: the outbox row that tells of each, by task."""
    items = [item.record for item in judged.ready.values()]
    return await decisions.record(connection, items) if items else {}


def _tell(house: Services, judged: _Judged, rows: dict[UUID, int]) -> None:
    """Tell each request once of all that was decided on it."""
    made: dict[int, list[Ready]] = {}
    for item in judged.ready.values():
        if item.record.task_id in rows:
            made.setdefault(rows[item.record.task_id], []).append(item)
    if len(made) == 1:
        [[first, *_]] = made.values()
        bind_contextvars(request_id=str(first.record.request_id))
    for outbox_id, items in made.items():
        together = Together(tuple(item.message for item in items))
        message = together if len(items) > 1 else items[0].message
        house.delivery.soon_signal(outbox_id, items[0].record.request_id, message)


def _count(house: Services, judged: _Judged, rows: dict[UUID, int]) -> None:
    for item in judged.ready.values():
        if item.record.task_id in rows:
            record = item.record
            house.metrics.decided(record.workflow, record.counts_as or record.decision)


def _decided(item: Ready) -> dict[str, Json]:
    """The task as it stands after the commit, without reading it again."""
    record, actor = item.record, item.record.actor
    decision: dict[str, Json] = {
        "id": record.decision_id,
        "task_id": record.task_id,
        "step": item.row["step"],
        "decision": record.decision,
        "counts_as": record.counts_as or record.decision,
        "to": record.rewind_to,
        "user": actor.user,
        "role": actor.role,
        "on_behalf_of": actor.on_behalf_of,
        "via": actor.via,
        "comment": record.comment,
        "reason": record.reason,
        "decided_at": record.at,
        "withheld": [],
    }
    return views.task(item.row, decision) | {"state": "decided", "closed_at": record.at}
