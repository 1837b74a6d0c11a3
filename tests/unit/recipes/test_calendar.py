"""Durations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.calendar import LONGEST, DurationError, seconds, text


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
        ("2bd", "business days need a calendar, and calendars aren't available yet", "2d"),
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
