"""Webhooks: each endpoint is looked after by one relay at a time, whichever has its lease."""

import asyncio
from contextlib import suppress
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter, Gauge

from relay.endpoint import LEASE, Endpoint, Next
from relay.gauges import show
from relay.outliving import mistaken
from relay.posting import Poster
from storage import parked
from storage.bell import Bell
from storage.errors import FAILED, StorageError, plain
from storage.pool import Pool

_log = structlog.get_logger()

LOOK_SECONDS = 1.0
MEASURE_SECONDS = 15.0
FORGET_SECONDS = 3600.0
REMEMBER_DEAD_DAYS = 90
"""As messages that were given up."""
_BEAT = LEASE / 5

waiting = Gauge(
    "countersign_webhook_parked", "Events that an endpoint has still to take.", ["webhook"]
)
dead = Gauge(
    "countersign_webhook_dead", "Events that an endpoint is not sent any more.", ["webhook"]
)
open_ = Gauge(
    "countersign_webhook_breaker_open",
    "1 while an endpoint is sent nothing new, because all fails.",
    ["webhook"],
)
forgotten = Counter(
    "countersign_webhook_dead_forgotten_total",
    "Events that were given up so long ago that they are not kept any more.",
)
missed = Gauge(
    "countersign_webhook_missed",
    "Events that were forgotten before an endpoint took them, ever.",
    ["webhook"],
)


class Webhooks:
    """All endpoints, as far as this relay gets their leases."""

    def __init__(self, pool: Pool, poster: Poster, bell: Bell) -> None:
        self._pool = pool
        self._poster = poster
        self._bell = bell
        self._owner = uuid4().hex
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def find(self) -> bool:
        """Take up what is to be looked after."""
        for webhook_id in await parked.with_work(self._pool):
            task = self._tasks.get(webhook_id)
            if task is None or task.done():
                self._tasks[webhook_id] = asyncio.create_task(self._serve(webhook_id))
        return False

    async def close(self) -> None:
        """Let go of everything: what is under way is sent again by another relay, with the same ids."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._poster.close()

    async def _serve(self, webhook_id: UUID) -> None:
        """Look after an endpoint until there is nothing to do, or its lease is another's."""
        endpoint = Endpoint(self._pool, self._poster, webhook_id, self._owner)
        try:
            if not await endpoint.hold():
                return
            beating = asyncio.create_task(_beat(endpoint))
            try:
                await self._look(endpoint)
            finally:
                beating.cancel()
                await endpoint.release()
        except* (StorageError, *FAILED) as errors:
            why = "; ".join(plain(error) for error in _single(errors))
            _log.warning("a webhook is not looked after now", webhook=str(webhook_id), error=why)
        except* Exception as errors:  # noqa: BLE001 - the others go on, and this one begins again soon
            for error in _single(errors):
                mistaken("a webhook", error, webhook=str(webhook_id))

    async def _look(self, endpoint: Endpoint) -> None:
        while True:
            match await endpoint.look():
                case Next.END:
                    return
                case Next.WAIT:
                    await self._bell.wait(endpoint.position, LOOK_SECONDS)
                case Next.REST:
                    await asyncio.sleep(LOOK_SECONDS)
                case Next.MORE:
                    pass


async def _beat(endpoint: Endpoint) -> None:
    """Go on holding the lease. Where that fails, the endpoint itself stops sending in time."""
    held = True
    while held:
        await asyncio.sleep(_BEAT)
        with suppress(*FAILED):
            held = await endpoint.hold()


def _single(errors: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in errors.exceptions:
        found += _single(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def measure(pool: Pool) -> bool:
    """How endpoints fare, also where no relay looks after them."""
    found = {str(row["id"]): row for row in await parked.figures(pool)}
    for gauge, figure in ((waiting, "parked"), (dead, "dead"), (open_, "open"), (missed, "missed")):
        show(gauge, {name: row[figure] for name, row in found.items()})
    return False


async def forget(pool: Pool) -> bool:
    """Forget what was given up long ago. True if there may be more at once."""
    count = await parked.forget(pool, REMEMBER_DEAD_DAYS)
    forgotten.inc(count)
    return count == parked.FORGOTTEN_AT_ONCE
