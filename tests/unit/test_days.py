"""When days begin, by the clocks of the place."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.days import start_of


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        ("UTC", "2026-12-24", "2026-12-24T00:00:00"),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00"),
        ("Europe/Berlin", "2026-03-30", "2026-03-29T22:00:00"),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00"),
        ("Europe/Berlin", "2026-10-26", "2026-10-25T23:00:00"),
        # Forward at midnight: the day begins at one o'clock.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00"),
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00"),
        # Back at a minute past midnight: the first of two.
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30:00"),
        # Forward half an hour before midnight, into the day.
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30:00"),
        # Left out: it begins, and ends, where the next one does.
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00"),
    ],
)
def test_the_first_instant_of_a_day(zone: str, day: str, instant: str) -> None:
    assert start_of(date.fromisoformat(day), ZoneInfo(zone)) == datetime.fromisoformat(
        instant
    ).replace(tzinfo=UTC)


ZONES = (
    "Europe/Berlin",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Antarctica/Troll",
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ZONES), st.dates(date(1995, 1, 1), date(2037, 1, 1)))
def test_there_the_day_begins_and_not_earlier(name: str, day: date) -> None:
    zone, start = ZoneInfo(name), start_of(day, ZoneInfo(name))
    assert start.tzinfo is UTC
    assert start.astimezone(zone).date() >= day
    assert (start - timedelta(seconds=2)).astimezone(zone).date() < day
    assert start <= start_of(day + timedelta(days=1), zone)


def test_the_ends_of_the_calendar() -> None:
    with pytest.raises((OverflowError, ValueError)):
        start_of(date.min, ZoneInfo("Asia/Tokyo"))
