"""The file of a business calendar, as YAML or JSON -> `business.Calendar`; all that is wrong at once.

calendar: es
time_zone: Europe/Madrid
week: [mon, tue, wed, thu, fri]
hours: 09:00-18:00
covers: {from: 2026-01-01, to: 2027-12-31}      # of which days the holidays are known
holidays:
  - {date: 2026-01-01, name: Año Nuevo}
"""

import re
from datetime import date

from recipes.business import Calendar, Holiday, Zones
from recipes.calendar import DurationError, minutes, time_of_day
from recipes.case_org import entries, mapping
from recipes.fields import Fields
from recipes.model import Json
from recipes.problems import RecipeInvalid
from recipes.source import Entries, Items, below, read

CALENDAR_KEYS = ("calendar", "time_zone", "week", "hours", "covers", "holidays")
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAY_LIMIT = 1000
_LONGEST_COVER = 20
"""Years."""
_BEGINS = "write `calendar`, `time_zone`, `week`, `hours`, `covers` and `holidays`"
_HOURS = re.compile(r"([0-9:]+)\s*-\s*([0-9:]+)", re.ASCII)
_DAY_END = 24 * 60


def read_calendar(text: str | bytes, zones: Zones, file: str | None = None) -> Calendar:
    """The calendar that `text` spells; RecipeInvalid with all that is wrong with it."""
    root, book = read(text, file, _BEGINS, dates=True)
    if not isinstance(root, Entries):
        book.error("", "is no calendar", _BEGINS)
        raise RecipeInvalid(book.in_order())
    calendar = calendar_of(Fields(root, "", book), zones)
    if book.failed:
        raise RecipeInvalid(book.in_order())
    return calendar


def calendar_of(fields: Fields, zones: Zones) -> Calendar:
    """The calendar that the entries describe, as far as they can be understood."""
    fields.known(CALENDAR_KEYS, "a calendar")
    opens, closes = _hours(fields)
    covers = _covers(fields)
    return Calendar(
        name=fields.identifier("calendar") or "",
        time_zone=_time_zone(fields, zones),
        week=_week(fields),
        opens=opens,
        closes=closes,
        covers=covers,
        holidays=_holidays(fields, covers),
    )


def _time_zone(fields: Fields, zones: Zones) -> str:
    fields.required("time_zone", "add `time_zone: Europe/Madrid`")
    name = fields.text("time_zone")
    if name is not None and zones(name) is None:
        fix = "write an IANA name such as Europe/Madrid"
        fields.error("time_zone", f"there is no time zone `{name[:80]}`", fix)
    return name or ""


def _week(fields: Fields) -> tuple[int, ...]:
    fields.required("week", "add `week: [mon, tue, wed, thu, fri]`")
    days = {name: number for number, name in enumerate(WEEK)}
    listed = isinstance(fields.node("week"), Items)
    path = below(fields.path, "week")
    found: set[int] = set()
    for index, text in enumerate(fields.texts("week")):
        place = below(path, index) if listed else path
        day = fields.chosen(text, days, place)
        if day is not None and day in found:
            fields.book.error(place, f"`{text}` is there twice", "keep one of them")
        found |= set() if day is None else {day}
    return tuple(sorted(found))


def _hours(fields: Fields) -> tuple[int, int]:
    """When business opens and closes, in minutes after midnight."""
    fields.required("hours", "add `hours: 09:00-18:00`")
    text = fields.text("hours")
    match = None if text is None else _HOURS.fullmatch(text.strip())
    if match is None:
        if text is not None:
            fields.error("hours", f"`{text}` are no hours", "write them as 09:00-18:00")
        return 0, _DAY_END
    try:
        opens = minutes(match[1])
        closes = _DAY_END if match[2] == "24:00" else minutes(match[2])
    except DurationError as error:
        fields.error("hours", str(error), "write hours as 09:00-18:00; the day ends at 24:00")
        return 0, _DAY_END
    if opens >= closes:
        fields.error("hours", "end before they begin", "write when it opens, then when it closes")
    return opens, closes


def _covers(fields: Fields) -> tuple[date, date]:
    node = fields.required("covers", "add `covers: {from: 2026-01-01, to: 2026-12-31}`")
    if node is None:
        return date.min, date.max
    inner = mapping(node, below(fields.path, "covers"), fields.book)
    inner.known(("from", "to"), "covers")
    first, last = _date(inner, "from"), _date(inner, "to")
    if first is None or last is None:
        return date.min, date.max
    if first > last:
        inner.error("to", "is before `from`", "write the first day, then the last")
        return date.min, date.max
    if last.year - first.year > _LONGEST_COVER:
        inner.error("to", f"is more than {_LONGEST_COVER} years on", "cover fewer years")
    return first, last


def _date(fields: Fields, key: str) -> date | None:
    if fields.required(key, f"add `{key}: 2026-01-31`") is None:
        return None
    text = fields.text(key)
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        fields.error(key, f"`{text}` is no day", "write a day that there is, as 2026-01-31")
        return None


def _holidays(fields: Fields, covers: tuple[date, date]) -> tuple[Holiday, ...]:
    fields.required("holidays", "list them, or add `holidays: []`")
    seen: dict[date, str] = {}

    def read_holiday(each: Fields) -> Holiday | None:
        each.known(("date", "name"), "a holiday")
        each.required("name", "add `name: New Year`")
        day, name = _date(each, "date"), each.text("name") or ""
        if day is None:
            return None
        if day in seen:
            each.error("date", f"`{day}` is there twice, as {seen[day]} too", "keep one of them")
        elif not covers[0] <= day <= covers[1]:
            each.error("date", f"`{day}` is not among the days of `covers`", "let these reach it")
        seen[day] = name
        return Holiday(day, name)

    node = fields.node("holidays")
    if isinstance(node, Items) and len(node.items) > HOLIDAY_LIMIT:
        message = f"lists {len(node.items)}; {HOLIDAY_LIMIT} are the most"
        fields.error("holidays", message, "cover fewer years")
        return ()
    found = [
        holiday for holiday in entries(fields, "holidays", read_holiday) if holiday is not None
    ]
    return tuple(sorted(found, key=lambda holiday: holiday.date))


def spelled(calendar: Calendar) -> dict[str, Json]:
    """The calendar as its file says it."""
    first, last = calendar.covers
    return {
        "calendar": calendar.name,
        "time_zone": calendar.time_zone,
        "week": [WEEK[day] for day in calendar.week],
        "hours": f"{time_of_day(calendar.opens)}-{time_of_day(calendar.closes)}",
        "covers": {"from": first.isoformat(), "to": last.isoformat()},
        "holidays": [
            {"date": holiday.date.isoformat(), "name": holiday.name}
            for holiday in calendar.holidays
        ],
    }
