"""Preferences: what somebody is told of, by which ways, and when. Whoever asks gives the moment.

The rules
---------
* What happens is told by the channels that its kind has; a kind without any is told by none.
* It goes out together with all that follows within `gather` of the first: one message.
* A kind of the digest waits for the next `digest_at` instead.
* Nothing goes out within quiet hours, which end where they end, whatever the clocks do meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal[
    "task", "reminder", "question", "answer", "rewound", "outcome", "incident", "notice"
]
Channel: TypeAlias = Literal["mail", "slack"]

KINDS: tuple[Kind, ...] = get_args(Kind)
"""A task waits for them; it still does; a question is put to them; theirs was answered; their request was
sent back to them; one of theirs, or that they watch, ended; one that a role of theirs owns needs help; a
`notify` step tells them something."""
CHANNELS: tuple[Channel, ...] = get_args(Channel)
LONGEST_GATHER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of each day, on the person's own clock; over midnight where they end before they begin. None if
    they end when they begin."""

    begins: time
    ends: time

    def __contains__(self, clock: time) -> bool:
        if self.begins <= self.ends:
            return self.begins <= clock < self.ends
        return clock >= self.begins or clock < self.ends


def _by_mail() -> dict[Kind, tuple[Channel, ...]]:
    return dict.fromkeys(KINDS, ("mail",))


@dataclass(frozen=True, slots=True)
class Preferences:
    """One person's; the defaults are those of whoever never said anything. `time_zone` None: the one the
    directory has."""

    channels: Mapping[Kind, tuple[Channel, ...]] = field(default_factory=_by_mail)
    digest: frozenset[Kind] = frozenset()
    digest_at: time = time(8)
    quiet: Quiet | None = None
    time_zone: str | None = None
    gather: timedelta = timedelta(minutes=10)

    def due(self, kind: Kind, at: datetime, zone: tzinfo) -> datetime:
        """From when on what happened `at` may go out, on the clock of `zone`."""
        due = next_time(self.digest_at, at, zone) if kind in self.digest else at + self.gather
        return self.after_quiet(due, zone)

    def after_quiet(self, at: datetime, zone: tzinfo) -> datetime:
        """`at` itself, or the end of the quiet hours that it is in."""
        while self.quiet is not None and at.astimezone(zone).time() in self.quiet:
            at = next_time(self.quiet.ends, at, zone)
        return at


def next_time(clock: time, after: datetime, zone: tzinfo) -> datetime:
    """The first moment later than `after` when the clocks of `zone` show `clock`, in UTC. Where they skip it,
    that day has it as much later."""
    day = after.astimezone(zone).date() - timedelta(days=1)
    while True:
        later = [it for it in _moments(day, clock, zone) if it > after]
        if later:
            return min(later)
        day += timedelta(days=1)


def _moments(day: date, clock: time, zone: tzinfo) -> list[datetime]:
    """When the clocks show it that day: once, or twice where they are put back over it."""
    told = [
        datetime.combine(day, clock.replace(fold=fold), zone).astimezone(UTC) for fold in (0, 1)
    ]
    shown = [it for it in told if it.astimezone(zone).time() == clock]
    return shown or told[:1]
