"""Sending: each person's message when it is due, by one way.

What it says is read then: what has become pointless is left out, and a message that has nothing to say any more
is not sent. One that is in doubt is sent again under the same id. A way that is closed keeps what is due where it
is, and gathering; one message at a time tries whether it is open again.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from contract.lines import one_line
from contract.preferences import Preferences
from relay.ways import (
    GIVE_UP_AFTER,
    Away,
    Breaker,
    Later,
    Parcel,
    Place,
    Refused,
    Send,
    Way,
    pause,
)
from storage import briefs, messages, preferences, zones
from storage.errors import is_away, plain
from storage.messages import Message
from storage.pool import Pool
from storage.preferences import Reached

_log = structlog.get_logger()

BATCH = 20
"""Messages taken at once."""
LEASE = timedelta(minutes=10)
_ENOUGH = 300.0
"""Seconds after which the rest of those is left to whoever takes it next: well before the lease is over."""

told = Counter(
    "countersign_messages_total", "Messages, by what became of them.", ["channel", "result"]
)
closed = Gauge(
    "countersign_messages_way_closed", "1 while a way lets nothing through.", ["channel"]
)


@dataclass(slots=True)
class Sender:
    """Sends what is due by one way."""

    pool: Pool
    way: Way
    breaker: Breaker = field(default_factory=Breaker)

    async def send(self, at: datetime) -> bool:
        """What is due `at` that moment. True if there may be more at once."""
        most = self.breaker.most(at, BATCH)
        if most == 0:
            return False
        taken = await messages.take(self.pool, self.way.channel, at, most, LEASE)
        parcels = [it for message in taken if (it := await self._packed(message, at)) is not None]
        gone = await self._send_all(parcels, at)
        return gone and len(taken) == most

    async def _packed(self, message: Message, at: datetime) -> Parcel | None:
        """What it says and where it goes; None if there is nothing to say, or not now."""
        try:
            return await self._pack(message, at)
        except Exception as error:
            if is_away(error):
                raise
            await self._try_later(message, at, error)  # one that cannot be told stops no others
            return None

    async def _pack(self, message: Message, at: datetime) -> Parcel | None:
        to = await preferences.of_person(self.pool, message.person)
        if to is None:
            return await self._drop(message, at)
        wanted = [it for it in message.items if message.channel in to.preferences.channels[it.kind]]
        zone = zones.zone(to.zone) or UTC
        said = await briefs.briefs(self.pool, message.person, wanted, zone)
        said = [it for it in said if not it.verdict]
        if not said:
            return await self._drop(message, at)
        until = to.preferences.after_quiet(at, zone)
        if until > at:
            await messages.put_back(self.pool, message, until)
            return None
        return Parcel(message, to, tuple(said))

    async def _drop(self, message: Message, at: datetime) -> None:
        await messages.end(self.pool, message, "moot", at)
        told.labels(self.way.channel, "moot").inc()

    async def _send_all(self, parcels: Sequence[Parcel], at: datetime) -> bool:
        """False if the way turns out to be closed: those that are left wait."""
        if not parcels:
            return True
        left, began, until = list(parcels), time.monotonic(), at
        try:
            async with self.way.session() as send:
                while left and time.monotonic() - began < _ENOUGH:
                    await self._send_one(send, left[0], at)
                    del left[0]
        except Away as error:
            until = self._closes(at, error)
            if left and error.heard and error.after is None:
                # It may be about this one alone: others are tried before it is again.
                await self._stands_back(left.pop(0).message, until, error)
        for parcel in left:
            await messages.put_back(self.pool, parcel.message, until, self.breaker.why)
        return self.breaker.until is None

    async def _stands_back(self, message: Message, until: datetime, error: Away) -> None:
        await messages.put_back(
            self.pool, message, until + pause(message.attempts), str(error), tried=True
        )

    def _closes(self, at: datetime, error: Away) -> datetime:
        """Until when nothing is tried by this way."""
        closed.labels(self.way.channel).set(1)
        _log.warning("nothing gets out", channel=self.way.channel, why=str(error))
        return self.breaker.failed(at, str(error), error.after)

    async def _send_one(self, send: Send, parcel: Parcel, at: datetime) -> None:
        message = parcel.message
        try:
            place = await send(parcel)
        except Away:
            raise
        except Refused as error:
            await self._give_up(message, at, str(error))
        except Exception as error:  # noqa: BLE001 - one that cannot be sent must not stop the others
            await self._try_later(message, at, error)
        else:
            await self._sent(message, at, place)
        self.breaker.passed()
        closed.labels(self.way.channel).set(0)

    async def _sent(self, message: Message, at: datetime, place: Place | None) -> None:
        await messages.end(self.pool, message, "sent", at, place=place)
        told.labels(self.way.channel, "sent").inc()

    async def _give_up(self, message: Message, at: datetime, why: str) -> None:
        _log.error("a message is given up", channel=message.channel, **_about(message))
        await messages.end(self.pool, message, "dead", at, error=why)
        told.labels(self.way.channel, "dead").inc()

    async def _try_later(self, message: Message, at: datetime, error: Exception) -> None:
        why = str(error) if isinstance(error, Later) else _mistake(error)
        if at - message.tried_since >= GIVE_UP_AFTER:
            await self._give_up(message, at, why)
            return
        _log.warning("a message waits", channel=message.channel, **_about(message))
        await messages.postpone(self.pool, message, at + pause(message.attempts), why)
        told.labels(self.way.channel, "failed").inc()

    # --- what Slack shows already ---

    async def refresh(self, at: datetime) -> bool:
        """Bring up to date what has changed since it was sent. True if there may be more at once."""
        most = self.breaker.most(at, BATCH)
        if most == 0:
            return False
        taken = await messages.take_stale(self.pool, at, most, LEASE)
        for number, message in enumerate(taken):
            try:
                await self._show(message)
            except Away as error:
                until = self._closes(at, error)
                for left in taken[number:]:
                    await messages.put_back(self.pool, left, until)
                return False
            except Exception as error:
                if is_away(error):
                    raise
                # One that cannot be told stops no others; its lease is its pause.
                _log.error("not brought up to date", why=_mistake(error), **_about(message))
        return len(taken) == most

    async def _show(self, message: Message) -> None:
        """Away."""
        assert self.way.update is not None
        try:
            await self.way.update(await self._as_it_is(message))
        except Refused as error:
            _log.info("not brought up to date", why=str(error), **_about(message))
        await messages.shown(self.pool, message)

    async def _as_it_is(self, message: Message) -> Parcel:
        """Also of somebody who has left: what is erased is not to stay with them."""
        to = await preferences.of_person(self.pool, message.person) or _NOBODY
        zone = zones.zone(to.zone) or UTC
        said = await briefs.briefs(self.pool, message.person, message.items, zone)
        return Parcel(message, to, tuple(said))


def _about(message: Message) -> dict[str, Any]:
    """What lines about a message say of it: a message tells of many requests."""
    requests = sorted({str(it.request_id) for it in message.items})
    return {"message_id": str(message.id), "request_ids": requests}


def _mistake(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {plain(error)}")


_NOBODY = Reached("", Preferences(), None, None, "UTC")
