"""Business days: what `2bd` means on a calendar, in a time zone. A calendar is a value, a zone is given:
nothing is looked up here, so that what was worked out once is what everybody finds.

The rules
---------
* Business time is what lies between `opens` and `closes` on a day of the week that is worked and no
  holiday, by the clocks of one time zone.
* `2bd` from a moment within business time leads to the same time of day two business days later. From
  any other moment it counts from the beginning of the next business time: on a Saturday at noon, as
  from Monday when it opens.
* `1bd at 09:00` is the next business day at 09:00, whatever the time of day it counts from, and `2bd at
  09:00` the second: it counts days that come after the day it begins on.
* `1bd before` a moment is the same backwards: from within business time (its very end counts) to the
  same time of day, else from the end of the business time before; and `1bd at 09:00 before` is 09:00
  of the business day before.
* A time of day that is skipped when clocks go forward is as long after midnight as it would have been
  (02:30 is 03:30 then); of one that comes twice when they go back, it is the first.
* Outside the days that a calendar covers there are no holidays: the answer says so (`uncovered`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TypeAlias

from recipes.asks import DueBy, Times, Timing
from recipes.model import BusinessDays, Duration

Zones: TypeAlias = Callable[[str], tzinfo | None]
"""Gives a time zone by its IANA name; None if there is none of that name."""

_DAY = timedelta(days=1)
_MIDNIGHT = datetime.min.time()


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day that is not worked."""

    date: date
    name: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """One version of a calendar. `week` has the days that are worked, Monday is 0; `opens` and `closes`
    are minutes after midnight, the second at most 1440. Its holidays are known of `covers`, both days
    included. `time_zone` is an IANA name."""

    name: str
    time_zone: str
    week: tuple[int, ...]
    opens: int
    closes: int
    covers: tuple[date, date]
    holidays: tuple[Holiday, ...] = ()


@dataclass(frozen=True, slots=True)
class Clock:
    """What times are worked out by: a version of a calendar, its time zone and the assignee's with their
    names; of whom nobody is named, the calendar's again."""

    calendar: Calendar
    version: int
    zone: tzinfo
    assignee: tzinfo
    assignee_zone: str


def utc_alone(name: str) -> tzinfo | None:
    """The time zones that need no database of them."""
    return UTC if name == "UTC" else None


@dataclass(frozen=True, slots=True)
class Calendars:
    """The calendars there are, each in its one version; `zone` gives a time zone by its name."""

    known: tuple[Calendar, ...] = ()
    zone: Zones = utc_alone

    def __contains__(self, name: str) -> bool:
        return any(calendar.name == name for calendar in self.known)

    def times(self, timing: Timing, assignee_zone: str | None = None) -> Times:
        """See `times`. LookupError if there is no such calendar, or no such time zone."""
        calendar = next((each for each in self.known if each.name == timing.calendar), None)
        if calendar is None:
            raise LookupError(f"there is no calendar {timing.calendar}")
        return times(timing, clock(calendar, 1, self.zone, assignee_zone))


def clock(calendar: Calendar, version: int, zones: Zones, assignee_zone: str | None) -> Clock:
    """What to work out times by for an assignee of that time zone, or for nobody. LookupError if there
    is no such zone."""
    name = assignee_zone or calendar.time_zone
    own, theirs = zones(calendar.time_zone), zones(name)
    if own is None or theirs is None:
        raise LookupError(f"there is no time zone {calendar.time_zone if own is None else name}")
    return Clock(calendar, version, own, theirs, name)


def times(timing: Timing, clock: Clock) -> Times:
    """When what is so timed is due, and its reminders, of those that are worth it, in order."""
    days = _Days(clock)
    due = None if timing.after is None else days.after(timing.since, timing.after)
    found: set[datetime] = set()
    for reminder in timing.remind:
        if not reminder.before_due:
            found.add(days.after(timing.since, reminder.seconds))
        elif due is not None:
            found.add(days.before(due, reminder.seconds))
    worth = tuple(sorted(m for m in found if m > timing.since and (due is None or m < due)))
    used = [reminder.seconds for reminder in timing.remind] + [timing.after]
    theirs = any(isinstance(it, BusinessDays) and it.zone == "assignee" for it in used)
    zone = clock.assignee_zone if theirs else clock.calendar.time_zone
    last = max((due or timing.since, *worth))
    uncovered = not (days.covers(timing.since) and days.covers(last))
    return Times(due, worth, DueBy(clock.calendar.name, clock.version, zone, uncovered))


class _Days:
    """The days of one clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calendar = clock.calendar
        self.free = frozenset(holiday.date for holiday in clock.calendar.holidays)

    def after(self, since: datetime, duration: Duration) -> datetime:
        if not isinstance(duration, BusinessDays):
            return since + timedelta(seconds=duration)
        zone = self.zone(duration)
        day, passed = _local(since, zone)
        if duration.at is not None:
            passed = timedelta(minutes=duration.at)
        elif not (self.worked(day) and self.opens <= passed < self.closes):
            day = day if self.worked(day) and passed < self.opens else self.walk(day, 1, _DAY)
            passed = self.opens
        return _moment(self.walk(day, duration.days, _DAY), passed, zone)

    def before(self, due: datetime, duration: Duration) -> datetime:
        if not isinstance(duration, BusinessDays):
            return due - timedelta(seconds=duration)
        zone = self.zone(duration)
        day, passed = _local(due, zone)
        if duration.at is not None:
            passed = timedelta(minutes=duration.at)
        elif not (self.worked(day) and self.opens <= passed <= self.closes):
            day = day if self.worked(day) and passed > self.closes else self.walk(day, 1, -_DAY)
            passed = self.closes
        return _moment(self.walk(day, duration.days, -_DAY), passed, zone)

    def walk(self, day: date, count: int, by: timedelta) -> date:
        """The `count`th day that is worked after `day`, or before it."""
        while count:
            day += by
            count -= self.worked(day)
        return day

    def worked(self, day: date) -> bool:
        return day.weekday() in self.calendar.week and day not in self.free

    def covers(self, moment: datetime) -> bool:
        first, last = self.calendar.covers
        return first <= moment.astimezone(self.clock.zone).date() <= last

    def zone(self, duration: BusinessDays) -> tzinfo:
        return self.clock.assignee if duration.zone == "assignee" else self.clock.zone

    @property
    def opens(self) -> timedelta:
        return timedelta(minutes=self.calendar.opens)

    @property
    def closes(self) -> timedelta:
        return timedelta(minutes=self.calendar.closes)


def _local(moment: datetime, zone: tzinfo) -> tuple[date, timedelta]:
    """The day there, and how far its clocks are from midnight."""
    there = moment.astimezone(zone).replace(tzinfo=None)
    midnight = datetime.combine(there.date(), _MIDNIGHT)
    return there.date(), there - midnight


def _moment(day: date, passed: timedelta, zone: tzinfo) -> datetime:
    there = datetime.combine(day, _MIDNIGHT) + passed
    return there.replace(tzinfo=zone).astimezone(UTC)
