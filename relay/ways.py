"""Ways to reach people: what one is given to send, what may come of it, and when it is tried again."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from contract.lines import one_line
from contract.preferences import Channel
from storage.briefs import Brief
from storage.messages import Message
from storage.preferences import Reached

_PAUSES = tuple(timedelta(seconds=it) for it in (30, 120, 600, 3600, 3 * 3600, 6 * 3600))
_AWAY = tuple(timedelta(seconds=it) for it in (5, 15, 30, 60))
GIVE_UP_AFTER = timedelta(days=3)

Place: TypeAlias = tuple[str, str]
"""Where Slack has a message: its channel and timestamp."""


class _Unsent(Exception):
    def __init__(self, why: str) -> None:
        super().__init__(one_line(why))


class Away(_Unsent):
    """The way itself is closed: nothing gets through now, whoever it is for. `after` says for how long, `heard` whether
    anybody at the other end may have heard of the message: if not, it is about none in particular."""

    def __init__(self, why: str, after: timedelta | None = None, *, heard: bool = True) -> None:
        super().__init__(why)
        self.after = after
        self.heard = heard


class Later(_Unsent):
    """This one did not get through now, or nobody knows whether it did."""


class Refused(_Unsent):
    """This one will never get through as it is."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message with all that it says and where it goes."""

    message: Message
    to: Reached
    briefs: tuple[Brief, ...]


Send: TypeAlias = Callable[[Parcel], Awaitable[Place | None]]


Update: TypeAlias = Callable[[Parcel], Awaitable[None]]


class Way(Protocol):
    """Mail, or Slack. `session` raises Away; what it gives sends one parcel, and raises Away, Later or Refused.
    `update` shows anew what was sent, and raises Away or Refused; None where what is sent is gone."""

    @property
    def channel(self) -> Channel: ...

    @property
    def update(self) -> Update | None: ...

    def session(self) -> AbstractAsyncContextManager[Send]: ...


def pause(attempts: int) -> timedelta:
    """How long to wait after so many attempts: longer and longer, never all at the same moment."""
    return _spread(_PAUSES[min(attempts, len(_PAUSES)) - 1])


def _spread(span: timedelta) -> timedelta:
    return span * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


@dataclass(slots=True)
class Breaker:
    """Lets nothing through for a while once the way is closed, then one at a time until one gets through."""

    closed: int = 0
    until: datetime | None = None
    why: str | None = None

    def failed(self, at: datetime, why: str, after: timedelta | None) -> datetime:
        """It is closed: until when nothing is tried."""
        self.closed += 1
        self.why = why
        wait = after or _spread(_AWAY[min(self.closed, len(_AWAY)) - 1])
        self.until = at + wait
        return self.until

    def passed(self) -> None:
        self.closed, self.until, self.why = 0, None, None

    def most(self, at: datetime, usual: int) -> int:
        """How many may be tried now."""
        if self.until is None:
            return usual
        return 1 if at >= self.until else 0
