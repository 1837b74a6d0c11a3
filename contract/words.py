"""How values are told people, on pages, by mail and in Slack: moments, spans, amounts, names of fields."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from contract.lines import one_line
from recipes.model import Json

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_UNITS = ((86400, "day"), (3600, "h"), (60, "min"))
_LENGTH = re.compile(
    r"P(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)
_LENGTHS = ("year", "month", "week", "day", "hour", "minute", "second")
_MOST_DIGITS = 40
"""Of a number without an exponent: one of more is told with it."""


def moment(value: datetime | str) -> datetime:
    """A time of the API's, RFC 3339, as one."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def span(length: timedelta) -> str:
    """A length of time in its largest unit that has two of it, or in minutes: `3 h`, `2 days`, `1 min`."""
    seconds = abs(length.total_seconds())
    for size, unit in _UNITS:
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            count = int(seconds // size)
            return f"{count} days" if unit == "day" else f"{count} {unit}"
    return f"{int(seconds)} s"


def seconds(value: float | None) -> str:
    """A length in seconds as `span` says it; a dash for none."""
    return "-" if value is None else span(timedelta(seconds=value))


def ago(value: datetime | str, now: datetime) -> str:
    """`5 s ago`, or `in 3 h`."""
    length = now - moment(value)
    if length >= timedelta(0):
        return f"{span(length)} ago"
    return f"in {span(length)}"


def due(value: datetime | str | None, now: datetime) -> str:
    """`due in 3 h`, `overdue by 2 days`, or nothing where there is no time."""
    if value is None:
        return ""
    left = moment(value) - now
    return f"due in {span(left)}" if left >= timedelta(0) else f"overdue by {span(left)}"


def stamp(value: datetime | str | None, zone: tzinfo = UTC) -> str:
    """`28 Nov 2026, 14:05 UTC`, or `28 Nov 2026, 15:05 (Europe/Madrid)`: by the clocks of `zone`. ValueError."""
    if value is None:
        return ""
    at = moment(value).astimezone(zone)
    where = "UTC" if str(zone) == "UTC" else f"({zone})"
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at.hour:02}:{at.minute:02} {where}"


def day(text: str) -> str | None:
    """`Mon 21 Dec 2026` of a date as JSON has it; None if it is none."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return f"{found:%a} {found.day} {found:%b %Y}"


def length(text: str) -> str | None:
    """`3 days`, or `1 hour 30 minutes`, of a duration as JSON has it (`P3D`, `PT1H30M`); None if it is none."""
    found = _LENGTH.fullmatch(text)
    if found is None:
        return None
    return " ".join(
        f"{count} {unit}" if count == "1" else f"{count} {unit}s"
        for count, unit in zip(found.groups(), _LENGTHS, strict=True)
        if count is not None
    )


def amount(value: float) -> str:
    """`7,200`, or `780.50`; all of what is finer than that, too: `1.459`."""
    told = number(value)
    whole, point, part = told.partition(".")
    return f"{whole}.{part:0<2}" if point and "E" not in told else told


def number(value: float) -> str:
    """`7,200`, or `780.5`: as exact as it is."""
    exact = Decimal(str(value))
    if not -_MOST_DIGITS < exact.adjusted() < _MOST_DIGITS:
        return f"{exact.normalize():E}"
    told = f"{exact:,f}"
    return told.rstrip("0").rstrip(".") if "." in told else told


def size(count: int) -> str:
    """Of so many bytes: `48 kB`."""
    return (
        f"{count} {'byte' if count == 1 else 'bytes'}"
        if count < 1000
        else f"{count / 1000:,.0f} kB"
        if count < 10**6
        else f"{count / 10**6:,.1f} MB"
    )


def label(name: str) -> str:
    """A name of ours as words: `cost_center` is `Cost center`."""
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """`only its requester may` as `Only its requester may.`"""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def plain(value: Json) -> str:
    """A value of JSON as people write it: numbers with thousands set apart, yes and no, lists with commas."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number(value)
        case list():
            return ", ".join(plain(each) for each in value) or "-"
        case dict():
            return "; ".join(f"{label(name)}: {plain(each)}" for name, each in value.items()) or "-"
    return str(value)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "ago": ago,
    "due": due,
    "label": label,
    "line": one_line,
    "moment": moment,
    "plain": plain,
    "seconds": seconds,
    "sentence": sentence,
    "size": size,
    "stamp": stamp,
}
"""For templates."""
