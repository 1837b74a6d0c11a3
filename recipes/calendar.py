"""Durations: `48h`, `2d`, `1h30m`, `PT48H`, `P2D`. Whole seconds, above zero, at most ten years.

A day is 24 hours and a week seven days: nothing here knows a time zone or a holiday.
"""

import re
from itertools import pairwise

LONGEST = 10 * 366 * 24 * 3600

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_ORDER = "wdhms"
_SHORT = re.compile(r"(?:\d+[wdhms])+", re.ASCII)
_PART = re.compile(r"(\d+)([wdhms])", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+)S)?)?",
    re.ASCII,
)
_BUSINESS = re.compile(r"\d+\s*bd", re.ASCII)
_EXAMPLES = "write it as 48h, 2d, 1h30m or PT48H"


class DurationError(Exception):
    """A text is no duration; `fix` says what to write instead."""

    def __init__(self, message: str, fix: str = _EXAMPLES) -> None:
        super().__init__(message)
        self.fix = fix


def seconds(text: str) -> int:
    """The duration in seconds; DurationError if it is none, zero, or longer than ten years."""
    if len(text) > 40:
        raise DurationError("is too long for a duration")
    if _BUSINESS.fullmatch(text):
        raise DurationError(
            f"`{text}`: business days need a calendar, and calendars aren't available yet",
            "write calendar days, such as 2d, or hours, such as 48h",
        )
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


def text(duration: float) -> str:
    """Seconds as a duration: 93600 is `1d2h`; parts of a second are left out."""
    left, parts = int(duration), ""
    for unit in "dhms":
        count, left = divmod(left, _UNITS[unit])
        parts += f"{count}{unit}" if count else ""
    return parts or "0s"
