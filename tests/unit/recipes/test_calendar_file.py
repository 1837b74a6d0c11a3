"""The files of calendars: what they say, and what is wrong with them, all at once."""

from datetime import date

import pytest

from recipes.business import Calendar, Holiday
from recipes.calendar_file import HOLIDAY_LIMIT, read_calendar, spelled
from recipes.problems import RecipeInvalid
from storage.zones import zone

SPAIN = """\
calendar: es
time_zone: Europe/Madrid
week: [mon, tue, wed, thu, fri]
hours: 09:00-18:00
covers: {from: 2026-01-01, to: 2026-12-31}
holidays:
  - {date: 2026-12-25, name: Navidad}
  - {date: "2026-01-01", name: Año Nuevo}
"""


def problems(text: str) -> list[tuple[str, str, str]]:
    with pytest.raises(RecipeInvalid) as caught:
        read_calendar(text, zone, "es.yaml")
    assert all(problem.file == "es.yaml" for problem in caught.value.problems)
    found = caught.value.problems
    return [(f"{p.line}:{p.column} {p.path}", p.message, p.fix) for p in found]


def test_a_calendar() -> None:
    found = read_calendar(SPAIN, zone)
    assert found == Calendar(
        name="es",
        time_zone="Europe/Madrid",
        week=(0, 1, 2, 3, 4),
        opens=540,
        closes=1080,
        covers=(date(2026, 1, 1), date(2026, 12, 31)),
        holidays=(
            Holiday(date(2026, 1, 1), "Año Nuevo"),
            Holiday(date(2026, 12, 25), "Navidad"),
        ),
    )
    assert spelled(found)["hours"] == "09:00-18:00"
    assert spelled(found)["week"] == ["mon", "tue", "wed", "thu", "fri"]


def test_as_json_and_spelled_it_is_the_same() -> None:
    from pydantic_core import to_json

    found = read_calendar(SPAIN.replace("18:00", "24:00"), zone)
    assert found.closes == 1440
    assert read_calendar(to_json(spelled(found)), zone) == found


@pytest.mark.parametrize(
    ("text", "place", "message", "fix"),
    [
        ("", "1:1 ", "is empty", "write `calendar`"),
        ("- es", "1:1 ", "is no calendar", "`time_zone`"),
        (SPAIN.replace("es\n", "Es\n", 1), "1:11 calendar", "small letters", "write `es`"),
        (SPAIN.replace("Madrid", "Madird"), "2:12 time_zone", "no time zone", "Europe/Madrid"),
        (SPAIN.replace("tue", "teu"), "3:13 week[1]", "`teu` is not possible", "`tue`"),
        (SPAIN.replace("tue", "mon"), "3:13 week[1]", "`mon` is there twice", "keep one"),
        (SPAIN.replace("[mon, tue, wed, thu, fri]", "[]"), "3:7 week", "empty list", "list"),
        (SPAIN.replace("[mon, tue, wed, thu, fri]", "never"), "3:7 week", "`never`", "mon"),
        (SPAIN.replace("09:00-18:00", "9 to 5"), "4:8 hours", "no hours", "09:00-18:00"),
        (SPAIN.replace("09:00-18:00", "9"), "4:8 hours", "must be text", '"9"'),
        (SPAIN.replace("09:00-", "9:00-"), "4:8 hours", "`9:00` is no time of day", "09:00"),
        (SPAIN.replace("09:00-", "19:00-"), "4:8 hours", "end before they begin", "opens"),
        (SPAIN.replace("to: 2026", "to: 2025"), "5:32 covers.to", "before `from`", "first"),
        (SPAIN.replace("to: 2026", "to: 2056"), "5:32 covers.to", "more than 20", "fewer"),
        (SPAIN.replace("-12-25", "-02-30"), "7:12 holidays[0].date", "is no day", "2026-01-31"),
        (SPAIN.replace("-12-25", "-01-01"), "8:12 holidays[1].date", "as Navidad too", "one"),
        (SPAIN.replace("2026-12-25", "2027-01-01"), "7:12 holidays[0].date", "`covers`", "reach"),
        (SPAIN.replace("2026-12-25", "5"), "7:12 holidays[0].date", "must be text", '"5"'),
        (SPAIN.replace(", name: Navidad", ""), "7:5 holidays[0]", "`name` is missing", "add"),
        (SPAIN.replace("date: 2026-12-25, ", ""), "7:5 holidays[0]", "`date` is missing", "add"),
        (SPAIN + "zzz: []", "9:1 zzz", "unknown key", "a calendar has calendar"),
    ],
)
def test_what_is_wrong(text: str, place: str, message: str, fix: str) -> None:
    [(where, what, instead)] = problems(text)
    assert where == place
    assert message in what
    assert fix in instead


def test_all_at_once() -> None:
    found = problems("calendar: 4\nhours: later\ncovers: {from: 2026-01-01}\nholidays: 3\n")
    assert [message for _, message, _ in found] == [
        "`time_zone` is missing",
        "`week` is missing",
        "must be text, not a number",
        "`later` are no hours",
        "`to` is missing",
        "must be a list",
    ]


def test_so_many_holidays() -> None:
    day = "  - {date: 2026-01-01, name: x}\n"
    head = SPAIN.partition("  - ")[0]
    [(where, what, _)] = problems(head + day * (HOLIDAY_LIMIT + 1))
    assert where == "7:3 holidays"
    assert what == f"lists {HOLIDAY_LIMIT + 1}; {HOLIDAY_LIMIT} are the most"


def test_covers_must_be_there() -> None:
    text = SPAIN.replace("covers: {from: 2026-01-01, to: 2026-12-31}\n", "")
    assert [message for _, message, _ in problems(text)] == ["`covers` is missing"]
