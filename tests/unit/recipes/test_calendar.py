"""Durations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.calendar import (
    LONGEST,
    MOST_BUSINESS_DAYS,
    DurationError,
    duration,
    not_shorter,
    seconds,
    text,
)
from recipes.model import BusinessDays


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("48h", 172_800),
        ("2d", 172_800),
        ("1h30m", 5_400),
        ("90m", 5_400),
        ("30s", 30),
        ("1w", 604_800),
        ("1w2d3h4m5s", 788_645),
        ("PT48H", 172_800),
        ("P2D", 172_800),
        ("P1W", 604_800),
        ("P1DT2H3M4S", 93_784),
        ("520w", 314_496_000),
    ],
)
def test_durations(written: str, expected: int) -> None:
    assert seconds(written) == expected


@pytest.mark.parametrize(
    ("written", "message", "fix"),
    [
        ("2bd", "business days have no place here", "2d"),
        ("48", "has no unit", "48h"),
        ("soon", "is not a duration", "PT48H"),
        ("", "is not a duration", "48h"),
        ("P", "is not a duration", "48h"),
        ("PT", "is not a duration", "48h"),
        ("P1DT", "is not a duration", "48h"),
        ("-1h", "is not a duration", "48h"),
        ("1.5h", "is not a duration", "48h"),
        ("1h 30m", "is not a duration", "48h"),
        ("30m1h", "from large to small", "48h"),
        ("1h1h", "from large to small", "48h"),
        ("0h", "no time at all", "above zero"),
        ("PT0S", "no time at all", "above zero"),
        ("523w", "longer than ten years", "shorter"),
        ("9" * 50 + "h", "too long", "48h"),
    ],
)
def test_what_is_no_duration(written: str, message: str, fix: str) -> None:
    with pytest.raises(DurationError) as caught:
        seconds(written)
    assert message in str(caught.value)
    assert fix in caught.value.fix


@settings(deadline=None)
@given(st.integers(1, LONGEST))
def test_text_and_back(duration: int) -> None:
    assert seconds(text(duration)) == duration


def test_no_time_has_a_text() -> None:
    assert text(0.9) == "0s"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2bd", BusinessDays(2)),
        ("2 bd", BusinessDays(2)),
        ("1bd at 09:00", BusinessDays(1, 540)),
        ("10bd  at 00:00", BusinessDays(10, 0)),
        ("1bd at 23:59 in assignee zone", BusinessDays(1, 1439, "assignee")),
        ("3bd in assignee zone", BusinessDays(3, None, "assignee")),
        ("48h", 172_800),
    ],
)
def test_business_days(written: str, expected: object) -> None:
    assert duration(written) == expected


@pytest.mark.parametrize(
    ("written", "message", "fix"),
    [
        ("0bd", "no time at all", "1bd or more"),
        ("2601bd", "more than 2600 business days", "fewer"),
        ("bd", "are no business days", "2bd"),
        ("2bd at", "are no business days", "1bd at 09:00"),
        ("2bd at 9", "`9` is no time of day", "00:00 to 23:59"),
        ("2bd at 24:00", "`24:00` is no time of day", "00:00 to 23:59"),
        ("2bd at 09:00 in my zone", "are no business days", "in assignee zone"),
        ("1.5bd", "are no business days", "2bd"),
        ("1bd2h", "are no business days", "2bd"),
        ("2bd " + "x" * 90, "are no business days", "2bd"),
    ],
)
def test_what_are_no_business_days(written: str, message: str, fix: str) -> None:
    with pytest.raises(DurationError) as caught:
        duration(written)
    assert message in str(caught.value)
    assert fix in caught.value.fix


@given(
    st.builds(
        BusinessDays,
        st.integers(1, MOST_BUSINESS_DAYS),
        st.none() | st.integers(0, 1439),
        st.sampled_from(("calendar", "assignee")),
    )
)
def test_business_days_as_text_and_back(days: BusinessDays) -> None:
    assert duration(text(days)) == days


def test_what_can_be_compared() -> None:
    two = BusinessDays(2)
    assert not_shorter(2, 2)
    assert not not_shorter(1, 2)
    assert not_shorter(two, two)
    assert not not_shorter(two, BusinessDays(3))
    assert not not_shorter(BusinessDays(3), BusinessDays(2, 540))
    assert not not_shorter(BusinessDays(3, None, "assignee"), two)
    assert not not_shorter(10**6, two)
    assert not not_shorter(two, 1)
