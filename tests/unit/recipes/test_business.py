"""Business days: examples to read, and properties against a second reading of the rules over `zoneinfo`."""

from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes import business
from recipes.asks import DueBy, Times, Timing
from recipes.business import Calendar, Calendars, Holiday
from recipes.calendar import duration
from recipes.model import BusinessDays, Reminder
from storage.zones import zone

MADRID = ZoneInfo("Europe/Madrid")
ES = Calendar(
    name="es",
    time_zone="Europe/Madrid",
    week=(0, 1, 2, 3, 4),
    opens=9 * 60,
    closes=18 * 60,
    covers=(date(2026, 1, 1), date(2026, 12, 31)),
    holidays=(Holiday(date(2026, 10, 12), "Fiesta"), Holiday(date(2026, 12, 8), "Inmaculada")),
)


def timed(since: datetime, after: str | None, *remind: str, who: str | None = None) -> Times:
    reminders = tuple(
        Reminder(duration(text.removesuffix(" before")), text.endswith(" before"))
        for text in remind
    )
    timing = Timing("es", since, None if after is None else duration(after), reminders)
    return Calendars((ES,), zone).times(timing, who)


def madrid(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=MADRID)


@pytest.mark.parametrize(
    ("since", "after", "due"),
    [
        # Within business time: the same time of day.
        ("2026-03-02 11:15", "2bd", "2026-03-04 11:15"),
        ("2026-03-05 11:15", "2bd", "2026-03-09 11:15"),
        ("2026-03-02 09:00", "1bd", "2026-03-03 09:00"),
        # Outside it counts from the beginning of the next business time.
        ("2026-03-02 07:00", "1bd", "2026-03-03 09:00"),
        ("2026-03-02 18:00", "1bd", "2026-03-04 09:00"),
        ("2026-03-07 12:00", "1bd", "2026-03-10 09:00"),
        ("2026-10-12 11:00", "2bd", "2026-10-15 09:00"),
        # Holidays and weekends don't count.
        ("2026-10-09 10:00", "1bd", "2026-10-13 10:00"),
        # At a time of day: days that come after the day it begins on.
        ("2026-03-02 11:15", "1bd at 09:00", "2026-03-03 09:00"),
        ("2026-03-02 07:00", "1bd at 09:00", "2026-03-03 09:00"),
        ("2026-03-06 23:00", "1bd at 09:00", "2026-03-09 09:00"),
        ("2026-03-07 12:00", "1bd at 09:00", "2026-03-09 09:00"),
        ("2026-10-10 12:00", "2bd at 17:30", "2026-10-14 17:30"),
        # By the clocks of the day it leads to, summer time or not.
        ("2026-03-27 10:00", "1bd", "2026-03-30 10:00"),
        # Plain time goes on as ever.
        ("2026-03-06 17:00", "24h", "2026-03-07 17:00"),
    ],
)
def test_due(since: str, after: str, due: str) -> None:
    assert timed(madrid(since), after).due_at == madrid(due)


@pytest.mark.parametrize(
    ("since", "after", "remind", "at"),
    [
        ("2026-03-02 11:15", "5bd", "1bd before", "2026-03-06 11:15"),
        ("2026-03-02 11:15", "5bd", "1bd at 08:00 before", "2026-03-06 08:00"),
        ("2026-03-02 11:15", "5bd", "2bd", "2026-03-04 11:15"),
        ("2026-03-02 11:15", "5bd", "24h before", "2026-03-08 11:15"),
        # From outside business time: from the end of the business time before.
        ("2026-03-02 12:00", "6d", "1bd before", "2026-03-05 18:00"),
        ("2026-03-02 20:00", "4d", "1bd before", "2026-03-05 18:00"),
        ("2026-03-02 07:00", "4d", "1bd before", "2026-03-04 18:00"),
        # Its very end counts, and so does its beginning.
        ("2026-03-02 18:00", "4d", "1bd before", "2026-03-05 18:00"),
        ("2026-03-02 07:00", "3bd", "1bd before", "2026-03-04 09:00"),
        ("2026-03-02 12:00", None, "1bd at 09:00", "2026-03-03 09:00"),
    ],
)
def test_reminders(since: str, after: str | None, remind: str, at: str) -> None:
    assert timed(madrid(since), after, remind).remind_at == (madrid(at),)


def test_reminders_that_come_too_late_or_too_early_are_none() -> None:
    found = timed(madrid("2026-03-02 11:00"), "1bd", "2bd before", "1bd before", "2bd", "1h", "1h")
    assert found.remind_at == (madrid("2026-03-02 12:00"),)
    assert timed(madrid("2026-03-02 11:00"), None, "1bd before").remind_at == ()


def test_the_assignees_zone() -> None:
    """Friday 19:00 in Madrid is 13:00 in New York, business time there."""
    since = madrid("2026-03-06 19:00")
    found = timed(since, "1bd at 09:00 in assignee zone", "1bd", who="America/New_York")
    assert found.due_at == datetime(2026, 3, 9, 9, tzinfo=ZoneInfo("America/New_York"))
    assert found.by == DueBy("es", 1, "America/New_York")
    plain = timed(since, "1bd in assignee zone", who="America/New_York")
    assert plain.due_at == datetime(2026, 3, 9, 13, tzinfo=ZoneInfo("America/New_York"))
    nobody = timed(since, "1bd at 09:00 in assignee zone")
    assert nobody.by == DueBy("es", 1, "Europe/Madrid")
    assert nobody.due_at == madrid("2026-03-09 09:00")


def test_a_time_of_day_that_is_skipped_or_comes_twice() -> None:
    """On 2026-03-29 clocks go from 02:00 to 03:00, on 2026-10-25 from 03:00 back to 02:00."""
    every = Calendar("es", "Europe/Madrid", tuple(range(7)), 0, 1440, ES.covers)

    def due(since: datetime) -> datetime | None:
        timing = Timing("es", since, BusinessDays(1, 150))
        return Calendars((every,), zone).times(timing).due_at

    assert due(madrid("2026-03-28 12:00")) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert due(madrid("2026-10-24 12:00")) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_what_a_calendar_does_not_cover_is_said() -> None:
    assert not timed(madrid("2026-12-30 11:00"), "1bd").by.uncovered
    beyond = timed(madrid("2026-12-31 11:00"), "1bd")
    assert beyond.by.uncovered
    assert beyond.due_at == madrid("2027-01-01 11:00")
    assert timed(madrid("2025-12-31 11:00"), "5bd").by.uncovered
    assert timed(madrid("2026-12-31 11:00"), None, "1bd").by.uncovered


def test_what_is_not_there() -> None:
    timing = Timing("fr", madrid("2026-03-02 11:00"), BusinessDays(1))
    with pytest.raises(LookupError, match="no calendar fr"):
        Calendars((ES,), zone).times(timing)
    own = Timing("es", madrid("2026-03-02 11:00"), BusinessDays(1))
    with pytest.raises(LookupError, match="no time zone Mars/Olympus"):
        Calendars((ES,), zone).times(own, "Mars/Olympus")
    with pytest.raises(LookupError, match="no time zone Europe/Madrid"):
        Calendars((ES,)).times(own)
    assert "es" in Calendars((ES,))
    assert "fr" not in Calendars((ES,))


# --- properties ----------------------------------------------------------------------------------

ZONES = (
    "UTC",
    "Europe/Madrid",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Beirut",  # clocks are put forward at midnight
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Auckland",
    "Africa/Casablanca",
)
_moments = st.integers(0, 15 * 365 * 86_400).map(
    lambda seconds: datetime(2015, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


@st.composite
def _changes(draw: st.DrawFn) -> datetime:
    """Around where clocks are changed somewhere."""
    month, day = draw(st.sampled_from(((3, 8), (3, 25), (3, 29), (10, 4), (10, 25), (11, 1))))
    noon = datetime(draw(st.integers(2015, 2029)), month, day, 12, tzinfo=UTC)
    return noon + timedelta(minutes=draw(st.integers(-4000, 4000)))


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    opens = draw(st.integers(0, 1439))
    first = draw(st.dates(date(2014, 1, 1), date(2030, 1, 1)))
    days = draw(st.lists(st.integers(0, 500), max_size=40, unique=True))
    return Calendar(
        name="random",
        time_zone=draw(st.sampled_from(ZONES)),
        week=tuple(sorted(draw(st.sets(st.integers(0, 6), min_size=1)))),
        opens=opens,
        closes=draw(st.integers(opens + 1, 1440)),
        covers=(date(2010, 1, 1), date(2040, 1, 1)),
        holidays=tuple(Holiday(first + timedelta(days=day), "free") for day in days),
    )


def worked_days(calendar: Calendar, around: date) -> list[date]:
    days = (around + timedelta(days=n) for n in range(-900, 900))
    free = {holiday.date for holiday in calendar.holidays}
    return [day for day in days if day.weekday() in calendar.week and day not in free]


def instant(day: date, minutes: float, name: str) -> datetime:
    """When clocks there show that; the first time, or as if they had not been put forward."""
    there = ZoneInfo(name)
    wall = datetime.combine(day, time()) + timedelta(minutes=minutes)
    near = [wall.replace(tzinfo=UTC) + timedelta(hours=hours) for hours in (-30, 30)]
    offsets = [moment.astimezone(there).utcoffset() or timedelta() for moment in near]
    fits = [(wall - offset).replace(tzinfo=UTC) for offset in offsets]
    right = [m for m in fits if m.astimezone(there).replace(tzinfo=None) == wall]
    return min(right) if right else fits[0]


def oracle(calendar: Calendar, since: datetime, days: BusinessDays, name: str) -> datetime:
    local = since.astimezone(ZoneInfo(name))
    passed = (local.replace(tzinfo=None) - datetime.combine(local.date(), time())) / timedelta(
        minutes=1
    )
    worked = worked_days(calendar, local.date())
    following = bisect_right(worked, local.date())
    if days.at is not None:
        return instant(worked[following + days.days - 1], days.at, name)
    place = bisect_left(worked, local.date())
    today = worked[place] == local.date()
    if today and calendar.opens <= passed < calendar.closes:
        return instant(worked[place + days.days], passed, name)
    begins = place if today and passed < calendar.opens else following
    return instant(worked[begins + days.days], calendar.opens, name)


def oracle_before(calendar: Calendar, due: datetime, days: BusinessDays, name: str) -> datetime:
    local = due.astimezone(ZoneInfo(name))
    passed = (local.replace(tzinfo=None) - datetime.combine(local.date(), time())) / timedelta(
        minutes=1
    )
    worked = worked_days(calendar, local.date())
    before = bisect_left(worked, local.date()) - 1
    if days.at is not None:
        return instant(worked[before - days.days + 1], days.at, name)
    today = worked[before + 1] == local.date()
    if today and calendar.opens <= passed <= calendar.closes:
        return instant(worked[before + 1 - days.days], passed, name)
    ends = before + 1 if today and passed > calendar.closes else before
    return instant(worked[ends - days.days], calendar.closes, name)


_days = st.builds(
    BusinessDays,
    st.integers(1, 60),
    st.none() | st.integers(0, 1439),
    st.sampled_from(("calendar", "assignee")),
)


@settings(max_examples=400, deadline=None)
@given(calendars(), _moments | _changes(), _days, st.sampled_from(ZONES))
def test_due_as_zoneinfo_has_it(
    calendar: Calendar, since: datetime, days: BusinessDays, who: str
) -> None:
    clock = business.clock(calendar, 3, zone, who)
    found = business.times(Timing("random", since, days), clock)
    name = who if days.zone == "assignee" else calendar.time_zone
    assert found == Times(oracle(calendar, since, days, name), (), DueBy("random", 3, name))
    assert found.due_at is not None
    assert found.due_at > since
    local = found.due_at.astimezone(ZoneInfo(name)).date()
    assert local in worked_days(calendar, local) or calendar.closes == 1440


@settings(max_examples=400, deadline=None)
@given(calendars(), _moments | _changes(), st.integers(1, 100), _days, st.sampled_from(ZONES))
def test_reminders_as_zoneinfo_has_them(
    calendar: Calendar, since: datetime, length: int, days: BusinessDays, who: str
) -> None:
    clock = business.clock(calendar, 3, zone, who)
    timing = Timing("random", since, length * 86_400, (Reminder(days, before_due=True),))
    found = business.times(timing, clock)
    name = who if days.zone == "assignee" else calendar.time_zone
    due = since + timedelta(days=length)
    expected = oracle_before(calendar, due, days, name)
    assert found.remind_at == ((expected,) if since < expected < due else ())


@settings(max_examples=100, deadline=None)
@given(calendars(), _moments | _changes(), st.integers(1, 30), st.none() | st.integers(0, 1439))
def test_later_is_never_due_earlier(
    calendar: Calendar, since: datetime, days: int, at: int | None
) -> None:
    clock = business.clock(calendar, 1, zone, None)
    dues = [
        business.times(
            Timing("random", since + timedelta(minutes=n), BusinessDays(days, at)), clock
        )
        for n in (0, 1, 59, 60, 61, 600, 1500, 3000)
    ]
    moments = [found.due_at for found in dues if found.due_at is not None]
    slack = timedelta(hours=1)  # what comes twice when clocks go back
    assert all(one - slack <= other for one, other in pairwise(moments))
