"""What is typed into one field, as a value and back: numbers, days, moments in somebody's time zone, JSON. Pure."""

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from math import isfinite
from zoneinfo import ZoneInfo

from pydantic_core import from_json, to_json

from api.web.fields import Field, Kind
from recipes.model import Json

_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_SPACES = re.compile("[\u0020\u00a0\u202f]+")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_LOCAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?", re.ASCII
)
_WITH_OFFSET = re.compile(_LOCAL.pattern + r"(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?", re.ASCII)
_LONGEST_NUMBER = 400
_LARGEST = 2**63
_EXACT = 2**53


class Unreadable(Exception):
    """A text that is no value of its field; the message says what to write."""


def read(field: Field, text: str, zone: str) -> Json:
    """The value of a text that is not blank. Unreadable."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    match field.kind:
        case "integer" | "number":
            return _number(field.kind, text)
        case "date":
            return _day(text)
        case "moment":
            return _moment(text, zone)
        case "time":
            return _clock(text)
        case "any":
            return _any(text)
        case "json":
            return _json(text)
        case "yes_no" if text in ("true", "false"):
            return text == "true"
        case "choice" | "tick" | "yes_no":
            return _chosen(field, text)
    return text


def shown(field: Field, value: Json, zone: str) -> str:
    """The text for a value. What no text of this field means stands there as JSON."""
    if value is None and field.kind not in ("any", "json"):
        return ""
    match field.kind:
        case "integer" | "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return str(int(value)) if value == int(value) and abs(value) < _EXACT else str(value)
        case "moment" if isinstance(value, str):
            return _local(value, zone)
        case "time" if isinstance(value, str):
            return _clock_utc(value)
        case "choice" | "tick" | "yes_no" if field.choices:
            meant = (each.token for each in field.choices if same(each.value, value))
            return next(meant, "")
        case "any" if isinstance(value, str):
            return value if _stays(value) else to_json(value).decode()
        case "json":
            return as_json(value)
    return value if isinstance(value, str) else to_json(value).decode()


def fits(kind: Kind, text: str) -> bool:
    """Whether browsers can show a text in an input of the kind's own type; they drop what they can't."""
    forms = {"integer": _NUMBER, "number": _NUMBER, "date": _DAY, "moment": _LOCAL, "time": _CLOCK}
    return not text or kind not in forms or forms[kind].fullmatch(text) is not None


def more(text: str, taken: Collection[str]) -> dict[str, Json]:
    """The members that a text names as JSON, none of them `taken`. Unreadable."""
    if not text.strip():
        return {}
    found = _json(text)
    if not isinstance(found, dict):
        raise Unreadable('must be a JSON object, such as {"name": 1}')
    twice = sorted(found.keys() & set(taken))
    if twice:
        raise Unreadable(f"{', '.join(twice)}: has a field of its own here")
    return found


def as_json(value: Json) -> str:
    """A value as people read JSON."""
    return to_json(value, indent=2).decode()


def _number(kind: Kind, text: str) -> Json:
    text = _SPACES.sub("", text)
    if not _NUMBER.fullmatch(text) or len(text) > _LONGEST_NUMBER:
        raise Unreadable("write a number with a point and without commas, such as 1250.50")
    if _WHOLE.fullmatch(text):
        whole = int(text)
        if abs(whole) >= _LARGEST:
            raise Unreadable("is too large a number")
        return whole
    value = float(text)
    if not isfinite(value):
        raise Unreadable("is too large a number")
    if kind == "integer":
        if not value.is_integer() or abs(value) >= _EXACT:
            raise Unreadable("write a whole number")
        return int(value)
    return value


def _day(text: str) -> str:
    try:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Unreadable("write a day such as 2026-12-21") from None


def _moment(text: str, zone: str) -> str:
    """An instant, from the clocks of `zone`, or with an offset of its own. An hour that comes twice is the
    first of the two, unless an offset says which."""
    try:
        if _WITH_OFFSET.fullmatch(text):
            return datetime.fromisoformat(text).isoformat()
        if not _LOCAL.fullmatch(text):
            raise ValueError(text)
        there = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
        again = there.astimezone(UTC).astimezone(ZoneInfo(zone))
    except (ValueError, OverflowError):
        raise Unreadable("write a day and a time such as 2026-12-21T09:30") from None
    if again.replace(tzinfo=None) != there.replace(tzinfo=None):
        raise Unreadable(f"there is no such time in {zone}: clocks are put forward over it")
    whole = there.utcoffset() or timedelta()
    # Before railways clocks were off by seconds, which RFC 3339 cannot say.
    return (there.astimezone(UTC) if whole.seconds % 60 else there).isoformat()


def _local(value: str, zone: str) -> str:
    """What a moment's field shows; what is no moment of ours stays as it is."""
    try:
        there = datetime.fromisoformat(value).astimezone(ZoneInfo(zone))
    except (ValueError, OverflowError):
        return value
    if there.fold:
        return there.isoformat()
    there = there.replace(tzinfo=None)
    exact = there.second or there.microsecond
    return there.isoformat(timespec="auto" if exact else "minutes")


def _clock(text: str) -> str:
    try:
        if not _CLOCK.fullmatch(text):
            raise ValueError(text)
        return f"{time.fromisoformat(text).isoformat()}Z"
    except ValueError:
        raise Unreadable("write a time such as 09:30") from None


def _clock_utc(value: str) -> str:
    try:
        said = datetime.fromisoformat(f"2000-01-02T{value}").astimezone(UTC).time()
    except ValueError:
        return value
    return said.isoformat(timespec="auto" if said.second or said.microsecond else "minutes")


def _any(text: str) -> Json:
    if text in ("true", "false", "null") or _JSON_NUMBER.fullmatch(text):
        return _json(text)
    if text[0] in "{[":
        try:
            return _json(text)
        except Unreadable as error:
            raise Unreadable(
                f'{error}; for a text that begins so, put it in "double quotes"'
            ) from None
    if text[0] == '"':
        try:
            return _json(text)
        except Unreadable:
            return text
    return text


def _stays(text: str) -> bool:
    """Whether a text typed as it stands means itself."""
    if not text or text != text.strip() or "\r" in text:
        return False
    try:
        return _any(text) == text
    except Unreadable:
        return False


def _json(text: str) -> Json:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise Unreadable(f"is not JSON: {error}") from None


def _chosen(field: Field, text: str) -> Json:
    for each in field.choices:
        if each.token == text:
            return each.value
    raise Unreadable("choose one of these")


def same(one: Json, other: Json) -> bool:
    """Whether they are the same JSON: `1` is not `true`."""
    return to_json(one) == to_json(other)
