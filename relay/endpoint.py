"""One webhook endpoint, as the relay that has its lease looks after it.

Its cursor moves on through the feed; what the endpoint did not take is parked with all that follows of the same
request. After some failures in a row nothing new is sent: one event is tried from time to time, by turns one that
is parked and the next new one, until one goes through.
"""

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, TypeAlias
from uuid import UUID

import structlog
from prometheus_client import Counter
from pydantic_core import to_json

from contract import cloudevents, webhooks
from contract.webhooks import TRIP
from recipes.model import Json
from relay.outliving import mistaken
from relay.posting import Poster, PostFailed
from storage import commands, feed, parked, telling
from storage import webhooks as endpoints
from storage.feed import Fed, Forgotten, LeaseLost
from storage.parked import Failure, Fared, Parked
from storage.pool import Connection, Pool
from storage.telling import Unreadable

_log = structlog.get_logger()

BATCH = 100
AT_ONCE = 16
LEASE = 45.0
_STALE = 2.0
"""Seconds after which an event is put together anew before it is sent."""
_LONGEST_WAIT = 3600.0
_GONE = "410: it is gone"

State: TypeAlias = Any
"""Of `parked.state`."""

attempts = Counter(
    "countersign_webhook_attempts_total",
    "Attempts to send an event, by what came of it.",
    ["result"],
)
died = Counter("countersign_webhook_given_up_total", "Events that endpoints are not sent any more.")


class Next(Enum):
    """What to do after a look at an endpoint."""

    MORE = "look again at once"
    WAIT = "look again when the feed grows"
    REST = "look again in a while"
    END = "there is nothing to do"


@dataclass
class _Run:
    """What has come of some attempts: failures in a row now, and the last error. A probe is made whatever they
    are."""

    failures: int
    probe: bool = False
    error: str | None = None
    delivered: bool = False
    gone: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more is to be tried."""
        return self.gone or (self.failures >= TRIP and not self.probe)

    @property
    def tried(self) -> bool:
        return self.delivered or self.error is not None

    def taken(self) -> None:
        attempts.labels("delivered").inc()
        self.failures, self.delivered = 0, True

    def refused(self, error: str) -> None:
        attempts.labels("failed").inc()
        self.failures += 1
        self.error = error
        self.gone = self.gone or error == _GONE


@dataclass
class _Left:
    """What of some events is to be parked, and why."""

    failed: list[tuple[Fed, Failure]] = field(default_factory=list)
    behind: list[Fed] = field(default_factory=list)
    untried: list[Fed] = field(default_factory=list)


class Endpoint:
    """The work on one endpoint: `look` is called again and again while the lease is held."""

    def __init__(self, pool: Pool, poster: Poster, webhook_id: UUID, owner: str) -> None:
        self._pool = pool
        self._poster = poster
        self.id = webhook_id
        self.name = endpoints.consumer(webhook_id)
        self._owner = owner
        self.position = 0
        self._until = 0.0
        """By the loop's clock: no post begins later."""
        self._secrets: list[bytes] = []
        self._bodies: dict[int, tuple[float, bytes | Unreadable]] = {}

    async def hold(self) -> bool:
        """Take the lease, or go on holding it. False while another relay has it."""
        begun = asyncio.get_running_loop().time()
        position = await feed.lease(self._pool, self.name, self._owner, LEASE)
        if position is None:
            return False
        self.position = max(self.position, position)
        self._until = begun + LEASE - self._poster.timeout - 1
        return True

    async def release(self) -> None:
        await feed.release(self._pool, self.name, self._owner)

    async def look(self) -> Next:
        """Send what is due, and what is new. LeaseLost, alone or in a group."""
        state = await parked.state(self._pool, self.id)
        if state is None:
            return Next.END
        self._secrets = await endpoints.secrets_of(self._pool, self.id)
        if state["test_id"] is not None and state["test_done_at"] is None:
            await self._test(state)
        if state["paused_at"] is not None:
            return Next.END
        if state["open"]:
            return await self._probe(state) if state["probe_due"] else Next.REST
        run = _Run(state["failures"])
        more = await self._try_due(state, run)
        if not run.over:
            more = await self._try_new(state, run, BATCH) or more
        return Next.MORE if more else Next.WAIT

    async def _probe(self, state: State) -> Next:
        """One attempt, to see whether it takes events again: then all that is parked is due."""
        run = _Run(state["failures"], probe=True)
        item = await parked.longest_untried(self._pool, self.id)
        if item is None or state["probes"] % 2:
            await self._try_new(state, run, 1)
        if item is not None and not run.tried:
            await self._try_parked(state, run, [item])
        return Next.MORE if run.delivered else Next.REST

    async def _test(self, state: State) -> None:
        """A message that is of no event, whatever the state of the endpoint; it counts for nothing."""
        body = to_json(
            {
                "specversion": cloudevents.SPEC,
                "id": str(state["test_id"]),
                "source": cloudevents.SOURCE,
                "type": "webhook.test",
                "time": cloudevents.timestamp(await commands.now(self._pool)),
                "datacontenttype": "application/json",
                "data": {"webhook_id": str(self.id)},
            }
        )
        failure = await self._post(state["url"], state["test_id"], body, 1)
        error = None if failure is None else failure.error
        await parked.tested(self._pool, self.id, state["test_id"], error)

    # --- what is parked ---

    async def _try_due(self, state: State, run: _Run) -> bool:
        """True if there may be more that is due: what waited for one that was taken, or is dead."""
        due = await parked.due(self._pool, self.id, BATCH)
        if due:
            await self._try_parked(state, run, due)
        return bool(due) and not run.over

    async def _try_parked(self, state: State, run: _Run, due: Sequence[Parked]) -> None:
        """Try events, each of another request."""
        outcomes: dict[int, Failure | None] = {}
        await self._compose([item.event for item in due])

        async def one(item: Parked) -> None:
            if not run.over:
                outcomes[item.event.position] = await self._send(
                    state, run, item.event, item.attempts + 1
                )

        await _all([one(item) for item in due])
        async with self._pool.acquire() as connection, connection.transaction():
            await feed.advance(connection, self.name, self._owner, self.position)
            for position, failure in outcomes.items():
                if failure is None:
                    await parked.through(connection, self.id, position)
                elif await parked.failed(
                    connection, self.id, position, failure, may_die=not run.probe
                ):
                    died.inc()
            await self._fared(connection, state, run)

    # --- what is new ---

    async def _try_new(self, state: State, run: _Run, most: int) -> bool:
        """Send what follows in the feed, and move on. True if there was anything."""
        try:
            found, end = await feed.among(
                self._pool,
                self.position,
                most,
                types=state["types"],
                workflows=state["workflows"],
            )
            if end > self.position:
                await self._take(state, run, found, end)
                return True
        except Forgotten as error:
            await self._skip(error.oldest)
            return True
        return False

    async def _take(self, state: State, run: _Run, found: Sequence[Fed], end: int) -> None:
        left = _Left()
        requests: dict[UUID, list[Fed]] = {}
        for event in found:
            requests.setdefault(event.request_id, []).append(event)
        for request_id in await parked.blocked(self._pool, self.id, list(requests)):
            left.behind += requests.pop(request_id)
        await self._compose([event for events in requests.values() for event in events])
        await _all([self._send_in_order(state, run, each, left) for each in requests.values()])
        async with self._pool.acquire() as connection, connection.transaction():
            await feed.advance(connection, self.name, self._owner, end)
            await parked.park(connection, self.id, left.failed, left.behind, left.untried)
            await self._fared(connection, state, run)
        self.position = end

    async def _send_in_order(
        self, state: State, run: _Run, events: Sequence[Fed], left: _Left
    ) -> None:
        """The events of a request, until one does not go through."""
        for place, event in enumerate(events):
            if run.over:
                left.untried.append(event)
            else:
                failure = await self._send(state, run, event, 1)
                if failure is None:
                    continue
                left.failed.append((event, failure))
            left.behind += events[place + 1 :]
            return

    async def _skip(self, oldest: int) -> None:
        """What followed is forgotten: go on where the feed begins. What of it was for this endpoint was counted
        then."""
        _log.error(
            "events were forgotten before a webhook took them",
            webhook=str(self.id),
            position=self.position,
            oldest=oldest,
        )
        await feed.advance(self._pool, self.name, self._owner, oldest)
        self.position = oldest

    # --- sending ---

    async def _compose(self, events: Sequence[Fed]) -> None:
        """Put events together as anybody may be told them now."""
        now = asyncio.get_running_loop().time()
        told = await telling.tried(self._pool, telling.ANYBODY, events)
        self._bodies = {
            event.position: (now, _written(each)) for event, each in zip(events, told, strict=True)
        }

    async def _body(self, event: Fed) -> bytes | Unreadable:
        """An event as it is to be sent now: what was erased since must not be."""
        made, body = self._bodies[event.position]
        if asyncio.get_running_loop().time() - made < _STALE:
            return body
        [told] = await telling.tried(self._pool, telling.ANYBODY, [event])
        return _written(told)

    async def _send(self, state: State, run: _Run, event: Fed, attempt: int) -> Failure | None:
        """None once it is taken. One that cannot be put together is not, as if its endpoint had refused it: it waits,
        and is dead in the end, and holds up its request alone."""
        body = await self._body(event)
        if isinstance(body, Unreadable):
            mistaken("an event for a webhook", body.error, event_id=str(event.event_id))
            why = f"it cannot be put together: {type(body.error).__name__}"
            failure: Failure | None = Failure(why, _pause(attempt))
        else:
            failure = await self._post(state["url"], event.event_id, body, attempt)
        if failure is None:
            run.taken()
        else:
            run.refused(failure.error)
        return failure

    async def _post(self, url: str, event_id: UUID, body: bytes, attempt: int) -> Failure | None:
        if asyncio.get_running_loop().time() > self._until:
            raise LeaseLost(f"{self.name} may be another relay's any moment")
        signed = webhooks.headers(self._secrets, event_id, int(time.time()), body)
        headers = {"content-type": cloudevents.MEDIA_TYPE, **signed}
        asked = 0.0
        try:
            status, retry_after = await self._poster.post(url, headers, body)
        except PostFailed as error:
            why = str(error)
        else:
            if 200 <= status < 300:
                return None
            why, asked = _why(status), _seconds(retry_after)
        return Failure(why, max(_pause(attempt), asked))

    async def _fared(self, connection: Connection, state: State, run: _Run) -> None:
        """Keep how it fares: its breaker opens, stays open for longer, or closes."""
        if not run.tried:
            return
        probes = state["probes"] + 1 if run.probe and run.failures else 0
        pause = webhooks.probe_pause(probes, random.random())  # noqa: S311 - as `_pause`
        how = Fared(run.failures, probes, pause, run.error, run.delivered)
        await parked.fared(connection, self.id, how)
        if run.probe and run.failures == 0:
            await parked.all_due(connection, self.id)
        if run.gone:
            at = await commands.now(connection)
            await endpoints.pause(connection, self.id, endpoints.RELAY, at, _GONE)


async def _all(work: Sequence[Coroutine[None, None, None]]) -> None:
    """Do all of it, so much at once. Errors come in a group."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(each: Coroutine[None, None, None]) -> None:
        async with gate:
            await each

    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(one(each))


def _written(told: dict[str, Json] | Unreadable) -> bytes | Unreadable:
    return told if isinstance(told, Unreadable) else to_json(told)


def _pause(attempt: int) -> float:
    return webhooks.pause(attempt, random.random())  # noqa: S311 - spreads, hides nothing


def _why(status: int) -> str:
    if status == 410:
        return _GONE
    return f"{status}: redirects are not followed" if 300 <= status < 400 else f"{status}"


def _seconds(retry_after: str | None) -> float:
    """What an endpoint asks for, up to an hour; 0 if it asks for nothing that can be understood."""
    if retry_after is None:
        return 0.0
    try:
        seconds = float(retry_after) if retry_after.isdigit() else _until(retry_after)
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()
