"""Durations: `48h`, `2d`, `1h30m`, `PT48H`, `P2D`: whole seconds, above zero, at most ten years. And
business days: `2bd`, `1bd at 09:00`, `1bd at 09:00 in assignee zone`.

A day is 24 hours and a week seven days: nothing here knows a time zone or a holiday. What business days
mean is `business`.
"""

import re
from itertools import pairwise

from recipes.model import BusinessDays, Duration

LONGEST = 10 * 366 * 24 * 3600
MOST_BUSINESS_DAYS = 2600
"""Some ten years of them."""

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_ORDER = "wdhms"
_SHORT = re.compile(r"(?:\d+[wdhms])+", re.ASCII)
_PART = re.compile(r"(\d+)([wdhms])", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+)S)?)?",
    re.ASCII,
)
_BUSINESS = re.compile(
    r"(?P<days>\d{1,6})\s*bd(?:\s+at\s+(?P<at>\S+))?(?P<zone>\s+in\s+assignee\s+zone)?", re.ASCII
)
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_EXAMPLES = "write it as 48h, 2d, 1h30m or PT48H, or 2bd for business days"
_BUSINESS_EXAMPLES = "write it as 2bd, 1bd at 09:00, or 1bd at 09:00 in assignee zone"


class DurationError(Exception):
    """A text is no duration; `fix` says what to write instead."""

    def __init__(self, message: str, fix: str = _EXAMPLES) -> None:
        super().__init__(message)
        self.fix = fix


def duration(text: str) -> Duration:
    """Seconds or business days; DurationError if it is neither, zero, or longer than ten years."""
    if "bd" not in text:
        return seconds(text)
    match = _BUSINESS.fullmatch(text)
    if match is None or len(text) > 60:
        raise DurationError(f"`{text[:60]}` are no business days", _BUSINESS_EXAMPLES)
    days = int(match["days"])
    if days == 0:
        raise DurationError(f"`{text}` is no time at all", "write 1bd or more")
    if days > MOST_BUSINESS_DAYS:
        message = f"`{text}` is more than {MOST_BUSINESS_DAYS} business days"
        raise DurationError(message, "write fewer of them")
    at = None if match["at"] is None else minutes(match["at"])
    return BusinessDays(days, at, "calendar" if match["zone"] is None else "assignee")


def minutes(text: str) -> int:
    """A time of day in minutes after midnight; DurationError if it is none."""
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        raise DurationError(f"`{text}` is no time of day", "write one from 00:00 to 23:59")
    return int(match[1]) * 60 + int(match[2])


def seconds(text: str) -> int:
    """The duration in seconds; DurationError if it is none, zero, or longer than ten years."""
    if len(text) > 40:
        raise DurationError("is too long for a duration")
    if _BUSINESS.fullmatch(text):
        message = f"`{text}`: business days have no place here"
        raise DurationError(message, "write calendar days, such as 2d, or hours, such as 48h")
    if text.isdigit():
        raise DurationError(f"`{text}` has no unit", f"write `{text}h`, `{text}m` or `{text}d`")
    total = _short(text) if _SHORT.fullmatch(text) else _iso(text)
    if total == 0:
        raise DurationError(f"`{text}` is no time at all", "write a duration above zero")
    if total > LONGEST:
        raise DurationError(f"`{text}` is longer than ten years", "write a shorter duration")
    return total


def _short(text: str) -> int:
    parts = _PART.findall(text)
    for (_, larger), (_, smaller) in pairwise(parts):
        if _ORDER.index(larger) >= _ORDER.index(smaller):
            raise DurationError(f"`{text}`: units go from large to small, each once")
    return sum(int(count) * _UNITS[unit] for count, unit in parts)


def _iso(text: str) -> int:
    match = _ISO.fullmatch(text)
    if match is None or text[-1] in "PT":
        raise DurationError(f"`{text}` is not a duration")
    return sum(int(count) * _UNITS[unit] for unit, count in match.groupdict("0").items())


def not_shorter(one: Duration, other: Duration) -> bool:
    """Whether `one`, begun no earlier, certainly ends no earlier than `other`. Business days are only
    comparable with others that lead to the same time of day."""
    if isinstance(one, BusinessDays) and isinstance(other, BusinessDays):
        return (one.at, one.zone) == (other.at, other.zone) and one.days >= other.days
    if isinstance(one, BusinessDays) or isinstance(other, BusinessDays):
        return False
    return one >= other


def text(duration: float | BusinessDays) -> str:
    """A duration as it is written: 93600 is `1d2h`; parts of a second are left out."""
    if isinstance(duration, BusinessDays):
        at = "" if duration.at is None else f" at {time_of_day(duration.at)}"
        zone = " in assignee zone" if duration.zone == "assignee" else ""
        return f"{duration.days}bd{at}{zone}"
    left, parts = int(duration), ""
    for unit in "dhms":
        count, left = divmod(left, _UNITS[unit])
        parts += f"{count}{unit}" if count else ""
    return parts or "0s"


def time_of_day(minutes: int) -> str:
    """Minutes after midnight as a time of day: 540 is `09:00`, and the day ends at `24:00`."""
    return f"{minutes // 60:02}:{minutes % 60:02}"
